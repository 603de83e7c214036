"""Predictions of a trained model for each photo of a split."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl.dataset.manifest import Split


class Predictions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Predictions for one split.

    Attributes:
        split: `val` or `test`.
        paths: Paths of the photos, relative to the data folder.
        truth: Index of each photo's label.
        scores: Probabilities 0..1, one list of (classes,) for each photo.
    """

    split: Split
    paths: tuple[str, ...]
    truth: tuple[int, ...]
    scores: tuple[tuple[float, ...], ...]

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Probabilities, float32 (photos, classes), 0..1."""
        return np.array(self.scores, np.float32)

    @property
    def top1(self) -> float:
        """Accuracy, 0..1."""
        return float((self.probabilities.argmax(axis=1) == self.classes).mean())

    @property
    def classes(self) -> NDArray[np.int64]:
        """Indices of the true labels, int64 (photos,)."""
        return np.array(self.truth, np.int64)
