"""The recipes: named, different, found by name or precision, in the order of preference."""

import pytest

from edgetl_export.recipes import DEFAULT, RECIPES, find_recipes
from edgetl_runtime.bundle.golden_frames import TOLERANCE
from edgetl_runtime.errors import OptionsError


def names(*wanted: str) -> list[str]:
    return [recipe.name for recipe in find_recipes(wanted)]


def test_names_and_files_are_unique() -> None:
    assert len({recipe.name for recipe in RECIPES}) == len(RECIPES)
    assert len({recipe.file for recipe in RECIPES}) == len(RECIPES)


def test_the_file_tells_engine_and_precision() -> None:
    assert [recipe.file for recipe in find_recipes(())] == [
        "litert-int8.tflite",
        "litert-float32.tflite",
        "onnx-int8.onnx",
        "onnx-float32.onnx",
    ]


def test_each_recipe_says_what_it_does_and_when_to_use_it() -> None:
    assert all(recipe.does and recipe.use_when for recipe in RECIPES)


def test_each_precision_has_a_tolerance() -> None:
    assert {recipe.precision for recipe in RECIPES} <= set(TOLERANCE)


def test_without_names_the_default_ones_are_found() -> None:
    assert tuple(names()) == DEFAULT


def test_a_precision_finds_both_engines_and_a_name_one() -> None:
    assert names("int8") == ["litert-int8", "onnx-int8"]
    assert names("onnx-float32", "litert-int8") == ["litert-int8", "onnx-float32"]
    assert names("int8", "litert-int8") == ["litert-int8", "onnx-int8"]


@pytest.mark.parametrize(("wrong", "meant"), [("int-8", "int8"), ("litert_int8", "litert-int8")])
def test_an_unknown_name_gets_a_suggestion(wrong: str, meant: str) -> None:
    with pytest.raises(OptionsError, match=f"'{wrong}'; did you mean {meant}[?]"):
        find_recipes([wrong])
