"""The workspace: one process at a time, nothing of anybody else's, no trace when it is done."""

from pathlib import Path

import numpy as np
import pytest

from edgetl.dataset.manifest import scan
from edgetl.history import StageHistory
from edgetl.options import TrainOptions
from edgetl.run import FORMAT_VERSION, RUN_FILE, describe_versions
from edgetl.training.checkpoint import Checkpoint, Progress
from edgetl.training.workspace import (
    Unfinished,
    Workspace,
    check_apart,
    is_resumable,
    reopen_workspace,
    start_workspace,
    tidy_finished,
)
from edgetl_runtime.errors import RunError, StorageError


@pytest.fixture(scope="module")
def unfinished(photos: Path) -> Unfinished:
    return Unfinished(
        format_version=FORMAT_VERSION,
        data=str(photos),
        options=TrainOptions(seed=3),
        overwrite=False,
        tensorboard=False,
        manifest=scan(photos, seed=3),
        weights_digest="none",
        versions=describe_versions(),
    )


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "run"


def save_checkpoint(workspace: Workspace, epoch: int = 1) -> None:
    history = StageHistory("head", {}, 0, 0.0)
    arrays = [np.zeros(3, np.float32)]
    workspace.checkpoints.save(
        Checkpoint(Progress(0, epoch, history, 0.0, ()), arrays, arrays, arrays)
    )


def interrupt(out: Path, unfinished: Unfinished) -> None:
    """Leaves what a kill after the first epoch leaves."""
    with start_workspace(out, overwrite=False) as workspace:
        workspace.begin(unfinished)
        save_checkpoint(workspace)


def test_what_was_asked_for_comes_back(out: Path, unfinished: Unfinished) -> None:
    interrupt(out, unfinished)
    assert is_resumable(out)
    with reopen_workspace(out) as (workspace, before):
        assert before == unfinished
        assert workspace.checkpoints.load() is not None


def test_a_finished_run_is_all_that_is_left(out: Path, unfinished: Unfinished) -> None:
    with start_workspace(out, overwrite=False) as workspace:
        workspace.begin(unfinished)
        save_checkpoint(workspace)
        (workspace.folder / RUN_FILE).write_text("{}")
        workspace.finish(overwrite=False)
    assert [path.name for path in out.parent.iterdir()] == ["run"]
    assert [path.name for path in out.iterdir()] == [RUN_FILE]


def test_without_a_checkpoint_no_trace_is_left(out: Path, unfinished: Unfinished) -> None:
    with pytest.raises(ZeroDivisionError), start_workspace(out, overwrite=False) as workspace:
        workspace.begin(unfinished)
        raise ZeroDivisionError
    assert list(out.parent.iterdir()) == []


def test_an_interrupted_training_stays_until_a_new_one_begins(
    out: Path, unfinished: Unfinished
) -> None:
    interrupt(out, unfinished)
    with pytest.raises(StorageError, match=f"edgetl train --resume {out}"):
        start_workspace(out, overwrite=False).__enter__()
    with start_workspace(out, overwrite=True):
        pass
    assert is_resumable(out)
    with start_workspace(out, overwrite=True) as workspace:
        workspace.begin(unfinished)
        assert workspace.checkpoints.is_empty


def test_only_one_process_is_at_work(out: Path, unfinished: Unfinished, wording: str) -> None:
    with start_workspace(out, overwrite=False) as workspace:
        workspace.begin(unfinished)
        save_checkpoint(workspace)
        for overwrite in (False, True):
            with pytest.raises(StorageError, match=wording):
                start_workspace(out, overwrite=overwrite).__enter__()
        with pytest.raises(StorageError, match=wording):
            reopen_workspace(out).__enter__()
    with reopen_workspace(out):
        pass


def test_a_folder_of_somebody_else_is_not_touched(out: Path, wording: str) -> None:
    theirs = out.with_name("run.unfinished")
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(StorageError, match=wording):
            start_workspace(out, overwrite=overwrite).__enter__()
    assert [path.name for path in theirs.iterdir()] == ["thesis.txt"]


