"""Access: who may send requests, and what a browser may do with the answers.

- Every path but `/healthz` demands the token, on the loopback, too: other users of the machine
  reach it, and behind a reverse proxy everybody's request comes from there, with a Host header
  that names the loopback. `/healthz` then tells the state and no more, so that a monitor needs no
  secret, and a stranger learns nothing that he can use.
- A browser keeps the token in a cookie, which it also adds to what pages of the same host on other
  ports ask. So requests that another site makes are refused (against forgery), but for following a
  link. A name that was rebound to this machine brings no cookie.

A proxy may serve the page below a path of its own, and for TLS: all addresses that we give are
relative, and so is the cookie's path.
"""

import re
import secrets
from collections.abc import Iterator
from http.cookies import CookieError, SimpleCookie

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEALTH_PATH = "/healthz"
_PORT = re.compile(r":[0-9]*\Z")
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
_NO_TOKEN = (
    "a token is required: `edgetl-run serve` prints where it is at startup; a service keeps it in "
    "the file page-token in its state folder. Add ?token=TOKEN to the address, or send the header "
    "Authorization: Bearer TOKEN"
)
_WRONG_TOKEN = _NO_TOKEN.replace("a token is required", "this token is wrong")
_TOKEN_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width">
<h1>{title}</h1>
<p>{said}.</p><p><a href="./">Try again</a></p></html>
"""
_TWO_LENGTHS = "give Content-Length or Transfer-Encoding, not both: a proxy may use the other one"
_FORGED = (
    "another site's page sent this request, or a proxy changed the Host header: open the page at "
    "its own address, and let the proxy pass on the browser's Host (nginx: proxy_set_header Host "
    "$http_host;)"
)


class Access(msgspec.Struct, frozen=True):
    """The rules of one server.

    Attributes:
        token: Demanded of everyone.
        cookie: Name under which a browser keeps the token. Cookies do not know ports, so the
            port is part of it.
    """

    token: str
    cookie: str

    def refusal(self, request: Request) -> Response | None:
        """Why this request gets no answer, or None if it may have one."""
        if "content-length" in request.headers and "transfer-encoding" in request.headers:
            # RFC 9112, 6.1: what follows may have been smuggled past a proxy.
            return JSONResponse({"error": _TWO_LENGTHS}, 400, {"connection": "close"})
        # Of the connection, which nobody's header changes.
        is_secure = request.scope.get("scheme") == "https"
        if _is_forged(request.method, request.headers, is_secure=is_secure):
            return JSONResponse({"error": _FORGED}, 403)
        # Not `request.url`: that is made with the Host header, so whoever asks chooses its path.
        path = request.scope["path"]
        if path == HEALTH_PATH or self.knows(request):
            return None
        if _matches(request.query_params.get("token"), self.token):
            is_page = path == "/"
            return self._remember(request.headers, is_secure=is_secure) if is_page else None
        return _demand_token(path, _WRONG_TOKEN if self._shows_other(request) else _NO_TOKEN)

    def knows(self, request: Request) -> bool:
        """Whether the asker proved to hold the token, by header or cookie."""
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _matches(bearer.strip(), self.token):
            return True
        cookies = _read_cookies(request.headers, self.cookie)
        return any(_matches(cookie, self.token) for cookie in cookies)

    def _shows_other(self, request: Request) -> bool:
        """Whether there is a token, which is not ours, since ours would have been taken."""
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        shown = (request.query_params.get("token"), scheme.lower() == "bearer" and bearer.strip())
        return any(shown) or any(_read_cookies(request.headers, self.cookie))

    def _remember(self, headers: Headers, *, is_secure: bool) -> Response:
        """Moves the token from the address, which lands in histories, into a cookie."""
        response = RedirectResponse("./", status_code=303)
        response.set_cookie(
            self.cookie,
            self.token,
            max_age=_COOKIE_S,
            # None, which is the folder of the address as the browser knows it, whatever path a
            # proxy serves us below.
            path="",
            # Who sends this header himself makes his own cookie stricter, and nobody else's.
            secure=is_secure or _first(headers.get("x-forwarded-proto", "")) == "https",
            httponly=True,
            samesite="strict",
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


def _is_forged(method: str, headers: Headers, *, is_secure: bool) -> bool:
    """Whether a browser says that another site made this request.

    Sec-Fetch-Site is the browser's own judgement, which no proxy spoils. It is not sent by old
    browsers, nor over plain HTTP to another host. What changes or costs something must then come
    from where it goes to, by its Origin. (Our own script is asked for with an Origin, too, and
    what is merely read stays unreadable to other sites.) What is not a browser sends neither, and
    needs no protection from other sites.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        follows_link = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
        return site not in ("none", "same-origin") and not follows_link
    origin = headers.get("origin")
    if origin is None or method in ("GET", "HEAD"):
        return False
    # A proxy that hands on another Host says here what the browser's was. Anybody may send it, but
    # only a browser's request is judged here, and there a page of another site cannot add it: the
    # browser would ask us first (CORS), and we never agree.
    asked = [headers.get("host", ""), _first(headers.get("x-forwarded-host", ""))]
    scheme, _, place = origin.lower().partition("://")
    if is_secure and scheme != "https":
        # Of the same host, perhaps, but whoever sits in the network can write such a page.
        return True
    # nginx' $host has lost the port.
    return not {place, _PORT.sub("", place)} & {one.lower() for one in asked if one}


def _first(listed: str) -> str:
    """What the proxy nearest to the browser said, where several stand in a row."""
    return listed.partition(",")[0].strip()


def _matches(given: str | None, token: str) -> bool:
    return given is not None and secrets.compare_digest(given.encode(), token.encode())


def _read_cookies(headers: Headers, name: str) -> Iterator[str]:
    """All of this name: below one proxy, another board's cookie may stand beside ours."""
    for part in ";".join(headers.getlist("cookie")).split(";"):
        try:
            cookies = SimpleCookie(part)
        except CookieError:
            continue
        if name in cookies:
            yield cookies[name].value


def _demand_token(path: str, said: str) -> Response:
    # A browser keeps a strict cookie to itself after a link from another site: hence `try again`.
    response: Response = (
        HTMLResponse(_TOKEN_PAGE.format(title=said.partition(":")[0].capitalize(), said=said), 401)
        if path == "/"
        else JSONResponse({"error": said}, 401)
    )
    response.headers["www-authenticate"] = "Bearer"
    return response
