"""Text on images, also of labels that are not ASCII.

OpenCV 5 brings fonts for Latin, Greek, Cyrillic, Arabic, Chinese, Japanese and Korean script.
OpenCV 4 knows ASCII only and draws a question mark for each byte of anything else; there, accents
are left out and other characters are shown by their number, which is ugly but not ambiguous.
"""

import unicodedata
from typing import Any

import cv2

from edgetl_runtime.image.preprocessing import Frame

Color = tuple[int, int, int]
_REGULAR, _BOLD = 400, 700
# Height of a capital letter of Hershey's simplex font at scale 1, px.
_HERSHEY_PX = 30.0
_HERSHEY = cv2.FONT_HERSHEY_SIMPLEX
# What Unicode does not decompose.
_SPELLED = str.maketrans({"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "…": ".."})


class Pen:
    """Draws text of one size; one for each thread and image, since fonts keep a state."""

    def __init__(self, size_px: int, *, bold: bool = False) -> None:
        """Args: size_px: Height of a line of text without space between lines."""
        self.size_px = size_px
        self._weight = _BOLD if bold else _REGULAR
        self._scale = 0.72 * size_px / _HERSHEY_PX
        self._thickness = max(1, round(size_px / (9 if bold else 14)))
        # Any: OpenCV 4 has no such class.
        self._font: Any = cv2.FontFace("sans") if hasattr(cv2, "FontFace") else None

    def measure(self, text: str) -> int:
        """The width of a text, px."""
        if self._font is None:
            (width, _), _ = cv2.getTextSize(to_ascii(text), _HERSHEY, self._scale, self._thickness)
            return width
        nowhere = (100_000, 100_000)
        left, _, width, _ = cv2.getTextSize(
            nowhere, text, (0, 0), self._font, self.size_px, self._weight
        )
        return int(left + width)

    def draw(self, picture: Frame, text: str, place: tuple[int, int], color: Color) -> None:
        """Draws a text on an image.

        Args:
            picture: uint8 (height, width, 3) BGR, contiguous; is changed.
            text: One line.
            place: Left end of its base line, (x, y) px.
            color: BGR.
        """
        if self._font is None:
            text, line = to_ascii(text), cv2.LINE_AA
            cv2.putText(picture, text, place, _HERSHEY, self._scale, color, self._thickness, line)
        else:
            cv2.putText(picture, text, place, color, self._font, self.size_px, self._weight)

    def fit(self, text: str, width_px: int) -> str:
        """The text, shortened with an ellipsis where it is wider than it may be."""
        if self.measure(text) <= width_px:
            return text
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            fits = self.measure(f"{text[:middle].rstrip()}…") <= width_px
            low, high = (middle, high) if fits else (low, middle - 1)
        return f"{text[:low].rstrip()}…"


def to_ascii(text: str) -> str:
    """The text without accents, other characters by number: `Größe` → `Grosse`."""
    parts = unicodedata.normalize("NFKD", text.translate(_SPELLED))
    plain = "".join(part for part in parts if not unicodedata.combining(part))
    return plain.encode("ascii", "backslashreplace").decode("ascii")
