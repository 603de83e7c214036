"""A run becomes a bundle: by the command, in processes that are killed and on disks that fill."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgetl.exporting.runs import export_run
from edgetl.run import Run
from edgetl_export.options import ExportOptions
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.errors import ExportError, RunError
from tests.edgetl.command import edgetl
from tests.fingerprint import fingerprint

# A network of few photos: one that is named wrong is more than a point.
ONE_FILE = ("--recipe", "litert-float32", "--allow-drop")
THREE_FILES = ExportOptions(
    recipes=("onnx-float32", "litert-float32", "litert-int8"), allow_drop=True
)


@pytest.fixture(scope="session")
def bundle(bundle_folder: Path) -> Bundle:
    return Bundle.open(bundle_folder)


@pytest.fixture(scope="module")
def small(tiny_run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The tiny run, exported to a folder and to a zip; read only."""
    folder, run = tmp_path_factory.mktemp("small"), Run.open(tiny_run_folder)
    paths = {name: folder / name for name in ("parts.bundle", "parts.zip")}
    for path in paths.values():
        export_run(run, path, THREE_FILES)
    return paths


def start_export(run: Path, out: Path, before: str, *more: str) -> "subprocess.Popen[str]":
    """`edgetl export` in a process of its own, in which `before` is done first."""
    program = f"import os, resource, signal\n{before}\nfrom edgetl.cli import main\nmain()"
    command = [sys.executable, "-c", program, "export", str(run), "--out", str(out), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_labels_are_those_of_the_run(bundle: Bundle, run_folder: Path) -> None:
    assert bundle.labels == Run.open(run_folder).spec.labels
    assert (bundle.path / "labels.txt").read_text() == "bolt\ngear\nwasher\nunknown\n"


def test_preprocessing_is_that_of_the_run(bundle: Bundle, run_folder: Path) -> None:
    assert bundle.manifest.preprocessing == Run.open(run_folder).spec.preprocessing


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
    training = {one.path for one in manifest.select("train")}
    used = bundle.manifest.provenance.calibration_photos
    assert len(used) == len(training)
    assert set(used) <= training


def test_provenance_names_run_and_backbone(bundle: Bundle, run_folder: Path) -> None:
    run, provenance = Run.open(run_folder), bundle.manifest.provenance
    assert provenance.backbone == "mobilenet_v2_0.35"
    assert provenance.model_sha256 == run.file.model_sha256
    assert provenance.dataset_digest == run.manifest.digest
    assert provenance.weights_digest == run.spec.weights_digest


def test_an_export_by_another_process_gives_the_same_bytes(
    small: dict[str, Path], tiny_run_folder: Path, tmp_path: Path
) -> None:
    recipes = [part for name in THREE_FILES.recipes for part in ("--recipe", name)]
    more = (*recipes, "--allow-drop", "--json")
    child = start_export(tiny_run_folder, tmp_path / "again.zip", "", *more)
    printed, complaint = child.communicate()
    assert child.returncode == 0, complaint
    assert json.loads(printed)["bundle"] == str(tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == small["parts.zip"].read_bytes()


def test_photos_that_went_away_are_named(
    tiny_run_folder: Path, photos: Path, tmp_path: Path, wording: str
) -> None:
    run = Path(shutil.copytree(tiny_run_folder, tmp_path / "run"))
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["root"] = str(tmp_path / "moved")
    (run / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ExportError, match=wording):
        export_run(Run.open(run), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_changed_model_is_not_exported(
    tiny_run_folder: Path, tmp_path: Path, wording: str
) -> None:
    run = Path(shutil.copytree(tiny_run_folder, tmp_path / "run"))
    with (run / "weights.npz").open("ab") as file:
        file.write(b"x")
    with pytest.raises(RunError, match=wording):
        export_run(Run.open(run), tmp_path / "out")


# Kills the process when the bundle was written aside, before it is renamed into place.
KILL_IN_THE_MIDDLE = """
from edgetl_export.package import packing
class Killer:
    def open(path): os.kill(os.getpid(), signal.SIGKILL)
packing.Bundle = Killer
"""
# A disk with room for 32 KiB a file: the first model does not fit.
SMALL_DISK = "resource.setrlimit(resource.RLIMIT_FSIZE, (32768, 32768))"


@pytest.mark.parametrize("name", ["parts.bundle", "parts.zip"])
def test_a_killed_export_leaves_no_bundle(name: str, tiny_run_folder: Path, tmp_path: Path) -> None:
    child = start_export(tiny_run_folder, tmp_path / name, KILL_IN_THE_MIDDLE, *ONE_FILE)
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    assert len(os.listdir(tmp_path)) == 1, "killed too early to prove anything"
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("before", [KILL_IN_THE_MIDDLE, SMALL_DISK])
@pytest.mark.parametrize("name", ["parts.bundle", "parts.zip"])
def test_a_killed_export_and_a_full_disk_leave_the_old_bundle_as_it_was(
    before: str, name: str, small: dict[str, Path], tiny_run_folder: Path, tmp_path: Path
) -> None:
    out, content = tmp_path / name, fingerprint(small[name])
    copy = shutil.copytree if small[name].is_dir() else shutil.copy
    copy(small[name], out)
    child = start_export(tiny_run_folder, out, before, "--overwrite", *ONE_FILE)
    child.communicate()
    assert child.returncode == (1 if before == SMALL_DISK else -signal.SIGKILL)
    assert fingerprint(out) == content


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


@pytest.mark.parametrize("options", [["--recipe", "int8", "--recipe", "float32"], ["--strict"]])
def test_what_was_named_is_not_left_out(
    options: list[str], exploding_run: Path, tmp_path: Path
) -> None:
    done = edgetl(
        "export", exploding_run, "--out", tmp_path / "a.bundle", "--repair", "none", *options
    )
    assert done.returncode == 3, done.stderr
    assert done.stdout == ""
    assert "--allow-drop" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "a.bundle").exists()
    aside = {path.name for path in (tmp_path / "a.bundle.rejected").iterdir()}
    assert {"litert-int8.tflite", "litert-float32.tflite", "attempts.json"} < aside


def test_what_nobody_named_is_left_out_and_everyone_says_so(
    exploding_run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.bundle"
    done = edgetl("export", exploding_run, "--out", out, "--repair", "none", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert [one["name"] for one in record["variants"]] == ["litert-float32", "onnx-float32"]
    names = [one["name"] for one in record["left_out"]]
    assert names[0] == "litert-int8"
    manifest = json.loads((out / "bundle.json").read_text())
    assert manifest["provenance"]["left_out"] == record["left_out"]
    card = (out / "MODEL_CARD.md").read_text()
    shown = edgetl("inspect", out)
    tried = {one["recipe"]: one for one in record["attempts"]}
    for one in record["left_out"]:
        assert one["reason"] == "; ".join(tried[one["name"]]["failures"])
        assert "points below the trained model" in one["reason"]
        assert one["best"] == {key: tried[one["name"]][key] for key in one["best"]}
        assert f"{one['name']} is left out, since its best file lost too much" in card
        assert f"the gate left {one['name']} out: {one['reason']}" in shown.stderr
    warnings = [line for line in done.stderr.splitlines() if "left out" in line]
    assert [line.split()[1] for line in warnings] == names
    assert all("the bundle has no int8 file" in line for line in warnings)
    assert not (tmp_path / "a.bundle.rejected").exists()
