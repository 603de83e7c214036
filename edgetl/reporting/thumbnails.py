"""Small images inside a page: photos as data URIs, so that one file shows them."""

import base64
from pathlib import Path

import cv2
import numpy as np

from edgetl_runtime.errors import FrameError
from edgetl_runtime.image.decoding import decode_picture, read_picture
from edgetl_runtime.image.preprocessing import Frame

_QUALITY = 82
_GREY = 160


def thumbnail(path: Path, longest_px: int) -> str:
    """A photo for the `src` of an `<img>`.

    Args:
        path: An image file, shown as a person would see it (EXIF orientation applied).
        longest_px: Its longer side in px; a smaller photo stays as it is.

    Returns:
        `data:image/jpeg;base64,...`; a grey square where the photo is missing or unreadable, so
        that a page about photos can always be made.
    """
    try:
        picture = shrink(read_picture(path), longest_px)
    except FrameError:
        picture = np.full((longest_px, longest_px, 3), _GREY, np.uint8)
    return embed(picture)


def embed(picture: Frame) -> str:
    """A picture, uint8 (height, width, 3) BGR, as `data:image/jpeg;base64,...`."""
    _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode("ascii")


def shrink(picture: Frame, longest_px: int) -> Frame:
    """A picture of at most so many px along its longer side; a smaller one stays as it is."""
    height, width = picture.shape[:2]
    scale = longest_px / max(height, width)
    if scale >= 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def read_small(path: Path, longest_px: int) -> Frame:
    """A photo to be shown small, among hundreds: a JPEG is decoded at an eighth of its size.

    Args:
        path: An image file, shown as a person would see it (EXIF orientation applied).
        longest_px: At most so many px along its longer side.

    Returns:
        uint8 (height, width, 3) BGR; a grey square where the photo is missing or unreadable.
    """
    try:
        data = path.read_bytes()
        small = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_COLOR_8)
        large_enough = small is not None and max(small.shape[:2]) >= longest_px
        picture: Frame = small if large_enough else decode_picture(data)  # type: ignore[assignment]
    except (OSError, cv2.error, FrameError):
        return np.full((longest_px, longest_px, 3), _GREY, np.uint8)
    return shrink(picture, longest_px)
