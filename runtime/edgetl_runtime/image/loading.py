"""An image as a program has it: a path, an array or a Pillow image."""

import os
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeAlias, Union

import cv2
import numpy as np

from edgetl_runtime.errors import FrameError
from edgetl_runtime.image.decoding import lay_on_white, read_picture
from edgetl_runtime.image.preprocessing import Frame

Color = Literal["bgr", "rgb"]
_ORIENTATION: Final = 0x0112
# EXIF's orientation -> Pillow's number of the step that puts it right (`PIL.Image.Transpose`).
_TRANSPOSE: Final = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}


class PillowImage(Protocol):
    """The used part of `PIL.Image.Image`; Pillow is not imported, as a device may lack it."""

    mode: str

    def convert(self, mode: str) -> Any:
        """The image in another mode, such as `RGBA`."""
        ...

    def getexif(self) -> Any:
        """Tag -> value."""
        ...

    def transpose(self, method: Any) -> Any:
        """The image, flipped or turned."""
        ...


Image: TypeAlias = Union[str, "os.PathLike[str]", Frame, PillowImage]


def load_image(image: Image, *, color: Color = "bgr") -> Frame:
    """Makes a frame, whose colours are in OpenCV's order.

    Args:
        image: The path of an image file; an array, uint8 (height, width, 3), (height, width, 4)
            whose alpha is ignored, or (height, width) grey, levels 0..255; or a Pillow image,
            whose EXIF orientation is applied and whose transparent pixels lie on white.
        color: Order of an array's channels. Files and Pillow images know their own.

    Returns:
        uint8 (height, width, 3) or (height, width, 4) in the order BGR, or (height, width) grey.

    Raises:
        FrameError: If the file cannot be read, or it is not an image.
    """
    if color not in ("bgr", "rgb"):
        raise FrameError(f"color must be 'bgr' or 'rgb', got {color!r}")
    if isinstance(image, np.ndarray):
        return image if color == "bgr" else _swap_red_and_blue(image)
    if isinstance(image, str | os.PathLike):
        return read_picture(Path(image))
    if type(image).__module__.startswith("PIL."):
        return _read_pillow(image)
    raise FrameError(f"expected a path, an array or a Pillow image, got {type(image).__name__}")


def _swap_red_and_blue(frame: Frame) -> Frame:
    if frame.ndim != 3 or frame.shape[2] not in (3, 4) or frame.dtype != np.uint8:
        return frame  # Grey, or for `Preprocessing.apply` to refuse.
    code = cv2.COLOR_RGB2BGR if frame.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    return cv2.cvtColor(frame, code)  # type: ignore[return-value]


def _read_pillow(image: Any) -> Frame:
    try:
        step = _TRANSPOSE.get(image.getexif().get(_ORIENTATION))
        upright = image if step is None else image.transpose(step)
        if upright.mode.startswith("I;16"):
            # Pillow would cut off what is above 255.
            return (np.asarray(upright) >> 8).astype(np.uint8)
        rgba = np.asarray(upright.convert("RGBA"))
    except (OSError, ValueError) as error:
        raise FrameError(f"the Pillow image cannot be read ({error})") from error
    frame: Frame = cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA)  # type: ignore[assignment]
    return lay_on_white(frame[:, :, :3].copy(), frame)
