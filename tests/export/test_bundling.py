"""Export as a whole: what is in the bundle, and what is left when export fails."""

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgetl.export import export
from edgetl.run import Run
from edgetl_runtime.bundle import Bundle
from edgetl_runtime.errors import ExportError, RunError, StorageError
from edgetl_runtime.golden import verify


def fingerprint(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def start_export(run: Path, out: Path, before: str, *more: str) -> "subprocess.Popen[str]":
    """`edgetl export` in a process of its own, in which `before` is done first."""
    program = f"import os, resource, signal\n{before}\nfrom edgetl.cli import main\nmain()"
    command = [sys.executable, "-c", program, "export", str(run), "--out", str(out), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_bundle_opens_and_reproduces_its_golden_frames(bundle: Bundle) -> None:
    result = verify(bundle)
    assert result.ok, result.failures
    assert len(bundle.manifest.golden) == 5
    assert len([name for name in result.checked if " on " in name]) == 20


def test_labels_are_those_of_the_run(bundle: Bundle, run_folder: Path) -> None:
    assert bundle.labels == Run.open(run_folder).spec.labels
    assert (bundle.path / "labels.txt").read_text() == "bolt\ngear\nwasher\n"


def test_preprocessing_is_that_of_the_run(bundle: Bundle, run_folder: Path) -> None:
    assert bundle.manifest.preprocessing == Run.open(run_folder).spec.preprocessing


def test_nothing_lies_in_the_bundle_that_it_does_not_list(bundle: Bundle) -> None:
    listed = {stored.file for stored in bundle.files} | {"bundle.json", "bundle.json.sha256"}
    assert fingerprint(bundle.path).keys() == listed


def test_float_variants_lose_nothing(bundle: Bundle, run_folder: Path) -> None:
    trained = Run.open(run_folder).metrics
    for name in ("litert-float32", "onnx-float32"):
        metrics = bundle.variant(name).metrics
        assert metrics.top1 == pytest.approx(trained.top1)
        assert (metrics.drop, metrics.agreement) == (0, 1)


def test_each_file_is_scored_on_all_validation_photos(bundle: Bundle, run_folder: Path) -> None:
    trained = Run.open(run_folder).metrics
    for variant in bundle.manifest.variants:
        assert variant.metrics.examples == trained.examples
        assert variant.metrics.drop == pytest.approx(trained.top1 - variant.metrics.top1)


def test_calibration_photos_are_training_photos(bundle: Bundle, run_folder: Path) -> None:
    manifest = Run.open(run_folder).manifest
    training = {one.path for one in manifest.part("train")}
    used = bundle.manifest.provenance.calibration_photos
    assert len(used) == len(training)
    assert set(used) <= training


def test_provenance_names_run_and_backbone(bundle: Bundle, run_folder: Path) -> None:
    run, provenance = Run.open(run_folder), bundle.manifest.provenance
    assert provenance.backbone == "mobilenet_v2_0.35"
    assert provenance.model_sha256 == run.file.model_sha256
    assert provenance.dataset_digest == run.manifest.digest
    assert provenance.weights_digest == run.spec.weights_digest


def test_an_existing_bundle_is_refused(tiny_run_folder: Path, bundle: Bundle) -> None:
    with pytest.raises(StorageError, match="add --overwrite"):
        export(Run.open(tiny_run_folder), bundle.path)


def test_overwrite_replaces_a_bundle(tiny_run_folder: Path, bundle: Bundle, tmp_path: Path) -> None:
    out = Path(shutil.copytree(bundle.path, tmp_path / "parts.bundle"))
    again = export(Run.open(tiny_run_folder), out, overwrite=True)
    assert again.manifest.provenance.backbone == "cnn"
    assert [path.name for path in tmp_path.iterdir()] == ["parts.bundle"]


def test_a_foreign_folder_is_never_replaced(tiny_run_folder: Path, photos_copy: Path) -> None:
    with pytest.raises(StorageError, match="holds something else"):
        export(Run.open(tiny_run_folder), photos_copy, overwrite=True)
    assert len(list(photos_copy.rglob("*.jpg"))) == 48


def test_photos_that_went_away_are_named(
    tiny_run_folder: Path, photos: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(tiny_run_folder, tmp_path / "run"))
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["root"] = str(tmp_path / "moved")
    (run / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ExportError, match=r"48 of 48 photos of .*moved are gone"):
        export(Run.open(run), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_changed_model_is_not_exported(tiny_run_folder: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(tiny_run_folder, tmp_path / "run"))
    with (run / "model.keras").open("ab") as file:
        file.write(b"x")
    with pytest.raises(RunError, match="not the file that training wrote"):
        export(Run.open(run), tmp_path / "out")


# Kills the process between two files of the bundle: when the seal would be written.
KILL_IN_THE_MIDDLE = """
from edgetl_export import bundling
def kill(data): os.kill(os.getpid(), signal.SIGKILL)
bundling.encode_seal = kill
"""
# A disk with room for 32 KiB a file: the first model does not fit.
SMALL_DISK = "resource.setrlimit(resource.RLIMIT_FSIZE, (32768, 32768))"


def test_a_killed_export_leaves_no_bundle(tiny_run_folder: Path, tmp_path: Path) -> None:
    child = start_export(tiny_run_folder, tmp_path / "parts.bundle", KILL_IN_THE_MIDDLE)
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    assert any(tmp_path.rglob("*.tflite")), "killed too early to prove anything"
    assert not (tmp_path / "parts.bundle").exists()


def test_a_killed_export_leaves_the_old_bundle_as_it_was(
    tiny_run_folder: Path, bundle: Bundle, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(bundle.path, tmp_path / "parts.bundle"))
    child = start_export(tiny_run_folder, out, KILL_IN_THE_MIDDLE, "--overwrite")
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    assert fingerprint(out) == fingerprint(bundle.path)


def test_a_full_disk_gives_one_line_and_leaves_the_old_bundle_as_it_was(
    tiny_run_folder: Path, bundle: Bundle, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(bundle.path, tmp_path / "parts.bundle"))
    child = start_export(tiny_run_folder, out, SMALL_DISK, "--overwrite")
    printed, complaint = child.communicate()
    assert child.returncode == 1
    assert printed == ""
    # LiteRT says once a process that it exists.
    (line,) = [one for one in complaint.splitlines() if not one.startswith("INFO: ")]
    assert line.startswith("edgetl: ")
    assert os.strerror(errno.EFBIG) in line
    assert fingerprint(out) == fingerprint(bundle.path)
    assert os.listdir(tmp_path) == ["parts.bundle"]
