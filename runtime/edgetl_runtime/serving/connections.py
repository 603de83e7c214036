"""Connections that may neither dawdle nor multiply: what uvicorn leaves open."""

import asyncio
import ssl
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

# Pages need two or three each; every one costs a file descriptor, of which the camera needs some.
MAX_CONNECTIONS = 64
# Until a request's head has come, counted from the connection or the last answer.
HEAD_S = 10.0
# Until a client that was sent something has read most of it.
READING_S = 10.0
# TLS keeps eight times as much by default: a slow viewer would see older images than without it.
_WRITE_BUFFER_BYTES = 64 * 1024
# What a client may still read after its connection was told to close.
LINGER_S = 2.0
_TOO_SLOW = (
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n"
    b"x-content-type-options: nosniff\r\n\r\n"
)


class BoundedProtocol(H11Protocol):
    """One connection, with deadlines for its head, its reading and its end."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """As its base, with no deadline running."""
        super().__init__(*arguments, **options)
        self._head: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes the connection, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
        else:
            transport.set_write_buffer_limits(_WRITE_BUFFER_BYTES)
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops its clocks."""
        self._stop(self._head)
        self._stop(self._reading)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes bytes; once they are a request's head, answering has begun."""
        super().data_received(data)
        if self._is_answering():
            self._stop(self._head)

    def on_response_complete(self) -> None:
        """Waits for the next request."""
        super().on_response_complete()
        if not self._is_answering():
            self._await_head()

    def send_400_response(self, msg: str) -> None:
        """Refuses what is not HTTP; whoever answers what came before it has nobody to talk to."""
        if self.cycle is not None:
            self.cycle.disconnected = True
        super().send_400_response(msg)

    def pause_writing(self) -> None:
        """The client does not read: gives it a deadline."""
        super().pause_writing()
        self._stop(self._reading)
        self._reading = self.loop.call_later(READING_S, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads."""
        super().resume_writing()
        self._stop(self._reading)

    def shutdown(self) -> None:
        """Ends the connection soon, whatever the client does."""
        super().shutdown()
        self.loop.call_later(LINGER_S / 4, self.transport.abort)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_head(self) -> None:
        self._stop(self._head)
        self._head = self.loop.call_later(HEAD_S, self._give_up)

    def _give_up(self) -> None:
        begun, _ = self.conn.trailing_data
        if begun and not self.transport.is_closing():
            self.transport.write(_TOO_SLOW)
        self.transport.close()
        self.loop.call_later(LINGER_S, self.transport.abort)

    @staticmethod
    def _stop(timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()


class EncryptedProtocol(asyncio.Protocol):
    """A connection before its TLS handshake, which counts like others and has a deadline.

    asyncio's own server counts nothing before the handshake is done and waits a minute for it, so
    that who is silent could take all file descriptors, of which the camera needs some.
    """

    def __init__(self, context: ssl.SSLContext, **options: Any) -> None:
        """Prepares the connection that speaks HTTP after the handshake.

        Args:
            context: Of the server.
            **options: Of `BoundedProtocol`.
        """
        self._context = context
        self._inner = BoundedProtocol(**options)
        self._connections: set[Any] = options["server_state"].connections
        self._transport: asyncio.Transport | None = None
        self._handshake: asyncio.Task[None] | None = None
        self._early = b""
        self._is_lost = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins the handshake, unless there are too many connections."""
        self._transport = transport
        if len(self._connections) >= MAX_CONNECTIONS:
            transport.abort()
            return
        self._connections.add(self)
        self._handshake = asyncio.get_running_loop().create_task(self._encrypt(transport))

    def data_received(self, data: bytes) -> None:
        """Keeps what came with the end of the handshake."""
        self._early += data

    def connection_lost(self, exc: Exception | None) -> None:
        """Notes that there is nobody to talk to."""
        self._is_lost = True

    def shutdown(self) -> None:
        """Ends the connection, as the server asks of all."""
        if self._transport is not None:
            self._transport.abort()

    async def _encrypt(self, transport: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        try:
            secure = await loop.start_tls(
                transport, self, self._context, server_side=True, ssl_handshake_timeout=HEAD_S
            )
        except OSError:
            # Not TLS, or it does not trust us, or too slow.
            transport.abort()
            return
        finally:
            self._connections.discard(self)
        # None where the client left in the middle.
        if secure is None or self._is_lost:
            return
        secure.set_protocol(self._inner)
        self._inner.connection_made(secure)
        if self._early:
            self._inner.data_received(self._early)
