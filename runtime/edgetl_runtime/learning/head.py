"""Fitting the head again, with numpy alone.

The new head starts as the file's own, with average logits for what is new, and is a softmax
regression on the stored rows and the new ones, whose penalty holds it near where it started: the
old head has seen all photos, the rows are a few of them. The outputs that nothing is taught of keep
their weights, so that the classes are told from one another as before. `benchmarks/teaching.py`
compares this with weight imprinting, the exporter's ridge regression and others.
"""

from collections.abc import Collection
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

# Times the mean square of a row; see benchmarks/teaching.py.
PENALTY: Final = 0.01
# How much of an old row's target is what the file's own head says, rather than its label: what it
# got wrong before, it need not get right at the price of something else.
KEEP: Final = 0.5
_STEPS: Final = 50
# A feature that hardly varies among the rows would be blown up by its own noise.
_LEAST_SCALE: Final = 1e-3

Array = NDArray[np.float64]


class Head(msgspec.Struct, frozen=True, eq=False):
    """The last layer: logits are features @ kernel + bias.

    Attributes:
        kernel: float32 (features, outputs).
        bias: float32 (outputs,).
    """

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]

    def lower(self, first: int, offset: float) -> "Head":
        """The same head, with a number taken from the logits from one output on."""
        bias = self.bias.copy()
        bias[first:] -= offset
        return Head(self.kernel, bias)

    def mix(self, other: "Head", share: float) -> "Head":
        """A head between this one and another with as many outputs; 1 is the other."""
        kernel = self.kernel + np.float32(share) * (other.kernel - self.kernel)
        bias = self.bias + np.float32(share) * (other.bias - self.bias)
        return Head(kernel, bias)

    def widen(self, outputs: int) -> "Head":
        """The same head with more outputs, whose logits are the mean of the others."""
        more = outputs - self.bias.size
        kernel, bias = self.kernel.mean(axis=1), self.bias.mean()
        return Head(
            np.column_stack([self.kernel, *[kernel] * more]),
            np.append(self.bias, [bias] * more).astype(np.float32),
        )


def fit_head(
    head: Head,
    rows: NDArray[np.floating],
    truth: NDArray[np.integer],
    outputs: int,
    stored: int = 0,
    kept: Collection[int] = (),
    penalty: float = PENALTY,
) -> Head:
    """Fits a head with more outputs.

    Args:
        head: The file's own.
        rows: (rows, features).
        truth: (rows,): index of the output that each row shall get.
        outputs: Outputs of the new head, at least those of the old one. Those which no row is of
            get no better than they were.
        stored: How many rows, the first ones, are of photos that the old head has learned from.
        kept: Outputs that keep their weights.
        penalty: Of what is added to the old head, times the mean square of a row.

    Returns:
        A head with `outputs` outputs; the first ones are those of the old head.
    """
    wide = head.widen(outputs)
    features = rows.astype(np.float64)
    mean, scale = standardize(features)
    base = features @ wide.kernel + wide.bias
    targets = _make_targets(base[:stored, : head.bias.size], truth, outputs)
    # The bias is a feature that never changes, as large as all others together.
    standard = (features - mean) / scale
    constant = np.sqrt(np.square(standard).sum(axis=1).mean() or 1.0)
    extended = np.column_stack([standard, np.full(len(rows), constant)])
    free = np.array([n not in kept for n in range(outputs)])
    change = extended.T @ _regress(extended @ extended.T, base, targets, truth, free, penalty)
    kernel = change[:-1] / scale[:, None]
    return Head(
        (wide.kernel + kernel).astype(np.float32),
        (wide.bias + change[-1] * constant - mean @ kernel).astype(np.float32),
    )


def _regress(
    gram: Array,
    base: Array,
    targets: Array,
    truth: NDArray[np.integer],
    free: NDArray[np.bool_],
    penalty: float,
) -> Array:
    """Minimizes cross-entropy + penalty, among rows: there are fewer of them than features.

    Newton steps with a bound of the Hessian that is the same at each step, so that one inverse
    does for all of them (Böhning 1992, "Multinomial logistic regression algorithm"), sped up as in
    Nesterov 1983.

    Args:
        gram: (rows, rows), inner products of rows.
        base: (rows, outputs), logits of the head that it starts from.
        targets: (rows, outputs), probabilities.
        truth: (rows,), by which each output's rows count as much as any other's.
        free: (outputs,), False for those that keep their weights.
        penalty: See `fit_head`.

    Returns:
        (rows, outputs): by how much of each row the kernel changes.
    """
    count = len(gram)
    ridge = penalty * (np.trace(gram) / count or 1.0)
    weights = _balance(truth)[:, None]
    root = np.sqrt(weights)
    inverse = np.linalg.inv(0.5 * root * gram * root.T + ridge * np.eye(count))
    found = ahead = np.zeros_like(base)
    momentum = 1.0
    for _ in range(_STEPS):
        slope = free * (weights * (_softmax(base + gram @ ahead) - targets) + ridge * ahead)
        new = ahead - root * (inverse @ (slope / root))
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = new + (momentum - 1) / following * (new - found)
        found, momentum = new, following
    return found


def _make_targets(said: Array, truth: NDArray[np.integer], outputs: int) -> Array:
    """Labels; those of the first rows are mixed with what the old head says of them."""
    targets: Array = np.eye(outputs)[truth]
    stored, known = said.shape
    targets[:stored] *= 1 - KEEP
    targets[:stored, :known] += KEEP * _softmax(said)
    return targets


def _balance(truth: NDArray[np.integer]) -> Array:
    """Weights of mean 1, such that each output's rows weigh as much."""
    counts = np.bincount(truth)
    present = np.count_nonzero(counts)
    weights: Array = len(truth) / (present * counts[truth])
    return weights


def standardize(features: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of each feature, the second not too near 0."""
    mean, scale = features.mean(axis=0), features.std(axis=0)
    least = _LEAST_SCALE * (np.sqrt(np.square(scale).mean()) or 1.0)
    return mean, np.maximum(scale, least)


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: Array = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def soften(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Probabilities: softmax(logits / temperature), float32."""
    return _softmax(logits.astype(np.float64) / temperature).astype(np.float32)
