"""A web server on a thread of its own."""

import asyncio
import logging
import math
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_START_S: Final = 10.0
_CLOSE_S: Final = 2.0


def _do_nothing() -> None:
    pass


class WebServer:
    """Serves an app until it is closed."""

    def __init__(
        self,
        app: "ASGIApp",
        listener: socket.socket,
        *,
        name: str,
        context: ssl.SSLContext | None = None,
        on_start: Callable[[], None] = _do_nothing,
        on_end: Callable[[], None] = _do_nothing,
    ) -> None:
        """Begins to answer.

        Args:
            app: What answers.
            listener: Where; closed at the end.
            name: Of the thread.
            context: For HTTPS; None: plain HTTP.
            on_start: Called on the thread before the first answer.
            on_end: Called on the thread after the last one.
        """
        import uvicorn

        from edgetl_runtime.serving import connections

        protocol: Any = connections.BoundedProtocol
        if context is not None:
            protocol = partial(connections.EncryptedProtocol, context)
        config = uvicorn.Config(
            app,
            http=protocol,
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
        self._server = uvicorn.Server(config)
        self._listener = listener
        self._on_start, self._on_end = on_start, on_end
        _log_failures_in_one_line()
        self._ready = threading.Event()
        # A daemon, so that a classification that hangs cannot keep the process from ending.
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve()), name=name, daemon=True
        )
        self._thread.start()
        self._ready.wait(_START_S)

    @property
    def connections(self) -> Collection[object]:
        """Those that are open, before the end of a TLS handshake, too."""
        return self._server.server_state.connections

    def close(self) -> None:
        """Ends all connections and the thread, within two seconds; a second call does nothing."""
        self._server.should_exit = True
        self._thread.join(_CLOSE_S)

    async def _serve(self) -> None:
        self._on_start()
        try:
            asyncio.get_running_loop().call_soon(self._ready.set)
            await self._server.serve(sockets=[self._listener])
        finally:
            self._on_end()


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
