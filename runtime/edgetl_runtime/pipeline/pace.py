"""Which frames are answered: each n-th, and not more than so many a second."""

import time

from edgetl_runtime.image.frames import CapturedFrame
from edgetl_runtime.settings.sections import PaceSettings


def find_age_limit(settings: PaceSettings) -> float:
    """How old, in seconds, the last answer may get before it says nothing of now.

    Whoever asks for few answers a second gets each of them for as long as that.
    """
    return settings.max_age_s + (1 / settings.max_fps if settings.max_fps else 0.0)


class Pace:
    """Skips frames and waits between them; used by one thread."""

    def __init__(self, settings: PaceSettings) -> None:
        """Begins with the next frame."""
        self._every = settings.every
        self._period_s = 1 / settings.max_fps if settings.max_fps else 0.0
        self._due_s = 0.0
        self._taken = -1

    def wait_s(self, limit_s: float) -> float:
        """How long to wait before the next frame is taken, at most `limit_s`."""
        if not self._period_s:
            return 0.0
        return min(limit_s, max(0.0, self._due_s - time.monotonic()))

    def accepts(self, frame: CapturedFrame) -> bool:
        """Whether the frame is one to be answered.

        Frames are counted by their number in the source, so that dropped ones count, too.
        """
        if self._taken >= 0 and 0 < frame.index - self._taken < self._every:
            return False
        now_s = time.monotonic()
        if now_s < self._due_s:
            return False
        self._taken = frame.index
        # From the due time, not from now: waiting must not add up to a slower rate.
        self._due_s = max(self._due_s + self._period_s, now_s)
        return True
