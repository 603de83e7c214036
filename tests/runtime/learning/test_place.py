"""Where a service keeps its lessons, and which of two places counts."""

import shutil
from pathlib import Path

import pytest

from edgetl_runtime.learning.overlay import find_overlay
from edgetl_runtime.learning.place import choose_place, explain_refusal, find_left_out
from edgetl_runtime.service.models import ModelStore


@pytest.fixture
def copy(tmp_path: Path, tiny: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "models" / "copy"))


def test_lessons_lie_beside_the_bundle_where_that_can_be_written(tiny_copy, copy):
    assert choose_place(tiny_copy, copy) == tiny_copy
    assert explain_refusal(tiny_copy) == ""


def test_lessons_lie_beside_the_copy_where_the_bundle_s_folder_is_closed(closed_folder, copy):
    bundle = closed_folder / "parts.bundle"
    assert choose_place(bundle, copy) == copy
    assert str(closed_folder) in explain_refusal(bundle)


def test_lessons_stay_where_they_are_and_two_places_are_named(tiny_copy, copy):
    find_overlay(copy).mkdir()
    assert choose_place(tiny_copy, copy) == copy
    assert find_left_out(tiny_copy, copy) == ""
    find_overlay(tiny_copy).mkdir()
    assert choose_place(tiny_copy, copy) == copy
    said = find_left_out(tiny_copy, copy)
    assert said.index(str(find_overlay(copy))) < said.index(str(find_overlay(tiny_copy)))


def test_a_bundle_that_is_no_copy_lies_in_one_place(tiny_copy):
    find_overlay(tiny_copy).mkdir()
    assert find_left_out(tiny_copy, tiny_copy) == ""


def test_a_store_clears_no_lessons_away_nor_what_a_power_cut_left_of_them(tmp_path):
    models, name = tmp_path / "models", "ab" * 32
    kept = [models / f"{name}.overlay", models / f".{name}.overlay.edgetl-old.x"]
    for folder in (*kept, models / f".{name}.0a1b2c3d"):
        folder.mkdir(parents=True)
    ModelStore(tmp_path)
    assert sorted(models.iterdir()) == sorted(kept)
