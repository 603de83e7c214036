"""Metrics of predictions: top-1, per class, confusion, calibration, and their intervals."""

import math
from collections import Counter
from collections.abc import Sequence
from statistics import NormalDist

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_export.evaluate.confidence import RELIABILITY_BINS, assign_bins, sum_gaps

_DRAWS = 200
# Keras's own floor for probabilities, so that one score of 0 does not make the mean infinite.
_LEAST_PROBABILITY = 1e-7


class ClassMetrics(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One class against all others.

    Attributes:
        precision: Share of correct ones among those predicted as the class, 0..1, or None.
        recall: Share of the class's photos predicted correctly (sensitivity), or None.
        specificity: Share of the other photos not predicted as the class, or None.
        f1: Harmonic mean of precision and recall, 2 hits / (predicted + support); None if the class
            has no photos and no predictions.
        support: Number of the class's photos.
    """

    precision: float | None
    recall: float | None
    specificity: float | None
    f1: float | None
    support: int


class Metrics(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Metrics of a classifier on labelled photos.

    Attributes:
        top1: Accuracy, 0..1.
        balanced_accuracy: Mean recall of the classes that have photos, 0..1: what top-1 would be
            if all classes had the same number of photos.
        macro_f1: Mean F1 of the classes that have one, 0..1.
        examples: Number of photos.
        classes: Metrics by label, in the order of the model's output.
        confusion: Counts; row: true label, column: predicted label.
    """

    top1: float
    balanced_accuracy: float
    macro_f1: float
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
    return Metrics(
        top1=_share(int(confusion.trace()), total) or 0.0,
        balanced_accuracy=_mean([one.recall for one in classes.values()]),
        macro_f1=_mean([one.f1 for one in classes.values()]),
        examples=total,
        classes=classes,
        confusion=confusion.tolist(),
    )


class Answers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a device would answer: a label, or none where it rejects a photo as unknown.

    Attributes:
        labelled: Photos of the classes that got a label.
        correct: Of these, those that got the right one.
        accuracy: `correct` / `labelled`, 0..1; None if none got a label.
        rejected: Photos of the classes that got no label.
        false_rejects: Of these, those whose best class is the true one.
        false_reject_rate: Share of the photos whose best class is the true one that got no label,
            0..1; None without any.
        unknown: Photos of no class.
        false_accepts: Of these, those that got a label.
        false_accept_rate: `false_accepts` / `unknown`, 0..1; None without any.
        taken_for: How many of the false accepts got each label, the most frequent one first.
    """

    labelled: int
    correct: int
    accuracy: float | None
    rejected: int
    false_rejects: int
    false_reject_rate: float | None
    unknown: int
    false_accepts: int
    false_accept_rate: float | None
    taken_for: dict[str, int]


def count_answers(
    right: NDArray[np.bool_], labelled: NDArray[np.bool_], given: Sequence[str | None]
) -> Answers:
    """Counts who got a label.

    Args:
        right: bool (photos,): whether the best class of a photo is the true one.
        labelled: bool (photos,): whether it got a label.
        given: Of each photo of no class the label that it got; None: none.
    """
    accepted = Counter(label for label in given if label is not None)
    correct, lost = int((right & labelled).sum()), int((right & ~labelled).sum())
    return Answers(
        labelled=int(labelled.sum()),
        correct=correct,
        accuracy=_share(correct, int(labelled.sum())),
        rejected=int((~labelled).sum()),
        false_rejects=lost,
        false_reject_rate=_share(lost, correct + lost),
        unknown=len(given),
        false_accepts=accepted.total(),
        false_accept_rate=_share(accepted.total(), len(given)),
        taken_for=dict(accepted.most_common()),
    )


class Interval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A confidence interval of a share; both ends 0..1."""

    lower: float
    upper: float

    def overlaps(self, other: "Interval") -> bool:
        """True if both may be the same share."""
        return self.lower <= other.upper and other.lower <= self.upper


def estimate_share(hits: int, total: int, *, looks: int = 1, scenes: int | None = None) -> Interval:
    """95 % confidence interval of a share, from `hits` of `total` photos.

    Wilson's score interval (Wilson 1927), which stays inside 0..1 and holds for few photos, too.

    Args:
        hits: Number of photos of the kind in question.
        total: Number of photos; without any, the share may be anything.
        looks: Number of shares that are compared; the more, the wider is each interval
            (Bonferroni), so that all of them hold with 95 %.
        scenes: Number of distinct objects in the photos, if fewer than photos: ten shots of one
            object tell hardly more than one, so that many photos count.
    """
    if not total:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf(1 - 0.025 / looks)
    share, seen = hits / total, min(scenes or total, total)
    centre = share + z**2 / (2 * seen)
    spread = z * math.sqrt(share * (1 - share) / seen + z**2 / (4 * seen**2))
    scale = 1 + z**2 / seen
    # At the ends the formula gives 0 and 1 but for rounding.
    return Interval(
        lower=(centre - spread) / scale if hits else 0.0,
        upper=(centre + spread) / scale if hits < total else 1.0,
    )


class ReliabilityBin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Photos whose top score lies in lower < score <= upper.

    Attributes:
        lower: 0..1.
        upper: 0..1.
        count: Number of photos.
        confidence: Mean of their top scores, 0..1; None without photos.
        accuracy: Accuracy on them, 0..1; None without photos.
    """

    lower: float
    upper: float
    count: int
    confidence: float | None
    accuracy: float | None


class Reliability(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Do the scores mean what they say?

    Attributes:
        bins: 15 of equal width, from low to high scores.
        expected_calibration_error: Mean distance of confidence and accuracy in a bin, weighted by
            photos, 0..1 (Guo et al. 2017, "On Calibration of Modern Neural Networks", eq. 3).
        chance_error: What the expected calibration error reaches by chance in 5 of 100 cases
            when all scores are right, 0..1; few photos give a large one (consistency resampling,
            Bröcker & Smith 2007; 200 draws from a fixed seed).
        confidence: Mean top score of all photos, 0..1.
        accuracy: Accuracy on all photos, 0..1.
        noise: How far `confidence` and `accuracy` may lie apart by chance (95 %) when the
            scores are right: 1.96 standard deviations of a mean of coins with these scores.
        negative_log_likelihood: Mean of -log(score of the true label), nats.
    """

    bins: tuple[ReliabilityBin, ...]
    expected_calibration_error: float
    chance_error: float
    confidence: float
    accuracy: float
    noise: float
    negative_log_likelihood: float


def measure_reliability(scores: NDArray[np.float32], truth: NDArray[np.int64]) -> Reliability:
    """Compares how sure a classifier is with how often it is right.

    Args:
        scores: Probabilities, (examples, classes), 0..1.
        truth: int (examples,): index of the true label.
    """
    total = len(truth)
    top = scores.max(axis=1, initial=0.0).astype(np.float64)
    hits = scores.argmax(axis=1) == truth if total else np.zeros(0, np.bool_)
    numbers = assign_bins(top)
    bins = tuple(
        _measure_bin(number, top[numbers == number], hits[numbers == number])
        for number in range(RELIABILITY_BINS)
    )
    return Reliability(
        bins=bins,
        expected_calibration_error=sum_gaps(top, hits),
        chance_error=_draw_chance_error(top),
        confidence=float(top.sum()) / max(total, 1),
        accuracy=int(hits.sum()) / max(total, 1),
        noise=1.96 * math.sqrt(float((top * (1 - top)).clip(0).sum())) / max(total, 1),
        negative_log_likelihood=measure_loss(scores, truth),
    )


def measure_loss(scores: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    """Negative log likelihood: mean of -log(score of the true label), nats; 0 without photos.

    Args:
        scores: Probabilities, (examples, classes), 0..1; below 1e-7 they count as 1e-7.
        truth: int (examples,): index of the true label.
    """
    of_truth = scores[np.arange(len(truth)), truth].astype(np.float64)
    return float(-np.log(of_truth.clip(_LEAST_PROBABILITY)).sum()) / max(len(truth), 1)


def _draw_chance_error(top: NDArray[np.float64]) -> float:
    random = np.random.default_rng(0)
    errors = [sum_gaps(top, random.random(len(top)) < top) for _ in range(_DRAWS)]
    return float(np.quantile(errors, 0.95))


def _measure_bin(number: int, top: NDArray[np.float64], hits: NDArray[np.bool_]) -> ReliabilityBin:
    return ReliabilityBin(
        lower=number / RELIABILITY_BINS,
        upper=(number + 1) / RELIABILITY_BINS,
        count=len(top),
        confidence=float(top.mean()) if len(top) else None,
        accuracy=float(hits.mean()) if len(top) else None,
    )


def _measure_class(confusion: NDArray[np.int64], index: int, total: int) -> ClassMetrics:
    hits = int(confusion[index, index])
    support = int(confusion[index].sum())
    named = int(confusion[:, index].sum())
    others = total - support
    return ClassMetrics(
        precision=_share(hits, named),
        recall=_share(hits, support),
        specificity=_share(others - (named - hits), others),
        f1=_share(2 * hits, named + support),
        support=support,
    )


def _share(count: int, of: int) -> float | None:
    return count / of if of else None


def _mean(shares: Sequence[float | None]) -> float:
    known = [share for share in shares if share is not None]
    return math.fsum(known) / len(known) if known else 0.0
