"""Event files: TensorBoard finds each stage, each epoch and each figure in them."""

from pathlib import Path
from typing import Any

import pytest

from edgetl.options import FittingOptions, HeadOptions, TrainOptions
from edgetl.run import Run
from edgetl.training.tensorboard import write_event
from edgetl.training.train import train

FIGURES = {"loss": 0.5, "val_accuracy": 0.75}


def read_events(path: Path) -> list[Any]:
    import tensorflow as tf
    from tensorflow.core.util.event_pb2 import Event

    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    return [Event.FromString(record) for record in records]


def read_figures(path: Path) -> tuple[int, dict[str, float]]:
    """Step and figures of a file that holds one epoch."""
    (event,) = read_events(path)[1:]
    return event.step, {value.tag: value.simple_value for value in event.summary.value}


def list_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_file_opens_with_the_version_that_tensorboard_looks_for(tmp_path: Path) -> None:
    write_event(tmp_path, "head", 1, FIGURES)
    (path,) = list_files(tmp_path)
    assert "tfevents" in path.name
    assert read_events(path)[0].file_version == "brain.Event:2"


def test_stage_step_and_figures_come_back(tmp_path: Path) -> None:
    write_event(tmp_path, "top 2 blocks", 7, FIGURES)
    (path,) = list_files(tmp_path)
    assert path.parent == tmp_path / "tensorboard" / "top_2_blocks"
    step, figures = read_figures(path)
    assert step == 7
    assert figures == pytest.approx(FIGURES)


def test_an_epoch_that_is_written_again_counts_once(tmp_path: Path) -> None:
    """A crash between the events and the checkpoint of an epoch makes it come twice."""
    write_event(tmp_path, "head", 1, {"loss": 9.0})
    write_event(tmp_path, "head", 2, FIGURES)
    write_event(tmp_path, "head", 1, FIGURES)
    found = [read_figures(path) for path in list_files(tmp_path)]
    assert found == [(1, pytest.approx(FIGURES)), (2, pytest.approx(FIGURES))]


def test_events_follow_one_another_in_time(tmp_path: Path) -> None:
    for epoch in (1, 2):
        write_event(tmp_path, "head", epoch, FIGURES)
    times = [event.wall_time for path in list_files(tmp_path) for event in read_events(path)]
    assert times == sorted(times)


def test_a_training_writes_the_curves_of_its_history(photos: Path, tmp_path: Path) -> None:
    options = TrainOptions(
        backbone="lenet",
        weights="none",
        size_px=32,
        head=HeadOptions(dropout=0.2),
        training=FittingOptions(epochs=3),
    )
    run: Run = train(photos, tmp_path / "run", options, tensorboard=True)
    (history,) = run.histories
    files = list_files(tmp_path / "run" / "tensorboard")
    assert {path.parent.name for path in files} == {history.name.replace(" ", "_")}
    for epoch, path in enumerate(files):
        expected = {name: curve[epoch] for name, curve in history.curves.items()}
        assert read_figures(path) == (epoch + 1, pytest.approx(expected))
    assert len(files) == len(history.curves["loss"]) == 3


def test_without_the_option_no_events_are_written(run_folder: Path) -> None:
    assert not (run_folder / "tensorboard").exists()
