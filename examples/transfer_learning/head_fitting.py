"""A head fitted on rows of numbers: cached features of photos, or petals in centimetres."""

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edgetl.history import StageHistory
from edgetl.networks.head import build_head, finish_head
from edgetl.options import FittingOptions, HeadOptions
from edgetl.training.checkpoint import Checkpoint, Checkpoints
from edgetl.training.cross_validation import standardize
from edgetl.training.fitting import Fitter
from edgetl.training.recipe import make_recipe
from edgetl.training.sources import CachedRows
from edgetl.training.steps import Stage

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

    def count_right(self, rows: CachedRows) -> int:
        """How many rows it classifies correctly."""
        batch = rows.load(rows.pick(None, 0), 0)
        named = np.asarray(self.model(batch.inputs)).argmax(axis=1)
        return int((named == batch.classes).sum())


class _NoCheckpoints(Checkpoints):
    """A head is fitted again faster than it is resumed."""

    def __init__(self) -> None:
        super().__init__(Path())

    def save(self, checkpoint: Checkpoint) -> None:
        """Keeps nothing."""

    def load(self) -> None:
        """Finds nothing."""


def keep_rows(features: np.ndarray, classes: np.ndarray) -> CachedRows:
    """Rows of which each is an example of its own: float32 (rows, features), int64 (rows,)."""
    return CachedRows(list(features), np.arange(len(classes)), classes)


def fit_head(
    train: CachedRows,
    val: CachedRows,
    classes: int,
    head: HeadOptions,
    training: FittingOptions,
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

    Raises:
        TrainingError: If the loss is no number any more.
    """
    import keras

    keras.utils.set_random_seed(seed)
    penalties = {"l1": training.l1, "l2": training.l2 or 0.0}
    model = build_head(standardize(train.chunks()), classes, head, **penalties)
    recipe = make_recipe("head", training, epochs=training.epochs)
    stage = Stage(0, "head", model, classes, train, val, recipe)
    history = Fitter(_NoCheckpoints(), seed=seed).fit(stage)
    return FittedHead(finish_head(model, head), history)
