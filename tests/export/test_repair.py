"""The plans of a recipe: plain first, each repair once, none where nothing was quantized."""

import pytest

from edgetl_export.recipes import RECIPES, Recipe, find_recipes
from edgetl_export.repair import make_plans

(LITERT,) = find_recipes(["litert-int8"])
(ONNX,) = find_recipes(["onnx-int8"])


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_plain_recipe_comes_first(recipe: Recipe) -> None:
    plain = make_plans(recipe, repair=True, refit=True)[0]
    assert (plain.recipe, plain.repair, plain.refit) == (recipe, "", False)


@pytest.mark.parametrize("recipe", RECIPES)
def test_without_repair_nothing_else_is_tried(recipe: Recipe) -> None:
    assert len(make_plans(recipe, repair=False, refit=True)) == 1


@pytest.mark.parametrize("recipe", [one for one in RECIPES if one.precision != "int8"])
def test_what_is_not_int8_has_no_repair(recipe: Recipe) -> None:
    assert len(make_plans(recipe, repair=True, refit=True)) == 1


@pytest.mark.parametrize("recipe", [LITERT, ONNX])
@pytest.mark.parametrize("refit", [True, False])
def test_no_plan_is_tried_twice(recipe: Recipe, refit: bool) -> None:
    plans = make_plans(recipe, repair=True, refit=refit)
    assert len(set(plans)) == len({plan.repair for plan in plans}) == len(plans) > 2
    assert any(plan.refit for plan in plans) == refit


def test_the_head_is_fitted_again_before_anything_else() -> None:
    assert make_plans(LITERT, repair=True, refit=True)[1].repair == "head fitted again"


def test_litert_ends_with_activations_of_16_bits() -> None:
    assert make_plans(LITERT, repair=True, refit=True)[-1].recipe.precision == "int16x8"
