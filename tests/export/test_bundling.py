"""Export as a whole: what is in the bundle, and what is left when export fails."""

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edgetl.exporting.runs import export_run
from edgetl.run import Run
from edgetl_export.options import ExportOptions
from edgetl_runtime.bundle.golden_frames import verify
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.errors import ExportError, GateError, RunError, StorageError

# A network of few photos: one that is named wrong is more than a point.
ONE_FILE = ("--recipe", "litert-float32", "--allow-drop")
THREE_FILES = ExportOptions(
    recipes=(
        "onnx-float32",
        "litert-float32",
        "litert-int8",
    ),
    allow_drop=True,
)


def fingerprint(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in ([root] if root.is_file() else root.rglob("*"))
        if path.is_file()
    }


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


def test_the_bundle_opens_and_reproduces_its_golden_frames(bundle: Bundle) -> None:
    result = verify(bundle)
    assert result.ok, result.failures
    assert len(bundle.manifest.golden) == 5
    assert len([name for name in result.checked if " on 5 golden frames" in name]) == 4


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
        export_run(Run.open(tiny_run_folder), bundle.path)


def test_overwrite_replaces_a_bundle(tiny_run_folder: Path, bundle: Bundle, tmp_path: Path) -> None:
    out = Path(shutil.copytree(bundle.path, tmp_path / "parts.bundle"))
    again = export_run(Run.open(tiny_run_folder), out, overwrite=True)
    assert again.bundle.manifest.provenance.backbone == "cnn"
    assert [path.name for path in tmp_path.iterdir()] == ["parts.bundle"]


def test_a_foreign_folder_is_never_replaced(tiny_run_folder: Path, photos_copy: Path) -> None:
    with pytest.raises(StorageError, match="contains something else"):
        export_run(Run.open(tiny_run_folder), photos_copy, overwrite=True)
    assert len(list(photos_copy.rglob("*.jpg"))) == 48


def test_a_zip_holds_the_bytes_of_the_folder(small: dict[str, Path]) -> None:
    """So two exports of one run give the same bytes: each was made by an export of its own."""
    folder, packed = small["parts.bundle"], small["parts.zip"]
    with zipfile.ZipFile(packed) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    assert content == {name: (folder / name).read_bytes() for name in fingerprint(folder)}
    assert verify(Bundle.open(packed)).ok
    assert sorted(os.listdir(folder.parent)) == ["parts.bundle", "parts.zip"]


def test_an_export_by_another_process_gives_the_same_bytes(
    small: dict[str, Path], tiny_run_folder: Path, tmp_path: Path
) -> None:
    recipes = [part for one in THREE_FILES.recipes for part in ("--recipe", one)]
    more = (*recipes, "--allow-drop", "--json")
    child = start_export(tiny_run_folder, tmp_path / "again.zip", "", *more)
    printed, complaint = child.communicate()
    assert child.returncode == 0, complaint
    assert json.loads(printed)["bundle"] == str(tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == small["parts.zip"].read_bytes()


def test_a_date_is_in_the_bundle_only_if_it_is_stated(
    small: dict[str, Path],
    tiny_run_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Bundle.open(small["parts.zip"]).manifest.provenance.created_utc == ""
    settings = ExportOptions(recipes=("litert-float32",), allow_drop=True)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    dated = export_run(Run.open(tiny_run_folder), tmp_path / "dated.zip", settings).bundle
    assert dated.manifest.provenance.created_utc == "2023-11-14T22:13:20+00:00"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(ExportError, match="'yesterday', expected seconds since 1970"):
        export_run(Run.open(tiny_run_folder), tmp_path / "other.zip", settings)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("bundle", "add --overwrite"),
        ("photo", "contains something else"),
        ("other zip", "contains something else"),
        ("folder", "is a folder, expected a zip"),
    ],
)
def test_what_lies_where_a_zip_shall_be_is_refused(
    kind: str, says: str, small: dict[str, Path], tiny_run_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "parts.zip"
    if kind == "bundle":
        shutil.copy(small["parts.zip"], out)
    elif kind == "photo":
        out.write_bytes(b"\xff\xd8")
    elif kind == "other zip":
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("holiday.jpg", b"")
    else:
        out.mkdir()
    before = fingerprint(out)
    with pytest.raises(StorageError, match=says):
        export_run(Run.open(tiny_run_folder), out, THREE_FILES, overwrite=kind != "bundle")
    assert fingerprint(out) == before


def test_a_zip_does_not_become_a_folder(
    small: dict[str, Path], tiny_run_folder: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copy(small["parts.zip"], tmp_path / "parts.bundle"))
    with pytest.raises(StorageError, match="is a file, expected a folder"):
        export_run(Run.open(tiny_run_folder), out, THREE_FILES, overwrite=True)


def test_overwrite_replaces_a_zip(
    small: dict[str, Path], tiny_run_folder: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copy(small["parts.zip"], tmp_path / "parts.zip"))
    settings = ExportOptions(recipes=("litert-float32",), allow_drop=True)
    again = export_run(Run.open(tiny_run_folder), out, settings, overwrite=True).bundle
    assert [one.name for one in again.manifest.variants] == ["litert-float32"]
    assert os.listdir(tmp_path) == ["parts.zip"]


def test_a_zip_that_the_gate_refuses_leaves_its_attempts_aside(
    exploding_run: Path, tmp_path: Path
) -> None:
    settings = ExportOptions(recipes=("litert-int8",), repair="none")
    with pytest.raises(GateError, match=r"parts\.zip\.rejected"):
        export_run(Run.open(exploding_run), tmp_path / "parts.zip", settings)
    assert os.listdir(tmp_path) == ["parts.zip.rejected"]


def test_photos_that_went_away_are_named(
    tiny_run_folder: Path, photos: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(tiny_run_folder, tmp_path / "run"))
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["root"] = str(tmp_path / "moved")
    (run / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ExportError, match=r"48 of 48 photos of .*moved are missing"):
        export_run(Run.open(run), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_changed_model_is_not_exported(tiny_run_folder: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(tiny_run_folder, tmp_path / "run"))
    with (run / "weights.npz").open("ab") as file:
        file.write(b"x")
    with pytest.raises(RunError, match="not the file that training wrote"):
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
