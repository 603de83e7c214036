"""A head fitted on rows of numbers: cached features of photos, or petals in centimetres."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edgetl.checkpoint import Checkpoints
from edgetl.cross_validation import standardize
from edgetl.fitting import Fitter, Stage
from edgetl.head import build_head, finish_head
from edgetl.history import StageHistory
from edgetl.options import HeadOptions, TrainingOptions
from edgetl.recipe import make_recipe
from edgetl.sources import CachedRows

if TYPE_CHECKING:
    import keras


class FittedHead(msgspec.Struct, frozen=True, eq=False):
    """A head with the weights of its best epoch.

    Attributes:
        model: float32 (batch, features) as they are, not standardized -> probabilities.
        history: Loss and accuracy of training and validation rows, one value an epoch.
    """

    model: "keras.Model"
    history: StageHistory

    def classify(self, features: np.ndarray) -> np.ndarray:
        """Index of the likeliest class of each row, int64 (rows,), of float32 (rows, features)."""
        return np.asarray(self.model(features)).argmax(axis=1)


def keep_rows(features: np.ndarray, classes: np.ndarray) -> CachedRows:
    """Rows of which each is an example of its own: float32 (rows, features), int64 (rows,)."""
    return CachedRows(list(features), np.arange(len(classes)), classes)


def fit_head(
    train: CachedRows,
    val: CachedRows,
    classes: int,
    head: HeadOptions,
    training: TrainingOptions,
    *,
    seed: int = 0,
) -> FittedHead:
    """Fits a head by the trainer that `edgetl train` uses; the same seed gives the same head.

    Args:
        train: Rows to learn from.
        val: Rows that choose the best epoch.
        classes: Number of labels.
        head: Layers, dropout, output.
        training: Optimizer, epochs, penalties; `epochs` must be given.
        seed: Of initial weights, order of the rows and dropout.
    """
    import keras

    keras.utils.set_random_seed(seed)
    model = build_head(
        standardize(train.chunks()), classes, head, l1=training.l1, l2=training.l2 or 0.0
    )
    recipe = make_recipe("head", training, epochs=training.epochs)
    # The trainer keeps checkpoints; a head is fitted again faster than it is resumed.
    with tempfile.TemporaryDirectory() as folder:
        fitter = Fitter(Checkpoints(Path(folder) / "checkpoints"), seed=seed)
        history = fitter.fit(Stage(0, "head", model, classes, train, val, recipe))
    return FittedHead(finish_head(model, head), history)
