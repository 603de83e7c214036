"""The only code that turns a frame into the model's input.

Training, calibration, evaluation, the golden frames and the camera all call
`Preprocessing.apply`, so that the device sees what the network was trained on.
Scaling to the network's range is not here: it is inside the model's graph.
"""

import platform
from typing import Literal

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.errors import FrameError

Frame = NDArray[np.uint8]
Fit = Literal["stretch", "crop", "pad"]
_TO_RGB = {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}
# Up to so many times the input's width a frame gains by a fourth channel. Measured on x86 only:
# under emulation nothing can be measured, so ARM stays with three (same bits).
_GAINING_WIDTHS = 4 if platform.machine().lower() in ("x86_64", "amd64") else 0


class Preprocessing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a camera frame becomes the model's input.

    Attributes:
        width_px: Width of the model's input.
        height_px: Height of the model's input.
        color: Channel order that the model takes.
        fit: What happens when the frame has another aspect ratio than the input:
            `stretch` scales each axis by itself, `crop` keeps the largest centred part of
            the input's aspect ratio, `pad` keeps all and fills up with grey.
        resize: The resize rule by name (see `resize`); a reader refuses a rule it does not know.
    """

    width_px: int
    height_px: int
    color: Literal["rgb"] = "rgb"
    fit: Fit = "stretch"
    resize: Literal["exact-linear2x-area2"] = "exact-linear2x-area2"

    def __post_init__(self) -> None:
        """Refuses sizes that no model has."""
        if not (1 <= self.width_px <= 4096 and 1 <= self.height_px <= 4096):
            raise ValueError(
                "expected an input size of 1..4096 px per side, got "
                f"{self.width_px}x{self.height_px}"
            )

    def apply(self, frame: Frame) -> Frame:
        """Makes the model's input from one frame.

        Args:
            frame: uint8, (height, width, 3) BGR, (height, width, 4) BGRA whose alpha is
                ignored, or (height, width) grey; levels 0..255, any size.

        Returns:
            uint8 (height_px, width_px, 3) RGB, levels 0..255, C-contiguous.

        Raises:
            FrameError: If the frame has another dtype or shape.
        """
        color = _as_color(frame)
        if self.fit == "crop":
            color = _crop(color, self.width_px, self.height_px)
        elif self.fit == "pad":
            color = _pad(color, self.width_px, self.height_px)
        if _gains_by_alpha(color, self.width_px, self.height_px):
            color = cv2.cvtColor(color, cv2.COLOR_BGR2BGRA)  # type: ignore[assignment]
        small = resize(color, self.width_px, self.height_px)
        return cv2.cvtColor(small, _TO_RGB[small.shape[2]])  # type: ignore[return-value]


def resize(frame: Frame, width_px: int, height_px: int) -> Frame:
    """Resizes a frame with little aliasing and the same bits on every processor.

    This is the rule `exact-linear2x-area2`. Shrinking: linear interpolation to exactly twice the
    target, then the mean of 2x2 pixels, which stays close to exact area averaging (INTER_AREA) at
    a fraction of its time; beyond eight times the target linear interpolation would skip pixels,
    so the frame is halved first. Growing: linear interpolation.

    Each step is INTER_LINEAR_EXACT, integer arithmetic with the same result everywhere, and at
    exactly half the size the rounded mean of 2x2 pixels. INTER_LINEAR, INTER_CUBIC and INTER_AREA
    are not the same on x86 and ARM. `benchmarks/preprocessing.py` measures time and closeness;
    `tests/runtime/test_preprocessing.py` holds hashes that every processor must give.

    Args:
        frame: uint8 (height, width, 3) or (height, width, 4); no channel changes another.
        width_px: Target width.
        height_px: Target height.

    Returns:
        uint8 (height_px, width_px, channels), same channel order.
    """
    height, width = frame.shape[:2]
    if (height, width) == (height_px, width_px):
        return frame
    # An image may shrink along one axis and grow along the other: shrink first.
    shrunk_width, shrunk_height = min(width, width_px), min(height, height_px)
    if (shrunk_height, shrunk_width) != (height, width):
        frame = _shrink(frame, shrunk_width, shrunk_height)
    if (shrunk_height, shrunk_width) != (height_px, width_px):
        frame = _scale(frame, width_px, height_px)
    return frame


def _shrink(frame: Frame, width_px: int, height_px: int) -> Frame:
    while min(frame.shape[1] // width_px, frame.shape[0] // height_px) >= 8:
        frame = _scale(frame, frame.shape[1] // 2, frame.shape[0] // 2)
    # A panorama shrinks much more along one axis.
    while frame.shape[1] // width_px >= 16:
        frame = _scale(frame, frame.shape[1] // 2, frame.shape[0])
    while frame.shape[0] // height_px >= 16:
        frame = _scale(frame, frame.shape[1], frame.shape[0] // 2)
    return _scale(_scale(frame, 2 * width_px, 2 * height_px), width_px, height_px)


def _scale(frame: Frame, width_px: int, height_px: int) -> Frame:
    return cv2.resize(frame, (width_px, height_px), interpolation=cv2.INTER_LINEAR_EXACT)  # type: ignore[return-value]


def _gains_by_alpha(frame: Frame, width_px: int, height_px: int) -> bool:
    """Whether a fourth channel, which costs a copy of the frame, saves more than it costs.

    OpenCV scales rows of one, two and four channels with vector instructions, but not of three.
    What that saves grows with the width of the result, what it costs with that of the frame
    (`benchmarks/preprocessing.py` measures both ways).
    """
    height, width = frame.shape[:2]
    return (
        frame.shape[2] == 3
        and width <= _GAINING_WIDTHS * width_px
        and (height, width) != (height_px, width_px)
    )


def _as_color(frame: Frame) -> Frame:
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.size == 0:
        found = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame)
        raise FrameError(f"expected a frame as a non-empty uint8 array, got {found}")
    if frame.ndim == 3 and frame.shape[2] in _TO_RGB:
        return frame
    if frame.ndim == 2 or (frame.ndim == 3 and frame.shape[2] == 1):
        return cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)  # type: ignore[return-value]
    raise FrameError(
        "expected a frame of shape (height, width, 3), BGR, or (height, width), gray, got "
        f"{frame.shape}"
    )


def _crop(frame: Frame, width_px: int, height_px: int) -> Frame:
    height, width = frame.shape[:2]
    keep_width = max(1, min(width, round(height * width_px / height_px)))
    keep_height = max(1, min(height, round(width * height_px / width_px)))
    top, left = (height - keep_height) // 2, (width - keep_width) // 2
    return frame[top : top + keep_height, left : left + keep_width]


def _pad(frame: Frame, width_px: int, height_px: int) -> Frame:
    height, width = frame.shape[:2]
    # A 1x20000 strip padded to a square at full size would need gigabytes: shrink it first.
    limit = 8 * max(width_px, height_px)
    if max(height, width) > limit:
        factor = limit / max(height, width)
        frame = resize(frame, max(1, round(width * factor)), max(1, round(height * factor)))
        height, width = frame.shape[:2]
    add_width = max(0, round(height * width_px / height_px) - width)
    add_height = max(0, round(width * height_px / width_px) - height)
    return cv2.copyMakeBorder(  # type: ignore[return-value]
        frame,
        add_height // 2,
        add_height - add_height // 2,
        add_width // 2,
        add_width - add_width // 2,
        cv2.BORDER_CONSTANT,
        value=(128, 128, 128),
    )
