"""The prediction for one frame."""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]
_SCORE_TOLERANCE = 0.01
_SUM_TOLERANCE = 0.02


class Prediction(msgspec.Struct, frozen=True, eq=False):
    """The scores of one frame, and their times.

    Attributes:
        labels: The names of the model's outputs, in their order: the classes, and the unknown one.
        scores: float32 (outputs,), probabilities 0..1 that sum to 1.
        reject_threshold: Top score below which the frame is rejected as unknown, 0..1.
        captured_s: When the frame was captured, on the clock of `time.monotonic`, seconds.
        answered_s: When this prediction was ready, on the same clock.
        preprocess_ms: Time from the frame to the model's input, milliseconds.
        invoke_ms: Time inside the engine, milliseconds.
        unknown: Index of the output for what is none of the classes; None without one.
        features: float32 (features,), what the file's last layer multiplies; None unless the
            classifier was opened with `features`.
    """

    labels: tuple[str, ...]
    scores: Scores
    reject_threshold: float
    captured_s: float
    answered_s: float
    preprocess_ms: float
    invoke_ms: float
    unknown: int | None = None
    features: NDArray[np.float32] | None = None

    @property
    def label(self) -> str | None:
        """The most likely label, or None when the frame is rejected."""
        return self.name_best(self.scores)

    @property
    def index(self) -> int:
        """Index of the highest score; the first one on a tie."""
        return int(self.scores.argmax())

    @property
    def score(self) -> float:
        """The highest score, 0..1, also when the frame is rejected."""
        return float(self.scores[self.index])

    @property
    def age_ms(self) -> float:
        """How old the frame was when the answer was ready, milliseconds."""
        return (self.answered_s - self.captured_s) * 1e3

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The `count` most likely labels with their scores, best first."""
        return rank(self.labels, self.scores, count)

    def name_best(self, scores: Scores) -> str | None:
        """The label for scores like these, such as their average over several frames.

        Args:
            scores: float32 (outputs,), probabilities 0..1.

        Returns:
            None if the frame is rejected: the output for the unknown is the best one, or the best
            one is below the reject threshold.
        """
        best = int(scores.argmax())
        known = best != self.unknown and float(scores[best]) >= self.reject_threshold
        return self.labels[best] if known else None


def rank(labels: Sequence[str], scores: Scores, count: int) -> list[tuple[str, float]]:
    """The `count` labels with the highest scores, best first; the first one wins a tie.

    Args:
        labels: The names of the outputs.
        scores: float32 (outputs,), in the order of the labels.
        count: How many to list; all if there are fewer.
    """
    order = np.argsort(-scores, kind="stable")[: max(0, count)]
    return [(labels[i], float(scores[i])) for i in order]


def check_probabilities(scores: Scores) -> str:
    """What is wrong with a model's output as probabilities; empty if nothing is.

    An int8 output has a scale of 1/256 and rounds each score, hence the tolerance of the sum.

    Args:
        scores: float32 (outputs,).
    """
    total = float(scores.sum())
    # Not finite as soon as one of them is not.
    if not math.isfinite(total):
        return "NaN or infinity"
    if scores.min() < -_SCORE_TOLERANCE or scores.max() > 1 + _SCORE_TOLERANCE:
        return f"scores from {scores.min():.3g} to {scores.max():.3g} instead of 0 to 1"
    if abs(total - 1) > _SUM_TOLERANCE + scores.size / 512:
        return f"scores that sum to {total:.3g} instead of 1"
    return ""


def calibrate(probabilities: Scores, temperature: float) -> Scores:
    """Softens (temperature > 1) or sharpens (< 1) probabilities.

    Equals softmax(logits / temperature), since the logarithm of a softmax differs from the
    logits by a constant only (Guo et al. 2017, "On Calibration of Modern Neural Networks").

    Args:
        probabilities: float32 (outputs,), 0..1.
        temperature: Positive; 1 leaves the probabilities as they are.

    Returns:
        float32 (outputs,) that sum to 1.
    """
    if temperature == 1.0:
        return probabilities
    # Relative to the highest one, so that a low temperature does not turn all of them into 0.
    relative = probabilities / probabilities.max()
    powered = np.power(relative, 1.0 / temperature, dtype=np.float64)
    softened: Scores = (powered / powered.sum()).astype(np.float32)
    return softened
