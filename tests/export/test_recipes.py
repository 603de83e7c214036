"""The recipes: named, different, and in the order that a device prefers."""

from edgetl_export.recipes import RECIPES


def test_names_and_files_are_unique() -> None:
    assert len({recipe.name for recipe in RECIPES}) == len(RECIPES)
    assert len({recipe.file for recipe in RECIPES}) == len(RECIPES)


def test_the_file_tells_engine_and_precision() -> None:
    assert [recipe.file for recipe in RECIPES] == [
        "litert-int8.tflite",
        "litert-float32.tflite",
        "onnx-int8.onnx",
        "onnx-float32.onnx",
    ]


def test_each_recipe_says_when_to_use_it() -> None:
    assert all(recipe.use_when for recipe in RECIPES)
