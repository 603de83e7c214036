"""Checkpoints: the newest whole one comes back exactly, and never more than two are kept."""

import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgetl.history import StageHistory
from edgetl.training.checkpoint import Checkpoint, Checkpoints, Progress
from edgetl_runtime.errors import StorageError

HISTORY = StageHistory("head", {"loss": [0.5, 0.1 + 0.2]}, 1, 2.5)
ARRAYS = [
    np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3),
    np.array(7, np.int64),
    np.array([1, 2**32 - 1], np.uint32),
    np.zeros((0, 4), np.float16),
]


def make(stage: int, epoch: int) -> Checkpoint:
    progress = Progress(stage, epoch, HISTORY, -0.25, (HISTORY,) * stage)
    model = [*ARRAYS, np.array(epoch, np.int32)]
    # More than ten: `model.10` comes after `model.9`, not after `model.1`.
    return Checkpoint(progress, model, [np.array(n) for n in range(12)], ARRAYS)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


@pytest.fixture
def filled(folder: Path) -> Path:
    for epoch in (1, 2):
        Checkpoints(folder).save(make(0, epoch))
    return folder


def test_a_checkpoint_comes_back_exactly(folder: Path) -> None:
    saved = make(1, 3)
    Checkpoints(folder).save(saved)
    loaded = Checkpoints(folder).load()
    assert loaded is not None
    assert loaded.progress == saved.progress
    for group in ("model", "optimizer", "best"):
        before, after = getattr(saved, group), getattr(loaded, group)
        assert len(before) == len(after)
        for one, other in zip(before, after, strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


def test_without_a_folder_there_is_none(folder: Path) -> None:
    assert Checkpoints(folder).load() is None
    assert Checkpoints(folder).is_empty
    assert not folder.exists()


def test_only_the_newest_two_are_kept(folder: Path) -> None:
    for epoch in (8, 9, 10, 11):
        Checkpoints(folder).save(make(0, epoch))
        assert len(names(folder)) <= 2
    assert names(folder) == ["0-000010.checkpoint", "0-000011.checkpoint"]


def test_a_later_stage_is_newer(filled: Path) -> None:
    Checkpoints(filled).save(make(1, 1))
    loaded = Checkpoints(filled).load()
    assert loaded is not None
    assert (loaded.progress.stage, loaded.progress.epoch) == (1, 1)


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "noise"])
def test_a_damaged_one_is_discarded_with_one_warning(
    filled: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    newest = filled / "0-000002.checkpoint"
    content = bytearray(newest.read_bytes())
    content[-9] ^= 16
    newest.write_bytes(
        {"cut": content[:-7], "flip": bytes(content), "empty": b"", "noise": b"\n\xff" * 99}[damage]
    )
    with caplog.at_level(logging.WARNING):
        loaded = Checkpoints(filled).load()
    assert loaded is not None
    assert loaded.progress.epoch == 1
    assert len(caplog.records) == 1
    assert str(newest) in caplog.text
    assert names(filled) == ["0-000001.checkpoint"]


def test_when_all_are_damaged_there_is_none(filled: Path, caplog: pytest.LogCaptureFixture) -> None:
    for path in filled.iterdir():
        path.write_bytes(b"")
    assert Checkpoints(filled).load() is None
    assert len(caplog.records) == 2
    assert Checkpoints(filled).is_empty


def test_half_a_file_of_a_kill_is_neither_read_nor_kept(
    filled: Path, caplog: pytest.LogCaptureFixture
) -> None:
    half = filled / ".0-000003.checkpoint.x1y2"
    half.write_bytes(b"half")
    loaded = Checkpoints(filled).load()
    assert loaded is not None
    assert loaded.progress.epoch == 2
    assert caplog.text == ""
    assert not half.exists()


def test_half_a_file_alone_is_nothing_to_go_on_from(folder: Path) -> None:
    folder.mkdir()
    (folder / ".0-000001.checkpoint.x1y2").write_bytes(b"half")
    assert Checkpoints(folder).is_empty


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_refuses_keeps_the_ones_before(filled: Path, wording: str) -> None:
    filled.chmod(0o500)
    try:
        with pytest.raises(StorageError, match=wording):
            Checkpoints(filled).save(make(0, 3))
    finally:
        filled.chmod(0o700)
    assert names(filled) == ["0-000001.checkpoint", "0-000002.checkpoint"]


def test_a_folder_that_is_gone_is_made_again(filled: Path) -> None:
    shutil.rmtree(filled)
    Checkpoints(filled).save(make(0, 3))
    assert names(filled) == ["0-000003.checkpoint"]
