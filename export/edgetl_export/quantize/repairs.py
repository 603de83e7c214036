"""Repair: what is tried, in order, until a quantized file is as good as the trained model."""

from collections.abc import Iterator

import msgspec

from edgetl_export.options import Repair
from edgetl_export.recipes import RECIPES, Recipe

PHOTOS = 300
# Of top-1, 0..1, with the head fitted again: no few layers in float bring more than that back.
FARTHEST_DROP = 0.1


class Plan(msgspec.Struct, frozen=True):
    """One way to carry out a recipe.

    Attributes:
        recipe: What is written.
        repair: What differs from the plain recipe, for people; empty for the plain one.
        refit: Fit the head again on the quantized features.
        retrain: Train the upper layers for 8 bits; see `retraining`.
        photos: Most photos to calibrate with.
        per_channel: A step for each channel of a weight (ONNX; LiteRT always does so).
        keep: So many of the most sensitive layers stay in float.
    """

    recipe: Recipe
    repair: str = ""
    refit: bool = False
    retrain: bool = False
    photos: int = PHOTOS
    per_channel: bool = True
    keep: int = 0

    @property
    def title(self) -> str:
        """Recipe and repair, for people."""
        return ", ".join(filter(None, (self.recipe.name, self.repair)))


KEEP = 4
_REFIT = "head refitted"
_RETRAINED = "upper layers retrained in 8 bits"
_MORE_PHOTOS = 1000
_KEEPS = (1, 2, 4, 8, 16)
_KNOWN = {one.name: one for one in RECIPES}


def is_refit_only(plan: Plan) -> bool:
    """True for the first repair, which is cheap enough to be tried in any case."""
    return plan.repair == _REFIT


def make_plans(
    recipe: Recipe, *, repair: Repair, refit: bool, retrain: bool = False
) -> tuple[Plan, ...]:
    """The plain recipe, and then what may bring it back to the trained model's accuracy.

    Args:
        recipe: What is asked for.
        repair: How much may be tried.
        refit: The model has a head that can be fitted again.
        retrain: The model has upper layers that can be trained.
    """
    plain = Plan(recipe, keep=KEEP if recipe.precision == "mixed" else 0)
    if repair == "none" or recipe.precision not in ("int8", "mixed", "dynamic"):
        return (plain,)
    first = _REFIT if refit else ""
    steps: list[tuple[str, dict[str, object]]] = [("", {})] if refit else []
    if repair == "thorough":
        steps += _calibrate_otherwise(recipe)
    plans = [plain]
    for words, changes in steps:
        text = ", ".join(filter(None, (first, words)))
        plans.append(msgspec.structs.replace(plain, repair=text, refit=refit, **changes))
    if retrain and recipe.precision == "int8":
        plans.insert(2, msgspec.structs.replace(plain, repair=_RETRAINED, retrain=True))
    plans += _spare_layers(recipe, first, refit=refit)
    # No processor is fast at 16 bits, so that they are the last resort.
    if repair == "thorough" and recipe.engine == "litert" and recipe.precision != "dynamic":
        plans.append(Plan(_KNOWN["litert-int16x8"], repair="int16 activations"))
    return tuple(plans)


def _calibrate_otherwise(recipe: Recipe) -> Iterator[tuple[str, dict[str, object]]]:
    """What rarely helps."""
    if recipe.precision != "dynamic":
        yield f"{_MORE_PHOTOS} photos for calibration", {"photos": _MORE_PHOTOS}
    if recipe.engine == "onnx":
        yield "per-tensor weights", {"per_channel": False}


def _spare_layers(recipe: Recipe, first: str, *, refit: bool) -> list[Plan]:
    """Layers in float, the fewest first."""
    if recipe.precision == "dynamic":
        return []
    mixed = _KNOWN["litert-mixed"] if recipe.engine == "litert" else recipe
    return [
        Plan(
            mixed,
            repair=", ".join(filter(None, (first, f"{keep} layer{'s' * (keep > 1)} in float"))),
            refit=refit,
            keep=keep,
        )
        for keep in _KEEPS
        if keep > KEEP or recipe.precision != "mixed"
    ]
