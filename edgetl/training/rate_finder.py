"""The search for learning rates: a range test of each stage of a training that leaves no run."""

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from edgetl.dataset.tables import list_data
from edgetl.history import StageHistory
from edgetl.learning_rates import RateTest, has_diverged
from edgetl.networks.framework import load_tensorflow
from edgetl.options import TrainOptions, check_options
from edgetl.training.checkpoint import Checkpoints
from edgetl.training.devices import training_devices
from edgetl.training.fitting import Fitter
from edgetl.training.recipe import build_optimizer
from edgetl.training.sources import iterate
from edgetl.training.steps import Stage, Stepper
from edgetl.training.train import find_start, make_learner, scan_data
from edgetl_export.progress import track
from edgetl_runtime.errors import OptionsError

LOWEST, HIGHEST, STEPS = 1e-6, 10.0, 120


class _AllTestedError(Exception):
    """The last stage was tested: what would follow it is for a run alone."""


def find_rates(data: Path, options: TrainOptions | None = None) -> list[RateTest]:
    """Tests each stage that `train` would fit, with its own batches, optimizer and loss.

    The head is fitted before the blocks are tested, as they would meet it. Nothing is written but
    features into the cache.

    Raises:
        DatasetError: If the photos cannot be used.
        OptionsError: If the options contradict one another or do not suit the photos.
        WeightsError: If the weights cannot be had or do not fit.
    """
    options = options or TrainOptions()
    check_options(options)
    if options.teacher:
        raise OptionsError("rates are found for the labels alone; leave the teacher out")
    list_data(data)  # What is wrong with the folders is said before any other work.
    weights = find_start(options)
    manifest = scan_data(data, options)
    load_tensorflow()
    one_stage = weights.path is None or options.finetune == "none"
    with tempfile.TemporaryDirectory() as folder, training_devices():
        checkpoints = Checkpoints(Path(folder))
        finder = RateFinder(checkpoints, seed=options.seed, last=0 if one_stage else 1)
        learner = make_learner(manifest, options, weights, finder)
        with suppress(_AllTestedError):
            learner.learn()
    return finder.tests


class RateFinder(Fitter):
    """Tests each stage before it is fitted, and ends the training after the last test."""

    def __init__(self, checkpoints: Checkpoints, *, seed: int, last: int) -> None:
        """As `Fitter`.

        Args:
            checkpoints: Of the stages that are fitted.
            seed: Of the order of the rows and of what is mixed.
            last: Number of the last stage.
        """
        super().__init__(checkpoints, seed=seed)
        self._order = seed
        self._last = last
        self.tests: list[RateTest] = []

    def fit(self, stage: Stage) -> StageHistory:
        """Tests the stage, then fits it from where it was."""
        self.tests.append(run_range_test(stage, seed=self._order))
        if stage.number == self._last:
            raise _AllTestedError
        return super().fit(stage)


def run_range_test(
    stage: Stage,
    *,
    seed: int,
    lowest: float = LOWEST,
    highest: float = HIGHEST,
    steps: int = STEPS,
) -> RateTest:
    """Trains while the rate grows exponentially, until the loss diverges; then puts all back.

    Args:
        stage: Its model is as before afterwards.
        seed: Of the order of the rows and of what is mixed.
        lowest: Rate of the first step.
        highest: Rate of the last step.
        steps: At most so many.
    """
    growth = (highest / lowest) ** (1 / (steps - 1))
    stepper = Stepper(stage, build_optimizer(stage.recipe, steps, rate=_grow(lowest, growth)))
    before = stepper.model_values()
    losses: list[float] = []
    batches = _batches(stage, steps, seed)
    for batch, random in track(batches, f"testing rates of {stage.name}", steps):
        # A generator that is left early would leave its threads at work.
        if losses and has_diverged(losses):
            continue
        loss, _ = stepper.step(batch, random)
        losses.append(loss / len(batch.classes))
    stepper.set_model(before)
    known = [loss for loss in losses if np.isfinite(loss)]
    return RateTest(
        stage=stage.name,
        flag="--finetune-learning-rate" if stage.number else "--learning-rate",
        rates=tuple(lowest * growth**n for n in range(len(known))),
        losses=tuple(known),
        before=stage.recipe.learning_rate,
    )


def _grow(lowest: float, growth: float) -> Any:
    import keras

    return keras.optimizers.schedules.ExponentialDecay(lowest, 1, growth)


def _batches(stage: Stage, steps: int, seed: int) -> Any:
    """So many batches, over as many epochs as they take."""
    epoch = done = 0
    while done < steps:
        random = np.random.default_rng([seed, stage.number, epoch])
        rows = stage.train.pick(random, epoch)[: (steps - done) * stage.recipe.batch]
        for batch in iterate(stage.train, rows, stage.recipe.batch, epoch):
            yield batch, random
            done += 1
        epoch += 1
