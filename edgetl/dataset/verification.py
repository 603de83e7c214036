"""Is a file a whole image? Decoders pass half a JPEG silently; this does not."""

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from edgetl.dataset.orientation import read_orientation, turn_upright
from edgetl.dataset.photo import PhotoVerdict, Thumbnail
from edgetl.dataset.walking import HIDDEN
from edgetl_runtime.errors import FrameError
from edgetl_runtime.image.decoding import decode_picture
from edgetl_runtime.image.filetypes import judge_data
from edgetl_runtime.image.folders import is_hidden
from edgetl_runtime.image.jpegs import JPEG_MAGIC, JpegError, decode_strictly, follow_markers
from edgetl_runtime.image.limits import MAX_PIXELS

MAX_FILE_BYTES = 512 * 2**20
THUMBNAIL_PX = 64
_PLAIN_JPEG = ("YCbCr", "Gray", "GRAY", "RGB")


def verify_file(path: Path) -> PhotoVerdict:
    """Decodes a file fully and says what is wrong with it, if anything."""
    if is_hidden(path.name):
        return PhotoVerdict("", HIDDEN)
    try:
        if not path.is_file():
            missing = not path.exists() and not path.is_symlink()
            broken = path.is_symlink() and not path.exists()
            why = "no such file" if missing else "a broken link" if broken else "not a plain file"
            return PhotoVerdict("", why)
        if path.stat().st_size > MAX_FILE_BYTES:
            return PhotoVerdict("", f"larger than {MAX_FILE_BYTES >> 20} MiB")
        data = path.read_bytes()
    except OSError as error:
        return PhotoVerdict("", f"unreadable ({error.strerror})")
    sha256 = hashlib.sha256(data).hexdigest()
    known = judge_data(data)
    if known.kind in ("video", "other"):
        return PhotoVerdict(sha256, known.refuse())
    try:
        grey, orientation = _decode_grey(data)
    except FrameError as error:
        return PhotoVerdict(sha256, str(error))
    height, width = grey.shape if orientation < 5 else grey.shape[::-1]
    thumbnail = np.ascontiguousarray(turn_upright(_average(grey), orientation))
    return PhotoVerdict(sha256, None, width, height, thumbnail, known.several)


def _decode_grey(data: bytes) -> tuple[NDArray[np.uint8], int]:
    """Decodes all of an image: uint8 (height, width), and the EXIF orientation still to apply.

    Raises:
        FrameError: If it is damaged, no image or too large.
    """
    grey = _decode_plain_jpeg(data) if data.startswith(JPEG_MAGIC) else None
    if grey is None:
        return np.asarray(cv2.cvtColor(decode_picture(data), cv2.COLOR_BGR2GRAY), np.uint8), 1
    return grey, read_orientation(data)


def _decode_plain_jpeg(data: bytes) -> NDArray[np.uint8] | None:
    """The grey image of a whole JPEG of a usual kind; None where OpenCV must be asked.

    Raises:
        FrameError: If the JPEG is damaged or too large.
    """
    try:
        layout = follow_markers(data)
        height, width = layout.height, layout.width
        if height * width > MAX_PIXELS:
            raise FrameError(f"{width}x{height} px, more than {MAX_PIXELS // 10**6} megapixels")
        # Bytes too many, as many cameras write them, are not a fault.
        if simplejpeg.decode_jpeg_header(data, strict=False)[2] not in _PLAIN_JPEG:
            return None
        # Grey is enough: strict decoding reads all of the compressed data, and is three times
        # faster without colour conversion.
        decoded = np.empty((height, width, 1), np.uint8)
        decode_strictly(data, layout, decoded, "GRAY", fastdct=True)
    except JpegError as error:
        raise FrameError(f"a {error.reason} JPEG") from error
    except ValueError as error:
        raise FrameError(f"a damaged JPEG ({error})") from error
    return decoded[:, :, 0]


def _average(grey: NDArray[np.uint8]) -> Thumbnail:
    """Shrinks by area averaging, so that size and compression of a copy leave little trace."""
    size = (THUMBNAIL_PX, THUMBNAIL_PX)
    growing = min(grey.shape) < THUMBNAIL_PX
    rule: Any = cv2.INTER_LINEAR if growing else cv2.INTER_AREA
    return np.asarray(cv2.resize(grey, size, interpolation=rule), np.uint8)
