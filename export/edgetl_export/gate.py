"""The gate: how much worse than the trained model a file may be, and what is only noise."""

from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

Points = Annotated[float, msgspec.Meta(ge=0, le=100)]
SIGNIFICANCE = 0.05


class Gate(msgspec.Struct, frozen=True):
    """What a file must not exceed.

    Attributes:
        max_drop: Of top-1 over all photos, points (hundredths).
        max_class_drop: Of the recall of one class, points.
        max_bytes: Of the file; None: any.
    """

    max_drop: Points = 1.0
    max_class_drop: Points = 5.0
    max_bytes: Annotated[int, msgspec.Meta(gt=0)] | None = None

    def refuse_size(self, size_bytes: int) -> str:
        """One sentence if a file is too large, else nothing."""
        if self.max_bytes is None or size_bytes <= self.max_bytes:
            return ""
        return f"{size_bytes:,} bytes, allowed are {self.max_bytes:,}"


class Verdict(msgspec.Struct, frozen=True):
    """What the gate says of a file.

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


def check(
    gate: Gate,
    *,
    truth: NDArray[np.int64],
    trained: NDArray[np.int64],
    exported: NDArray[np.int64],
    labels: Sequence[str],
) -> Verdict:
    """Compares what a file names with what the trained model names, on the same photos.

    The drop over all photos is taken as it is, but one photo alone decides nothing. The drop of a
    class counts if it is more than chance: photos that only the trained model named right against
    photos that only the file named right, by the exact one-sided McNemar test at 5 % (McNemar
    1947; a binomial test with probability 1/2).

    Args:
        gate: The limits.
        truth: Index of the label of each photo, (photos,).
        trained: Index that the trained model names, (photos,).
        exported: Index that the file names, (photos,).
        labels: In the order of the output.
    """
    lost = (trained == truth) & (exported != truth)
    won = (trained != truth) & (exported == truth)
    drop = 100 * float(lost.mean() - won.mean())
    failures, unsure = [], []
    # Rounding of the mean must not decide at the limit.
    if drop > gate.max_drop + 1e-9:
        sentence = f"{drop:.1f} points below the trained model, allowed are {gate.max_drop:g}"
        if lost.sum() - won.sum() > 1:
            failures.append(sentence)
        else:
            unsure.append(f"{sentence}; that is one of {len(truth)} photos, too few to tell")
    for label, sentence, chance in _judge_classes(gate, truth, lost, won, labels):
        if chance < SIGNIFICANCE:
            failures.append(f"{label} {sentence}")
        else:
            unsure.append(f"{label} {sentence}; chance explains it (p = {chance:.2f})")
    return Verdict(tuple(failures), tuple(unsure))


def _judge_classes(
    gate: Gate,
    truth: NDArray[np.int64],
    lost: NDArray[np.bool_],
    won: NDArray[np.bool_],
    labels: Sequence[str],
) -> Iterator[tuple[str, str, float]]:
    for index, label in enumerate(labels):
        mine = truth == index
        count = int(mine.sum())
        worse, better = int(lost[mine].sum()), int(won[mine].sum())
        if not count or 100 * (worse - better) / count <= gate.max_class_drop + 1e-9:
            continue
        drop = 100 * (worse - better) / count
        sentence = (
            f"lost {drop:.1f} points of recall on {count} photos ({worse} lost, {better} won), "
            f"allowed are {gate.max_class_drop:g}"
        )
        yield label, sentence, float(binomtest(worse, worse + better, 0.5, "greater").pvalue)
