"""How a stage is fitted: optimizer, schedule, loss; numbers where the user left them open."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl.options import FittingOptions, Monitor, Optimizer, Schedule

# Highest learning rates that did best on TrashNet for adam; the other optimizers' are theirs.
_RATES: dict[str, dict[Optimizer, float]] = {
    "head": {"adam": 3e-3, "adamw": 3e-3, "rmsprop": 1e-3, "sgd": 0.05},
    "blocks": {"adam": 4e-4, "adamw": 4e-4, "rmsprop": 2e-4, "sgd": 0.02},
    "all": {"adam": 3e-4, "adamw": 3e-4, "rmsprop": 1e-4, "sgd": 0.01},
    "scratch": {"adam": 2e-3, "adamw": 2e-3, "rmsprop": 5e-4, "sgd": 0.05},
}
_BATCHES = {"head": 256, "blocks": 32, "all": 32, "scratch": 32}
_SMOOTHING = {"head": 0.0, "blocks": 0.1, "all": 0.1, "scratch": 0.05}
_WARMUP = {"head": 0.0, "blocks": 0.08, "all": 0.1, "scratch": 0.05}
_MOMENTUM = 0.9


class StageRecipe(msgspec.Struct, frozen=True):
    """All numbers of one stage; see `FittingOptions` for what each means."""

    epochs: int
    batch: int
    optimizer: Optimizer
    learning_rate: float
    momentum: float
    schedule: Schedule
    warmup: float
    weight_decay: float | None
    label_smoothing: float
    balanced: bool
    patience: int
    monitor: Monitor
    mixup: float
    cutmix: float
    teacher_weight: float
    teacher_temperature: float


def make_recipe(
    kind: str, training: FittingOptions, *, epochs: int, mixup: float = 0.0, cutmix: float = 0.0
) -> StageRecipe:
    """Fills in what the options leave open.

    Args:
        kind: `head`, `blocks`, `all`, or `scratch`: all from random weights.
        training: The user's choices.
        epochs: Of this stage.
        mixup: Alpha of MixUp; 0: off.
        cutmix: Alpha of CutMix; 0: off.
    """
    first = kind in ("head", "scratch")
    rate = training.learning_rate if first else training.finetune_learning_rate
    smoothing = training.label_smoothing
    return StageRecipe(
        epochs=epochs,
        batch=training.batch or _BATCHES[kind],
        optimizer=training.optimizer,
        learning_rate=rate or _RATES[kind][training.optimizer],
        momentum=_MOMENTUM if training.momentum is None else training.momentum,
        schedule=training.schedule,
        warmup=_WARMUP[kind] if training.warmup is None else training.warmup,
        weight_decay=training.weight_decay,
        label_smoothing=_SMOOTHING[kind] if smoothing is None else smoothing,
        balanced=training.class_weights == "balanced",
        patience=training.patience,
        monitor=training.monitor,
        mixup=mixup,
        cutmix=cutmix,
        teacher_weight=training.teacher_weight,
        teacher_temperature=training.teacher_temperature,
    )


def build_optimizer(recipe: StageRecipe, steps: int, *, rate: Any = None) -> Any:
    """The Keras optimizer with its schedule over `steps` steps, or with another one as `rate`."""
    import keras

    rate = rate or _build_schedule(recipe, steps)
    decay = recipe.weight_decay
    match recipe.optimizer:
        case "adam":
            return keras.optimizers.Adam(rate)
        case "adamw":
            return keras.optimizers.AdamW(rate, weight_decay=1e-3 if decay is None else decay)
        case "rmsprop":
            return keras.optimizers.RMSprop(rate, momentum=recipe.momentum)
        case "sgd":
            return keras.optimizers.SGD(rate, recipe.momentum, weight_decay=decay)


def weigh_classes(classes: NDArray[np.int64], count: int, *, balanced: bool) -> NDArray[np.float32]:
    """Class weights, float32 (count,); their mean over the photos is 1."""
    if not balanced:
        return np.ones(count, np.float32)
    present = np.bincount(classes[classes >= 0], minlength=count)
    weights: NDArray[np.float64] = present.sum() / (
        np.count_nonzero(present) * np.maximum(present, 1)
    )
    return weights.astype(np.float32)


def _build_schedule(recipe: StageRecipe, steps: int) -> Any:
    import keras

    schedules = keras.optimizers.schedules
    warmup = min(int(recipe.warmup * steps), steps - 1)
    if recipe.schedule == "cosine" and warmup:
        return schedules.CosineDecay(
            0.0, steps - warmup, warmup_target=recipe.learning_rate, warmup_steps=warmup
        )
    if recipe.schedule == "cosine":
        return schedules.CosineDecay(recipe.learning_rate, steps)
    if recipe.schedule == "step":
        thirds = [max(1, steps // 3), max(2, 2 * steps // 3)]
        rates = [recipe.learning_rate / 10**n for n in range(3)]
        return schedules.PiecewiseConstantDecay(thirds, rates)
    return schedules.PiecewiseConstantDecay([steps], [recipe.learning_rate] * 2)
