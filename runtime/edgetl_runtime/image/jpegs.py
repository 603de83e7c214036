"""JPEG markers: size, completeness and extra bytes.

Many webcams and photo collections hold JPEGs with some bytes too many; such an image is whole. One
in which bytes are missing is not, even if an end marker lies somewhere in it: thumbnails have one
of their own. So the markers are followed from the start of the image to its own end, the way that
libjpeg follows them (ITU-T T.81, B.1.1; `next_marker` of jdmarker.c).
"""

import re
import struct
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.errors import FrameError

JPEG_MAGIC = b"\xff\xd8"
_SOI, _EOI, _SOS, _DRI = 0xD8, 0xD9, 0xDA, 0xDD
# All that begin a frame, of whatever kind: 0xC4, 0xC8 and 0xCC are tables, or reserved.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset((0x01, *range(0xD0, 0xD8), _EOI))
_RESERVED = frozenset(range(0x02, 0xC0))
_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_HEADER_MARKER = re.compile(rb"\xff+([^\xff])", re.DOTALL)
_MPF = re.compile(rb"\xff\xe2..MPF\0(?=II\*\0|MM\0\*)", re.DOTALL)
_MPF_ENTRIES = 0xB002
# The list comes after EXIF and others, each of 64 KiB at most.
_HEADER_BYTES = 1 << 20
# In coded data 0xFF is followed by 0x00, or a restart marker. (A literal first byte is found fast.)
_SCAN_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
# What libjpeg says of an image that is whole; of others it says "premature end of ...", "bad
# Huffman code", "found marker ... instead of RST", "inconsistent progression sequence".
_HARMLESS = re.compile("extraneous bytes before marker|JFIF revision|Adobe color|SOS parameters")
# After these all of the image was read; after others libjpeg may not even have begun.
_READ_ON = re.compile("before marker 0xd[0-9]|SOS parameters")
_AT_THE_END = "before marker 0xd9"
_JFIF = re.compile(rb"(\xff\xe0..JFIF\0)[^\x01\x02]", re.DOTALL)


class JpegError(FrameError):
    """It is not a JPEG, or not a whole one.

    Attributes:
        reason: `no JPEG`, `truncated` or `damaged`.
    """

    def __init__(self, reason: str) -> None:
        """Keeps the reason, which is also the message."""
        super().__init__(reason)
        self.reason = reason


class JpegLayout(NamedTuple):
    """Offsets in a complete JPEG.

    Attributes:
        width: In pixels.
        height: In pixels.
        kind: Second byte of its frame marker, such as 0xC0 for baseline.
        spare: (start, end) of bytes between segments that belong to none.
        lacks_restarts: Whether fewer restart markers came than the header promises.
        end: Where the image ends; what comes after that is none of it.
    """

    width: int
    height: int
    kind: int
    spare: tuple[tuple[int, int], ...]
    lacks_restarts: bool
    end: int


def follow_markers(data: bytes) -> JpegLayout:
    """Follows the markers of a JPEG to its end; what comes after that is not looked at.

    Raises:
        JpegError: If it is not a JPEG, ends before its end marker, or has no image before it.
    """
    if not data.startswith(JPEG_MAGIC):
        raise JpegError("no JPEG")
    segments = list(_walk(data))
    scans = [segment.scan for segment in segments if segment.marker == _SOS]
    frame = next((segment for segment in segments if segment.marker in _FRAMES), None)
    interval = next((segment.body for segment in segments if segment.marker == _DRI), b"")
    if frame is None or not scans or len(frame.body) < 6:
        raise JpegError("damaged")
    height, width = struct.unpack_from(">HH", frame.body, 1)
    if not (height and width):
        raise JpegError("damaged")
    promised = _count_restarts(frame.body, int.from_bytes(interval[:2], "big"))
    lacking = promised > 0 and len(scans) == 1 and len(_RESTART.findall(data, *scans[0])) < promised
    spare = tuple(segment.gap for segment in segments if segment.gap[0] < segment.gap[1])
    return JpegLayout(width, height, frame.marker, spare, lacking, segments[-1].scan[1])


def begins_picture(data: bytes | bytearray) -> bool | None:
    """Whether a start marker is really one: segments follow up to the coded image.

    Args:
        data: From the start marker on; what it is cut to may be little.

    Returns:
        None: more is needed to tell.
    """
    at, has_frame = len(JPEG_MAGIC), False
    while found := _HEADER_MARKER.match(data, at):
        marker, at = found[1][0], found.end()
        if marker == _SOS:
            return has_frame
        if marker < min(_FRAMES) or marker in _ALONE or marker == _SOI:
            return False
        if len(data) < at + 2:
            return None
        has_frame |= marker in _FRAMES
        at += max(2, int.from_bytes(data[at : at + 2], "big"))
    return None if data[at : at + 2] in (b"", b"\xff") else False


