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

from edgetl_runtime.capture.source import RawFrame

TRUSTED_NS = 250_000_000
"""What waited no longer than this counts as just arrived: a tick, and a busy board's delays."""
_QUIET_MS = 5
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
        self._found_ns = 0
        self._looked_ns = self._empty_ns

    def waiting(self, timeout_ms: int = 0) -> bool:
        """Whether there is something to read, or the end, within the time."""
        found = bool(self._poll.poll(timeout_ms))
        now_ns = time.monotonic_ns()
        paused = now_ns - self._looked_ns > TRUSTED_NS
        self._looked_ns = now_ns
        if found:
            self._found_ns = now_ns if paused or not self._found_ns else self._found_ns
        elif timeout_ms >= _QUIET_MS or self._is_trusted(now_ns):
            self._empty_ns, self._found_ns = now_ns, 0
        return found

    def wait(self, timeout_s: float | None = None) -> bool:
        """Waits until there is something to read; False if there is nothing in time.

        It looks up in between, so that a pause of this process does not pass for one of the
        sender's.
        """
        give_up_s = None if timeout_s is None else time.monotonic() + timeout_s
        if self.waiting():
            return True
        timeout_ms = _QUIET_MS
        while not self.waiting(timeout_ms):
            timeout_ms = _TICK_MS
            if give_up_s is not None and time.monotonic() > give_up_s:
                return False
        return True

    def since_ns(self) -> int:
        """When what is there arrived: now, or at worst, if it may have waited for long.

        Returns:
            On the clock of `time.monotonic_ns`.
        """
        now_ns = time.monotonic_ns()
        return now_ns if self._is_trusted(now_ns) else self._empty_ns

    def _is_trusted(self, now_ns: int) -> bool:
        """Whether what comes now was not kept back for long.

        After a pause the sender's own buffer may be full, and ours empty for a moment until more
        of it comes. So only quiet proves that nothing is left, or that it had as long to catch up
        as the pause lasted.
        """
        if not self._waits or now_ns - self._empty_ns <= TRUSTED_NS:
            return True
        pause_ns = self._found_ns - self._empty_ns
        return self._found_ns > 0 and now_ns - self._found_ns > max(pause_ns, TRUSTED_NS)


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

    def read(self, read: Callable[[], bytes], has_more: Callable[[], bool]) -> RawFrame | None:
        """Waits for a whole piece, and drops it for a newer one while there is more to read.

        Args:
            read: Waits for some bytes; none at the end.
            has_more: Whether `read` would not wait.

        Returns:
            The piece is in `raw`; None at the end.
        """
        newest: RawFrame | None = None
        skipped = 0
        # A sender that is faster than any reader must not keep it from ever giving a frame.
        stop_ns = time.monotonic_ns() + TRUSTED_NS
        while newest is None or (time.monotonic_ns() < stop_ns and has_more()):
            if not (data := read()):
                break
            for frame in self._feed(data):
                skipped += newest is not None
                newest = frame._replace(skipped=skipped)
        return newest

    def _feed(self, data: bytes) -> list[RawFrame]:
        since_ns = self._arrivals.since_ns()
        begun = self._splitter.begun
        frames = [RawFrame(since_ns, piece) for piece in self._splitter.feed(data)]
        if frames and begun:
            frames[0] = frames[0]._replace(captured_ns=self._begun_ns)
        if frames or not begun:
            self._begun_ns = since_ns
        return frames


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
