"""The plans of a recipe: plain first, each repair once, none where nothing was quantized."""

import pytest

from edgetl_export.quantize.repairs import PHOTOS, is_refit_only, make_plans
from edgetl_export.recipes import RECIPES, Recipe, find_recipes

(LITERT,) = find_recipes(["litert-int8"])
(ONNX,) = find_recipes(["onnx-int8"])
REPAIRABLE = ("int8", "mixed", "dynamic")


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_plain_recipe_comes_first(recipe: Recipe) -> None:
    plain = make_plans(recipe, repair="thorough", refit=True)[0]
    assert (plain.recipe, plain.repair, plain.refit) == (recipe, "", False)


@pytest.mark.parametrize("recipe", RECIPES)
def test_without_repair_nothing_else_is_tried(recipe: Recipe) -> None:
    assert len(make_plans(recipe, repair="none", refit=True)) == 1


@pytest.mark.parametrize("recipe", [one for one in RECIPES if one.precision not in REPAIRABLE])
def test_what_keeps_16_bits_has_no_repair(recipe: Recipe) -> None:
    assert len(make_plans(recipe, repair="thorough", refit=True)) == 1


@pytest.mark.parametrize("recipe", [one for one in RECIPES if one.precision in REPAIRABLE])
@pytest.mark.parametrize("refit", [True, False])
def test_no_plan_is_tried_twice(recipe: Recipe, refit: bool) -> None:
    plans = make_plans(recipe, repair="thorough", refit=refit)
    assert len(set(plans)) == len({plan.repair for plan in plans}) == len(plans)
    assert any(plan.refit for plan in plans) == refit


@pytest.mark.parametrize("recipe", [LITERT, ONNX])
def test_the_head_is_fitted_again_before_anything_else(recipe: Recipe) -> None:
    _, second, *others = make_plans(recipe, repair="thorough", refit=True)
    assert is_refit_only(second)
    assert not any(map(is_refit_only, others))
    assert all(plan.refit for plan in others if plan.recipe.precision != "int16x8")


@pytest.mark.parametrize("recipe", [LITERT, ONNX])
def test_the_fewest_layers_are_spared_first(recipe: Recipe) -> None:
    kept = [plan.keep for plan in make_plans(recipe, repair="thorough", refit=True) if plan.keep]
    assert kept == sorted(kept)
    assert kept[0] == 1


@pytest.mark.parametrize("recipe", RECIPES)
def test_quick_repairs_are_some_of_all_repairs_in_the_same_order(recipe: Recipe) -> None:
    quick, thorough = (
        make_plans(recipe, repair=repair, refit=True) for repair in ("quick", "thorough")
    )
    assert [plan for plan in thorough if plan in quick] == list(quick)
    assert not any(plan.photos > PHOTOS or plan.recipe.precision == "int16x8" for plan in quick[1:])


def test_litert_spares_layers_as_mixed_and_ends_with_activations_of_16_bits() -> None:
    *_, mixed, last = make_plans(LITERT, repair="thorough", refit=True)
    assert mixed.recipe.precision == "mixed"
    assert last.recipe.precision == "int16x8"
