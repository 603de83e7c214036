"""Confidence: how far the scores of a classifier are from how often it is right."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

_LOG_RANGE = 4.0


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
    classes, as Platt (1999) does, so that few photos, all named right, do not end in certainty.

    Args:
        logits: (rows, classes), or log-odds of the second of two classes (rows, 1); finite.
        classes: The true ones, (rows,); of photos that the model did not learn from.
    """
    exact = _spread(logits)
    spread = 1 / (len(exact) + 2)
    targets = np.full(exact.shape, spread / exact.shape[1])
    targets[np.arange(len(exact)), classes] += 1 - spread

    def loss(log: float) -> float:
        scaled = exact / np.exp(log)
        return float((_log_sum(scaled) - (targets * scaled).sum(axis=1)).mean())

    found = minimize_scalar(loss, bounds=(-_LOG_RANGE, _LOG_RANGE), method="bounded")
    return float(np.exp(found.x))


def _spread(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    exact = logits.astype(np.float64)
    return np.hstack([np.zeros_like(exact), exact]) if exact.shape[1] == 1 else exact


def _log_sum(exact: NDArray[np.float64]) -> NDArray[np.float64]:
    highest = exact.max(axis=1, keepdims=True)
    sums: NDArray[np.float64] = np.log(np.exp(exact - highest).sum(axis=1)) + highest[:, 0]
    return sums
