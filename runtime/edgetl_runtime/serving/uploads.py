"""Pictures that somebody sends: bounded in bytes, pixels and time before they are decoded."""

import struct

from edgetl_runtime.errors import FrameError
from edgetl_runtime.pictures import JPEG_MAGIC, decode_picture
from edgetl_runtime.preprocessing import Frame

KINDS = ("image/jpeg", "image/png")
# What phones take unless told otherwise, with a little room; 75 MB when decoded.
MAX_PIXELS = 25_000_000
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
# JPEG markers (ITU-T T.81 table B.1): SOF0-SOF15 hold the size, but for DHT, JPG and DAC.
_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE_MARKERS = frozenset((0x01, 0xFF, *range(0xD0, 0xD9)))


class TooManyPixelsError(FrameError):
    """A picture that would fill the memory."""


def decode_upload(data: bytes) -> Frame:
    """Decodes a JPEG or PNG after a look at the size that it declares.

    Returns:
        uint8 (height, width, 3) BGR, levels 0..255.

    Raises:
        TooManyPixelsError: If it has more than `MAX_PIXELS`.
        FrameError: If it is neither JPEG nor PNG, or damaged.
    """
    width, height = read_size(data)
    if width * height > MAX_PIXELS:
        raise TooManyPixelsError(
            f"a picture of {width}x{height}; at most {MAX_PIXELS // 1_000_000} million pixels "
            "are taken: make it smaller first"
        )
    return decode_picture(data)


def read_size(data: bytes) -> tuple[int, int]:
    """The size that a JPEG or PNG declares, (width, height) in pixels.

    Raises:
        FrameError: If it is neither, or declares none.
    """
    if data.startswith(_PNG_MAGIC) and len(data) >= 24:
        width, height = struct.unpack_from(">II", data, 16)
        return width, height
    if data.startswith(JPEG_MAGIC):
        return _jpeg_size(data)
    raise FrameError("neither a JPEG nor a PNG picture")


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Walks from segment to segment up to the first that tells a size."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _BARE_MARKERS:
            # 0xFF may fill the space before a marker.
            at += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        if marker in _SIZE_MARKERS:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + length
    raise FrameError("a damaged JPEG: it tells no size")
