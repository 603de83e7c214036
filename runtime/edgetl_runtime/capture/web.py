"""Asks a web server for a stream: once, with one try at its password, on one connection.

Many cameras serve a single client, and lock an account after a few wrong passwords.
"""

import http.client
import io
import re
import socket
import ssl
import string
import urllib.error
import urllib.request
from typing import IO, Any, cast
from urllib.parse import quote

from edgetl_runtime.capture.arrivals import Arrivals, ArrivingBytes
from edgetl_runtime.capture.login import Login
from edgetl_runtime.errors import CameraError
from edgetl_runtime.system.tls import Identity, explain
from edgetl_runtime.text.credentials import split_credentials
from edgetl_runtime.text.masking import mask

# No smaller than a record of TLS, which else would keep the rest where no poll sees it.
CHUNK_BYTES = 64 * 1024
_PLACE = re.compile(r"[^/]*//[^/?#]*")
_SCHEME = re.compile(r"(?!https?:)[a-z][a-z0-9+.-]*:", re.IGNORECASE)
OTHER_ADDRESS = "give the address of its stream or snapshot, which the camera's manual lists"
_ADVICE = {
    400: "does it need https:// instead of http://?",
    403: "this user may not view it, or too many wrong passwords have locked the account",
    404: "the server has no such path; the camera's manual lists that of its stream",
    405: "this address is for something else; the camera's manual lists that of its stream",
    410: "this address no longer exists; the camera's manual lists that of its stream",
    429: "it got too many requests",
    500: "the camera has an internal error; restart it",
    503: "it is busy; close other viewers, as some cameras serve one client only",
}


class WebResponse(http.client.HTTPResponse):
    """An answer that tells how long its data waited."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        """Reads nothing yet."""
        super().__init__(sock, *arguments, **options)
        self._bytes = ArrivingBytes(self.fp.detach(), sock.gettimeout())
        self.fp = io.BufferedReader(self._bytes, CHUNK_BYTES)

    @property
    def arrivals(self) -> Arrivals:
        """File descriptor of its socket."""
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


class WebAddress:
    """An address that can be asked, again and again if need be.

    Attributes:
        address: As it was given.
        url: Without name and password.
    """

    def __init__(self, address: str, timeout_s: float, identity: Identity) -> None:
        """Asks nothing yet.

        Args:
            address: May hold name and password, as network cameras' do.
            timeout_s: Of each wait for the server.
            identity: Whom an encrypted connection trusts.
        """
        self.address = address
        url, user, password = split_credentials(address)
        self.url = _escape(url)
        self._timeout_s = timeout_s
        context = identity.make_context() if self.url.lower().startswith("https:") else None
        self._login = Login(self.url, user, password)
        self._opener = urllib.request.build_opener(
            _PlainHandler(), _SecureHandler(context), _Redirects(), self._login
        )

    def ask(self) -> WebResponse:
        """Asks, and follows where the server leads.

        Raises:
            RefusedError: If it refuses name or password.
            CameraError: If it does not answer, or says no; with what to do.
        """
        try:
            request = self._login.prepare(urllib.request.Request(self.url))
            return cast(WebResponse, self._opener.open(request, timeout=self._timeout_s))
        except urllib.error.HTTPError as error:
            with error:
                raise self._refuse(error) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise CameraError(_explain(error, self.url)) from error

    def _refuse(self, error: urllib.error.HTTPError) -> CameraError:
        told = f"{error.code} {str(error.reason).partition(chr(10))[0]}".strip()
        if error.code == 401:
            return self._login.explain(told)
        if 300 <= error.code < 400:
            return CameraError(_explain_redirect(error, told))
        advice = _ADVICE.get(error.code) or (_ADVICE[500] if error.code > 500 else "")
        return CameraError(f"the server says {told}{advice and '; '}{advice}")


def _explain_redirect(error: urllib.error.HTTPError, told: str) -> str:
    """Why one that was not followed was not."""
    place = error.headers.get("Location", "")
    if not place:
        return f"the server says {told}, and sends no image; {OTHER_ADDRESS}"
    if _SCHEME.match(place):
        return f"the server redirects to {mask(place)}, which is not a web address"
    return (
        f"the server leads on to {mask(place)}, in a loop, as servers do that require a log-in in "
        f"a browser; {OTHER_ADDRESS}"
    )


def _explain(error: Exception, url: str) -> str:
    reason = getattr(error, "reason", error)
    if isinstance(reason, ConnectionResetError | BrokenPipeError):
        remedy = "" if url.lower().startswith("https:") else "; does it need https://?"
        return f"it closes the connection without an answer{remedy}"
    if isinstance(reason, http.client.BadStatusLine):
        return "the server does not speak HTTP; is the port correct?"
    if isinstance(reason, UnicodeError):
        return "its host name is not valid; is it spelled correctly?"
    if isinstance(reason, http.client.HTTPException):
        return "the server's answer is not valid HTTP; is the port correct?"
    return explain(error, "source")


def explain_break(error: Exception) -> str:
    """Why an answer that had begun came to no end, as a clause."""
    reason = getattr(error, "reason", None) or error
    match reason:
        case http.client.IncompleteRead():
            return "it ended early"
        case http.client.HTTPException():
            return "the answer is not valid HTTP"
        case TimeoutError():
            return "nothing arrived for too long"
        case OSError():
            return reason.strerror or str(reason) or type(reason).__name__
    return str(reason) or type(reason).__name__


def _escape(url: str) -> str:
    """With escapes for spaces and letters that a request cannot hold, which browsers add, too."""
    place = _PLACE.match(url)
    at = place.end() if place else 0
    return url[:at] + quote(url[at:], safe=string.punctuation)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows without the name and password that a server writes into its addresses.

    urllib would take them for a part of the host.
    """

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not newurl.lower().startswith(("http:", "https:")):
            # urllib would fetch a file from another kind of server.
            return None
        bare = _escape(split_credentials(newurl).url)
        return super().redirect_request(req, fp, code, msg, headers, bare)


class _PlainConnection(http.client.HTTPConnection):
    response_class = WebResponse


class _SecureConnection(http.client.HTTPSConnection):
    response_class = WebResponse


class _PlainHandler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_PlainConnection, req)


class _SecureHandler(urllib.request.HTTPSHandler):
    def __init__(self, context: ssl.SSLContext | None) -> None:
        super().__init__()
        self._trusted = context

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_SecureConnection, req, context=self._trusted)
