"""The one decoder of image files, for training, calibration, evaluation and the device."""

from pathlib import Path

import cv2
import numpy as np

from edgetl_runtime.errors import FrameError
from edgetl_runtime.image.filetypes import FileType, judge_data
from edgetl_runtime.image.jpegs import JPEG_MAGIC, JpegError, follow_markers, mend
from edgetl_runtime.image.preprocessing import Frame

WHITE = 255
_BAND_PIXELS = 1 << 18


def read_picture(path: Path) -> Frame:
    """Reads an image file; see `decode_picture`.

    Raises:
        FrameError: If the file cannot be read or holds no whole image.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FrameError(f"{path}: unreadable ({error.strerror or error})") from error
    try:
        return decode_picture(data)
    except FrameError as error:
        raise FrameError(f"{path}: {error}") from error


def decode_picture(data: bytes) -> Frame:
    """Decodes an image the way that a person would see it.

    The EXIF orientation is applied, 16-bit levels are scaled to 8 bits, CMYK and palettes become
    colours, transparent pixels lie on white, and of an animation the first frame counts.

    Args:
        data: The bytes of a file that OpenCV reads (JPEG, PNG, WebP, BMP, TIFF, GIF, PNM ...).

    Returns:
        uint8 (height, width, 3) BGR, levels 0..255.

    Raises:
        FrameError: If the data is empty, truncated, no image or larger than OpenCV's limit.
    """
    if not data:
        raise FrameError("an empty file")
    if data.startswith(JPEG_MAGIC):
        data = _check_jpeg(data)
    picture = _imdecode(data, cv2.IMREAD_COLOR)
    if picture is None or picture.size == 0:
        raise FrameError(_explain(judge_data(data)))
    if picture.dtype != np.uint8:
        raise FrameError(f"an image with {picture.dtype} values; save it with 8 bits per channel")
    if data.startswith(JPEG_MAGIC):
        return picture
    return lay_on_white(picture, _imdecode(data, cv2.IMREAD_UNCHANGED))


def _explain(known: FileType) -> str:
    if known.kind == "picture":
        return (
            f"{known.name} that is damaged or that OpenCV {cv2.__version__} cannot read; save it "
            "again as JPEG or PNG"
        )
    if known.kind == "unknown":
        return "not an image, or a damaged one"
    return known.refuse()


def _check_jpeg(data: bytes) -> bytes:
    """A whole JPEG, as OpenCV takes it: whether it notices a cut one depends on its version."""
    try:
        return mend(data, follow_markers(data))
    except JpegError as error:
        if error.reason == "truncated":
            raise FrameError("a truncated JPEG: its end marker is missing") from error
        # Other damage is for OpenCV to judge.
        return data


def _imdecode(data: bytes, flags: int) -> Frame | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)  # type: ignore[return-value]
    except cv2.error as error:
        if "PIXELS" in str(error) or "IMAGE_WIDTH" in str(error) or "IMAGE_HEIGHT" in str(error):
            raise FrameError("larger than OpenCV reads; make it smaller first") from error
        raise FrameError(f"not decodable ({error.err or 'OpenCV failed'})") from error
    except MemoryError as error:
        raise FrameError("too large for the memory of this machine") from error


def lay_on_white(picture: Frame, unchanged: Frame | None) -> Frame:
    """Lays the colours over white where the file has an alpha channel, in place."""
    has_alpha = unchanged is not None and unchanged.ndim == 3 and unchanged.shape[2] == 4
    if unchanged is None or not has_alpha or unchanged.shape[:2] != picture.shape[:2]:
        return picture
    if unchanged.dtype not in (np.uint8, np.uint16):
        return picture
    opaque = np.iinfo(unchanged.dtype).max
    if unchanged[:, :, 3].min() == opaque:
        return picture
    # In bands: as floats, a large image would fill the memory of a small board.
    rows = max(1, _BAND_PIXELS // picture.shape[1])
    for top in range(0, picture.shape[0], rows):
        band = picture[top : top + rows]
        alpha = unchanged[top : top + rows, :, 3:].astype(np.float32) / opaque
        band[:] = np.rint(band * alpha + WHITE * (1.0 - alpha)).astype(np.uint8)
    return picture
