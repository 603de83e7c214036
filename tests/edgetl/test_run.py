"""A run folder opens only if it is whole, ours, and of this version."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgetl.manifest import scan
from edgetl.run import Run
from edgetl_runtime.errors import RunError


@pytest.fixture
def copy(tiny_run_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run_folder, tmp_path / "run"))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_run_knows_what_was_trained(tiny_run_folder: Path, photos: Path) -> None:
    run = Run.open(tiny_run_folder)
    assert run.spec.labels == ("bolt", "gear", "washer")
    assert run.spec.preprocessing.width_px == 32
    assert run.manifest == scan(photos)
    assert run.file.dataset_digest == run.manifest.digest
    assert run.metrics.examples == len(run.manifest.part("val"))


def test_a_run_records_versions_and_history(tiny_run_folder: Path) -> None:
    assert {"python", "tensorflow", "keras", "numpy"} <= Run.open(
        tiny_run_folder
    ).file.versions.keys()
    history = json.loads((tiny_run_folder / "history.json").read_text())
    assert len(history["val_accuracy"]) == 2


def test_the_model_names_probabilities(tiny_run_folder: Path) -> None:
    model = Run.open(tiny_run_folder).load_model()
    scores = model.predict_on_batch(np.zeros((2, 32, 32, 3), np.float32))
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)


def test_a_folder_without_run_file_is_no_finished_run(copy: Path) -> None:
    (copy / "run.json").unlink()
    with pytest.raises(RunError, match=r"no finished run .*train again with: edgetl train"):
        Run.open(copy)


def test_a_missing_folder_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no finished run"):
        Run.open(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["run.json", "manifest.json", "metrics.json"])
def test_a_cut_file_is_named(copy: Path, name: str) -> None:
    text = (copy / name).read_text()
    (copy / name).write_text(text[: len(text) // 2])
    with pytest.raises(RunError, match=f"{name} is damaged"):
        Run.open(copy)


@pytest.mark.parametrize("name", ["run.json", "manifest.json", "metrics.json"])
def test_an_unknown_key_is_refused(copy: Path, name: str) -> None:
    edit(copy / name, surprise=1)
    with pytest.raises(RunError, match="surprise"):
        Run.open(copy)


@pytest.mark.parametrize("name", ["manifest.json", "metrics.json"])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(RunError, match=f"{name} is unreadable"):
        Run.open(copy)


@pytest.mark.parametrize("name", ["run.json", "manifest.json"])
def test_another_format_is_refused_with_a_remedy(copy: Path, name: str) -> None:
    edit(copy / name, format_version=99, new_in_99=True)
    with pytest.raises(RunError, match=r"has format 99, this edgetl reads 1; use the edgetl that"):
        Run.open(copy)


def test_a_changed_model_is_not_opened(copy: Path) -> None:
    data = bytearray((copy / "model.keras").read_bytes())
    data[len(data) // 2] ^= 1
    (copy / "model.keras").write_bytes(data)
    with pytest.raises(RunError, match="not the file that training wrote"):
        Run.open(copy).load_model()


def test_a_missing_model_is_named(copy: Path) -> None:
    (copy / "model.keras").unlink()
    with pytest.raises(RunError, match=r"model\.keras is unreadable"):
        Run.open(copy).load_model()
