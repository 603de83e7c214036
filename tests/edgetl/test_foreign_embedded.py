"""`edgetl export --model` without `--labels`: those that the model brings along, and a zip."""

import json
import logging
import shutil
import zipfile
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import helper

from edgetl.exporting.foreign import ForeignOptions, check_foreign, export_foreign
from edgetl_export.options import ExportOptions
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.errors import DatasetError, ExportError

LABELS = ("washer", "bolt", "gear")

ONNX32 = ExportOptions(recipes=("onnx-float32",))


def describe(model: Path, photos: Path, labels: Path | None = None) -> ForeignOptions:
    return ForeignOptions(model, labels, photos, "-1..1", trust=True)


@pytest.fixture
def named(foreign_folder: Path, tmp_path: Path) -> Path:
    """An .onnx that says its labels."""
    proto = onnx.load(foreign_folder / "model.onnx")
    helper.set_model_props(proto, {"names": str(dict(enumerate(LABELS)))})
    onnx.save(proto, tmp_path / "named.onnx")
    return tmp_path / "named.onnx"


@pytest.fixture
def packed(foreign_folder: Path, tmp_path: Path) -> Path:
    """As Teachable Machine packs a .tflite."""
    with zipfile.ZipFile(tmp_path / "converted_tflite.zip", "w") as archive:
        archive.write(foreign_folder / "float.tflite", "model_unquant.tflite")
        archive.writestr("labels.txt", "0 washer\n1 bolt\n2 gear\n")
    return tmp_path / "converted_tflite.zip"


@pytest.mark.parametrize("name", ["named", "packed"])
def test_labels_that_a_model_brings_along_need_not_be_given(
    request: pytest.FixtureRequest,
    photos: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    model: Path = request.getfixturevalue(name)
    recipe = "onnx-float32" if name == "named" else "litert-float32"
    with caplog.at_level(logging.WARNING):
        export_foreign(describe(model, photos), tmp_path / "b", ExportOptions(recipes=(recipe,)))
    bundle = Bundle.open(tmp_path / "b")
    assert bundle.labels == LABELS
    assert bundle.manifest.variants[0].metrics.top1 > 0.8
    assert bundle.manifest.provenance.backbone == model.stem
    source = ("the property names of" if name == "named" else "labels.txt in") + f" {model}"
    said = f"using the 3 labels in {source}: washer, bolt, gear"
    assert said in [one.getMessage() for one in caplog.records]


def test_labels_that_nobody_gives_are_asked_for_at_once(
    foreign_folder: Path, photos: Path, tmp_path: Path, wording: str
) -> None:
    out = tmp_path / "b"
    with (
        pytest.raises(ExportError) as caught,
        check_foreign(describe(foreign_folder / "model.onnx", photos), out, overwrite=False),
    ):
        pass
    assert str(caught.value).endswith(
        f"there is one beside it: --labels {foreign_folder}/labels.txt"
    )
    shutil.copy(foreign_folder / "float.tflite", tmp_path / "m.tflite")
    with (
        pytest.raises(ExportError, match=wording),
        check_foreign(describe(tmp_path / "m.tflite", photos), out, overwrite=False),
    ):
        pass


def test_what_a_model_puts_out_in_vain_is_told_with_its_place_in_the_zip(
    foreign_folder: Path, photos: Path, tmp_path: Path
) -> None:
    proto = onnx.load(foreign_folder / "model.onnx")
    shares = helper.make_node("Sigmoid", [proto.graph.output[0].name], ["shares"])
    proto.graph.node.append(shares)
    proto.graph.output[0].name = "shares"
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr("m.onnx", proto.SerializeToString())
        archive.writestr("labels.txt", "\n".join(LABELS))
    with pytest.raises(ExportError) as caught:
        export_foreign(describe(tmp_path / "m.zip", photos), tmp_path / "b")
    said = f"{tmp_path}/m.zip/m.onnx: the model's 3 outputs are in 0..1 but do not sum to 1"
    assert str(caught.value).startswith(said)


def test_a_zip_is_unpacked_once_and_the_photos_are_listed_once(
    packed: Path, photos_copy: Path, tmp_path: Path, edgetl: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "photos.csv"
    rows = [f"{one},{one.parent.name}" for one in sorted(photos_copy.rglob("*.jpg"))]
    table.write_text("path,label\n" + "\n".join(rows) + "\n")
    read, unpack, seen = Path.read_bytes, zipfile.ZipFile.extractall, list[str]()

    def read_bytes(path: Path) -> bytes:
        seen.extend(["listed"] if path == table else [])
        return read(path)

    def extract(*arguments: Any) -> None:
        seen.append("unpacked")
        unpack(*arguments)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    monkeypatch.setattr(zipfile.ZipFile, "extractall", extract)
    words = ("--model", packed, "--data", table, "--scaling", "-1..1", "--recipe", "litert-float32")
    code, _, said = edgetl("export", *words, "--out", tmp_path / "b")
    assert (code, seen) == (0, ["unpacked", "listed"]), said


def test_labels_in_another_order_than_those_inside_are_refused_with_their_place(
    named: Path, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "labels.txt").write_text("washer\ngear\nbolt\n")
    options = describe(named, photos, tmp_path / "labels.txt")
    with pytest.raises(ExportError) as caught:
        export_foreign(options, tmp_path / "b", ONNX32)
    said = f"the property names of {named} has the same labels as {tmp_path}/labels.txt in another"
    assert str(caught.value).startswith(said)


def test_a_class_that_the_labels_inside_lack_is_told_with_their_place(
    named: Path, photos_copy: Path, tmp_path: Path
) -> None:
    (photos_copy / "gear").rename(photos_copy / "Gear")
    with pytest.raises(DatasetError) as caught:
        export_foreign(describe(named, photos_copy), tmp_path / "b", ONNX32)
    place = f"the property names of {named}"
    assert f"has the class Gear, which is not in {place}, which has gear" in str(caught.value)


def test_a_count_of_labels_that_is_wrong_is_told_with_their_place(
    foreign_folder: Path, photos: Path, tmp_path: Path, wording: str
) -> None:
    proto = onnx.load(foreign_folder / "model.onnx")
    helper.set_model_props(proto, {"names": json.dumps(["bolt", "gear"])})
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(ExportError, match=wording):
        export_foreign(describe(tmp_path / "m.onnx", photos), tmp_path / "b")
