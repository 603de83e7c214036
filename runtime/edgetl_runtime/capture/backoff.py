"""How long to wait before a lost camera is opened again."""

import random
from collections.abc import Callable

_JITTER = 0.25


class Backoff:
    """Doubles the wait with each failure, up to a limit, and spreads it by a quarter.

    The spread keeps many boards that lost one server from all coming back at the same moment.
    """

    def __init__(
        self,
        first_s: float = 1.0,
        limit_s: float = 60.0,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Starts at the first wait; `draw` gives random numbers in 0..1."""
        self.first_s = first_s
        self._limit_s = limit_s
        self._draw = draw
        self._wait_s = first_s

    def next_s(self) -> float:
        """The wait before the next attempt, in seconds."""
        wait_s = self._wait_s * (1 + _JITTER * (2 * self._draw() - 1))
        self._wait_s = min(self._limit_s, 2 * self._wait_s)
        return min(self._limit_s, wait_s)

    def reset(self) -> None:
        """Starts again at the first wait."""
        self._wait_s = self.first_s
