"""Who may ask, and what a browser may do with the answers.

- Off the loopback every path but `/healthz` demands the token. `/healthz` then tells the state and
  no more, so that a monitor needs no secret, and a stranger learns nothing that he can use.
- On the loopback there is no token, unless one was set. Other pages in the same browser can still
  send requests to it, so without a token the Host header must name the loopback (against DNS
  rebinding), and requests that another site makes are refused (against forgery), but for following
  a link.
"""

import ipaddress
import re
import secrets
from http.cookies import CookieError, SimpleCookie

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEALTH_PATH = "/healthz"
# A name or address and a port, as in RFC 9112, section 3.2; nothing that could pass for a path.
_HOST = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^][/?#@:\s]+))(?::[0-9]*)?")
_COOKIE_S = 30 * 24 * 3600
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "connect-src 'self'",
        "img-src 'self' blob:",
        "script-src 'self'",
        "style-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_NO_TOKEN = "a token is needed: `edgetl-run serve` said where it is when it started"
_NO_TOKEN_PAGE = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>A token is needed</title>
<meta name="viewport" content="width=device-width">
<h1>A token is needed</h1>
<p>{_NO_TOKEN}.</p><p><a href="/">Try again</a></p></html>
"""


class Access(msgspec.Struct, frozen=True):
    """The rules of one server.

    Attributes:
        token: Demanded of everyone; None on the loopback, unless one was set.
        cookie: Name under which a browser keeps the token. Cookies do not know ports, so the
            port is part of it.
    """

    token: str | None
    cookie: str

    def refusal(self, request: Request) -> Response | None:
        """Why this request gets no answer, or None if it may have one."""
        if self.token is None and not _names_loopback(request.headers.get("host", "")):
            hosts = "localhost, 127.0.0.1 or [::1]"
            return _refuse(403, f"the Host header must be {hosts}; open the page by that name")
        if _is_forged(request.method, request.headers):
            return _refuse(403, "a request that another site made")
        # Not `request.url`: that is made with the Host header, so whoever asks chooses its path.
        path = request.scope["path"]
        if path == HEALTH_PATH or self.knows(request):
            return None
        if self.token is not None and _matches(request.query_params.get("token"), self.token):
            return self._remember() if path == "/" else None
        return _demand_token(path)

    def knows(self, request: Request) -> bool:
        """Whether the asker proved to hold the token, by header or cookie, if one is needed."""
        if self.token is None:
            return True
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _matches(bearer.strip(), self.token):
            return True
        return _matches(_read_cookie(request.headers, self.cookie), self.token)

    def _remember(self) -> Response:
        """Moves the token from the address, which lands in histories, into a cookie."""
        assert self.token is not None
        response = RedirectResponse("/", status_code=303)
        response.set_cookie(
            self.cookie, self.token, max_age=_COOKIE_S, httponly=True, samesite="strict"
        )
        return response


class Guard:
    """ASGI middleware: asks the rules first and adds the security headers to every answer."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        """Wraps an app."""
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refusal = self._access.refusal(Request(scope))
        await (refusal or self._app)(scope, receive, send_guarded)


def is_loopback(address: str) -> bool:
    """Whether an IP address, in digits, can be reached from this machine only."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _names_loopback(host: str) -> bool:
    """Whether a Host header is `localhost` or an address, which no name server can rebind."""
    if (match := _HOST.fullmatch(host)) is None:
        return False
    name = match[1] or match[2]
    try:
        return name.lower() == "localhost" or is_loopback(name)
    except ValueError:
        return False


def _is_forged(method: str, headers: Headers) -> bool:
    """Whether a browser says that another site made this request.

    Old browsers send Origin only; what is no browser sends neither, and needs no protection from
    other sites.
    """
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2] != headers.get("host"):
        return True
    if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
        return False
    follows_link = headers.get("sec-fetch-mode") == "navigate"
    return not (follows_link and method == "GET")


def _matches(given: str | None, token: str) -> bool:
    return given is not None and secrets.compare_digest(given.encode(), token.encode())


def _read_cookie(headers: Headers, name: str) -> str | None:
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return None
    return cookies[name].value if name in cookies else None


def _refuse(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status)


def _demand_token(path: str) -> Response:
    # A browser keeps a strict cookie to itself after a link from another site: hence `try again`.
    response: Response = (
        HTMLResponse(_NO_TOKEN_PAGE, 401) if path == "/" else _refuse(401, _NO_TOKEN)
    )
    response.headers["www-authenticate"] = "Bearer"
    return response
