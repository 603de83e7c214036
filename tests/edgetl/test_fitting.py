"""Fitting: it learns, repeats, stops in time, and goes on after a crash as if there were none."""

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgetl.history import StageHistory
from edgetl.networks.head import build_head
from edgetl.options import FittingOptions, HeadOptions
from edgetl.training.checkpoint import Checkpoint, Checkpoints
from edgetl.training.fitting import Fitter
from edgetl.training.recipe import make_recipe
from edgetl.training.sources import CachedRows
from edgetl.training.steps import Stage, judge, predict_logits
from edgetl_runtime.errors import TrainingError

CLASSES, FEATURES = 3, 6
CENTRES = np.random.default_rng(7).normal(0, 1.5, (CLASSES, FEATURES))
PLAIN = np.zeros(FEATURES, np.float32), np.ones(FEATURES, np.float32)
MLP = HeadOptions("mlp", (8,), dropout=0.3)
Observe = Callable[[str, int, dict[str, float]], None]


def draw(rows: int, seed: int, noise: float = 1.0, classes: int = CLASSES) -> CachedRows:
    """Clouds, one for each class; each example has its own row and one view of it."""
    random = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    owner = np.repeat(np.arange(rows), 2)
    inputs = CENTRES[labels[owner]] + random.normal(0, noise, (2 * rows, FEATURES))
    return CachedRows(list(inputs.astype(np.float32)), owner, labels)


def shuffle_labels(rows: CachedRows) -> CachedRows:
    """Nothing to learn: the longer it is fitted, the worse it gets on other rows."""
    labels = np.random.default_rng(3).permutation(rows.classes)
    return CachedRows(rows._rows, rows._owner, labels)


def make_stage(
    head: HeadOptions = MLP,
    *,
    number: int = 0,
    train: CachedRows | None = None,
    epochs: int = 4,
    mixup: float = 0.0,
    classes: int = CLASSES,
    model: Any = None,
    **training: Any,
) -> Stage:
    if model is None:
        keras.utils.set_random_seed(0)
        model = build_head(PLAIN, classes, head)
    options = FittingOptions(**{"batch": 8, "learning_rate": 0.01, "monitor": "loss"} | training)
    return Stage(
        number,
        ("head", "all")[number],
        model,
        classes,
        train or draw(30, 1, classes=classes),
        draw(30, 2, classes=classes),
        make_recipe("head", options, epochs=epochs, mixup=mixup),
    )


def fit(stage: Stage, folder: Path, *, seed: int = 0, observe: Observe | None = None) -> Any:
    return Fitter(Checkpoints(folder), seed=seed, observe=observe).fit(stage)


def logits_of(stage: Stage) -> np.ndarray:
    return predict_logits(stage.model, stage.val)


def weights_of(stage: Stage) -> list[np.ndarray]:
    return [one.value.numpy() for one in stage.model.variables]


def check_equal(one: list[np.ndarray], other: list[np.ndarray]) -> None:
    for before, after in zip(one, other, strict=True):
        np.testing.assert_array_equal(before, after)


def check_same_history(one: StageHistory, other: StageHistory) -> None:
    assert one.curves == other.curves
    assert (one.name, one.best_epoch) == (other.name, other.best_epoch)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def load(folder: Path) -> Checkpoint:
    found = Checkpoints(folder).load()
    assert found is not None
    return found


def interrupt_after(epoch: int, name: str = "head") -> Observe:
    """Ctrl-C after an epoch, before its checkpoint."""

    def observe(stage: str, number: int, figures: dict[str, float]) -> None:
        if (stage, number) == (name, epoch):
            raise KeyboardInterrupt

    return observe


def test_separable_data_is_learned(tmp_path: Path) -> None:
    stage = make_stage(HeadOptions(), train=draw(30, 1, noise=0.3), epochs=20)
    history = fit(stage, tmp_path)
    assert history.curves["accuracy"][-1] == 1
    assert history.curves["val_accuracy"][-1] >= 0.9
    assert history.curves["val_loss"][-1] < history.curves["val_loss"][0] < math.log(CLASSES)
    judged = {"val_loss", "val_calibrated_loss", "val_accuracy"}
    assert set(history.curves) == {"loss", "accuracy", "learning_rate"} | judged
    assert {len(curve) for curve in history.curves.values()} == {20}


def test_a_sigmoid_learns_two_classes(tmp_path: Path) -> None:
    stage = make_stage(HeadOptions(output="sigmoid"), classes=2, epochs=12)
    assert fit(stage, tmp_path).curves["val_accuracy"][-1] >= 0.9
    assert logits_of(stage).shape == (30, 1)


