"""Pace: which frames are answered, every n-th and up to a rate."""

import time

from edgetl_runtime.image.frames import CapturedFrame
from edgetl_runtime.settings.sections import PaceSettings


def find_age_limit(settings: PaceSettings) -> float:
    """Maximum age of the last answer, in seconds, before it counts as outdated.

    With a limited rate, an answer also holds until the next one is due.
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
