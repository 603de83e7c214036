"""The one decoder of JPEG frames that cameras and streams send.

OpenCV decodes damaged data silently, to an image with grey or shifted blocks. So the structure
is checked first, and simplejpeg, where the extra `jpeg` is installed, refuses data in which bytes
are missing. Bytes too many, which many webcams send, pass and are counted. A JPEG has no checksum:
nearly all single flipped bits pass for an image.
"""

import importlib.util
import re

import cv2
import numpy as np

from edgetl_runtime.capture.source import BadFrame, FrameBuffer
from edgetl_runtime.image.filetypes import judge_data
from edgetl_runtime.image.jpegs import (
    JpegError,
    JpegLayout,
    begins_picture,
    decode_strictly,
    find_companions,
    follow_markers,
    mend,
)
from edgetl_runtime.image.preprocessing import Frame

MAX_BYTES = 32 * 1024 * 1024
# More than any camera module has; a header that claims more would cost a small board its memory.
MAX_JPEG_PIXELS = 64_000_000
EXTRA_BYTES = "extra bytes"
_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_START = b"\xff\xd8\xff"
_SOS = 0xDA
# Baseline, extended and progressive with Huffman codes; libjpeg-turbo reads no other kind but
# arithmetic coding (0xC9, 0xCA), which no camera sends.
_KINDS = (0xC0, 0xC1, 0xC2)
_MARKER = re.compile(rb"\xff+([^\x00\xff])")
# Inside the coded image 0xFF is followed by 0x00 or a restart marker.
_START_OR_END = re.compile(rb"\xff[\xd8\xd9]")
_PADDING = b"\x00\r\n"
# The beginning of a start, or of a part's head, of which the rest is to come.
_UNDECIDED = re.compile(rb"(?:\xff\xd8?|[\r\n]*-)\Z")
_UNDECIDED_BYTES = 16
# Between the images of a network camera's answer that somebody else fetched (`curl`).
_PART_BEGUN = re.compile(rb"[\0\r\n]*--")
_PART_HEAD = re.compile(rb"[\0\r\n]*(--[^\r\n]*\r?\n)([\w-]+:[^\r\n]*\r?\n)*\s*")
_PART_HEAD_BYTES = 8192
_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


def check_jpeg(data: bytes | memoryview) -> JpegLayout:
    """Checks the structure of a JPEG without decoding it.

    Returns:
        Where its parts are.

    Raises:
        BadFrame: `empty`, `no JPEG`, `truncated`, `damaged` or `too large`.
    """
    data = bytes(data)
    if not data:
        raise BadFrame("empty")
    if len(data) > MAX_BYTES:
        raise BadFrame("too large")
    try:
        layout = follow_markers(data)
    except JpegError as error:
        raise BadFrame(error.reason, _describe_other(data)) from error
    if layout.kind not in _KINDS:
        raise BadFrame("of an unusual kind")
    if layout.width * layout.height > MAX_JPEG_PIXELS:
        raise BadFrame("too large")
    return layout


def _describe_other(data: bytes) -> str:
    """`no JPEG but a web page`, where that much is known."""
    known = judge_data(data)
    if data.startswith(_SOI) or known.kind == "unknown":
        return ""
    return f"{known.name}, not a JPEG"


