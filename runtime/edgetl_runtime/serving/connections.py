"""Connections that may neither dawdle nor multiply: what uvicorn leaves open."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

# Pages need two or three each; every one costs a file descriptor, of which the camera needs some.
MAX_CONNECTIONS = 64
# Until a request's head has come, counted from the connection or the last answer.
HEAD_S = 10.0
# Until a client that was sent something has read most of it.
READING_S = 10.0
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
