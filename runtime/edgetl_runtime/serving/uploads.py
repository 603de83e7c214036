"""Images that somebody sends: bounded in bytes, pixels and memory before they are decoded."""

import struct
import threading
from typing import NamedTuple

from edgetl_runtime.errors import FrameError
from edgetl_runtime.image.decoding import decode_picture
from edgetl_runtime.image.jpegs import JPEG_MAGIC, JpegError, follow_markers
from edgetl_runtime.image.preprocessing import Frame

KINDS = ("image/jpeg", "image/png")
# What phones take unless told otherwise, with a little room.
MAX_UPLOAD_PIXELS = 25_000_000
# What decoding may need at once: such a photo, 75 MB, and itself again turned upright.
MAX_MEMORY_BYTES = 150_000_000
_DECODED = 3
_TURNED = 2 * _DECODED
# libjpeg keeps 16-bit coefficients of three channels until the last scan.
_PROGRESSIVE = 3 * 2
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
# JPEG markers (ITU-T T.81, table B.1).
_PROGRESSIVE_MARKERS = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
# Of two that come at once the second waits, so that the bound holds for both.
_decoding = threading.Lock()


class TooManyPixelsError(FrameError):
    """An image that would fill the memory."""


class ImageHeader(NamedTuple):
    """The header of an uploaded file.

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
        TooManyPixelsError: If it has more than `MAX_UPLOAD_PIXELS`, or decoding it would need more
            than `MAX_MEMORY_BYTES`.
        FrameError: If it is neither JPEG nor PNG, or damaged.
    """
    head = read_head(data)
    pixels = head.width * head.height
    most = min(MAX_UPLOAD_PIXELS, MAX_MEMORY_BYTES // head.cost)
    if pixels > most:
        raise TooManyPixelsError(
            f"an image of {head.width}x{head.height}; at most {most / 1e6:.1f} million pixels are "
            "accepted for this type: make it smaller first"
        )
    with _decoding:
        return decode_picture(data)


def read_head(data: bytes) -> ImageHeader:
    """Reads the header of a JPEG or PNG.

    Raises:
        FrameError: If it is neither, or declares none.
    """
    if data.startswith(_PNG_MAGIC) and data[12:16] == b"IHDR" and len(data) >= 25:
        width, height, bits = struct.unpack_from(">IIB", data, 16)
        # Decoded to colours, and once more with up to four channels to see what is transparent.
        return ImageHeader(width, height, _DECODED + (8 if bits > 8 else 4))
    if data.startswith(JPEG_MAGIC):
        return _jpeg_head(data)
    raise FrameError("neither a JPEG nor a PNG image")


def _jpeg_head(data: bytes) -> ImageHeader:
    try:
        layout = follow_markers(data)
    except JpegError as error:
        raise FrameError(f"a {error.reason} JPEG") from error
    progressive = layout.kind in _PROGRESSIVE_MARKERS
    cost = _DECODED + _PROGRESSIVE if progressive else _TURNED
    return ImageHeader(layout.width, layout.height, cost)
