"""Sources: an epoch's order and views follow from seed and epoch alone."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgetl.augmentation.strengths import LIGHT, Augmentation
from edgetl.augmentation.views import make_view
from edgetl.training.sources import Batch, CachedRows, Integers, LivePhotos, SourcePhoto, iterate
from edgetl_runtime.errors import FrameError
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.image.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(32, 32)
# Three photos with two, no and one further views; each row holds its own number.
OWNER = np.array([0, 0, 0, 1, 2, 2])
CLASSES = np.array([5, 3, 4])
FIRST = [0, 3, 4]


def numbered(dtype: type = np.float32) -> list[np.ndarray]:
    return [np.full(3, row, dtype) for row in range(len(OWNER))]


def cached() -> CachedRows:
    return CachedRows(numbered(), OWNER, CLASSES)


def draw(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def list_photos(folder: Path, count: int = 6) -> list[SourcePhoto]:
    files = sorted(folder.rglob("*.jpg"))[:: 48 // count][:count]
    return [
        SourcePhoto(file, hashlib.sha256(file.read_bytes()).hexdigest(), n % 3)
        for n, file in enumerate(files)
    ]


def live(folder: Path, augmentation: Augmentation | None) -> LivePhotos:
    return LivePhotos(list_photos(folder), PREPROCESSING, augmentation)


def test_an_epoch_takes_one_row_of_each_example() -> None:
    picks = [cached().pick(draw(seed), 0) for seed in range(30)]
    assert all(sorted(OWNER[rows]) == [0, 1, 2] for rows in picks)
    assert set(np.concatenate(picks)) == set(range(6))
    assert len({tuple(OWNER[rows]) for rows in picks}) == 6


def test_an_epoch_over_every_row_takes_each_once() -> None:
    every = cached().using_every_row()
    rows = every.pick(draw(0), 0)
    assert sorted(rows) == list(range(6))
    assert list(rows) != list(range(6))
    assert len(every) == 6


def test_using_every_row_leaves_the_source_as_it_was() -> None:
    rows = cached()
    rows.using_every_row()
    assert len(rows.pick(draw(0), 0)) == 3


@pytest.mark.parametrize("every", [False, True])
def test_the_order_follows_from_the_seed(every: bool) -> None:
    source = cached().using_every_row() if every else cached()
    one = [source.pick(draw(seed), 0).tolist() for seed in range(9)]
    again = [source.pick(draw(seed), 0).tolist() for seed in reversed(range(9))]
    assert one == again[::-1]
    assert len({tuple(rows) for rows in one}) > 3


@pytest.mark.parametrize("every", [False, True])
def test_validation_takes_the_photos_themselves_in_order(every: bool) -> None:
    source = cached().using_every_row() if every else cached()
    batch = source.load(source.pick(None, 7), 7)
    np.testing.assert_array_equal(batch.inputs[:, 0], FIRST)
    np.testing.assert_array_equal(batch.classes, CLASSES)


def test_float16_rows_come_as_float32() -> None:
    source = CachedRows(numbered(np.float16), OWNER, CLASSES)
    batch = source.load(np.array([5, 1]), 0)
    assert batch.inputs.dtype == np.float32
    assert batch.inputs.tolist() == [[5] * 3, [1] * 3]
    assert batch.classes.tolist() == [4, 5]
    assert next(source.chunks()).dtype == np.float32


def test_chunks_are_all_rows_in_order() -> None:
    chunks = list(cached().chunks(rows_each=4))
    assert [len(one) for one in chunks] == [4, 2]
    np.testing.assert_array_equal(np.concatenate(chunks), np.stack(numbered()))


def test_live_photos_without_augmentation_are_the_photos(photos: Path) -> None:
    source = live(photos, None)
    wanted = [PREPROCESSING.apply(read_picture(one.file)) for one in list_photos(photos)]
    for epoch in (0, 1):
        batch = source.load(source.pick(None, epoch), epoch)
        assert batch.inputs.dtype == np.float32
        np.testing.assert_array_equal(batch.inputs, wanted)
        assert batch.classes.tolist() == [0, 1, 2, 0, 1, 2]


def test_live_photos_show_another_view_in_each_epoch(photos: Path) -> None:
    source = live(photos, LIGHT)
    first, second = (source.load(np.arange(6), epoch).inputs for epoch in (0, 1))
    assert (first != second).any(axis=(1, 2, 3)).all()


def test_a_live_view_follows_from_photo_and_epoch_alone(photos: Path) -> None:
    one = live(photos, LIGHT).load(np.array([4, 2]), 3).inputs
    other = live(photos, LIGHT).load(np.array([0, 2, 4]), 3).inputs
    np.testing.assert_array_equal(one, other[[2, 1]])
    photo = list_photos(photos)[4]
    view = make_view(read_picture(photo.file), photo.sha256, 4, LIGHT)
    np.testing.assert_array_equal(one[0], PREPROCESSING.apply(view))


def test_live_photos_come_each_once_in_an_order_of_the_seed(photos: Path) -> None:
    source = live(photos, LIGHT)
    orders = [source.pick(draw(seed), 0).tolist() for seed in (1, 2, 1)]
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[0]) == list(range(6))


def test_a_photo_that_is_gone_is_an_error_of_the_epoch(photos_copy: Path, wording: str) -> None:
    source = live(photos_copy, None)
    list_photos(photos_copy)[3].file.unlink()
    batches = iterate(source, np.arange(6), 2, 0)
    assert len(next(batches).classes) == 2
    with pytest.raises(FrameError, match=wording):
        list(batches)


def test_batches_are_all_rows_once_and_the_last_is_smaller() -> None:
    rows = np.array([5, 0, 3, 1, 2])
    batches = list(iterate(cached(), rows, 2, 0))
    assert [len(batch.classes) for batch in batches] == [2, 2, 1]
    assert np.concatenate([batch.inputs[:, 0] for batch in batches]).tolist() == rows.tolist()


def test_one_batch_may_hold_everything() -> None:
    assert [len(batch.classes) for batch in iterate(cached(), np.arange(6), 99, 0)] == [6]


class Counting(CachedRows):
    """Counts what is loaded."""

    loaded = 0

    def load(self, rows: Integers, epoch: int) -> Batch:
        self.loaded += 1
        return super().load(rows, epoch)


def test_an_epoch_that_is_left_early_does_not_load_the_rest() -> None:
    source = Counting(numbered() * 20, np.repeat(np.arange(120), 1), np.zeros(120, np.int64))
    batches: Iterator[Batch] = iterate(source, np.arange(120), 1, 0)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert source.loaded <= 5