def test_one_seed_gives_one_result_and_another_seed_another(tmp_path: Path) -> None:
    stages = [make_stage(mixup=0.3) for _ in range(3)]
    histories = [
        fit(stage, tmp_path / str(n), seed=seed)
        for n, (stage, seed) in enumerate(zip(stages, (5, 5, 6), strict=True))
    ]
    check_same_history(histories[0], histories[1])
    check_equal(weights_of(stages[0]), weights_of(stages[1]))
    assert histories[0].curves["loss"] != histories[2].curves["loss"]


def test_the_best_epochs_weights_are_back(tmp_path: Path) -> None:
    stage = make_stage(epochs=12, learning_rate=0.3, schedule="constant")
    history = fit(stage, tmp_path)
    val_loss = history.curves["val_loss"]
    assert 0 < history.best_epoch < 12
    assert history.best_epoch == 1 + int(np.argmin(val_loss))
    found = judge(logits_of(stage), stage.val.classes)["val_loss"]
    assert found == pytest.approx(min(val_loss), rel=1e-6)
    assert found != pytest.approx(val_loss[-1], rel=1e-3)


def test_fitting_stops_after_so_many_epochs_without_gain(tmp_path: Path) -> None:
    stage = make_stage(epochs=30, learning_rate=0.3, schedule="constant", patience=3)
    history = fit(stage, tmp_path)
    done = len(history.curves["loss"])
    assert done == history.best_epoch + 3 < 30
    found = judge(logits_of(stage), stage.val.classes)["val_loss"]
    assert found == pytest.approx(min(history.curves["val_loss"]), rel=1e-6)


def test_when_no_epoch_is_better_the_weights_of_the_stage_before_stay(tmp_path: Path) -> None:
    fitter = Fitter(Checkpoints(tmp_path), seed=0)
    first = make_stage()
    fitter.fit(first)
    before = weights_of(first)
    wrong = shuffle_labels(draw(30, 1))
    history = fitter.fit(make_stage(number=1, model=first.model, train=wrong, learning_rate=1.0))
    assert history.best_epoch == 0
    check_equal(weights_of(first), before)


def test_from_random_weights_the_first_epoch_beats_none(tmp_path: Path) -> None:
    stage = make_stage(HeadOptions(), train=shuffle_labels(draw(30, 1)), learning_rate=1.0)
    history = fit(stage, tmp_path)
    assert min(history.curves["val_loss"]) > math.log(CLASSES)
    assert history.best_epoch >= 1


def test_the_best_epoch_is_that_of_the_figure_that_is_monitored(tmp_path: Path) -> None:
    found, best = {}, {}
    for monitor in ("loss", "calibrated", "accuracy"):
        options = {"learning_rate": 0.03, "schedule": "constant", "monitor": monitor}
        history = fit(make_stage(epochs=15, **options), tmp_path / monitor)
        found[monitor] = history.best_epoch
        curves = history.curves
        best = {
            "loss": 1 + int(np.argmin(curves["val_loss"])),
            "calibrated": 1 + int(np.argmin(curves["val_calibrated_loss"])),
            "accuracy": 1 + int(np.argmax(curves["val_accuracy"])),
        }
    assert found == best
    assert len(set(found.values())) == 3


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    stage = make_stage(HeadOptions(), optimizer="sgd", schedule="step", epochs=4)

    def spoil(name: str, epoch: int, figures: dict[str, float]) -> None:
        if epoch == 2:
            kernel = stage.model.get_layer("head").kernel
            kernel.assign(np.full(kernel.shape, 3e38))

    with pytest.raises(TrainingError) as caught:
        fit(stage, tmp_path, observe=spoil)
    for part in ("epoch 3", "fitting head", "0.01", "--learning-rate", "of epoch 2 is kept"):
        assert part in str(caught.value)
    assert load(tmp_path).progress.epoch == 2


def test_an_absurd_rate_is_named_as_the_cause(tmp_path: Path, wording: str) -> None:
    stage = make_stage(optimizer="sgd", learning_rate=1e30)
    with pytest.raises(TrainingError, match=wording):
        fit(stage, tmp_path)
    assert Checkpoints(tmp_path).is_empty


