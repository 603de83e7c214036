"""Export as a whole: what is in the bundle, and what is left when export fails."""

import os
import shutil
import zipfile
from pathlib import Path

import msgspec
import pytest

from edgetl_export.options import ExportOptions
from edgetl_export.package.bundling import export_model
from edgetl_export.trained import Trained
from edgetl_runtime.bundle.golden_frames import verify
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.errors import ExportError, GateError, StorageError
from tests.fingerprint import fingerprint

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


@pytest.fixture(scope="module")
def small(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The small classifier, exported to a folder and to a zip; read only."""
    folder = tmp_path_factory.mktemp("small")
    paths = {name: folder / name for name in ("parts.bundle", "parts.zip")}
    for path in paths.values():
        export_model(trained, path, THREE_FILES)
    return paths


def test_the_bundle_opens_and_reproduces_its_golden_frames(bundle: Bundle) -> None:
    result = verify(bundle)
    assert result.ok, result.failures
    assert len(bundle.manifest.golden) == 5
    assert len([name for name in result.checked if " on 5 golden frames" in name]) == 4


def test_the_bundle_says_what_it_was_told(bundle: Bundle, trained: Trained) -> None:
    manifest = bundle.manifest
    assert bundle.labels == trained.labels
    assert manifest.preprocessing == trained.preprocessing
    for name in ("backbone", "model_sha256", "dataset_digest", "weights_digest"):
        assert getattr(manifest.provenance, name) == getattr(trained, name)
    assert len(manifest.provenance.calibration_photos) == len(trained.training)


def test_nothing_lies_in_the_bundle_that_it_does_not_list(bundle: Bundle) -> None:
    listed = {stored.file for stored in bundle.files} | {"bundle.json", "bundle.json.sha256"}
    assert fingerprint(bundle.path).keys() == listed


def test_an_existing_bundle_is_refused(trained: Trained, bundle: Bundle, wording: str) -> None:
    with pytest.raises(StorageError, match=wording):
        export_model(trained, bundle.path, ExportOptions())


def test_overwrite_replaces_a_bundle(trained: Trained, bundle: Bundle, tmp_path: Path) -> None:
    out = Path(shutil.copytree(bundle.path, tmp_path / "parts.bundle"))
    other = msgspec.structs.replace(trained, backbone="other")
    again = export_model(other, out, ExportOptions(recipes=("litert-float32",)), overwrite=True)
    assert again.bundle.manifest.provenance.backbone == "other"
    assert [path.name for path in tmp_path.iterdir()] == ["parts.bundle"]


def test_a_foreign_folder_is_never_replaced(
    trained: Trained, photos_copy: Path, wording: str
) -> None:
    with pytest.raises(StorageError, match=wording):
        export_model(trained, photos_copy, ExportOptions(), overwrite=True)
    assert len(list(photos_copy.rglob("*.jpg"))) == 48


def test_a_zip_holds_the_bytes_of_the_folder(small: dict[str, Path]) -> None:
    """So two exports of one run give the same bytes: each was made by an export of its own."""
    folder, packed = small["parts.bundle"], small["parts.zip"]
    with zipfile.ZipFile(packed) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    assert content == {name: (folder / name).read_bytes() for name in fingerprint(folder)}
    assert verify(Bundle.open(packed)).ok
    assert sorted(os.listdir(folder.parent)) == ["parts.bundle", "parts.zip"]


def test_a_date_is_in_the_bundle_only_if_it_is_stated(
    small: dict[str, Path],
    trained: Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wording: str,
) -> None:
    assert Bundle.open(small["parts.zip"]).manifest.provenance.created_utc == ""
    settings = ExportOptions(recipes=("litert-float32",), allow_drop=True)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    dated = export_model(trained, tmp_path / "dated.zip", settings).bundle
    assert dated.manifest.provenance.created_utc == "2023-11-14T22:13:20+00:00"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(ExportError, match=wording):
        export_model(trained, tmp_path / "other.zip", settings)


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
    kind: str, says: str, small: dict[str, Path], trained: Trained, tmp_path: Path
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
        export_model(trained, out, THREE_FILES, overwrite=kind != "bundle")
    assert fingerprint(out) == before


def test_a_zip_does_not_become_a_folder(
    small: dict[str, Path], trained: Trained, tmp_path: Path, wording: str
) -> None:
    out = Path(shutil.copy(small["parts.zip"], tmp_path / "parts.bundle"))
    with pytest.raises(StorageError, match=wording):
        export_model(trained, out, THREE_FILES, overwrite=True)


def test_overwrite_replaces_a_zip(small: dict[str, Path], trained: Trained, tmp_path: Path) -> None:
    out = Path(shutil.copy(small["parts.zip"], tmp_path / "parts.zip"))
    settings = ExportOptions(recipes=("litert-float32",), allow_drop=True)
    again = export_model(trained, out, settings, overwrite=True).bundle
    assert [one.name for one in again.manifest.variants] == ["litert-float32"]
    assert os.listdir(tmp_path) == ["parts.zip"]


def test_a_zip_that_the_gate_refuses_leaves_its_attempts_aside(
    exploding: Trained, tmp_path: Path, wording: str
) -> None:
    settings = ExportOptions(recipes=("litert-int8",), repair="none")
    with pytest.raises(GateError, match=wording):
        export_model(exploding, tmp_path / "parts.zip", settings)
    assert os.listdir(tmp_path) == ["parts.zip.rejected"]
