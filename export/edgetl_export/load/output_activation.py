"""The activation behind a model's outputs, so that they are one probability for each label."""

from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from edgetl_runtime.errors import ExportError
from edgetl_runtime.prediction import Scores

# Sums of float32 softmaxes are closer to 1; those of 8 bits are off by a step for each output.
_TOLERANCE = 1e-3
_STEP = 1 / 256
# Sums of percents, or of 255 levels, differ by less than this share of them.
_ALIKE = 0.02


Activation = Literal["softmax", "log_softmax", "sigmoid", "linear", "other"]
"""What a model's graph ends in: `linear` outputs logits, `other` tells nothing."""


class OutputActivation(msgspec.Struct, frozen=True):
    """An activation that is appended.

    Attributes:
        words: What is done, for people; empty: nothing.
        pair: (factors, offsets) by which one output becomes two; None: there are two or more.
        softmax: The outputs are logits.
    """

    words: str = ""
    pair: tuple[tuple[float, float], tuple[float, float]] | None = None
    softmax: bool = False

    def apply(self, raw: Scores) -> Scores:
        """Probabilities of outputs, both (photos, outputs)."""
        scores: NDArray[np.floating] = raw
        if self.pair is not None:
            factors, offsets = np.array(self.pair, np.float32)
            scores = scores * factors + offsets
        if self.softmax:
            scores = softmax(scores, axis=1)
        return scores.astype(np.float32)


NOTHING = OutputActivation()
SOFTMAX = OutputActivation("its outputs are logits, so a softmax was added", softmax=True)
PAIR = OutputActivation(
    "its one output p became two, 1 - p for the first label and p for the second",
    pair=((-1.0, 1.0), (1.0, 0.0)),
)
PAIR_OF_LOGITS = OutputActivation(
    "its one output is a logit, so it became two by a softmax; it is that of the second label",
    pair=((0.0, 1.0), (0.0, 0.0)),
    softmax=True,
)


def choose_activation(
    raw: Scores, activation: Activation = "other", *, quantized: bool = False
) -> OutputActivation:
    """The output activation that the outputs need.

    Args:
        raw: What the model outputs for a few photos, (photos, outputs).
        activation: What its graph ends in; where that tells nothing, the numbers decide.
        quantized: The outputs have 8 bits.

    Raises:
        ExportError: If they are not scores of one label out of several.
    """
    if not np.isfinite(raw).all():
        raise ExportError("the model's outputs are not finite; check --scaling, and the model")
    outputs = raw.shape[1]
    if outputs == 1:
        return _choose_for_one(raw, activation)
    if activation == "softmax":
        return NOTHING
    if activation in ("linear", "log_softmax"):
        # The softmax of log-probabilities is the probabilities.
        return SOFTMAX
    tolerance = _TOLERANCE + (outputs * _STEP if quantized else 0)
    inside = _are_shares(raw)
    if inside and activation == "other" and np.abs(raw.sum(axis=1) - 1).max() <= tolerance:
        return NOTHING
    whole = float(raw.sum(axis=1).mean())
    if (
        activation == "other"
        and not inside
        and raw.min() >= 0
        and np.ptp(raw.sum(axis=1)) < _ALIKE * whole
    ):
        raise ExportError(
            f"the model's outputs sum to {whole:.0f}, not to 1; export it without the scaling of "
            "its outputs"
        )
    if inside:
        raise ExportError(
            f"the model's {outputs} outputs are in 0..1 but do not sum to 1, as in multi-label "
            "classification; end it in a softmax, or in logits, to which export adds one"
        )
    return SOFTMAX


def _choose_for_one(raw: Scores, activation: Activation) -> OutputActivation:
    if activation in ("softmax", "log_softmax"):
        raise ExportError(
            "the model applies a softmax to a single output, which is 1 for every photo; end it "
            "in a sigmoid, or in two outputs"
        )
    if activation == "other":
        return PAIR if _are_shares(raw) else PAIR_OF_LOGITS
    return PAIR if activation == "sigmoid" else PAIR_OF_LOGITS


def _are_shares(raw: Scores) -> bool:
    return bool((raw >= -_TOLERANCE).all() and (raw <= 1 + _TOLERANCE).all())
