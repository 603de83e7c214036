"""Motion JPEG over HTTP: what most network cameras and phones offer.

Read here rather than by FFmpeg, so that damaged JPEGs are noticed and deadlines are ours. What
turns out to be another kind of video is left to FFmpeg.
"""

import http.client
import io
import socket
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from edgetl_runtime.capture.arrivals import Arrivals, ArrivingBytes, DatedParts
from edgetl_runtime.capture.jpeg import JpegDecoder
from edgetl_runtime.capture.multipart import PartSplitter
from edgetl_runtime.capture.source import Canvas, Granted, Options, Shot, Source
from edgetl_runtime.capture.sources.stream import Stream
from edgetl_runtime.errors import CameraError

_MOTION_JPEG = "multipart/x-mixed-replace"
# No smaller than a record of TLS, which else would keep the rest where no poll sees it.
_CHUNK_BYTES = 64 * 1024


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
        self._response: _Response
        self._other: Stream | None = None
        self._parts: DatedParts | None = None

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
            name = (headers.get_boundary() or "").lstrip("-").encode()
            self._parts = DatedParts(PartSplitter(b"--" + name), self._response.arrivals)
            return Granted()
        self._response.close()
        self._other = Stream(self._address, self._timeout_s)
        return self._other.open()

    def read(self, canvas: Canvas) -> Shot:
        """Waits for a whole part and decodes the newest."""
        if self._other is not None:
            return self._other.read(canvas)
        assert self._parts is not None
        response = self._response
        try:
            shot = self._parts.read(lambda: response.read1(_CHUNK_BYTES), response.has_more)
        except (OSError, http.client.HTTPException) as error:
            raise CameraError(f"the connection broke ({_reason(error)})") from error
        if shot is None or shot.raw is None:
            raise CameraError("the stream ended")
        return shot._replace(odd=self._decoder.decode(shot.raw, canvas))

    def close(self) -> None:
        """Ends the connection."""
        if self._parts is not None:
            self._response.close()
        if self._other is not None:
            self._other.close()


class _Response(http.client.HTTPResponse):
    """An answer that tells how long its data waited."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self._bytes = ArrivingBytes(self.fp.detach(), sock.gettimeout())
        self.fp = io.BufferedReader(self._bytes, _CHUNK_BYTES)

    @property
    def arrivals(self) -> Arrivals:
        return self._bytes.arrivals

    def has_more(self) -> bool:
        """Whether something can be read without waiting."""
        if self.fp is None:
            return False
        self._bytes.blocking = False
        try:
            # The line end after a chunk is read with the next chunk's length, which is to come.
            return self.fp.peek(1) not in (b"", b"\r\n")
        finally:
            self._bytes.blocking = True


class _Plain(http.client.HTTPConnection):
    response_class = _Response


class _Secure(http.client.HTTPSConnection):
    response_class = _Response


class _Opener(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Plain, req)


class _SecureOpener(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Secure, req)


def _request(address: str, timeout_s: float) -> _Response:
    """Asks for an address, which may hold user and password, as network cameras' do."""
    parts = urlsplit(address)
    url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    if parts.username is not None:
        user, password = unquote(parts.username), unquote(parts.password or "")
        passwords.add_password(None, url, user, password)
    opener = urllib.request.build_opener(
        _Opener(),
        _SecureOpener(),
        urllib.request.HTTPBasicAuthHandler(passwords),
        urllib.request.HTTPDigestAuthHandler(passwords),
    )
    response: _Response = opener.open(url, timeout=timeout_s)
    return response


def _reason(error: Exception) -> object:
    return getattr(error, "reason", None) or error or type(error).__name__
