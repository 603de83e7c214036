"""Repair: what is tried, in order, until a quantized file is as good as the trained model."""

import msgspec

from edgetl_export.recipes import RECIPES, Recipe


class Plan(msgspec.Struct, frozen=True):
    """One way to carry out a recipe.

    Attributes:
        recipe: What is written.
        repair: What differs from the plain recipe, for people; empty for the plain one.
        refit: Fit the head again on the quantized features.
        photos: Most photos to calibrate with.
        per_channel: A step for each channel of a weight (ONNX; LiteRT always does so).
    """

    recipe: Recipe
    repair: str = ""
    refit: bool = False
    photos: int = 160
    per_channel: bool = True


_MORE_PHOTOS = 500


def make_plans(recipe: Recipe, *, repair: bool, refit: bool) -> tuple[Plan, ...]:
    """The plain recipe, and then what may bring it back to the trained model's accuracy.

    Args:
        recipe: What is asked for.
        repair: False: the plain recipe only.
        refit: The model has a head that can be fitted again.
    """
    plain = Plan(recipe)
    if not repair or recipe.precision != "int8":
        return (plain,)
    plans = [plain]
    first = "head fitted again" if refit else ""

    def add(words: str, **changes: object) -> None:
        text = ", ".join(filter(None, (first, words)))
        plans.append(msgspec.structs.replace(plain, repair=text, refit=refit, **changes))

    if refit:
        add("")
    add(f"{_MORE_PHOTOS} photos to calibrate with", photos=_MORE_PHOTOS)
    if recipe.engine == "onnx":
        add("one step for all channels", per_channel=False)
    else:
        wider = next(one for one in RECIPES if one.name == "litert-int16x8")
        plans.append(Plan(wider, repair="activations of 16 bits", photos=_MORE_PHOTOS))
    return tuple(plans)
