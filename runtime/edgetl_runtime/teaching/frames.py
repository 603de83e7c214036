"""Which frames of a take a lesson is made of."""

from typing import Final

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.errors import LessonError
from edgetl_runtime.image.one_colour import is_of_one_colour
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.learning.learned import spread
from edgetl_runtime.learning.overlay import MOST_FRAMES
from edgetl_runtime.outputs.quota import encode_jpeg
from edgetl_runtime.text.wording import count_noun

LEAST_FRAMES: Final = 5
# Mean difference of two thumbnails, in levels. The noise of a sensor, averaged over a cell of a
# thumbnail, stays well below one.
_DIFFERENT_LEVELS: Final = 1.0
_THUMBNAIL_PX: Final = 16
_QUALITY: Final = 95
# Enough to train an input of 300 px with crops; a camera's frames would fill a card.
_LONGEST_PX: Final = 640


class Take(msgspec.Struct, frozen=True, eq=False):
    """The frames of a lesson, as they are looked at and as they are kept.

    Attributes:
        inputs: uint8 (height, width, 3) RGB each, the model's input.
        photos: JPEG files.
        notes: Sentences on frames that are not used.
    """

    inputs: list[Frame]
    photos: list[bytes]
    notes: tuple[str, ...] = ()


class Collector:
    """Collects the frames of a take, in bounded memory."""

    def __init__(self, *, alike: bool) -> None:
        """Nothing was collected yet.

        Args:
            alike: Whether frames may look alike, as those of a still scene do.
        """
        self._alike = alike
        self._seen = self._blank = self._same = 0
        self._every = 1
        self._kept: list[tuple[int, Frame, bytes, NDArray[np.float32]]] = []

    @property
    def count(self) -> int:
        """Frames that can be used so far."""
        return self._seen - self._blank - self._same

    def add(self, frame: Frame, pixels: Frame) -> None:
        """Adds a frame, unless it shows nothing, or nothing new.

        Args:
            frame: uint8 (height, width, 3) BGR.
            pixels: uint8 (height_px, width_px, 3) RGB, the model's input that it became.
        """
        self._seen += 1
        if is_of_one_colour(pixels):
            self._blank += 1
            return
        thumbnail = _shrink(pixels)
        if not self._alike and any(_is_same(thumbnail, one[3]) for one in self._kept):
            self._same += 1
            return
        number = self.count - 1
        if number % self._every:
            return
        self._kept.append((number, pixels.copy(), _encode(frame), thumbnail))
        if len(self._kept) > 2 * MOST_FRAMES:
            # Every other one goes, so that the rest is spread over the whole take.
            self._every *= 2
            self._kept = [one for one in self._kept if one[0] % self._every == 0]

    def finish(self) -> Take:
        """The frames of the lesson.

        Raises:
            LessonError: If there are too few.
        """
        kept = [self._kept[n] for n in spread(len(self._kept), MOST_FRAMES)]
        if len(kept) < LEAST_FRAMES:
            raise LessonError(self._explain())
        notes = []
        if self._blank:
            notes.append(f"{count_noun(self._blank, 'frame')} of nearly one color left out")
        if self._same:
            notes.append(f"{count_noun(self._same, 'frame')} like another one left out")
        if self.count > len(kept):
            notes.append(f"of {self.count:,} frames {len(kept)} are used, evenly spaced")
        return Take([one[1] for one in kept], [one[2] for one in kept], tuple(notes))

    def _explain(self) -> str:
        found = count_noun(self._seen, "frame")
        if self._seen and self._blank == self._seen:
            return (
                f"expected {LEAST_FRAMES} frames with something on them, found {found} of nearly "
                "one color; is the lens covered, or is it dark?"
            )
        if self._same or self._blank:
            left = [f"{self._same} like another one"] if self._same else []
            left += [f"{self._blank} of nearly one color"] if self._blank else []
            found += f", {' and '.join(left)}"
        what = "frames" if self._alike else "frames that differ"
        return f"expected at least {LEAST_FRAMES} {what}, found {found}; " + (
            "take longer" if self._alike else "turn and move the thing, or take longer"
        )


def _shrink(pixels: Frame) -> NDArray[np.float32]:
    size = (_THUMBNAIL_PX, _THUMBNAIL_PX)
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32)


def _is_same(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    return bool(np.abs(one - other).mean() < _DIFFERENT_LEVELS)


def _encode(frame: Frame) -> bytes:
    height, width = frame.shape[:2]
    scale = _LONGEST_PX / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return encode_jpeg(frame, _QUALITY)
