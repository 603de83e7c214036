"""Pictures that somebody sends: bounded in bytes, pixels and memory before they are decoded."""

import struct
import threading
from typing import NamedTuple

from edgetl_runtime.errors import FrameError
from edgetl_runtime.pictures import JPEG_MAGIC, decode_picture
from edgetl_runtime.preprocessing import Frame

KINDS = ("image/jpeg", "image/png")
# What phones take unless told otherwise, with a little room.
MAX_PIXELS = 25_000_000
# What decoding may need at once: such a photo, 75 MB, and itself again turned upright.
MAX_MEMORY_BYTES = 150_000_000
_DECODED = 3
_TURNED = 2 * _DECODED
# libjpeg keeps 16-bit coefficients of three channels until the last scan.
_PROGRESSIVE = 3 * 2
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
# JPEG markers (ITU-T T.81 table B.1): SOF0-SOF15 hold the size, but for DHT, JPG and DAC.
_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE_MARKERS = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
_BARE_MARKERS = frozenset((0x01, 0xFF, *range(0xD0, 0xD9)))
# Of two that come at once the second waits, so that the bound holds for both.
_decoding = threading.Lock()


class TooManyPixelsError(FrameError):
    """A picture that would fill the memory."""


class Head(NamedTuple):
    """What a file declares.

    Attributes:
        width: Pixels.
        height: Pixels.
        cost: Bytes that decoding needs for a pixel, at most.
    """

    width: int
    height: int
    cost: int


def decode_upload(data: bytes) -> Frame:
    """Decodes a JPEG or PNG after a look at what it declares; one at a time.

    Returns:
        uint8 (height, width, 3) BGR, levels 0..255.

    Raises:
        TooManyPixelsError: If it has more than `MAX_PIXELS`, or decoding it would need more than
            `MAX_MEMORY_BYTES`.
        FrameError: If it is neither JPEG nor PNG, or damaged.
    """
    head = read_head(data)
    pixels = head.width * head.height
    most = min(MAX_PIXELS, MAX_MEMORY_BYTES // head.cost)
    if pixels > most:
        raise TooManyPixelsError(
            f"a picture of {head.width}x{head.height}; at most {most / 1e6:.1f} million pixels "
            "of this kind are taken: make it smaller first"
        )
    with _decoding:
        return decode_picture(data)


def read_head(data: bytes) -> Head:
    """What a JPEG or PNG declares.

    Raises:
        FrameError: If it is neither, or declares none.
    """
    if data.startswith(_PNG_MAGIC) and data[12:16] == b"IHDR" and len(data) >= 25:
        width, height, bits = struct.unpack_from(">IIB", data, 16)
        # Decoded to colours, and once more with up to four channels to see what is transparent.
        return Head(width, height, _DECODED + (8 if bits > 8 else 4))
    if data.startswith(JPEG_MAGIC):
        return _jpeg_head(data)
    raise FrameError("neither a JPEG nor a PNG picture")


def _jpeg_head(data: bytes) -> Head:
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
            progressive = marker in _PROGRESSIVE_MARKERS
            return Head(width, height, _DECODED + _PROGRESSIVE if progressive else _TURNED)
        at += 2 + length
    raise FrameError("a damaged JPEG: it tells no size")
