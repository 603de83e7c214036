"""Images over HTTP: Motion JPEG, what most network cameras and phones offer, and snapshots.

Read here rather than by FFmpeg, so that damaged JPEGs are noticed, and deadlines, passwords and
certificates are ours. Another kind of video goes to FFmpeg through a pipe: a server is asked once.
"""

import http.client
import re
import time

from edgetl_runtime.capture.arrivals import DatedParts
from edgetl_runtime.capture.greeting import quote_line
from edgetl_runtime.capture.jpeg import JpegDecoder, JpegSplitter
from edgetl_runtime.capture.multipart import PartSplitter
from edgetl_runtime.capture.pump import Pump
from edgetl_runtime.capture.source import BadFrame, FrameBuffer, Granted, Options, RawFrame, Source
from edgetl_runtime.capture.sources.stream import VideoStream
from edgetl_runtime.capture.web import (
    CHUNK_BYTES,
    OTHER_ADDRESS,
    WebAddress,
    WebResponse,
    explain_break,
)
from edgetl_runtime.errors import CameraError
from edgetl_runtime.image.filetypes import FileType, judge_data
from edgetl_runtime.image.jpegs import JPEG_MAGIC
from edgetl_runtime.system.tls import Identity
from edgetl_runtime.text.masking import mask

_JPEG = b"\xff\xd8\xff"
# So much is waited for to tell what an answer is.
_HEAD_BYTES = 1024
_PLAYLIST = b"#EXTM3U"
_NO_PIECES = (
    "it is an HLS playlist whose segments cannot be read; give the address of the camera's own "
    "stream (RTSP or Motion JPEG), which also has less delay"
)
_TITLE = re.compile(rb"<title[^>]*>\s*([^<]{1,80})", re.IGNORECASE)
_SNAPSHOT_S = 1.0


def make(options: Options) -> Source:
    """The stream at `address`."""
    identity = Identity("source", **options["identity"])
    address = WebAddress(options["address"], options["timeout_s"], identity)
    pause_s = 1 / options["fps"] if options["fps"] else _SNAPSHOT_S
    # A pause must not pass for silence.
    pause_s = min(pause_s, options["timeout_s"] / 2)
    return HttpStream(address, options["timeout_s"], pause_s, JpegDecoder(options["input_px"]))


