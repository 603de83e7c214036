"""Calibration photos: balanced, repeatable, and spanning the whole range of levels."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from edgetl_export.quantize.calibration import Inputs, choose_photos, load_inputs
from edgetl_runtime.errors import FrameError
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.image.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(32, 32)
PHOTOS = 160


def name(label: str, count: int) -> list[Path]:
    return [Path(label) / f"{n}.jpg" for n in range(count)]


def test_classes_are_balanced() -> None:
    chosen = choose_photos([name("a", 500), name("b", 90), name("c", 60)], seed=0, most=PHOTOS)
    counts = Counter(photo.parent.name for photo in chosen)
    assert len(chosen) == PHOTOS
    assert max(counts.values()) - min(counts.values()) <= 1


def test_a_small_class_gives_all_it_has() -> None:
    chosen = choose_photos([name("a", 500), name("b", 7)], seed=0, most=PHOTOS)
    counts = Counter(photo.parent.name for photo in chosen)
    assert counts == {"a": PHOTOS - 7, "b": 7}


def test_no_photo_is_chosen_twice() -> None:
    chosen = choose_photos([name("a", 30), name("b", 40)], seed=0, most=PHOTOS)
    assert len(set(chosen)) == len(chosen) == 70


def test_the_draw_follows_the_seed() -> None:
    photos = [name("a", 300), name("b", 300)]
    assert choose_photos(photos, seed=1, most=PHOTOS) == choose_photos(photos, seed=1, most=PHOTOS)
    assert choose_photos(photos, seed=1, most=PHOTOS) != choose_photos(photos, seed=2, most=PHOTOS)


def test_fewer_photos_are_the_first_of_more() -> None:
    photos = [name("a", 300), name("b", 300)]
    assert choose_photos(photos, seed=1, most=500)[:PHOTOS] == choose_photos(photos, 1, PHOTOS)


def test_no_photos_are_no_error() -> None:
    assert choose_photos([[], []], seed=0, most=PHOTOS) == []
    assert load_inputs([], PREPROCESSING, "reading") == []


def test_inputs_are_what_the_device_makes(photos: Path) -> None:
    files = sorted(photos.rglob("*.jpg"))[:3]
    inputs = load_inputs(files, PREPROCESSING, "reading")
    for pixels, file in zip(inputs, files, strict=True):
        np.testing.assert_array_equal(pixels, PREPROCESSING.apply(read_picture(file)))


def test_a_photo_is_decoded_once_whoever_asks_for_it(photos: Path, tmp_path: Path) -> None:
    files = [
        Path(shutil.copy(file, tmp_path / f"{n}.jpg"))
        for n, file in enumerate(sorted(photos.rglob("*.jpg"))[:4])
    ]
    expected = load_inputs(files, PREPROCESSING, "reading")
    inputs = Inputs(PREPROCESSING)
    inputs.load(files[:3], "reading")
    for file in files[:3]:
        file.unlink()
    again = inputs.load([files[3], *files[:3], files[3]], "reading")
    for pixels, frame in zip(again, [expected[3], *expected[:3], expected[3]], strict=True):
        np.testing.assert_array_equal(pixels, frame)


def test_a_photo_that_went_away_is_named(tmp_path: Path, wording: str) -> None:
    with pytest.raises(FrameError, match=wording):
        load_inputs([tmp_path / "gone.jpg"], PREPROCESSING, "reading")