def find_companions(data: bytes) -> frozenset[int]:
    """Offsets of further images in a photo, such as the gain map of an HDR photo.

    They are listed in the photo's header (CIPA DC-007, Multi-Picture Format, 5.2).

    Returns:
        Offsets behind the end of `data`, the photo itself, from there.
    """
    listed = _MPF.search(data, 0, _HEADER_BYTES)
    if listed is None:
        return frozenset()
    base = listed.end()
    order: Literal["little", "big"] = "little" if data[base : base + 2] == b"II" else "big"

    def read(at: int, size: int = 4) -> int:
        return int.from_bytes(data[at : at + size], order)

    directory = base + read(base + 4)
    for entry in range(directory + 2, directory + 2 + 12 * min(read(directory, 2), 16), 12):
        if read(entry, 2) == _MPF_ENTRIES:
            first, count = base + read(entry + 8), min(read(entry + 4) // 16, 16)
            starts = {base + read(first + 16 * one + 8) - len(data) for one in range(1, count)}
            return frozenset(start for start in starts if start >= 0)
    return frozenset()


def decode_strictly(
    data: bytes,
    layout: JpegLayout,
    pixels: NDArray[np.uint8],
    colorspace: str,
    *,
    fastdct: bool = False,
) -> bool:
    """Decodes a JPEG with simplejpeg, and refuses one in which bytes are missing.

    Args:
        data: What `layout` was read from.
        layout: Of it.
        pixels: uint8 (height, width, channels), where the image goes, at full size or reduced.
        colorspace: Of the pixels, such as `BGR` or `GRAY`.
        fastdct: See simplejpeg.

    Returns:
        Whether something was amiss that costs nothing, such as bytes too many.

    Raises:
        JpegError: If the image is damaged.
    """
    import simplejpeg

    def try_decoding(data: bytes, *, strict: bool = True) -> str:
        height, width = pixels.shape[:2]
        size = {"min_height": height, "min_width": width}
        try:
            decoded = simplejpeg.decode_jpeg(
                data, colorspace, fastdct=fastdct, buffer=pixels, strict=strict, **size
            )
        except ValueError as error:
            return str(error) or "damaged"
        return "" if decoded.shape == pixels.shape else "another size"

    trouble = try_decoding(data)
    if not trouble:
        return False
    if _HARMLESS.search(trouble) and _AT_THE_END not in trouble:
        # libjpeg tells of the first trouble only; what can be mended is, to hear of the next.
        trouble = try_decoding(mend(data, layout))
    if trouble and (layout.lacks_restarts or not _HARMLESS.search(trouble)):
        raise JpegError("damaged")
    if trouble and not _READ_ON.search(trouble) and try_decoding(data, strict=False):
        raise JpegError("damaged")
    return True


def mend(data: bytes, layout: JpegLayout) -> bytes:
    """The JPEG without bytes between its segments, and with a version that libjpeg knows."""
    kept, at = [], 0
    for start, end in layout.spare:
        kept.append(data[at:start])
        at = end
    return _JFIF.sub(b"\\1\x01", b"".join([*kept, data[at:]]), count=1)


class _Segment(NamedTuple):
    marker: int
    gap: tuple[int, int]
    body: bytes
    scan: tuple[int, int]


def _walk(data: bytes) -> Iterator[_Segment]:
    """The segments up to the end marker; `gap` lies before one, and `scan` behind it."""
    at = len(JPEG_MAGIC)
    while found := _MARKER.search(data, at):
        marker, end, body = found[1][0], found.end(), b""
        if marker not in _ALONE:
            body, end = _read_segment(data, end, marker)
        scan_end = end
        if marker == _SOS:
            scan = _SCAN_END.search(data, end)
            scan_end = scan.start() if scan else len(data)
        yield _Segment(marker, (at, found.start()), body, (end, scan_end))
        if marker == _EOI:
            return
        at = scan_end
    raise JpegError("truncated")


def _read_segment(data: bytes, at: int, marker: int) -> tuple[bytes, int]:
    """What follows a marker, and where that ends."""
    if marker == _SOI:
        # Another image begins within this one.
        raise JpegError("truncated")
    length = int.from_bytes(data[at : at + 2], "big")
    end = at + length
    if len(data) < max(end, at + 2):
        raise JpegError("truncated")
    if marker in _RESERVED or length < 2:
        raise JpegError("damaged")
    return data[at + 2 : end], end


def _count_restarts(frame: bytes, interval: int) -> int:
    """How many restart markers a frame of a single scan has."""
    sampling = [divmod(pair, 16) for pair in frame[7::3]]
    if not interval or not sampling or 0 in sum(sampling, ()):
        return 0
    # A single component is coded by its blocks of 8x8 pixels, whatever its sampling.
    across, down = (max(side) if len(sampling) > 1 else 1 for side in zip(*sampling, strict=True))
    height, width = (int.from_bytes(frame[i : i + 2], "big") for i in (1, 3))
    units = -(-width // (8 * across)) * -(-height // (8 * down))
    return -(-units // interval) - 1
