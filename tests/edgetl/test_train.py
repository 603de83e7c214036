"""Training: the model in the run folder is the one that was measured, again and again."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgetl.run import Run
from edgetl.train import Options, train
from edgetl_runtime.errors import EdgetlError, StorageError
from edgetl_runtime.pictures import read_picture

TINY = Options(backbone="cnn", weights="none", size_px=32, epochs=2)
OTHER = Options(backbone="cnn", weights="none", size_px=32, epochs=1, fit="pad")


def score(run: Run) -> float:
    """Top-1 of the saved model on the validation photos, worked out anew."""
    model, apply = run.load_model(), run.spec.preprocessing.apply
    part = run.manifest.part("val")
    inputs = np.stack([apply(read_picture(run.manifest.file(one))) for one in part])
    named = model.predict_on_batch(inputs.astype(np.float32)).argmax(axis=1)
    return float((named == [run.manifest.index(one) for one in part]).mean())


@pytest.mark.parametrize("fixture", ["run_folder", "tiny_run_folder"])
def test_metrics_are_those_of_the_saved_model(fixture: str, request: pytest.FixtureRequest) -> None:
    run = Run.open(request.getfixturevalue(fixture))
    assert score(run) == pytest.approx(run.metrics.top1)


def test_a_run_counts_each_photo_once(run_folder: Path) -> None:
    run = Run.open(run_folder)
    assert run.file.cached + run.file.computed == len(run.manifest.examples) == 48


def test_a_second_run_computes_nothing_and_finds_the_same(
    run_folder: Path, photos: Path, weights_file: Path, tmp_path: Path
) -> None:
    first = Run.open(run_folder)
    options = Options(weights=str(weights_file), size_px=64, epochs=8)
    second = train(photos, tmp_path / "again", options)
    assert second.file.computed == 0
    assert second.metrics == first.metrics
    assert second.spec == first.spec
    weights = [run.load_model().get_layer("head").get_weights() for run in (first, second)]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_training_from_scratch_repeats_by_seed(
    tiny_run_folder: Path, photos: Path, tmp_path: Path
) -> None:
    again = train(photos, tmp_path / "again", TINY)
    assert again.metrics == Run.open(tiny_run_folder).metrics
    history = [json.loads((f / "history.json").read_text()) for f in (tiny_run_folder, again.path)]
    assert history[0]["loss"] == pytest.approx(history[1]["loss"], rel=1e-4)


def test_an_existing_run_is_refused_before_any_work(tiny_run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="add --overwrite"):
        train(tmp_path / "no photos here", tiny_run_folder, TINY)


def test_a_folder_of_something_else_is_never_overwritten(photos: Path, photos_copy: Path) -> None:
    with pytest.raises(StorageError, match="holds something else"):
        train(photos, photos_copy, TINY, overwrite=True)
    assert len(list(photos_copy.rglob("*.jpg"))) == 48


def test_overwrite_replaces_a_run(photos: Path, tiny_run_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_run_folder, tmp_path / "run")
    run = train(photos, tmp_path / "run", OTHER, overwrite=True)
    assert run.spec.preprocessing.fit == "pad"
    assert len(json.loads((run.path / "history.json").read_text())["loss"]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_failed_training_leaves_nothing(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgetlError, match="did you mean"):
        train(photos, tmp_path / "run", Options(backbone="mobilenet"))
    assert list(tmp_path.iterdir()) == []