def test_checkpoints_alone_are_nothing_to_go_on_from(
    out: Path, unfinished: Unfinished, wording: str
) -> None:
    """A kill while `--overwrite` empties the folder may leave them."""
    interrupt(out, unfinished)
    (out.with_name("run.unfinished") / "unfinished.json").unlink()
    assert not is_resumable(out)
    with pytest.raises(RunError, match=wording):
        reopen_workspace(out).__enter__()
    with start_workspace(out, overwrite=False) as workspace:
        workspace.begin(unfinished)
        assert workspace.checkpoints.is_empty


@pytest.mark.parametrize("content", [b"", b"{", b'{"format_version": 99}', b"\xff\xfe"])
def test_a_note_that_cannot_be_used_is_named(
    out: Path, unfinished: Unfinished, content: bytes, wording: str
) -> None:
    interrupt(out, unfinished)
    note = out.with_name("run.unfinished") / "unfinished.json"
    note.write_bytes(content)
    with pytest.raises(RunError, match=wording):
        reopen_workspace(out).__enter__()


def test_a_kill_after_the_rename_is_tidied_up(out: Path, unfinished: Unfinished) -> None:
    interrupt(out, unfinished)
    folder = out.with_name("run.unfinished")
    (folder / RUN_FILE).write_text("{}")
    folder.rename(out)
    assert tidy_finished(out)
    assert [path.name for path in out.iterdir()] == [RUN_FILE]
    assert not tidy_finished(out)


def test_a_full_disk_hints_at_how_to_go_on(out: Path, unfinished: Unfinished) -> None:
    with (
        pytest.raises(StorageError, match=f"no room; .*edgetl train --resume {out}"),
        start_workspace(out, overwrite=False) as workspace,
    ):
        workspace.begin(unfinished)
        save_checkpoint(workspace)
        raise OSError("no room")


def test_a_full_disk_before_the_first_epoch_hints_at_nothing(
    out: Path, unfinished: Unfinished, wording: str
) -> None:
    with (
        pytest.raises(OSError, match=wording),
        start_workspace(out, overwrite=False) as workspace,
    ):
        workspace.begin(unfinished)
        raise OSError("no room")


@pytest.mark.parametrize("place", [".", "..", "/"])
def test_a_folder_without_a_name_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, wording: str
) -> None:
    (tmp_path / "above" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "above" / "here")
    with pytest.raises(StorageError, match=wording):
        start_workspace(Path(place), overwrite=False).__enter__()


def test_a_failure_leaves_no_empty_folder_above(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), start_workspace(tmp_path / "a/b/run", overwrite=False):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").mkdir()
    with pytest.raises(ZeroDivisionError), start_workspace(tmp_path / "a/b/run", overwrite=False):
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.rglob("*")] == ["a"]


@pytest.mark.parametrize(
    ("data", "out"),
    [
        *(("photos", "photos"), ("photos", "photos/runs/a"), ("photos", "photos/../photos/a")),
        *(("link", "photos/a"), ("photos", "link/a"), ("run/photos", "run"), ("run/a.csv", "run")),
    ],
)
def test_a_run_and_photos_do_not_lie_in_one_another(
    data: str, out: str, tmp_path: Path, wording: str
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    (tmp_path / "run/photos").mkdir(parents=True)
    with pytest.raises(StorageError, match=wording):
        check_apart(tmp_path / out, tmp_path / data)


def test_a_run_may_lie_beside_a_table(tmp_path: Path) -> None:
    (tmp_path / "photos.csv").touch()
    refused = []
    for out in ("runs/a", "photos", "photos.csv.run", "."):
        try:
            check_apart(tmp_path / out, tmp_path / "photos.csv")
        except StorageError:
            refused.append(out)
    assert refused == ["."]
