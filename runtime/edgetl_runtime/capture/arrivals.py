"""Since when what can be read may have been waiting.

Sockets and pipes keep what nobody reads. After a pause of this process, for whatever reason, they
hand out old frames as fast as new ones, and nothing in the data tells which is which.

Uses the standard library only.
"""

import io
import os
import select
import stat
import time
from collections.abc import Callable
from typing import Protocol

from edgetl_runtime.capture.source import Shot

TRUSTED_NS = 250_000_000
"""What waited no longer than this counts as just arrived: a tick, and a busy board's delays."""
_TICK_MS = 100


class Arrivals:
    """Remembers when a descriptor was last seen empty: what it gives came later."""

    def __init__(self, descriptor: int) -> None:
        """Counts from now."""
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        # A file never is empty, and its content has no age.
        self._waits = not stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._empty_ns = time.monotonic_ns()

    def waiting(self, timeout_ms: int = 0) -> bool:
        """Whether there is something to read, or the end, within the time."""
        found = bool(self._poll.poll(timeout_ms))
        if not found:
            self._empty_ns = time.monotonic_ns()
        return found

    def wait(self, timeout_s: float | None = None) -> bool:
        """Waits until there is something to read; False if there is nothing in time.

        It looks up in between, so that a pause of this process does not pass for one of the
        sender's.
        """
        give_up_s = None if timeout_s is None else time.monotonic() + timeout_s
        if self.waiting():
            return True
        while not self.waiting(_TICK_MS):
            if give_up_s is not None and time.monotonic() > give_up_s:
                return False
        return True

    def since_ns(self) -> int:
        """When what is there arrived: now, or at worst, if it may have waited for long.

        Returns:
            On the clock of `time.monotonic_ns`.
        """
        now_ns = time.monotonic_ns()
        trusted = not self._waits or now_ns - self._empty_ns <= TRUSTED_NS
        return now_ns if trusted else self._empty_ns


class Splitter(Protocol):
    """Cuts what comes into pieces."""

    @property
    def begun(self) -> bool:
        """Whether some of the next piece came already."""
        ...

    def feed(self, data: bytes) -> list[bytes]:
        """Takes what came, and returns what is complete."""
        ...


class DatedParts:
    """The newest of the pieces that came, each as old as its first byte."""

    def __init__(self, splitter: Splitter, arrivals: Arrivals) -> None:
        """Reads nothing yet."""
        self._splitter = splitter
        self._arrivals = arrivals
        self._begun_ns = 0

    def read(self, read: Callable[[], bytes], has_more: Callable[[], bool]) -> Shot | None:
        """Waits for a whole piece, and drops it for a newer one while there is more to read.

        Args:
            read: Waits for some bytes; none at the end.
            has_more: Whether `read` would not wait.

        Returns:
            The piece is in `raw`; None at the end.
        """
        newest: Shot | None = None
        skipped = 0
        # A sender that is faster than any reader must not keep it from ever giving a frame.
        stop_ns = time.monotonic_ns() + TRUSTED_NS
        while newest is None or (time.monotonic_ns() < stop_ns and has_more()):
            if not (data := read()):
                break
            for shot in self._feed(data):
                skipped += newest is not None
                newest = shot._replace(skipped=skipped)
        return newest

    def _feed(self, data: bytes) -> list[Shot]:
        since_ns = self._arrivals.since_ns()
        begun = self._splitter.begun
        shots = [Shot(since_ns, piece) for piece in self._splitter.feed(data)]
        if shots and begun:
            shots[0] = shots[0]._replace(captured_ns=self._begun_ns)
        if shots or not begun:
            self._begun_ns = since_ns
        return shots


class ArrivingBytes(io.RawIOBase):
    """A socket's bytes, for a `BufferedReader`.

    Attributes:
        arrivals: Of the socket.
        blocking: Whether a read waits; otherwise it gives nothing if nothing is there.
    """

    def __init__(self, raw: io.RawIOBase, timeout_s: float | None) -> None:
        """Reads nothing yet; a read that waits longer than `timeout_s` is a `TimeoutError`."""
        self.arrivals = Arrivals(raw.fileno())
        self.blocking = True
        self._raw = raw
        self._timeout_s = timeout_s

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int | None:  # type: ignore[override]
        """Reads what is there; None if nothing is and it shall not wait."""
        if not self.blocking and not self.arrivals.waiting():
            return None
        if self.blocking and not self.arrivals.wait(self._timeout_s):
            raise TimeoutError("timed out")
        return self._raw.readinto(buffer)

    def close(self) -> None:
        """Closes the socket's end, too."""
        self._raw.close()
        super().close()
