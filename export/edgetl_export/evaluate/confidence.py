"""Confidence: how far the scores of a classifier are from how often it is right."""

import math

import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.prediction import Scores

RELIABILITY_BINS = 15
_LOG_RANGE = 4.0
# Where the best temperature lies here, no score says anything.
GREATEST_TEMPERATURE = math.exp(_LOG_RANGE)


def cross_entropy(logits: NDArray[np.floating], classes: NDArray[np.int64]) -> float:
    """Mean negative log-likelihood, nats.

    Args:
        logits: (rows, classes), or log-odds of the second of two classes (rows, 1).
        classes: The true ones, (rows,).
    """
    exact = _spread(logits)
    return float((_log_sum(exact) - exact[np.arange(len(classes)), classes]).mean())


def fit_temperature(logits: NDArray[np.floating], classes: NDArray[np.int64]) -> float:
    """The temperature T for which logits / T have the least cross-entropy, 0.02..55.

    Above 1 the scores were too sure of themselves. Guo et al., "On Calibration of Modern Neural
    Networks", ICML 2017, section 4.2. A share of 1 / (rows + 2) of each target is spread over the
    classes, as Platt (1999) does, so that few photos, all correct, do not end in certainty.

    Args:
        logits: (rows, classes), or log-odds of the second of two classes (rows, 1); finite.
        classes: The true ones, (rows,); of photos that the model did not learn from.
    """
    from scipy.optimize import minimize_scalar

    exact = _spread(logits)
    spread = 1 / (len(exact) + 2)
    targets = np.full(exact.shape, spread / exact.shape[1])
    targets[np.arange(len(exact)), classes] += 1 - spread

    def loss(log: float) -> float:
        scaled = exact / np.exp(log)
        return float((_log_sum(scaled) - (targets * scaled).sum(axis=1)).mean())

    found = minimize_scalar(loss, bounds=(-_LOG_RANGE, _LOG_RANGE), method="bounded")
    return float(np.exp(found.x))


def fit_temperature_of_scores(scores: Scores, classes: NDArray[np.int64]) -> float:
    """The temperature for `edgetl_runtime.prediction.calibrate`; see `fit_temperature`.

    The logarithm of a softmax differs from the logits by a constant only.

    Args:
        scores: float32 (photos, classes), probabilities 0..1, as the file puts them out.
        classes: The true ones, (photos,); of photos that the model did not learn from.
    """
    return fit_temperature(np.log(raise_zeros(scores)), classes)


def raise_zeros(scores: Scores) -> Scores:
    """Scores of 0 become half the smallest other one: that much the file's arithmetic can hide.

    An int8 file outputs steps of 1/256, so that one in five scores is 0. On TrashNet their true
    temperature and held-out scores are those of the float32 file with this floor, not with a
    smaller one.

    Args:
        scores: float32 (photos, classes), 0..1.

    Returns:
        float32 (photos, classes), above 0.
    """
    half = float(scores[scores > 0].min(initial=1.0)) / 2
    return scores.clip(max(half, float(np.finfo(np.float32).tiny)))


def measure_calibration_error(scores: Scores, classes: NDArray[np.int64]) -> float:
    """Expected calibration error: how far the highest scores are from the accuracy, 0..1.

    The mean distance of the two in 15 bins of equal width, weighted by photos: Guo et al. 2017,
    "On Calibration of Modern Neural Networks", eq. 3.

    Args:
        scores: Probabilities, (photos, classes), 0..1.
        classes: The true ones, (photos,).
    """
    if not len(classes):
        return 0.0
    top = scores.max(axis=1).astype(np.float64)
    return sum_gaps(top, scores.argmax(axis=1) == classes)


def sum_gaps(top: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """The expected calibration error of highest scores, (photos,), and whether each was right."""
    # A bin's distance times its photos is the distance of the two sums.
    gaps = np.bincount(assign_bins(top), top - right, RELIABILITY_BINS)
    return float(np.abs(gaps).sum()) / max(len(top), 1)


def assign_bins(top: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bin of each score 0..1: int (photos,) in 0..14; a bin's upper end belongs to it."""
    numbers = np.ceil(top * RELIABILITY_BINS).astype(np.int64) - 1
    return np.clip(numbers, 0, RELIABILITY_BINS - 1)


def _spread(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    exact = logits.astype(np.float64)
    return np.hstack([np.zeros_like(exact), exact]) if exact.shape[1] == 1 else exact


def _log_sum(exact: NDArray[np.float64]) -> NDArray[np.float64]:
    highest = exact.max(axis=1, keepdims=True)
    sums: NDArray[np.float64] = np.log(np.exp(exact - highest).sum(axis=1)) + highest[:, 0]
    return sums
