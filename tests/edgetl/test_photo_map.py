"""The map of photos: where they lie, which are shown, and which are marked."""

from pathlib import Path

import numpy as np
import pytest

from edgetl.dataset.manifest import DatasetManifest, scan
from edgetl.reporting.photo_map import PhotoMap, draw_photo_map, project


@pytest.fixture(scope="module")
def manifest(photos: Path) -> DatasetManifest:
    return scan(photos, val_fraction=0.4, test_fraction=0.1)


def draw(manifest: DatasetManifest, *, wrong: int = 0, most: int = 600) -> PhotoMap:
    random = np.random.default_rng(0)
    features = random.normal(size=(len(manifest.examples), 12)).astype(np.float32)
    val, labels = manifest.select("val"), manifest.labels
    predicted = {
        one.path: labels[(manifest.index(one) + (n < wrong)) % len(labels)]
        for n, one in enumerate(val)
    }
    return draw_photo_map(manifest, features, predicted, judge="the model", most=most)


def test_the_axes_are_the_widest_directions() -> None:
    random = np.random.default_rng(0)
    plain = random.normal(size=(300, 6)).astype(np.float32)
    along = random.normal(size=(300, 2)).astype(np.float32)
    features = np.hstack([plain * 0.1, along[:, :1] * [1, 1, 1], along[:, 1:] * [1, 1]])
    places, variance = project(features.astype(np.float32))
    assert abs(np.corrcoef(places[:, 0], along[:, 0])[0, 1]) > 0.95
    assert abs(np.corrcoef(places[:, 1], along[:, 1])[0, 1]) > 0.95
    assert variance[0] > variance[1] > 0.2
    assert sum(variance) == pytest.approx(np.square(places).sum() / _total(features), rel=1e-6)


def _total(features: np.ndarray) -> float:
    centered = features.astype(np.float32).astype(np.float64)
    centered -= centered.mean(axis=0)
    deviation = centered.std(axis=0)
    return float(np.square(centered / np.maximum(deviation, deviation.mean() + 1e-9)).sum())


def test_mistakes_are_marked_and_lie_on_top(manifest: DatasetManifest) -> None:
    drawn = draw(manifest, wrong=4)
    assert [bool(one.named) for one in drawn.points][-5:] == [False, True, True, True, True]
    assert all(one.split == "val" for one in drawn.points if one.named)
    assert (drawn.wrong, drawn.wrong_shown) == (4, 4)


def test_test_photos_are_not_shown(manifest: DatasetManifest) -> None:
    drawn = draw(manifest)
    assert drawn.photos == len(drawn.points) == len(manifest.select("train", "val"))
    assert {one.split for one in drawn.points} == {"train", "val"}


def test_of_many_photos_all_mistakes_and_an_even_choice_are_shown(
    manifest: DatasetManifest,
) -> None:
    drawn = draw(manifest, wrong=3, most=15)
    assert len(drawn.points) == 15
    assert drawn.wrong_shown == 3
    assert len({one.label for one in drawn.points}) == 3
    assert len({(one.column, one.row) for one in drawn.points}) == 15


def test_every_photo_may_be_a_mistake(manifest: DatasetManifest) -> None:
    count = len(manifest.select("val"))
    drawn = draw(manifest, wrong=count, most=10)
    assert (drawn.wrong, drawn.wrong_shown, len(drawn.points)) == (count, 5, 10)


def test_equal_photos_make_an_equal_map(manifest: DatasetManifest) -> None:
    assert draw(manifest, wrong=2) == draw(manifest, wrong=2)
