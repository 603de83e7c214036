"""Rejection: the top score below which an image is unknown and gets no label.

Whatever a camera sees, a softmax names one of its classes. The highest score is the usual and a
strong measure of whether there is anything known at all: Hendrycks and Gimpel, "A Baseline for
Detecting Misclassified and Out-of-Distribution Examples in Neural Networks", ICLR 2017.
"""

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_export.evaluate.confidence import raise_zeros
from edgetl_runtime.prediction import Scores

LEAST_CLASSES_TO_HOLD_OUT = 3
# 0.29 * 100 is less than 29 in floats.
_ROUNDING = 1e-9
_NEVER = -1.0


class RejectionRates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The effect of a threshold.

    Attributes:
        false_accept_rate: Share of the unknown photos that get a label, 0..1; None without any.
        false_reject_rate: Share of the known photos classified correctly that get none, 0..1; None
            without any.
        unknown: Number of unknown photos.
        known: Number of known photos classified correctly.
    """

    false_accept_rate: float | None
    false_reject_rate: float | None
    unknown: int
    known: int


class Rejection(RejectionRates, frozen=True, forbid_unknown_fields=True):
    """A threshold, and what it does to the photos that chose it.

    Attributes:
        threshold: 0..1, a float32 number; a photo is rejected if its highest score is below it.
        limited: The false-accept rate is above the one asked for, since a higher threshold would
            reject too many known photos (or would be above 1).
    """

    threshold: float
    limited: bool


def hold_out_classes(scores: Scores, truth: NDArray[np.int64]) -> Scores | None:
    """Scores of stand-ins for unknown photos: each class in turn is taken for an unknown one.

    Of each photo the score of its own class is removed, and the others are scaled to sum to 1:
    the softmax over the other classes alone. This approximates what a classifier that had never
    learned the class would say about the photo. It is an approximation only:

    - Backbone and head did see the class, and learned that it is none of the others, so a
      classifier without it would be surer of a wrong label than this says, or less sure.
    - The stand-ins share camera, table and light with the known photos; of scenes unlike any
      of them nothing is said. Photos in `_unknown_` are the better evidence.
    - Where the own class has nearly all of the score, what is left is as coarse as the file's
      arithmetic, above all in int8; see `raise_zeros`.

    Args:
        scores: float32 (photos, classes), 0..1, of known photos that the model did not learn
            from.
        truth: int (photos,): index of the true label.

    Returns:
        float32 (photos, classes - 1) that sum to 1, or None with fewer than 3 classes, since
        one class alone always scores 1.
    """
    photos, classes = scores.shape
    if classes < LEAST_CLASSES_TO_HOLD_OUT:
        return None
    others = np.arange(classes) != truth[:, np.newaxis]
    rest = raise_zeros(scores)[others].reshape(photos, classes - 1).astype(np.float64)
    held_out: Scores = (rest / rest.sum(axis=1, keepdims=True)).astype(np.float32)
    return held_out


def choose_threshold(
    known_scores: Scores,
    known_truth: NDArray[np.int64],
    unknown_scores: Scores,
    *,
    false_accept_rate: float,
    max_false_rejects: float,
) -> Rejection:
    """Chooses the smallest threshold that lets few unknown photos pass.

    It never rejects more than `max_false_rejects` of the correctly classified known photos:
    where the two contradict, it is the largest that keeps this cap, and `limited` says so.
    Without unknown photos it is 0, which rejects nothing.

    Args:
        known_scores: float32 (photos, classes), 0..1, after temperature.
        known_truth: int (photos,): index of the true label.
        unknown_scores: float32 (photos, any number of classes), 0..1, after temperature.
        false_accept_rate: Share of the unknown photos that may get a label, 0..1.
        max_false_rejects: Share of the known photos classified correctly that may get none, 0..1.
    """
    unknown = np.sort(find_acceptance(unknown_scores))[::-1]
    known = np.sort(_accept_right(known_scores, known_truth))
    wanted = _above(unknown, _count(false_accept_rate, len(unknown)))
    threshold = min(wanted, _up_to(known, _count(max_false_rejects, len(known))))
    rates = measure_rejection(threshold, known_scores, known_truth, unknown_scores)
    accepted = rates.false_accept_rate or 0.0
    return Rejection(
        **msgspec.structs.asdict(rates),
        threshold=threshold,
        limited=accepted > false_accept_rate + _ROUNDING,
    )


def measure_rejection(
    threshold: float,
    known_scores: Scores,
    known_truth: NDArray[np.int64],
    unknown_scores: Scores,
    *,
    has_unknown: bool = False,
) -> RejectionRates:
    """What a threshold does to photos, best to others than those that chose it.

    Args:
        threshold: 0..1.
        known_scores: float32 (photos, classes), 0..1, after temperature.
        known_truth: int (photos,): index of the true label.
        unknown_scores: float32 (photos, any number of outputs), 0..1, after temperature.
        has_unknown: The last score of each photo is that of the unknown; where it is the best one,
            the photo is rejected whatever the threshold.
    """
    unknown = find_acceptance(unknown_scores, has_unknown)
    known = _accept_right(known_scores, known_truth, has_unknown)
    return RejectionRates(
        false_accept_rate=float((unknown >= threshold).mean()) if len(unknown) else None,
        false_reject_rate=float((known < threshold).mean()) if len(known) else None,
        unknown=len(unknown),
        known=len(known),
    )


def find_acceptance(scores: Scores, has_unknown: bool = False) -> NDArray[np.float64]:
    """The score that a threshold is compared with; -1 where the unknown is the best output.

    As `Prediction.score` has it: a float32 number, compared as a Python float.

    Args:
        scores: float32 (photos, outputs), 0..1.
        has_unknown: The last score of each photo is that of the unknown.

    Returns:
        (photos,): below every threshold where the photo is rejected anyway.
    """
    highest = np.asarray(scores.max(axis=1, initial=0.0), np.float64)
    if has_unknown and len(scores):
        highest[scores.argmax(axis=1) == scores.shape[1] - 1] = _NEVER
    return highest


def _accept_right(
    scores: Scores, truth: NDArray[np.int64], has_unknown: bool = False
) -> NDArray[np.float64]:
    """Of the photos whose best class is the true one."""
    classes = scores[:, :-1] if has_unknown else scores
    right = classes.argmax(axis=1) == truth if len(truth) else np.ones(len(scores), np.bool_)
    return find_acceptance(scores[right], has_unknown)


def _count(share: float, photos: int) -> int:
    return math.floor(share * photos + _ROUNDING)


def _above(falling: NDArray[np.float64], allowed: int) -> float:
    """The smallest float32 threshold, at most 1, that `allowed` scores or fewer reach."""
    if allowed >= len(falling):
        return 0.0
    return min(1.0, float(np.nextafter(np.float32(falling[allowed]), np.float32(2))))


def _up_to(rising: NDArray[np.float64], allowed: int) -> float:
    """The largest threshold, at most 1, below which `allowed` scores or fewer lie."""
    return min(1.0, float(rising[allowed])) if allowed < len(rising) else 1.0
