"""Refit: the head learns again, on the features that the quantized backbone puts out.

Rounding shifts and bends the features that the head was trained on. The head is fitted again so
that from the quantized features it gives the scores that the trained model gives, for the
photos of the training part: a convex problem, with a penalty on the distance to the trained
head whose strength is chosen by cross-validation.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from edgetl_runtime.preprocessing import Frame

HEAD = "head"
PHOTOS = 1500
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
_FOLDS = 3
_STEPS = 100

Array = NDArray[np.float64]
Features = NDArray[np.float32]
# Quantizes an extractor and runs it on pictures: features, float32 (pictures, features).
QuantizeAndRun = Callable[[Any, Sequence[Frame]], Features]


class Head(msgspec.Struct, frozen=True, eq=False):
    """A dense layer: kernel (features, classes) and bias (classes,)."""

    kernel: NDArray[np.floating]
    bias: NDArray[np.floating]


def can_refit(model: Any) -> bool:
    """True if the model ends in a dense layer `head`, as those of edgetl do."""
    import keras

    return isinstance(_find_head(model), keras.layers.Dense)


def split_at_head(model: Any) -> tuple[Any, Head]:
    """A classifier as extractor and head.

    Returns:
        A Keras model: the classifier's input -> features; and the head's weights.
    """
    import keras

    head = _find_head(model)
    return keras.Model(model.input, head.input), Head(*head.get_weights())


@contextmanager
def using_head(model: Any, head: Head) -> Iterator[None]:
    """Puts a head into a classifier during a block."""
    layer = _find_head(model)
    before = layer.get_weights()
    layer.set_weights([head.kernel, head.bias])
    try:
        yield
    finally:
        layer.set_weights(before)


def refit(head: Head, features: Features, scores: NDArray[np.floating], *, seed: int) -> Head:
    """Fits a head again.

    Args:
        head: As it was trained.
        features: What the quantized backbone puts out, float32 (photos, features).
        scores: What the trained model says of the same photos: probabilities (photos, classes).
        seed: Of the folds.

    Returns:
        The head with the strength of penalty that gives the least cross-entropy on photos that
        it was not fitted on; float32.
    """
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    deviation = np.where(deviation > 1e-6, deviation, 1.0)
    rows = ((features - mean) / deviation).astype(np.float64)
    kernel = head.kernel * deviation[:, np.newaxis]
    start = Head(kernel.astype(np.float64), (head.bias + mean @ head.kernel).astype(np.float64))
    targets = scores.astype(np.float64)
    fold = np.random.default_rng(seed).permutation(len(rows)) % _FOLDS
    losses = [
        np.mean(
            [
                _loss(
                    _fit(start, rows[fold != n], targets[fold != n], strength),
                    rows[fold == n],
                    targets[fold == n],
                )
                for n in range(_FOLDS)
            ]
        )
        for strength in STRENGTHS
    ]
    fitted = _fit(start, rows, targets, STRENGTHS[int(np.argmin(losses))])
    folded = fitted.kernel / deviation[:, np.newaxis]
    return Head(folded.astype(np.float32), (fitted.bias - mean @ folded).astype(np.float32))


def _fit(start: Head, rows: Array, targets: Array, strength: float) -> Head:
    shape = start.kernel.shape

    def unpack(flat: Array) -> Head:
        change = flat[: start.kernel.size].reshape(shape)
        return Head(start.kernel + change, start.bias + flat[start.kernel.size :])

    def objective(flat: Array) -> tuple[float, Array]:
        head = unpack(flat)
        logits = rows @ head.kernel + head.bias
        log_sums = _log_sum(logits)
        error = (np.exp(logits - log_sums) - targets) / len(rows)
        change = flat[: start.kernel.size]
        loss = float((log_sums[:, 0] - (targets * logits).sum(axis=1)).mean())
        slope = np.concatenate([(rows.T @ error).ravel() + strength * change, error.sum(axis=0)])
        return loss + strength / 2 * float(change @ change), slope

    found = minimize(
        objective,
        np.zeros(start.kernel.size + start.bias.size),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _STEPS},
    )
    return unpack(found.x)


def _loss(head: Head, rows: Array, targets: Array) -> float:
    logits = rows @ head.kernel + head.bias
    return float((_log_sum(logits)[:, 0] - (targets * logits).sum(axis=1)).mean())


def _log_sum(logits: Array) -> Array:
    highest = logits.max(axis=1, keepdims=True)
    sums: Array = np.log(np.exp(logits - highest).sum(axis=1, keepdims=True)) + highest
    return sums


def _find_head(model: Any) -> Any:
    return next((layer for layer in model.layers if layer.name == HEAD), None)
