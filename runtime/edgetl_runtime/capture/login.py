"""Names and passwords over HTTP and RTSP: Basic and Digest (RFC 7617, RFC 7616)."""

import base64
import hashlib
import http.client
import io
import re
import urllib.request
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

from edgetl_runtime.errors import CameraError, RefusedError

_CHALLENGE = re.compile(r"(?:^|,)\s*(?=(?:Basic|Digest|Bearer|NTLM|Negotiate)\b)", re.IGNORECASE)
_HASHES = {"MD5": hashlib.md5, "SHA": hashlib.sha1, "SHA-256": hashlib.sha256}


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


class Login(urllib.request.BaseHandler):
    """Answers a server's demand for a password, once.

    Attributes:
        tries: How often it was answered since the address was asked for last.
    """

    def __init__(self, url: str, user: str | None, password: str) -> None:
        """Answers nothing yet.

        Args:
            url: For whose server the password is.
            user: None: there is no password.
            password: Of the user.
        """
        self.tries = 0
        self._place = urlsplit(url)
        self._user = user
        self._password = password
        self._unknown = ""
        self._known: str | None = None

    def prepare(self, request: urllib.request.Request) -> urllib.request.Request:
        """A request that says at once what was asked for before, as far as that is allowed."""
        self.tries = int(self._known is not None)
        if self._known is not None:
            request.add_unredirected_header("Authorization", self._known)
        return request

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
        answer = self.answer(request, headers.get_all("WWW-Authenticate", []))
        if answer is None:
            return None
        # The server may serve one connection only.
        body.close()
        self.tries += 1
        request.add_unredirected_header("Authorization", answer)
        return cast(http.client.HTTPResponse, self.parent.open(request, timeout=request.timeout))

    def explain(self, told: str) -> CameraError:
        """Why the server still wants a password; `told` is such as `401 Unauthorized`."""
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

    def answer(self, request: urllib.request.Request, demands: list[str]) -> str | None:
        """The field `Authorization` for a request.

        Args:
            request: That was not allowed.
            demands: The server's fields `WWW-Authenticate`.

        Returns:
            None where the server wants what is not known here.

        Raises:
            ValueError: If it wants a digest that is not known here.
        """
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
            self._known = _encode_basic(self._user or "", self._password)
            return self._known
        self._unknown = ", ".join(filter(None, challenges)) or "none is named"
        return None


def _encode_basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
