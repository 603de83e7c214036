"""A cache for values that are slow to read."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class TimedCache(Generic[T]):
    """Reads a value at most every few seconds, and says the last one in between."""

    def __init__(self, read: Callable[[], T], every_s: float) -> None:
        """Reads nothing yet."""
        self._read = read
        self._every_s = every_s
        self._lock = threading.Lock()
        self._last: tuple[float, T] | None = None

    def get(self) -> T:
        """The value; may be called from any thread."""
        with self._lock:
            now_s = time.monotonic()
            if self._last is None or now_s - self._last[0] >= self._every_s:
                self._last = (now_s, self._read())
            return self._last[1]
