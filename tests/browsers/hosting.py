"""A plain static host that can be stopped, and that remembers what it was asked for."""

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self


class Host:
    """Serves a folder on one port of this machine, until `stop` or the end of its with statement.

    Other origins may read what it serves, so that only a page's own policy keeps it from that.

    Attributes:
        asked: Paths of all requests.
        folder: What is served.
    """

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        self.folder = folder
        self._server: ThreadingHTTPServer | None = None
        self._port = 0
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """With a slash at its end; browsers take localhost for secure."""
        return f"http://localhost:{self._port}/"

    def start(self, folder: Path | None = None) -> None:
        """Serves from now on, maybe something else."""
        self.folder = folder or self.folder
        handler = functools.partial(_Handler, self.asked, directory=self.folder)
        self._server = _Server(("127.0.0.1", self._port), handler)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,)).start()

    def stop(self) -> None:
        """Nobody answers any more; a second call does nothing."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that leaves in the middle is no error."""


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, asked: list[str], *args: object, directory: Path) -> None:
        self._asked = asked
        super().__init__(*args, directory=directory)  # type: ignore[arg-type]

    def parse_request(self) -> bool:
        parsed = super().parse_request()
        if parsed:
            self._asked.append(self.path)
        return parsed

    def do_GET(self) -> None:
        if self.path == "/favicon.ico":
            self.send_response(204)
            self.end_headers()
        else:
            super().do_GET()

    def end_headers(self) -> None:
        self.send_header("Access-Control-Allow-Origin", "*")
        # What a browser asks for shows here, and not what it remembers.
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass
