"""Recipes: numbers that suit each stage, and schedules and optimizers that do what they say."""

from typing import Any

import keras
import numpy as np
import pytest

from edgetl.options import FittingOptions
from edgetl.training.recipe import build_optimizer, make_recipe, weigh_classes

STEPS = 90
RATE = 0.02


def rates(**options: Any) -> list[float]:
    """The learning rate before each step, and after the last."""
    training = FittingOptions(learning_rate=RATE, **{"warmup": 0.0} | options)
    optimizer = build_optimizer(make_recipe("head", training, epochs=3), STEPS)
    optimizer.build([keras.Variable(0.0)])
    found = []
    for step in range(STEPS + 1):
        optimizer.iterations.assign(step)
        found.append(float(optimizer.learning_rate))
    return found


def make(kind: str, **options: Any) -> Any:
    return make_recipe(kind, FittingOptions(**options), epochs=1)


def test_cosine_falls_from_the_highest_rate_to_zero() -> None:
    found = rates()
    assert found[0] == pytest.approx(RATE)
    assert found[STEPS // 2] == pytest.approx(RATE / 2)
    assert found[-1] == pytest.approx(0, abs=1e-8)
    assert (np.diff(found) < 0).all()


def test_warm_up_grows_evenly_from_zero_before_the_cosine() -> None:
    found = rates(warmup=0.2)
    peak = STEPS // 5
    np.testing.assert_allclose(found[: peak + 1], np.linspace(0, RATE, peak + 1), atol=1e-7)
    assert (np.diff(found[peak:]) < 0).all()
    assert found[-1] == pytest.approx(0, abs=1e-8)


def test_a_warm_up_of_the_whole_training_is_no_error() -> None:
    found = rates(warmup=1.0)
    assert max(found) == pytest.approx(RATE)
    assert np.isfinite(found).all()


def test_step_takes_a_tenth_after_each_third() -> None:
    found = rates(schedule="step")[1:]
    for third, wanted in enumerate((RATE, RATE / 10, RATE / 100)):
        part = found[third * STEPS // 3 : (third + 1) * STEPS // 3]
        np.testing.assert_allclose(part, wanted, rtol=1e-5)


def test_constant_stays() -> None:
    np.testing.assert_allclose(rates(schedule="constant"), RATE, rtol=1e-6)


@pytest.mark.parametrize("schedule", ["cosine", "step", "constant"])
def test_a_single_step_has_a_schedule_too(schedule: Any) -> None:
    optimizer = build_optimizer(make("head", schedule=schedule, warmup=0.5), 1)
    assert float(optimizer.learning_rate) == pytest.approx(3e-3)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("adam", keras.optimizers.Adam),
        ("adamw", keras.optimizers.AdamW),
        ("rmsprop", keras.optimizers.RMSprop),
        ("sgd", keras.optimizers.SGD),
    ],
)
def test_each_optimizer_is_keras_own(name: Any, kind: Any) -> None:
    assert type(build_optimizer(make("head", optimizer=name), STEPS)) is kind


@pytest.mark.parametrize("name", ["rmsprop", "sgd"])
def test_momentum_is_nine_tenths_unless_told_otherwise(name: Any) -> None:
    assert build_optimizer(make("head", optimizer=name), STEPS).momentum == 0.9
    assert build_optimizer(make("head", optimizer=name, momentum=0.0), STEPS).momentum == 0.0


def test_weight_decay_is_that_of_the_options() -> None:
    def decay(**options: Any) -> float | None:
        found: float | None = build_optimizer(make("head", **options), STEPS).weight_decay
        return found

    assert decay(optimizer="adamw") == 1e-3
    assert decay(optimizer="adamw", weight_decay=0.0) == 0.0
    assert decay(optimizer="adamw", weight_decay=0.2) == 0.2
    assert decay(optimizer="sgd") is None
    assert decay(optimizer="sgd", weight_decay=0.2) == 0.2


def test_weight_decay_shrinks_weights_that_have_no_gradient() -> None:
    for name in ("adamw", "sgd"):
        training = FittingOptions(optimizer=name, weight_decay=0.5, learning_rate=0.1)
        recipe = make_recipe("head", training, epochs=1)
        weight = keras.Variable(2.0)
        build_optimizer(recipe, STEPS).apply([keras.ops.zeros(())], [weight])
        assert float(weight) == pytest.approx(2.0 * (1 - 0.1 * 0.5))


def test_class_weights_have_mean_1_over_the_photos_and_favour_rare_classes() -> None:
    classes = np.repeat([0, 1, 3], [60, 30, 10])
    weights = weigh_classes(classes, 4, balanced=True)
    assert weights.dtype == np.float32
    assert weights[classes].mean() == pytest.approx(1, rel=1e-6)
    np.testing.assert_allclose(weights[[0, 1, 3]] * [60, 30, 10], 100 / 3, rtol=1e-6)
    assert np.isfinite(weights).all()


def test_unbalanced_weights_are_all_1() -> None:
    np.testing.assert_array_equal(weigh_classes(np.array([0, 0, 1]), 3, balanced=False), 1)


@pytest.mark.parametrize(
    ("kind", "rate", "batch", "warmup", "smoothing"),
    [
        ("head", 3e-3, 256, 0.0, 0.0),
        ("blocks", 4e-4, 32, 0.08, 0.1),
        ("all", 3e-4, 32, 0.1, 0.1),
        ("scratch", 2e-3, 32, 0.05, 0.05),
    ],
)
def test_each_kind_of_stage_has_numbers_of_its_own(
    kind: str, rate: float, batch: int, warmup: float, smoothing: float
) -> None:
    recipe = make(kind)
    found = (recipe.learning_rate, recipe.batch, recipe.warmup, recipe.label_smoothing)
    assert found == (rate, batch, warmup, smoothing)
    assert (recipe.optimizer, recipe.schedule, recipe.patience) == ("adam", "cosine", 0)
    assert (recipe.monitor, recipe.balanced) == ("calibrated", False)


def test_each_optimizer_has_a_rate_of_its_own() -> None:
    assert make("blocks", optimizer="sgd").learning_rate == 0.02
    assert make("scratch", optimizer="rmsprop").learning_rate == 5e-4


@pytest.mark.parametrize("kind", ["head", "blocks", "all", "scratch"])
def test_given_numbers_are_taken_zero_too(kind: str) -> None:
    recipe = make(
        kind,
        learning_rate=0.7,
        finetune_learning_rate=0.6,
        batch=5,
        warmup=0.0,
        label_smoothing=0.0,
        class_weights="balanced",
        patience=4,
        monitor="accuracy",
    )
    assert recipe.learning_rate == (0.7 if kind in ("head", "scratch") else 0.6)
    assert (recipe.batch, recipe.warmup, recipe.label_smoothing) == (5, 0.0, 0.0)
    assert (recipe.balanced, recipe.patience, recipe.monitor) == (True, 4, "accuracy")
