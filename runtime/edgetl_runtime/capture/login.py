"""Names and passwords over HTTP and RTSP: Basic and Digest (RFC 7617, RFC 7616)."""

import base64
import hashlib
import http.client
import io
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

from edgetl_runtime.errors import CameraError, RefusedError

_CHALLENGE = re.compile(r"(?:^|,)\s*(?=(?:Basic|Digest|Bearer|NTLM|Negotiate)\b)", re.IGNORECASE)
_TOKEN = (
    "many cameras accept a token in the address (`?token=...`), or a user name and password if "
    "their settings allow it"
)
_HASHES = {"MD5": hashlib.md5, "SHA": hashlib.sha1, "SHA-256": hashlib.sha256}


class _Digest(urllib.request.HTTPDigestAuthHandler):
    """Urllib's arithmetic of RFC 7616, with the hash and the letters that are newer than it."""

    def get_algorithm_impls(
        self, algorithm: str
    ) -> tuple[Callable[[str], str], Callable[[str, str], str]]:
        algorithm = algorithm.upper()
        if algorithm not in _HASHES:
            raise ValueError(f"the digest {algorithm} is not supported")

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
        self._is_elsewhere = False
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
        demands = headers.get_all("WWW-Authenticate", [])
        self._is_elsewhere = not self._is_ours(request)
        if self._user is None:
            self._unknown = _name_unknown(_read_challenges(demands))
        if self._user is None or self.tries or self._is_elsewhere:
            return None
        answer = self.answer(request, demands)
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
            return RefusedError(f"it rejects this user name or password ({told})")
        if self._unknown:
            return CameraError(f"it requires an unsupported kind of log-in: {self._unknown}")
        if self._is_elsewhere and self._user is not None:
            return CameraError(
                f"it redirects to another server, which requires a password ({told})"
            )
        return CameraError(
            f"it requires a user name and password ({told}): write NAME:PASSWORD@ before the host"
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
            None where the server wants what is not supported.

        Raises:
            ValueError: If it wants a digest that is not supported.
        """
        challenges = _read_challenges(demands)
        passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        passwords.add_password(None, request.full_url, self._user or "", self._password)
        if "digest" in challenges:
            if answer := self._answer_digest(request, passwords, challenges["digest"]):
                return f"Digest {answer}"
            # One that nobody can answer; another kind may be offered beside it.
            challenges["a digest of an unknown form"] = challenges.pop("digest")
        if "basic" in challenges:
            self._known = _encode_basic(self._user or "", self._password)
            return self._known
        self._unknown = _name_unknown(challenges) or "none is named"
        return None

    def _answer_digest(
        self,
        request: urllib.request.Request,
        passwords: urllib.request.HTTPPasswordMgr,
        challenge: str,
    ) -> str | None:
        """None where the server leaves out what the answer needs, or names what nobody knows."""
        told = [
            one
            for one in urllib.request.parse_http_list(challenge)
            if one.partition("=")[2].strip()
        ]
        try:
            return _Digest(passwords).get_authorization(
                request, urllib.request.parse_keqv_list(told)
            )
        except urllib.error.URLError:
            return None


def _read_challenges(demands: list[str]) -> dict[str, str]:
    """The fields of each kind of log-in, by its name in small letters."""
    challenges: dict[str, str] = {}
    for part in (part for demand in demands for part in _CHALLENGE.split(demand)):
        scheme, _, rest = part.strip().partition(" ")
        challenges.setdefault(scheme.lower(), rest)
    return challenges


def _name_unknown(challenges: dict[str, str]) -> str:
    """The kinds that a server offers, and what to do; empty where one of them is known here."""
    if {"basic", "digest"} & challenges.keys():
        return ""
    named = ", ".join(filter(None, challenges))
    return f"{named}; {_TOKEN}" if "bearer" in challenges else named


def _encode_basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
