"""A run folder opens only if it is whole, ours, and of this version."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgetl import run
from edgetl.dataset import manifest
from edgetl.dataset.manifest import scan
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
    assert run.manifest == scan(photos, seed=run.spec.seed)
    assert run.file.dataset_digest == run.manifest.digest
    assert run.metrics.examples == len(run.manifest.select("val"))


def test_a_run_records_versions_and_history(tiny_run_folder: Path) -> None:
    run = Run.open(tiny_run_folder)
    assert {"python", "tensorflow", "keras", "numpy"} <= run.file.versions.keys()
    (history,) = run.histories
    assert {len(curve) for curve in history.curves.values()} == {6}
    assert history.curves.keys() >= {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert 1 <= history.best_epoch <= 6


def test_a_run_holds_what_it_predicted(finetuned_run_folder: Path) -> None:
    run = Run.open(finetuned_run_folder)
    for split, predictions in zip(("val", "test"), run.predictions, strict=True):
        part = run.manifest.select(split)
        assert predictions.split == split
        assert predictions.paths == tuple(one.path for one in part)
        assert predictions.classes.tolist() == [run.manifest.index(one) for one in part]
        np.testing.assert_allclose(predictions.probabilities.sum(axis=1), 1, atol=1e-5)
    assert run.predictions[0].top1 == pytest.approx(run.metrics.top1)


def test_the_stages_of_a_run_are_timed(finetuned_run_folder: Path) -> None:
    seconds = Run.open(finetuned_run_folder).file.seconds
    assert list(seconds) == [
        *("reading photos", "features", "choosing L2", "fitting head"),
        *("maps below the top 2 blocks", "fitting top 2 blocks", "curve over photos", "total"),
    ]
    assert min(seconds.values()) > 0
    assert sum(seconds.values()) <= 2 * seconds["total"] + 0.01


def test_the_model_names_probabilities(tiny_run_folder: Path) -> None:
    model = Run.open(tiny_run_folder).load_model()
    scores = model.predict_on_batch(np.zeros((2, 32, 32, 3), np.float32))
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)


def test_a_folder_without_run_file_is_no_finished_run(copy: Path, wording: str) -> None:
    (copy / "run.json").unlink()
    with pytest.raises(RunError, match=wording):
        Run.open(copy)


def test_a_missing_folder_is_no_run(tmp_path: Path, wording: str) -> None:
    with pytest.raises(RunError, match=wording):
        Run.open(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "name", ["run.json", "manifest.json", "metrics.json", "history.json", "predictions.json"]
)
def test_a_cut_file_is_named(copy: Path, name: str) -> None:
    text = (copy / name).read_text()
    (copy / name).write_text(text[: len(text) // 2])
    with pytest.raises(RunError, match=f"{name} is damaged"):
        Run.open(copy)


@pytest.mark.parametrize("name", ["run.json", "manifest.json", "metrics.json"])
def test_an_unknown_key_is_refused(copy: Path, name: str, wording: str) -> None:
    edit(copy / name, surprise=1)
    with pytest.raises(RunError, match=wording):
        Run.open(copy)


@pytest.mark.parametrize("name", ["manifest.json", "metrics.json", "history.json"])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(RunError, match=f"{name} is unreadable"):
        Run.open(copy)


@pytest.mark.parametrize(
    ("name", "ours"),
    [("run.json", run.FORMAT_VERSION), ("manifest.json", manifest.FORMAT_VERSION)],
)
@pytest.mark.parametrize("other", [-1, +1])
def test_another_format_is_refused_with_a_remedy(
    copy: Path, name: str, ours: int, other: int
) -> None:
    edit(copy / name, format_version=ours + other, unknown=True)
    says = rf"has format {ours + other}, this edgetl reads {ours}; use the edgetl that"
    with pytest.raises(RunError, match=says):
        Run.open(copy)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("run.json", "a named pipe"),
        ("manifest.json", "a device"),
        ("weights.npz", "a named pipe"),
        ("weights.npz", "a folder"),
    ],
)
def test_what_would_never_end_is_not_read(copy: Path, name: str, what: str) -> None:
    (copy / name).unlink()
    if what == "a named pipe":
        os.mkfifo(copy / name)
    elif what == "a device":
        (copy / name).symlink_to("/dev/zero")
    else:
        (copy / name).mkdir()
    # A child, so that the old behaviour is a failure and no hang.
    code = "import sys; from pathlib import Path; from edgetl.run import Run\n"
    code += "Run.open(Path(sys.argv[1])).read_weights()"
    done = subprocess.run(
        [sys.executable, "-c", code, str(copy)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert f"{name} is {what}, not a file; train again with: edgetl train DATA" in done.stderr


def test_the_remedy_for_a_damaged_run_is_a_whole_command(copy: Path) -> None:
    (copy / "metrics.json").write_text("{")
    with pytest.raises(RunError, match=f"train again with: edgetl train DATA --out {copy}$"):
        Run.open(copy)


@pytest.mark.parametrize("command", ["export", "quantize-report", "evaluate"])
def test_damaged_weights_are_told_before_tensorflow_is_imported(
    copy: Path, photos: Path, command: str
) -> None:
    (copy / "weights.npz").write_bytes(b"damaged")
    rest = {"export": ["--out", str(copy.parent / "b")], "evaluate": [str(photos)]}.get(command, [])
    # Where TensorFlow cannot be imported, only what comes before it can be told.
    code = "import sys; sys.modules['tensorflow'] = None\n"
    code += "from edgetl.__main__ import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, command, str(copy), *rest],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "not the file that training wrote" in done.stderr
    assert done.returncode == 1


def test_changed_weights_are_not_opened(copy: Path, wording: str) -> None:
    data = bytearray((copy / "weights.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (copy / "weights.npz").write_bytes(data)
    with pytest.raises(RunError, match=wording):
        Run.open(copy).load_model()


def test_missing_weights_are_named(copy: Path, wording: str) -> None:
    (copy / "weights.npz").unlink()
    with pytest.raises(RunError, match=wording):
        Run.open(copy).load_model()


class _Payload:
    """An object whose unpickling makes a folder."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self._target),)


