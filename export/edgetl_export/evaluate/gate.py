"""The gate: how much worse than the trained model a file may be, and what is only noise."""

from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_export.evaluate.mcnemar import compute_mcnemar_p
from edgetl_export.options import ExportOptions, Points
from edgetl_runtime.text.wording import count_noun

Flags = NDArray[np.bool_]
SIGNIFICANCE = 0.05
_LEAST_SHOWN = 0.0001
# Rounding of a mean must not decide at a limit.
_ROUNDING = 1e-9


class Gate(msgspec.Struct, frozen=True):
    """The limits for a file.

    Attributes:
        max_drop: Of top-1 over all photos, points (hundredths).
        max_class_drop: Of the recall of one class, points.
        max_bytes: Of the file; None: any.
    """

    max_drop: Points
    max_class_drop: Points
    max_bytes: Annotated[int, msgspec.Meta(gt=0)] | None = None

    def refuse_size(self, size_bytes: int, what: str = "") -> str:
        """One sentence if a file is too large, else nothing; `what` says what was weighed."""
        if self.max_bytes is None or size_bytes <= self.max_bytes:
            return ""
        return f"{size_bytes:,} bytes{what}, allowed are {self.max_bytes:,}"


def make_gate(options: ExportOptions) -> Gate:
    """The limits that an export was given."""
    return Gate(options.max_drop, options.max_class_drop, options.max_bytes)


class GateVerdict(msgspec.Struct, frozen=True):
    """The gate's verdict on a file.

    Attributes:
        failures: One sentence for each limit that is exceeded; none: the file may ship.
        unsure: One sentence for each limit that is exceeded, but on so few photos that chance
            explains it.
    """

    failures: tuple[str, ...]
    unsure: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """True if the file may ship."""
        return not self.failures

    @property
    def word(self) -> str:
        """`passed`, `unsure` (it passed, but chance had a say) or `refused`."""
        return "refused" if self.failures else "unsure" if self.unsure else "passed"

    @property
    def sure(self) -> bool:
        """True if it may ship, and nothing but the limits themselves had to say so."""
        return not (self.failures or self.unsure)


def check(
    gate: Gate,
    *,
    truth: NDArray[np.int64],
    trained: NDArray[np.int64],
    exported: NDArray[np.int64],
    labels: Sequence[str],
) -> GateVerdict:
    """Compares what a file names with what the trained model names, on the same photos.

    A drop beyond its limit counts if it is more than chance: photos that only the trained model
    classified correctly against those that only the file did, by the exact one-sided McNemar test
    at 5 % (McNemar 1947; a binomial test with probability 1/2). On a few photos chance explains
    even a file that is broken. So over all photos it excuses no more than one class may lose, or
    one photo.

    Args:
        gate: The limits.
        truth: Index of the label of each photo, (photos,).
        trained: Index that the trained model names, (photos,).
        exported: Index that the file names, (photos,).
        labels: In the order of the output.
    """
    lost = (trained == truth) & (exported != truth)
    won = (trained != truth) & (exported == truth)
    most = max(gate.max_drop, gate.max_class_drop, 100 / max(1, len(truth)))
    drops = [*_judge(lost, won, gate.max_drop, most, "", "below the trained model")]
    for index, label in enumerate(labels):
        own, limit = truth == index, gate.max_class_drop
        drops += _judge(lost[own], won[own], limit, 100.0, f"{label} lost ", "of recall")
    return GateVerdict(
        failures=tuple(one.refuse() for one in drops if not one.is_excused),
        unsure=tuple(one.excuse() for one in drops if one.is_excused),
    )


class _Drop(msgspec.Struct, frozen=True):
    """A drop beyond its limit.

    Attributes:
        sentence: What was lost, and the limit.
        points: By how much it dropped.
        most: What chance may excuse, points.
        chance: The probability that chance alone makes a drop as large.
    """

    sentence: str
    points: float
    most: float
    chance: float

    @property
    def is_excused(self) -> bool:
        return self.chance >= SIGNIFICANCE and self.points <= self.most + _ROUNDING

    def refuse(self) -> str:
        explained = self.chance >= SIGNIFICANCE
        more = f", or {self.most:.3g} where chance explains it" if explained else ""
        return f"{self.sentence}{more} ({_show(self.chance)})"

    def excuse(self) -> str:
        return f"{self.sentence}; chance explains it ({_show(self.chance)})"


def _judge(
    lost: Flags, won: Flags, limit: float, most: float, before: str, after: str
) -> Iterator[_Drop]:
    """One drop if it is beyond the limit; the sentence has its points between two texts."""
    if not len(lost):
        return
    points = 100 * float(lost.mean() - won.mean())
    if points > limit + _ROUNDING:
        photos = f"on {count_noun(len(lost), 'photo')} ({lost.sum()} lost, {won.sum()} won)"
        sentence = f"{before}{points:.1f} points {after} {photos}, allowed are {limit:g}"
        chance = compute_mcnemar_p(int(lost.sum()), int(won.sum()), "greater")
        yield _Drop(sentence, points, most, chance)


def _show(chance: float) -> str:
    return f"p = {chance:.2g}" if chance >= _LEAST_SHOWN else f"p < {_LEAST_SHOWN}"
