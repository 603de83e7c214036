"""Fitting: one loop over epochs for heads, blocks and whole networks.

The loop owns what must survive a crash: the order of the rows, the best weights, early stopping,
and a checkpoint after each epoch.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetl.history import StageHistory
from edgetl.training.checkpoint import Checkpoint, Checkpoints, Progress
from edgetl.training.recipe import build_optimizer
from edgetl.training.sources import UNLABELLED, iterate
from edgetl.training.steps import Stage, Stepper
from edgetl_export.progress import track
from edgetl_runtime.errors import TrainingError

Curves = dict[str, list[float]]


class Fitter:
    """Fits the stages of one run, one after the other."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        *,
        seed: int,
        observe: Callable[[str, int, dict[str, float]], None] | None = None,
    ) -> None:
        """Reads the newest checkpoint, if there is one.

        Args:
            checkpoints: Of this run.
            seed: Of the order of the rows and of what is mixed.
            observe: Called after each epoch: stage, epoch from 1, and its figures; again for
                an epoch whose checkpoint a crash prevented.
        """
        self._checkpoints = checkpoints
        self._resumed = checkpoints.load()
        self._seed = seed
        self._observe = observe
        self.histories: list[StageHistory] = []

    def fit(self, stage: Stage) -> StageHistory:
        """Fits one stage, and leaves its model with the best weights.

        A stage that a checkpoint knows as finished is not fitted again: the checkpoint holds the
        weights of the stage after it, which include this stage's.

        Raises:
            TrainingError: If the loss is no longer finite.
            StorageError: If a checkpoint cannot be written.
        """
        if self._resumed and self._resumed.progress.stage > stage.number:
            history = self._resumed.progress.finished[stage.number]
        else:
            fit = _StageFit(stage, self._seed, self._checkpoints, tuple(self.histories))
            history = fit.run(self._take_resumed(stage), self._observe)
        self.histories.append(history)
        return history

    def _take_resumed(self, stage: Stage) -> Checkpoint | None:
        resumed = self._resumed
        self._resumed = None
        return resumed if resumed and resumed.progress.stage == stage.number else None


class _StageFit:
    """The state of one stage between two epochs."""

    def __init__(
        self,
        stage: Stage,
        seed: int,
        checkpoints: Checkpoints,
        finished: tuple[StageHistory, ...],
    ) -> None:
        self._stage = stage
        self._seed = seed
        self._checkpoints = checkpoints
        self._finished = finished
        rows = len(stage.train.pick(np.random.default_rng(0), 0))
        steps = -(-rows // stage.recipe.batch) * stage.recipe.epochs
        self._stepper = Stepper(stage, build_optimizer(stage.recipe, steps))
        self._curves: Curves = {}
        self._best_epoch = 0
        self._best_value = math.inf
        self._best: list[NDArray[Any]] = []
        self._seconds = 0.0
        self._epoch = 0

    def run(
        self,
        resumed: Checkpoint | None,
        observe: Callable[[str, int, dict[str, float]], None] | None,
    ) -> StageHistory:
        recipe = self._stage.recipe
        if resumed:
            self._restore(resumed)
        else:
            self._start()
        epochs = range(self._epoch, recipe.epochs)
        for epoch in track(epochs, f"fitting {self._stage.name}", len(epochs)):
            if self._is_over():
                continue
            start = time.monotonic()
            figures = self._run_epoch(epoch)
            self._seconds += time.monotonic() - start
            self._record(figures)
            # Before the checkpoint: an epoch that is observed twice is better than never.
            if observe:
                observe(self._stage.name, self._epoch, figures)
            self._checkpoints.save(self._checkpoint())
        self._stepper.set_model(self._best)
        return self._history()

    def _start(self) -> None:
        """The weights that an earlier stage left are the first to be beaten."""
        figures = self._stepper.judge()
        if not math.isfinite(figures["val_loss"]):
            raise TrainingError(
                f"the validation loss is {figures['val_loss']} before fitting {self._stage.name}; "
                "the likely cause is weights that do not suit the photos; try other --weights"
            )
        if self._stage.number:
            self._best_value = self._monitored(figures)
            self._best = self._stepper.model_values()

    def _restore(self, checkpoint: Checkpoint) -> None:
        progress = checkpoint.progress
        self._epoch = progress.epoch
        self._curves = {name: list(curve) for name, curve in progress.history.curves.items()}
        self._best_epoch, self._best_value = progress.history.best_epoch, progress.best_value
        self._seconds = progress.history.seconds
        self._best = checkpoint.best
        self._stepper.set_model(checkpoint.model)
        self._stepper.set_optimizer(checkpoint.optimizer)

    def _checkpoint(self) -> Checkpoint:
        progress = Progress(
            self._stage.number, self._epoch, self._history(), self._best_value, self._finished
        )
        return Checkpoint(
            progress, self._stepper.model_values(), self._stepper.optimizer_values(), self._best
        )

    def _history(self) -> StageHistory:
        return StageHistory(
            self._stage.name,
            self._curves,
            self._best_epoch,
            self._seconds,
            self._stage.recipe.monitor,
        )

    def _is_over(self) -> bool:
        patience = self._stage.recipe.patience
        return bool(patience) and self._epoch - self._best_epoch >= patience

    def _run_epoch(self, epoch: int) -> dict[str, float]:
        stage, recipe = self._stage, self._stage.recipe
        random = np.random.default_rng([self._seed, stage.number, epoch])
        rows = stage.train.pick(random, epoch)
        losses, hits, labelled = [], [], 0
        for batch in iterate(stage.train, rows, recipe.batch, epoch):
            loss, right = self._stepper.step(batch, random)
            losses.append(loss)
            hits.append(right)
            labelled += int(np.count_nonzero(batch.classes != UNLABELLED))
        figures = {
            "loss": float(np.sum(losses)) / len(rows),
            "accuracy": float(np.sum(hits)) / labelled,
            **self._stepper.judge(),
            "learning_rate": self._stepper.learning_rate(),
        }
        self._check_finite(figures, epoch)
        return figures

    def _check_finite(self, figures: dict[str, float], epoch: int) -> None:
        bad = [loss for loss in (figures["loss"], figures["val_loss"]) if not math.isfinite(loss)]
        if not bad:
            return
        number, rate = self._stage.number, self._stage.recipe.learning_rate
        option = "--finetune-learning-rate" if number else "--learning-rate"
        kept, remedy = "no epoch succeeded", f"a lower {option}"
        if epoch or number:
            last = f"epoch {epoch}" if epoch else f"fitting {self._finished[-1].name}"
            kept, remedy = f"the checkpoint of {last} is kept", f"{remedy} and --overwrite"
        raise TrainingError(
            f"the loss became {bad[0]} in epoch {epoch + 1} of fitting {self._stage.name}; the "
            f"likely cause is a learning rate that is too high ({rate:g}): start over with "
            f"{remedy}; {kept}"
        )

    def _record(self, figures: dict[str, float]) -> None:
        self._epoch += 1
        for name, value in figures.items():
            self._curves.setdefault(name, []).append(value)
        value = self._monitored(figures)
        if value < self._best_value:
            self._best_value, self._best_epoch = value, self._epoch
            self._best = self._stepper.model_values()

    def _monitored(self, figures: dict[str, float]) -> float:
        match self._stage.recipe.monitor:
            case "accuracy":
                return -figures["val_accuracy"]
            case "loss":
                return figures["val_loss"]
            case "calibrated":
                return figures["val_calibrated_loss"]