class JpegDecoder:
    """Decodes into shared memory, no larger than needed."""

    def __init__(self, input_px: tuple[int, int] | None = None) -> None:
        """Chooses the decoder.

        Args:
            input_px: (width, height) of the model's input. Preprocessing first scales to exactly
                twice that, so an image that stays at least as large hardly changes the model's
                input: by 0.7 levels on average on 396 photos of TrashNet decoded at half size,
                where preprocessing is 0.6 levels from exact averaging anyway. None: full size.
        """
        self._input_px = input_px
        self._strict = importlib.util.find_spec("simplejpeg") is not None

    def decode(self, data: bytes | memoryview, buffer: FrameBuffer) -> str:
        """Decodes one image to B, G, R; the EXIF orientation is ignored.

        Returns:
            `extra bytes` if some were too many, else nothing.

        Raises:
            BadFrame: If the data is not a whole JPEG.
        """
        layout = check_jpeg(data)
        divisor = choose_divisor(layout.width, layout.height, self._input_px)
        width, height = -(-layout.width // divisor), -(-layout.height // divisor)
        pixels = np.frombuffer(buffer(height, width), np.uint8).reshape(height, width, 3)
        odd = bool(layout.spare or bytes(data[layout.end :]).strip(_PADDING))
        if not self._strict:
            _decode_leniently(mend(bytes(data), layout), pixels, divisor)
            return EXTRA_BYTES if odd else ""
        try:
            odd |= decode_strictly(bytes(data), layout, pixels, "BGR")
        except JpegError as error:
            raise BadFrame(error.reason) from error
        return EXTRA_BYTES if odd else ""


def choose_divisor(width: int, height: int, input_px: tuple[int, int] | None) -> int:
    """By how much an image may shrink and still be twice as large as the model's input."""
    if input_px is None:
        return 1
    room = min(width / (2 * input_px[0]), height / (2 * input_px[1]))
    return next((divisor for divisor in (8, 4, 2) if divisor <= room), 1)


class JpegSplitter:
    """Cuts a stream of JPEGs, one right after another, into single ones.

    What follows the end of a whole JPEG belongs to it: phones append a film, notes of their own
    (Samsung's end in SEFT), or smaller images. It is skipped.
    """

    def __init__(self) -> None:
        """Starts with nothing."""
        self._buffer = bytearray()
        self._searched = 0
        # Since the end of a whole image; None: none came, or it was cut.
        self._behind: int | None = None
        self._companions: frozenset[int] = frozenset()
        self._in_trailer = False
        self._odd = False

    @property
    def begun(self) -> bool:
        """Whether some of the next image came already."""
        return len(self._buffer) > 0

    def take_oddity(self) -> str:
        """`extra bytes` if some were skipped behind an image since the last call, else nothing."""
        odd, self._odd = self._odd, False
        return EXTRA_BYTES if odd else ""

    def feed(self, data: bytes) -> list[bytes]:
        """Takes what came, and returns the images that are complete.

        What lies before the first one, or behind one that is cut, is returned as well, unless it
        is padding or the head of a part: it is for `check_jpeg` to say that it is none.
        """
        self._buffer += data
        pieces = []
        while (end := self._find_end()) > 0:
            piece = bytes(self._buffer[:end])
            del self._buffer[:end]
            self._searched = 0
            if self._is_wanted(piece):
                pieces.append(piece)
        return pieces

    def _is_wanted(self, piece: bytes) -> bool:
        if piece.startswith(_START):
            if self._behind in self._companions:
                self._skip(piece)
                return False
            self._in_trailer = False
            self._behind = 0 if piece.endswith(_EOI) else None
            self._companions = find_companions(piece)
            return True
        if not piece.strip(_PADDING) or _PART_HEAD.fullmatch(piece):
            if self._behind is not None:
                self._behind += len(piece)
            return False
        if self._behind is None:
            return True
        self._skip(piece)
        return False

    def _skip(self, trailer: bytes) -> None:
        assert self._behind is not None
        self._behind += len(trailer)
        self._in_trailer = self._odd = True

    def _find_end(self) -> int:
        buffer = self._buffer
        if len(buffer) > MAX_BYTES:
            return len(buffer)
        if not buffer.startswith(_START):
            start = buffer.find(_START)
            if start < 0 and _PART_BEGUN.match(buffer) and len(buffer) < _PART_HEAD_BYTES:
                return 0
            return start if start >= 0 else len(buffer) - _count_undecided(buffer)
        if self._in_trailer and not self._searched:
            # In a film, the same three bytes come by chance.
            begins = begins_picture(buffer)
            if not begins:
                return 0 if begins is None else len(_SOI)
        self._searched = self._searched or _skip_header(buffer)
        if not self._searched:
            return 0
        found = _START_OR_END.search(buffer, self._searched)
        if found is None:
            self._searched = max(self._searched, len(buffer) - 1)
            return 0
        return found.start() if found.group() == _SOI else found.end()


def _count_undecided(buffer: bytearray) -> int:
    found = _UNDECIDED.search(buffer[-_UNDECIDED_BYTES:])
    return len(found.group()) if found else 0


def _skip_header(buffer: bytearray) -> int:
    """Where the coded image begins, or 0 if that has not come yet."""
    at = len(_SOI)
    while found := _MARKER.search(buffer, at):
        marker, at = found[1][0], found.end()
        if marker in b"\xd8\xd9":
            return found.start()
        if len(buffer) < at + 2:
            return 0
        at += int.from_bytes(buffer[at : at + 2], "big")
        if marker == _SOS:
            return at if at <= len(buffer) else 0
    return 0


def _decode_leniently(data: bytes, pixels: Frame, divisor: int) -> None:
    flags = _REDUCED[divisor] | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise BadFrame("damaged") from error
    if picture is None or picture.shape != pixels.shape:
        raise BadFrame("damaged")
    pixels[:] = picture
