"""Asks a web server for a stream: once, with one try at its password, on one connection.

Many cameras serve a single client, and lock an account after a few wrong passwords.
"""

import base64
import hashlib
import http.client
import io
import re
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import urlsplit

from edgetl_runtime.capture.arrivals import Arrivals, ArrivingBytes
from edgetl_runtime.credentials import split_credentials
from edgetl_runtime.errors import CameraError, RefusedError
from edgetl_runtime.tls import Identity, explain

# No smaller than a record of TLS, which else would keep the rest where no poll sees it.
CHUNK_BYTES = 64 * 1024
_CHALLENGE = re.compile(r"(?:^|,)\s*(?=(?:Basic|Digest|Bearer|NTLM|Negotiate)\b)", re.IGNORECASE)
_HASHES = {"MD5": hashlib.md5, "SHA": hashlib.sha1, "SHA-256": hashlib.sha256}
_ADVICE = {
    400: "does it want https:// in place of http://?",
    403: "this user may not see it, or too many wrong passwords have locked the account",
    404: "the server is there, but not this path; the camera's manual names the one of its stream",
    405: "this address is for something else; the camera's manual names the one of its stream",
    429: "it was asked too often",
    500: "the trouble is the camera's own; switch it off and on",
    503: "it is busy: some cameras serve one client only, so close other viewers",
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
        """Of its socket."""
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
        self.url, user, password = split_credentials(address)
        self._timeout_s = timeout_s
        context = identity.make_context() if self.url.lower().startswith("https:") else None
        self._login = _Login(self.url, user, password)
        self._opener = urllib.request.build_opener(
            _PlainHandler(), _SecureHandler(context), self._login
        )

    def ask(self) -> WebResponse:
        """Asks, and follows where the server leads.

        Raises:
            RefusedError: If it refuses name or password.
            CameraError: If it does not answer, or says no; with what to do.
        """
        self._login.tries = 0
        try:
            return cast(WebResponse, self._opener.open(self.url, timeout=self._timeout_s))
        except urllib.error.HTTPError as error:
            with error:
                raise self._refuse(error) from error
        except http.client.RemoteDisconnected as error:
            raise CameraError("it hangs up without an answer; does it want https://?") from error
        except http.client.BadStatusLine as error:
            raise CameraError("what answers there speaks no HTTP; is the port right?") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise CameraError(explain(error, "source")) from error

    def _refuse(self, error: urllib.error.HTTPError) -> CameraError:
        told = f"{error.code} {str(error.reason).partition(chr(10))[0]}".strip()
        if error.code == 401:
            return self._login.explain(told)
        if 300 <= error.code < 400:
            place = error.headers.get("Location", "")
            return CameraError(f"the server leads on to {place or 'nowhere'}, and no further")
        advice = _ADVICE.get(error.code) or _ADVICE.get(error.code // 100 * 100, "")
        return CameraError(f"the server says {told}{advice and '; '}{advice}")


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


class _Digest(urllib.request.HTTPDigestAuthHandler):
    """Urllib's arithmetic of RFC 7616, with the hash and the letters that are newer than it."""

    def get_algorithm_impls(
        self, algorithm: str
    ) -> tuple[Callable[[str], str], Callable[[str, str], str]]:
        if algorithm not in _HASHES:
            raise ValueError(f"the digest {algorithm} is not known here")

        def digest(text: str) -> str:
            return _HASHES[algorithm](text.encode()).hexdigest()

        return digest, lambda secret, data: digest(f"{secret}:{data}")


class _Login(urllib.request.BaseHandler):
    """Answers a server's demand for a password, once.

    Attributes:
        tries: How often it was answered since the address was asked for last.
    """

    def __init__(self, url: str, user: str | None, password: str) -> None:
        self.tries = 0
        self._place = urlsplit(url)
        self._user = user
        self._password = password
        self._unknown = ""

    def http_error_401(
        self,
        request: urllib.request.Request,
        body: io.BufferedIOBase,
        _code: int,
        _message: str,
        headers: http.client.HTTPMessage,
    ) -> http.client.HTTPResponse | None:
        """None: leave it at that."""
        if self._user is None or self.tries or not self._is_ours(request):
            return None
        answer = self._answer(request, headers.get_all("WWW-Authenticate", []))
        if answer is None:
            return None
        # The server may serve one connection only.
        body.close()
        self.tries += 1
        request.add_unredirected_header("Authorization", answer)
        return cast(http.client.HTTPResponse, self.parent.open(request, timeout=request.timeout))

    def explain(self, told: str) -> CameraError:
        if self.tries:
            return RefusedError(f"it refuses this name or password ({told})")
        if self._unknown:
            return CameraError(f"it wants a log-in of a kind not known here: {self._unknown}")
        if self._user is not None:
            return CameraError(f"it leads to another server, which wants a password ({told})")
        return CameraError(
            f"it wants a name and a password ({told}): write NAME:PASSWORD@ before the host"
        )

    def _is_ours(self, request: urllib.request.Request) -> bool:
        """A password is for the server that it was given for, encrypted if that one was."""
        place = urlsplit(request.full_url)
        safe = place.scheme == "https" or self._place.scheme != "https"
        return place.hostname == self._place.hostname and safe

    def _answer(self, request: urllib.request.Request, demands: list[str]) -> str | None:
        challenges: dict[str, str] = {}
        for part in (part for demand in demands for part in _CHALLENGE.split(demand)):
            scheme, _, rest = part.strip().partition(" ")
            challenges.setdefault(scheme.lower(), rest)
        passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        passwords.add_password(None, request.full_url, self._user or "", self._password)
        if "digest" in challenges:
            fields = urllib.request.parse_keqv_list(
                [one for one in urllib.request.parse_http_list(challenges["digest"]) if "=" in one]
            )
            answer = _Digest(passwords).get_authorization(request, fields)
            return answer and f"Digest {answer}"
        if "basic" in challenges:
            return _encode_basic(self._user or "", self._password)
        self._unknown = ", ".join(filter(None, challenges)) or "none is named"
        return None


def _encode_basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