@pytest.mark.parametrize("epoch", [1, 3, 5])
def test_an_interrupted_fit_ends_like_an_uninterrupted_one(tmp_path: Path, epoch: int) -> None:
    options = {"epochs": 5, "mixup": 0.3, "optimizer": "adamw", "warmup": 0.2}
    whole = make_stage(**options)
    wanted = fit(whole, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(make_stage(**options), tmp_path / "cut", observe=interrupt_after(epoch))
    resumed = make_stage(**options)
    seen: list[int] = []
    history = fit(resumed, tmp_path / "cut", observe=lambda _, number, __: seen.append(number))
    assert seen == list(range(epoch, 6))
    check_same_history(history, wanted)
    check_equal(weights_of(resumed), weights_of(whole))


def test_early_stopping_counts_on_after_an_interruption(tmp_path: Path) -> None:
    options = {"epochs": 30, "learning_rate": 0.3, "schedule": "constant", "patience": 3}
    wanted = fit(make_stage(**options), tmp_path / "whole")
    last = len(wanted.curves["loss"])
    with pytest.raises(KeyboardInterrupt):
        fit(make_stage(**options), tmp_path / "cut", observe=interrupt_after(last))
    check_same_history(fit(make_stage(**options), tmp_path / "cut"), wanted)


def test_a_damaged_checkpoint_is_discarded_and_the_end_is_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = make_stage(epochs=5)
    wanted = fit(whole, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(make_stage(epochs=5), tmp_path / "cut", observe=interrupt_after(4))
    newest = sorted((tmp_path / "cut").iterdir())[-1]
    newest.write_bytes(newest.read_bytes()[:-5])
    resumed = make_stage(epochs=5)
    with caplog.at_level(logging.WARNING):
        history = fit(resumed, tmp_path / "cut")
    assert [record.name for record in caplog.records] == ["edgetl.training.checkpoint"]
    check_same_history(history, wanted)
    check_equal(weights_of(resumed), weights_of(whole))


def test_there_are_at_most_two_checkpoints(tmp_path: Path) -> None:
    counts = []
    fit(make_stage(), tmp_path, observe=lambda *_: counts.append(len(list(tmp_path.iterdir()))))
    assert counts == [0, 1, 2, 2]
    assert names(tmp_path) == ["0-000003.checkpoint", "0-000004.checkpoint"]


def fit_both(folder: Path, observe: Observe | None = None) -> tuple[Fitter, Stage]:
    """Two stages, one after the other, on the same model."""
    fitter = Fitter(Checkpoints(folder), seed=0, observe=observe)
    first = make_stage(mixup=0.3)
    fitter.fit(first)
    second = make_stage(number=1, model=first.model, mixup=0.3, optimizer="sgd")
    fitter.fit(second)
    return fitter, second


@pytest.mark.parametrize(("stage", "epoch"), [("head", 2), ("all", 1), ("all", 3)])
def test_an_interrupted_second_stage_ends_the_same(tmp_path: Path, stage: str, epoch: int) -> None:
    wanted, whole = fit_both(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit_both(tmp_path / "cut", interrupt_after(epoch, stage))
    found, resumed = fit_both(tmp_path / "cut")
    for one, other in zip(found.histories, wanted.histories, strict=True):
        check_same_history(one, other)
    check_equal(weights_of(resumed), weights_of(whole))


def test_label_smoothing_keeps_scores_from_the_extremes(tmp_path: Path) -> None:
    def fit_logits(smoothing: float) -> np.ndarray:
        options = {"label_smoothing": smoothing, "learning_rate": 0.1}
        stage = make_stage(HeadOptions(), epochs=15, train=draw(30, 1, 0.2), **options)
        fit(stage, tmp_path / str(smoothing))
        return logits_of(stage)

    assert np.ptp(fit_logits(0.3), axis=1).mean() < 0.7 * np.ptp(fit_logits(0.0), axis=1).mean()


def test_balanced_classes_find_more_of_the_rare_one(tmp_path: Path) -> None:
    crowd = draw(90, 1, noise=4.0)
    kept = np.flatnonzero((crowd.classes[crowd._owner] != 2) | (crowd._owner < 12))
    _, owner = np.unique(crowd._owner[kept], return_inverse=True)
    rare = CachedRows(
        [crowd._rows[row] for row in kept], owner, crowd.classes[np.unique(crowd._owner[kept])]
    )
    found = {}
    for weights in ("none", "balanced"):
        stage = make_stage(HeadOptions(), train=rare, epochs=6, class_weights=weights)
        fit(stage, tmp_path / weights)
        found[weights] = int((logits_of(stage).argmax(axis=1) == 2).sum())
    assert found["balanced"] > found["none"]


def test_the_loss_is_that_of_the_formula() -> None:
    classes = np.array([1, 0])
    figures = judge(np.array([[0, math.log(3)], [0, 0.5]], np.float32), classes)
    wanted = (math.log(4 / 3) + math.log(1 + math.exp(0.5))) / 2
    assert (figures["val_loss"], figures["val_accuracy"]) == (pytest.approx(wanted), 0.5)
    odds = judge(np.array([[math.log(3)], [0.5]], np.float32), classes)
    assert odds == pytest.approx(figures)
