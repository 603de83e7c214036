"""Takes whole frames from the page's feed: for heat maps, and to learn from."""

import threading
import time

from edgetl_runtime.image.preprocessing import Frame


class Tap:
    """The newest frame, as often as it is due; one that nobody took gives way to the next."""

    def __init__(self, period_s: float) -> None:
        """Holds nothing, and the first frame is due.

        Args:
            period_s: At least so far are frames apart, seconds.
        """
        self._period_s = period_s
        self._due_s = 0.0
        self._frame: Frame | None = None
        self._changed = threading.Condition()

    def is_due(self) -> bool:
        """Whether it wants a frame now."""
        return time.monotonic() >= self._due_s

    def put(self, frame: Frame) -> None:
        """Takes a frame in.

        Args:
            frame: uint8 (height, width, 3) BGR; is not changed by anybody.
        """
        with self._changed:
            self._due_s = max(self._due_s, time.monotonic() - self._period_s) + self._period_s
            self._frame = frame
            self._changed.notify_all()

    def take(self, timeout_s: float) -> Frame | None:
        """Takes the frame out, or waits for one; None if none comes in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None, timeout=max(0.0, timeout_s))
            frame, self._frame = self._frame, None
            return frame
