"""How good predictions are: top-1, per class, confusion."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray


class ClassMetrics(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One class against all others.

    Attributes:
        precision: Share of right ones among those named so, 0..1; None if none was.
        recall: Share of the class's photos that were found (sensitivity); None without photos.
        specificity: Share of the other photos that were not named so; None without others.
        support: Number of the class's photos.
    """

    precision: float | None
    recall: float | None
    specificity: float | None
    support: int


class Metrics(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of a classifier on labelled photos.

    Attributes:
        top1: Share named right, 0..1.
        examples: Number of photos.
        classes: By label, in the order of the model's output.
        confusion: Counts; row: true label, column: predicted label.
    """

    top1: float
    examples: int
    classes: dict[str, ClassMetrics]
    confusion: list[list[int]]


def measure(
    labels: Sequence[str], truth: NDArray[np.int64], predicted: NDArray[np.int64]
) -> Metrics:
    """Compares predictions with the truth.

    Args:
        labels: All classes.
        truth: int (examples,): index of the true label.
        predicted: int (examples,): index of the predicted label.
    """
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(confusion, (truth, predicted), 1)
    total = int(confusion.sum())
    classes = {label: _measure_class(confusion, n, total) for n, label in enumerate(labels)}
    return Metrics(_share(int(confusion.trace()), total) or 0.0, total, classes, confusion.tolist())


def _measure_class(confusion: NDArray[np.int64], index: int, total: int) -> ClassMetrics:
    hits = int(confusion[index, index])
    support = int(confusion[index].sum())
    named = int(confusion[:, index].sum())
    others = total - support
    return ClassMetrics(
        precision=_share(hits, named),
        recall=_share(hits, support),
        specificity=_share(others - (named - hits), others),
        support=support,
    )


def _share(count: int, of: int) -> float | None:
    return count / of if of else None
