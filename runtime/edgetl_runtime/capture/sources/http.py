"""Motion JPEG over HTTP: what most network cameras and phones offer.

Read here rather than by FFmpeg, so that damaged JPEGs are noticed and deadlines are ours. What
turns out to be another kind of video is left to FFmpeg.
"""

import http.client
import time
import urllib.error
import urllib.request
from urllib.parse import unquote, urlsplit, urlunsplit

from edgetl_runtime.capture.jpeg import MAX_BYTES, JpegDecoder
from edgetl_runtime.capture.source import Canvas, Granted, Options, Shot, Source
from edgetl_runtime.capture.sources.stream import Stream
from edgetl_runtime.errors import CameraError

_MOTION_JPEG = "multipart/x-mixed-replace"
_LINE_BYTES = 8192


def make(options: Options) -> Source:
    """The stream at `address`."""
    return HttpStream(options["address"], options["timeout_s"], options["input_px"])


class HttpStream:
    """JPEGs in the parts of an endless answer."""

    def __init__(self, address: str, timeout_s: float, input_px: tuple[int, int] | None) -> None:
        """Asks for nothing yet."""
        self._address = address
        self._timeout_s = timeout_s
        self._decoder = JpegDecoder(input_px)
        self._response: http.client.HTTPResponse | None = None
        self._other: Stream | None = None
        self._boundary = b"--"
        self._at_boundary = False

    def open(self) -> Granted:
        """Asks for the stream and looks at its kind."""
        try:
            self._response = _request(self._address, self._timeout_s)
        except urllib.error.HTTPError as error:
            with error:
                raise CameraError(f"the server says {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise CameraError(f"it does not answer ({_reason(error)})") from error
        headers = self._response.headers
        if headers.get_content_type() == _MOTION_JPEG:
            # Some servers put the leading dashes into the name, too.
            self._boundary += (headers.get_boundary() or "").lstrip("-").encode()
            return Granted()
        self._response.close()
        self._other = Stream(self._address, self._timeout_s)
        return self._other.open()

    def read(self, canvas: Canvas) -> Shot:
        """Waits for the next part and decodes it."""
        if self._other is not None:
            return self._other.read(canvas)
        try:
            jpeg = self._read_part()
        except (OSError, http.client.HTTPException) as error:
            raise CameraError(f"the connection broke ({_reason(error)})") from error
        captured_ns = time.monotonic_ns()
        self._decoder.decode(jpeg, canvas)
        return Shot(captured_ns, jpeg)

    def close(self) -> None:
        """Ends the connection."""
        if self._response is not None:
            self._response.close()
        if self._other is not None:
            self._other.close()

    def _read_part(self) -> bytes:
        assert self._response is not None
        length = self._read_part_header()
        if length is not None:
            return self._response.read(length)
        lines: list[bytes] = []
        size = 0
        while not (line := self._read_line()).startswith(self._boundary):
            lines.append(line)
            size += len(line)
            if size > MAX_BYTES:
                raise CameraError(f"a picture of more than {MAX_BYTES} bytes")
        self._at_boundary = True
        return b"".join(lines)

    def _read_part_header(self) -> int | None:
        """Skips to the next part's data; its length, if the part tells."""
        while not self._at_boundary:
            self._at_boundary = self._read_line().startswith(self._boundary)
        self._at_boundary = False
        length = None
        while line := self._read_line().strip():
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length" and value.strip().isdigit():
                length = min(int(value), MAX_BYTES)
        return length

    def _read_line(self) -> bytes:
        assert self._response is not None
        line = self._response.readline(_LINE_BYTES)
        if not line:
            raise CameraError("the stream ended")
        return line


def _request(address: str, timeout_s: float) -> http.client.HTTPResponse:
    """Asks for an address, which may hold user and password, as network cameras' do."""
    parts = urlsplit(address)
    url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    if parts.username is not None:
        user, password = unquote(parts.username), unquote(parts.password or "")
        passwords.add_password(None, url, user, password)
    opener = urllib.request.build_opener(
        urllib.request.HTTPBasicAuthHandler(passwords),
        urllib.request.HTTPDigestAuthHandler(passwords),
    )
    response: http.client.HTTPResponse = opener.open(url, timeout=timeout_s)
    return response


def _reason(error: Exception) -> object:
    return getattr(error, "reason", None) or error or type(error).__name__
