"""The time between frames: of a video its own, since it may be read faster than it plays."""

import time

from edgetl_runtime.answers import Answer

# One frame is prepared and one is classified while the next one is asked about.
_AHEAD_FRAMES = 3
_APART_S = 1e6


class FrameClock:
    """Says when frames were taken, seconds since any moment.

    Where a video ends and another one or the same begins, the clock goes on. A camera's time is
    ours; images of a folder are far apart, since none follows from the one before.
    """

    def __init__(self) -> None:
        """No frame came yet."""
        self._now_s = self._wall_s = time.monotonic()
        self._file: str | None = None
        self._position_s: float | None = None
        self._step_s = 0.0

    def read(self) -> float:
        """The time now: in a video that of the last frame."""
        if self._position_s is not None:
            return self._now_s
        return self._now_s + time.monotonic() - self._wall_s

    def read_next(self) -> float:
        """The latest time at which the next frame that is prepared may have been taken."""
        return self.read() + _AHEAD_FRAMES * self._step_s

    def advance(self, answer: Answer) -> float:
        """The time of a frame, each of which is to be passed in its order."""
        wall_s = time.monotonic()
        if answer.position_s is None and answer.file is not None:
            self._now_s, self._step_s = self._now_s + _APART_S, _APART_S
        elif answer.position_s is None:
            self._now_s, self._step_s = self._now_s + wall_s - self._wall_s, 0.0
        else:
            is_next = self._position_s is not None and answer.file == self._file
            passed_s = answer.position_s - (self._position_s or 0.0) if is_next else 0.0
            self._step_s = passed_s if passed_s > 0 else self._step_s
            self._now_s += max(0.0, passed_s)
        self._wall_s, self._file, self._position_s = wall_s, answer.file, answer.position_s
        return self._now_s