def put_weights(run: Path, data: bytes) -> None:
    """Puts a stranger's weights into a run, with the hash that belongs to them."""
    (run / "weights.npz").write_bytes(data)
    edit(run / "run.json", model_sha256=hashlib.sha256(data).hexdigest())


def pack(arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **{str(n): array for n, array in enumerate(arrays)})
    return file.getvalue()


def test_a_strangers_run_runs_no_code(copy: Path, tmp_path: Path, wording: str) -> None:
    weights = [np.asarray(one) for one in Run.open(copy).load_model().weights]
    weights[-1] = np.array([_Payload(tmp_path / "owned")] * len(weights[-1]), object)
    put_weights(copy, pack(weights))
    with pytest.raises(RunError, match=wording):
        Run.open(copy).load_model()
    assert not (tmp_path / "owned").exists()


def test_a_strangers_network_is_not_opened(copy: Path, tmp_path: Path, wording: str) -> None:
    model = Run.open(copy).load_model()
    model.save(tmp_path / "model.keras")
    put_weights(copy, (tmp_path / "model.keras").read_bytes())
    with pytest.raises(RunError, match=wording):
        Run.open(copy).load_model()


@pytest.mark.parametrize("number", [0, -1])
def test_weights_of_another_shape_are_refused(copy: Path, number: int, wording: str) -> None:
    weights = [np.asarray(one) for one in Run.open(copy).load_model().weights]
    weights[number] = weights[number].ravel()[:-1]
    put_weights(copy, pack(weights))
    with pytest.raises(RunError, match=wording):
        Run.open(copy).load_model()


def test_weights_of_fewer_layers_are_refused(copy: Path) -> None:
    weights = [np.asarray(one) for one in Run.open(copy).load_model().weights]
    put_weights(copy, pack(weights[:-2]))
    with pytest.raises(RunError, match=f"it holds {len(weights) - 2} arrays, not {len(weights)}"):
        Run.open(copy).load_model()


def test_packed_weights_that_are_damaged_inside_are_refused(copy: Path, wording: str) -> None:
    weights = [np.asarray(one) for one in Run.open(copy).load_model().weights]
    file = io.BytesIO()
    np.savez_compressed(file, **{str(n): array for n, array in enumerate(weights)})  # type: ignore[arg-type]
    data = bytearray(file.getvalue())
    # Behind the first member's header: the type of a packed block, of which 3 does not exist.
    data[30 + len("0.npy") + 20] |= 0b110
    put_weights(copy, data)
    with pytest.raises(RunError, match=wording):
        Run.open(copy).load_model()


def test_an_array_that_would_fill_the_memory_is_not_read(copy: Path, wording: str) -> None:
    weights = [np.asarray(one) for one in Run.open(copy).load_model().weights]
    weights[0] = np.zeros((1 << 28,), np.float32)
    file = io.BytesIO()
    np.savez_compressed(file, **{str(n): array for n, array in enumerate(weights)})  # type: ignore[arg-type]
    put_weights(copy, file.getvalue())
    with pytest.raises(RunError, match=wording):
        Run.open(copy).load_model()
