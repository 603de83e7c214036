"""Wakes the streams of the page from other threads."""

import asyncio
import threading
from contextlib import suppress


class Notifier:
    """Wakes all who wait in one event loop; from any thread, at any time.

    Attributes:
        closed: There is nothing more to wait for; who waits should end.
    """

    def __init__(self) -> None:
        """No loop listens yet."""
        self.closed = False
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._notified = asyncio.Event()

    def subscribe(self) -> None:
        """Lets the running loop hear of it."""
        with self._lock:
            self._loop = asyncio.get_running_loop()

    def unsubscribe(self) -> None:
        """Must be called before the loop ends."""
        with self._lock:
            self._loop = None

    def notify(self) -> None:
        """Wakes all that wait; never blocks."""
        with self._lock:
            if self._loop:
                self._loop.call_soon_threadsafe(self._wake)

    def close(self) -> None:
        """Wakes all waiting threads for the last time."""
        self.closed = True
        self.notify()

    async def wait(self, timeout_s: float) -> None:
        """Waits for the next notification, or until the time is over."""
        # Not yet the built-in TimeoutError in Python 3.10.
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._notified.wait(), max(0.0, timeout_s))

    def _wake(self) -> None:
        self._notified.set()
        self._notified = asyncio.Event()
