"""Learning-rate range tests: the loss while the rate grows, and the rate that follows from it.

Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3: one trains for a
few steps while the rate grows, and takes a rate well below the one at which the loss starts to
rise.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

RULE = "a tenth of the largest rate before the loss rises"
_WINDOW = 7
_SAFETY = 10.0
# A loss that is so much above the lowest has risen, or was higher before it fell.
_RISEN = 1.05
# The loss of a diverging training; Howard & Gugger 2020, "fastai", stop at the same multiple.
_DIVERGED = 4.0


class RateTest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One stage of a training under a growing learning rate.

    Attributes:
        stage: Its name.
        flag: That sets the stage's rate.
        rates: Of each step, growing.
        losses: Of each step's batch before the step, nats.
        before: The rate that the options give the stage.
    """

    stage: str
    flag: str
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    before: float

    @property
    def smoothed(self) -> NDArray[np.float64]:
        """The losses, smoothed; float64 (steps,)."""
        return smooth(self.losses)

    @property
    def edge(self) -> int | None:
        """The last step before the loss rises; None if it does not."""
        losses = self.smoothed
        step = int(np.flatnonzero(losses <= _RISEN * losses.min())[-1])
        return step if step < len(losses) - 1 else None

    @property
    def falls(self) -> bool:
        """True if a growing rate lowers the loss by more than noise, so that it tells of rates."""
        losses = self.smoothed
        return bool(losses.min() * _RISEN < losses[0])

    @property
    def suggested(self) -> float | None:
        """`RULE`, to two digits; None if the test gives no reason to leave the current rate."""
        if self.edge is None or (not self.falls and self.before < self.rates[self.edge]):
            return None
        return float(f"{self.rates[self.edge] / _SAFETY:.1e}")

    @property
    def reason(self) -> str:
        """Why there is no suggestion; empty if there is one."""
        if self.suggested is not None:
            return ""
        if self.edge is None:
            return f"the loss did not rise up to {self.rates[-1]:.2g}"
        return (
            "its loss was low already and no rate lowered it at once; the current rate is below "
            f"{self.rates[self.edge]:.2g}, after which it rises"
        )


def smooth(losses: Sequence[float]) -> NDArray[np.float64]:
    """Moving average over the steps around each, which does not lag behind as a running one."""
    window = np.ones(_WINDOW)
    counts = np.convolve(np.ones(len(losses)), window, "full")
    sums = np.convolve(losses, window, "full")
    start = _WINDOW // 2
    averages: NDArray[np.float64] = (sums / counts)[start : start + len(losses)]
    return averages


def has_diverged(losses: Sequence[float]) -> bool:
    """True if the last loss is not finite, or the smoothed one far above its lowest."""
    if not math.isfinite(losses[-1]):
        return True
    smoothed = smooth(losses)
    return bool(smoothed[-1] > _DIVERGED * smoothed.min())
