"""Is a file a whole picture? Decoders pass half a JPEG silently; this does not."""

import hashlib
from pathlib import Path

import msgspec
import simplejpeg

from edgetl_runtime.errors import FrameError
from edgetl_runtime.pictures import JPEG_MAGIC, decode_picture

MAX_FILE_BYTES = 512 * 2**20
MAX_PIXELS = 200_000_000
_PLAIN_JPEG = ("YCbCr", "Gray", "GRAY", "RGB")


class Verdict(msgspec.Struct, frozen=True):
    """Hash of the bytes, and why the file is no usable picture, or None if it is one."""

    sha256: str
    reason: str | None


def verify_file(path: Path) -> Verdict:
    """Decodes a file fully and says what is wrong with it, if anything."""
    if path.name.startswith(".") or path.name in ("Thumbs.db", "desktop.ini"):
        return Verdict("", "a hidden file")
    try:
        if not path.is_file():
            return Verdict("", "not a plain file")
        if path.stat().st_size > MAX_FILE_BYTES:
            return Verdict("", f"larger than {MAX_FILE_BYTES >> 20} MiB")
        data = path.read_bytes()
    except OSError as error:
        return Verdict("", f"unreadable ({error.strerror})")
    return Verdict(hashlib.sha256(data).hexdigest(), _find_fault(data))


def _find_fault(data: bytes) -> str | None:
    try:
        if not data.startswith(JPEG_MAGIC) or not _is_whole_plain_jpeg(data):
            decode_picture(data)
    except FrameError as error:
        return str(error)
    return None


def _is_whole_plain_jpeg(data: bytes) -> bool:
    """True for a whole JPEG of a usual kind; False where OpenCV must be asked.

    Raises:
        FrameError: If the JPEG is damaged or too large.
    """
    try:
        height, width, color, _ = simplejpeg.decode_jpeg_header(data)
        if height * width > MAX_PIXELS:
            raise FrameError(f"{width}x{height} px, more than {MAX_PIXELS // 10**6} megapixels")
        if color not in _PLAIN_JPEG:
            return False
        # Grey is enough: strict decoding reads all of the compressed data, and is three times
        # faster without colour conversion.
        simplejpeg.decode_jpeg(data, colorspace="GRAY", fastdct=True)
    except ValueError as error:
        raise FrameError(f"a damaged JPEG ({error})") from error
    return True
