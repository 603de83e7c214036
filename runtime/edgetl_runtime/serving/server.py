"""The page's server, beside the pipeline and never in its way."""

import asyncio
import logging
import math
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from edgetl_runtime.errors import ServiceError, StorageError
from edgetl_runtime.outputs.output import Output
from edgetl_runtime.serving.classifying import Classifying
from edgetl_runtime.serving.feed import PageFeed
from edgetl_runtime.serving.host import explain_refusal, resolve
from edgetl_runtime.serving.token import keep_token, make_token
from edgetl_runtime.settings.sections import ServeSettings

if TYPE_CHECKING:
    import uvicorn

_START_S = 10.0
_CLOSE_S = 2.0
_BACKLOG = 64
# A slow viewer's old images wait here, where they cannot be replaced by newer ones.
_SEND_BUFFER_BYTES = 128 * 1024
_NO_EXTRA = "the page needs `pip install 'edgetl-runtime[serve]'`"


class PageServer:
    """Serves the page on a thread of its own.

        server = PageServer(settings.serve)
        pipeline = Pipeline(classifier, feed, [*outputs, server.output], settings)
        print(server.start(pipeline))
        ...
        server.close()

    Attributes:
        output: Gets the answers; to be handed to the pipeline.
        token_hint: Once started, what to add to the address; empty if it is whole.
    """

    def __init__(
        self,
        settings: ServeSettings,
        token_file: Path | None = None,
        *,
        shows_kept_token: bool = False,
    ) -> None:
        """Opens nothing yet.

        Args:
            settings: Where to listen, and limits.
            token_file: Where a token is kept that is made here; None: it lives as long as this.
            shows_kept_token: The address goes to a person, and to no log.
        """
        self._settings = settings
        self._token_file = token_file
        self._shows_kept_token = shows_kept_token
        self.token_hint = ""
        self._feed = PageFeed(settings.page_fps)
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def output(self) -> Output:
        """The page as an output."""
        return self._feed

    def start(self, classifying: Classifying) -> str:
        """Listens, and answers from now on.

        Args:
            classifying: The pipeline; asked from other threads.

        Returns:
            The address to open. A token is part of it if it was made here, and a person reads it
            or it is kept nowhere else: what somebody set is not shown, and no log gets what can
            be read in a file.

        Raises:
            ServiceError: If the extra is missing, the port is in use or the address is not ours.
        """
        try:
            import uvicorn

            from edgetl_runtime.serving import access, app, connections
        except ImportError as error:
            raise ServiceError(f"{_NO_EXTRA} ({error.name} is missing)") from error
        listener = _listen(self._settings)
        address, port = listener.getsockname()[:2]
        token, shown = self._choose_token()
        rules = access.Access(token, f"edgetl_{port}")
        limit = self._settings.max_picture_mb
        built = app.build_app(classifying, self._feed, rules, max_picture_mb=limit)
        self._server = uvicorn.Server(
            uvicorn.Config(
                built,
                http=connections.BoundedProtocol,
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=math.ceil(connections.HEAD_S),
                timeout_graceful_shutdown=1,
            )
        )
        self._run(self._server, listener)
        return _url(address, port, token if shown else None)

    def close(self) -> None:
        """Ends all connections and the thread, within two seconds; a second call does nothing."""
        self._feed.close()
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(_CLOSE_S)

    def _choose_token(self) -> tuple[str, bool]:
        """The token, and whether the address shows it."""
        if self._settings.token is not None:
            self.token_hint = "; add ?token= and the token that you set"
            return self._settings.token, False
        if self._token_file is None:
            return make_token(), True
        try:
            kept = keep_token(self._token_file)
        except StorageError as error:
            # A disk that cannot be written is no reason to show no page.
            self.token_hint = f" (the token changes at the next start, because {error})"
            return make_token(), True
        if not self._shows_kept_token:
            self.token_hint = f"; add ?token= and the content of {self._token_file}"
        return kept, self._shows_kept_token

    def _run(self, server: "uvicorn.Server", listener: socket.socket) -> None:
        _log_failures_in_one_line()
        ready = threading.Event()

        async def serve() -> None:
            self._feed.notifier.subscribe()
            try:
                asyncio.get_running_loop().call_soon(ready.set)
                await server.serve(sockets=[listener])
            finally:
                self._feed.notifier.unsubscribe()

        # A daemon, so that a classification that hangs cannot keep the process from ending.
        self._thread = threading.Thread(
            target=lambda: asyncio.run(serve()), name="page", daemon=True
        )
        self._thread.start()
        ready.wait(_START_S)


def _listen(settings: ServeSettings) -> socket.socket:
    where = f"{settings.host}:{settings.port}"
    family, address = resolve(settings.host, settings.port)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ServiceError(f"cannot serve on {where}: {explain_refusal(error)}") from error
    return listener


def _url(address: str, port: int, token: str | None) -> str:
    host = _own_address() if address in ("0.0.0.0", "::") else address
    host = f"[{host}]" if ":" in host else host
    query = f"?token={quote(token, safe='')}" if token else ""
    return f"http://{host}:{port}/{query}"


def _own_address() -> str:
    """The address under which others reach this machine, or its name if it has no network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Nothing is sent: connecting a datagram socket only asks for the route (the address is
            # one of RFC 5737's, which nobody has).
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return socket.gethostname()
        address: str = probe.getsockname()[0]
        return address


class _OneLine(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is None or isinstance(error, asyncio.CancelledError):
            # What was cut off when the server closed.
            return
        sys.stderr.write(f"the page failed: {record.getMessage().strip()}: {error!r}\n")


def _log_failures_in_one_line() -> None:
    """Our own bugs go to standard error without a traceback; what clients do wrong goes nowhere."""
    # "socket.send() raised exception" is how asyncio calls a browser that was closed.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    logger = logging.getLogger("uvicorn.error")
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    logger.handlers = [_OneLine()]
