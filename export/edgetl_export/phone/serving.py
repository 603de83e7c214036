"""Serving a site's folder in the local network, to try it on a phone now."""

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgetl_runtime.errors import ServiceError
from edgetl_runtime.serving.authority import find_folder
from edgetl_runtime.serving.listener import listen
from edgetl_runtime.serving.trust import Trust
from edgetl_runtime.serving.webserver import WebServer

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

LOOPBACK: Final = "127.0.0.1"
_INDEX: Final = "index.html"
# The system's own table differs from one machine to the next, and browsers refuse a script, a
# stream of wasm or a manifest under another type.
_TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript",
    ".json": "application/json",
    ".md": "text/plain",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}
_UNKNOWN_TYPE: Final = "application/octet-stream"
# By how small they are.
_ENCODINGS: Final = {"br": ".br", "gzip": ".gz"}
# A folder that is named by its content never changes.
_IMMUTABLE: Final = re.compile(r"v-[0-9a-f]{12}/")
_FOREVER: Final = "public, max-age=31536000, immutable"
_ASK_FIRST: Final = "no-cache"


class SiteServer:
    """A site's folder over HTTPS, beside a page that hands out the authority for it.

        with SiteServer(folder, host="0.0.0.0", port=8443) as server:
            print(server.url)
            ...

    Attributes:
        url: The best address of the site.
        trust: The authority and its page; None without HTTPS.
    """

    def __init__(
        self,
        folder: Path,
        *,
        host: str = "0.0.0.0",
        port: int = 8443,
        secure: bool = True,
        authority: Path | None = None,
    ) -> None:
        """Begins to serve.

        Args:
            folder: What `write_site` wrote.
            host: Address to listen on; without HTTPS always the loopback's.
            port: 0 takes a free one.
            secure: HTTPS; otherwise plain HTTP, which a browser takes for secure on `localhost`
                only: with `adb reverse` that is an Android phone, too.
            authority: Folder of the authority (default: the user's).

        Raises:
            ServiceError: If the port is in use, the address is not ours, or the authority cannot
                be used.
            StorageError: If the authority cannot be written.
        """
        if not (folder / _INDEX).is_file():
            raise ServiceError(f"{folder} is no site: it has no {_INDEX}")
        listener = listen(host if secure else LOOPBACK, port)
        self.trust: Trust | None = None
        try:
            if secure:
                self.trust = Trust(authority or find_folder(), listener)
        except BaseException:
            listener.close()
            raise
        self.port: int = listener.getsockname()[1]
        self.url = self.trust.url if self.trust else f"http://localhost:{self.port}/"
        self._server = self._serve(folder, listener)

    def __enter__(self) -> "SiteServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends all connections; a second call does nothing."""
        self._server.close()
        if self.trust:
            self.trust.close()

    def _serve(self, folder: Path, listener: socket.socket) -> WebServer:
        from starlette.applications import Starlette
        from starlette.routing import Route

        root = folder.resolve()

        async def send(request: "Request") -> "Response":
            return _answer(root, request)

        app = Starlette(routes=[Route("/{path:path}", send)])
        context = self.trust.context if self.trust else None
        return WebServer(app, listener, name="site", context=context)


def _answer(root: Path, request: "Request") -> "Response":
    from starlette.responses import FileResponse, PlainTextResponse

    headers = {"x-content-type-options": "nosniff", "cache-control": _ASK_FIRST}
    path = request.path_params["path"] or _INDEX
    file = _find(root, path)
    if file is None:
        return PlainTextResponse("no such file", 404, headers)
    headers["vary"] = "Accept-Encoding"
    if _IMMUTABLE.match(path):
        headers["cache-control"] = _FOREVER
    kind = _TYPES.get(file.suffix.lower(), _UNKNOWN_TYPE)
    for encoding in _list_accepted(request.headers.getlist("accept-encoding")):
        smaller = _find(root, f"{path}{_ENCODINGS[encoding]}")
        if smaller is not None:
            return FileResponse(
                smaller, media_type=kind, headers={**headers, "content-encoding": encoding}
            )
    return FileResponse(file, media_type=kind, headers=headers)


def _find(root: Path, path: str) -> Path | None:
    """A plain file of the folder; nothing beside it, nothing hidden, and no folder."""
    parts = path.split("/")
    if "\0" in path or any(part == "" or part.startswith(".") for part in parts):
        return None
    try:
        file = Path(os.path.realpath(root.joinpath(*parts)))
        is_ours = file.is_relative_to(root) and file.is_file()
    except OSError:
        # A name that is too long.
        return None
    return file if is_ours else None


def _list_accepted(headers: list[str]) -> Iterator[str]:
    """Encodings that a browser takes, the smallest first (RFC 9110, 12.5.3)."""
    weights: dict[str, float] = {}
    for part in ",".join(headers).split(","):
        name, _, parameter = part.strip().lower().partition(";")
        _, _, weight = parameter.partition("q=")
        try:
            weights[name.strip()] = float(weight or 1)
        except ValueError:
            continue
    yield from (name for name in _ENCODINGS if weights.get(name, weights.get("*", 0)) > 0)