class HttpStream:
    """JPEGs in the parts of an endless answer, or one in each of many; or what FFmpeg reads."""

    def __init__(
        self, address: WebAddress, timeout_s: float, pause_s: float, decoder: JpegDecoder
    ) -> None:
        """Asks for nothing yet.

        Args:
            address: Of the stream.
            timeout_s: Until FFmpeg must have got something.
            pause_s: From one snapshot to the next.
            decoder: For JPEGs.
        """
        self._address = address
        self._timeout_s = timeout_s
        self._pause_s = pause_s
        self._decoder = decoder
        self._response: WebResponse | None = None
        self._head = b""
        self._splitter = JpegSplitter()
        self._parts: DatedParts
        self._other: VideoStream | None = None
        self._pump: Pump | None = None
        self._is_snapshot = False
        self._asked_s = 0.0
        self._came = 0

    def open(self) -> Granted:
        """Asks for the stream and looks at its kind."""
        self._ask()
        if self._other is None:
            return Granted()
        try:
            return self._other.open()
        except CameraError as error:
            assert self._response is not None
            if self._head.startswith(_PLAYLIST):
                raise CameraError(_NO_PIECES) from error
            told = _describe(self._response)
            raise CameraError(f"it answers ({told}), but sends no readable video") from error

    def read(self, buffer: FrameBuffer) -> RawFrame:
        """Waits for a whole part and decodes the newest."""
        if self._other is not None:
            return self._read_other(self._other, buffer)
        began_ns = time.monotonic_ns()
        frame = self._read_part()
        if frame is None and self._is_snapshot and self._came == 1:
            time.sleep(max(0.0, self._asked_s + self._pause_s - time.monotonic()))
            self._ask()
            frame = self._read_part()
        if frame is None or frame.raw is None:
            if self._is_snapshot and not self._came and self._splitter.begun:
                # The next one may be whole.
                self._came = 1
                raise BadFrame("truncated")
            raise CameraError("the stream ended")
        waited_ns = time.monotonic_ns() - began_ns
        self._came += 1 + frame.skipped
        skipped = self._splitter.take_oddity()
        odd = self._decoder.decode(frame.raw, buffer) or skipped
        return frame._replace(odd=odd, waited_ns=waited_ns)

    def close(self) -> None:
        """Ends the connection."""
        if self._response is not None:
            self._response.close()
        if self._other is not None:
            self._other.close()

    def _ask(self) -> None:
        self._asked_s, self._came = time.monotonic(), 0
        self._response = response = self._address.ask()
        kind = response.headers.get_content_type()
        if (packed := response.headers.get("Content-Encoding", "identity")).lower() != "identity":
            raise CameraError(f"it sends compressed data ({packed}), which was not requested")
        if kind.startswith("multipart/"):
            # Some servers put the leading dashes into the name, too.
            name = (response.headers.get_boundary() or "").lstrip("-").encode()
            self._parts = DatedParts(PartSplitter(b"--" + name), response.arrivals)
            return
        self._head = _wait_for_head(response)
        if self._head.startswith(_JPEG):
            self._is_snapshot = True
            self._splitter = JpegSplitter()
            self._parts = DatedParts(self._splitter, response.arrivals)
            return
        self._choose_other(response, judge_data(self._head))

    def _read_part(self) -> RawFrame | None:
        try:
            return self._parts.read(self._read_some, self._has_more)
        except (OSError, http.client.HTTPException) as error:
            raise CameraError(f"the connection broke ({explain_break(error)})") from error

    def _read_some(self) -> bytes:
        if head := self._head:
            self._head = b""
            return head
        return self._response.read1(CHUNK_BYTES) if self._response else b""

    def _has_more(self) -> bool:
        return bool(self._head) or (self._response is not None and self._response.has_more())

    def _choose_other(self, response: WebResponse, known: FileType) -> None:
        head, told = self._head, _describe(response)
        if response.headers.get_content_type() == "text/html" or known.name == "a web page":
            raise CameraError(self._describe_page(response))
        if head.startswith(_PLAYLIST) or (known.name.startswith("an MP4") and _needs_seeks(head)):
            # FFmpeg asks for further pieces itself, again and again.
            response.close()
            self._other = VideoStream(self._address.address, self._timeout_s)
            return
        if known.kind in ("other", "picture"):
            what = f'text ("{quote_line(head)}")' if known.name == "a text file" else known.name
            if head.startswith(JPEG_MAGIC):
                what = "data that begins like a JPEG, but is not one"
            raise CameraError(f"it sends {what}, neither JPEGs nor video ({told}); {OTHER_ADDRESS}")
        self._pump = Pump(self._read_some)
        self._other = VideoStream(self._pump.address, self._timeout_s)

    def _read_other(self, other: VideoStream, buffer: FrameBuffer) -> RawFrame:
        try:
            return other.read(buffer)
        except CameraError as error:
            if self._pump and self._pump.failure:
                raise CameraError(f"the connection broke ({self._pump.failure})") from error
            raise

    def _describe_page(self, response: WebResponse) -> str:
        title = _TITLE.search(self._head)
        named = f' "{title[1].decode(errors="replace").strip()}"' if title else ""
        moved = response.url != self._address.url
        led = f"redirects to {mask(response.url)} and " if moved else ""
        told = f"a web page{named}, not video ({_describe(response)})"
        return f"it {led}sends {told}; {OTHER_ADDRESS}"


def _wait_for_head(response: WebResponse) -> bytes:
    """The first bytes of an answer; no more is waited for where they are those of a JPEG."""
    head = b""
    try:
        while len(head) < _HEAD_BYTES and not head.startswith(_JPEG):
            if not (data := response.read1(CHUNK_BYTES)):
                break
            head += data
    except (OSError, http.client.HTTPException) as error:
        if not head:
            raise CameraError(f"it answers ({_describe(response)}), then sends nothing") from error
    if not head:
        raise CameraError(f"it answers ({_describe(response)}), and sends nothing")
    return head


def _describe(response: WebResponse) -> str:
    """Such as `200 OK, text/html`."""
    kind = response.headers.get("Content-Type", "no Content-Type").partition(";")[0]
    return f"{response.status} {response.reason}".strip() + f", {kind}"


def _needs_seeks(head: bytes) -> bool:
    """Whether the table of an MP4's frames may lie at its end."""
    return head[4:8] == b"ftyp" and head[int.from_bytes(head[:4], "big") :][4:8] != b"moov"
