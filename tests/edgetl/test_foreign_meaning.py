"""`edgetl export --model` with labels or a scaling that are not the model's: refused in words."""

import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgetl.exporting.foreign import ForeignOptions, export_foreign
from edgetl_export.options import ExportOptions
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.errors import DatasetError, ExportError, GateError

FLOAT32 = ExportOptions(recipes=("litert-float32",))
ONNX32 = ExportOptions(recipes=("onnx-float32",))


def describe(folder: Path, name: str, photos: Path, **more: Any) -> ForeignOptions:
    options = {"labels": folder / "labels.txt", "scaling": "-1..1", "trust": True} | more
    return ForeignOptions(folder / name, data=photos, **options)


@pytest.fixture
def swapped(tmp_path: Path) -> Path:
    """Labels of which the last two are exchanged."""
    file = tmp_path / "swapped.txt"
    file.write_text("washer\ngear\nbolt\n")
    return file


@pytest.mark.parametrize("name", ["float.tflite", "uint8.tflite", "model.onnx", "model.keras"])
def test_labels_in_another_order_are_refused_and_the_right_one_is_named(
    foreign_folder: Path, photos: Path, tmp_path: Path, swapped: Path, name: str
) -> None:
    options = describe(foreign_folder, name, photos, labels=swapped)
    with pytest.raises(GateError) as caught:
        export_foreign(options, tmp_path / "b")
    words = str(caught.value)
    assert "gives implausible results: top-1 is" in words
    assert "line 2 bolt, line 3 gear" in words
    assert words.endswith("If labels and scaling are correct nevertheless, add --allow-doubt")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("name", ["float.tflite", "model.onnx", "model.keras", "float32.tflite"])
@pytest.mark.parametrize("wrong", ["0..255", "imagenet"])
def test_a_wrong_scaling_is_refused_and_the_right_one_is_named(
    foreign_folder: Path, photos: Path, tmp_path: Path, name: str, wrong: str, wording: str
) -> None:
    from edgetl_export.load import open_model
    from edgetl_export.load.scaling import find_scaling

    options = describe(foreign_folder, name, photos, scaling=wrong)
    given = open_model(options.model, find_scaling(wrong), trust=True)
    if _count_right(given, photos) > 40:
        pytest.skip("this scaling does not harm this network")
    with pytest.raises((GateError, ExportError), match=wording) as caught:
        export_foreign(options, tmp_path / "b")
    assert "-1..1" in str(caught.value)


def _count_right(foreign: Any, photos: Path) -> int:
    from edgetl_export.quantize.calibration import load_inputs
    from edgetl_runtime.image.preprocessing import Preprocessing

    files = sorted(photos.rglob("*.jpg"))
    named = foreign.run(load_inputs(files, Preprocessing(32, 32), "reading")).argmax(axis=1)
    labels = ("washer", "bolt", "gear")
    return sum(labels[n] == file.parent.name for n, file in zip(named, files, strict=True))


def test_a_doubt_that_is_allowed_is_said_and_kept(
    foreign_folder: Path,
    photos: Path,
    tmp_path: Path,
    swapped: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    options = describe(foreign_folder, "float.tflite", photos, labels=swapped, allow_doubt=True)
    with caplog.at_level(logging.WARNING):
        exported = export_foreign(options, tmp_path / "b", FLOAT32)
    assert "line 2 bolt, line 3 gear" in caplog.text
    assert exported.examination is not None
    assert [one.refuses for one in exported.examination.doubts] == [True]
    card = (tmp_path / "b" / "MODEL_CARD.md").read_text()
    assert "On labelled photos: top-1 is" in card
    assert "line 2 bolt, line 3 gear" in card


@pytest.mark.parametrize("name", ["uint8.tflite", "int8.tflite", "float32.tflite", "qdq.onnx"])
def test_a_scaling_that_the_files_own_quantization_contradicts_is_refused(
    foreign_folder: Path,
    photos: Path,
    calibrating: Callable[..., Any],
    tmp_path: Path,
    name: str,
) -> None:
    if name == "qdq.onnx":
        _quantize(foreign_folder / "model.onnx", tmp_path / name, photos, calibrating)
    folder = tmp_path if name == "qdq.onnx" else foreign_folder
    labels = foreign_folder / "labels.txt"
    options = describe(folder, name, photos, scaling="0..255", labels=labels)
    with pytest.raises(ExportError) as caught:
        export_foreign(options, tmp_path / "b")
    words = str(caught.value)
    assert "the quantization of its input says that its pixel values are -" in words
    assert "give --scaling -1..1" in words
    assert "add --allow-doubt" in words


def _quantize(model: Path, target: Path, photos: Path, calibrating: Callable[..., Any]) -> None:
    """As ONNX Runtime's own tool does: int8 inside, float outside."""
    from onnxruntime.quantization import QuantFormat, quantize_static

    from edgetl_export.quantize.calibration import load_inputs
    from edgetl_runtime.image.preprocessing import Preprocessing

    inputs = load_inputs(sorted(photos.rglob("*.jpg")), Preprocessing(32, 32), "reading")
    quantize_static(model, target, calibrating("image", inputs), quant_format=QuantFormat.QDQ)


def test_metadata_that_says_another_scaling_is_heeded(
    foreign_folder: Path, photos: Path, tmp_path: Path, wording: str
) -> None:
    from edgetl_export.package.metadata import ModelInfo, add_tflite_metadata

    info = ModelInfo("n", "d", "1", "", "", ("washer", "bolt", "gear"), 32, 32)
    # What edgetl writes says that levels are taken as they are.
    said = {"m.tflite": add_tflite_metadata((foreign_folder / "float.tflite").read_bytes(), info)}
    export_foreign(
        describe(foreign_folder, "model.onnx", photos),
        tmp_path / "own",
        ONNX32,
    )
    said["m.onnx"] = (tmp_path / "own" / "onnx-float32.onnx").read_bytes()
    for name, data in said.items():
        (tmp_path / name).write_bytes(data)
        options = describe(tmp_path, name, photos, labels=foreign_folder / "labels.txt")
        with pytest.raises(ExportError, match=wording):
            export_foreign(options, tmp_path / "b")


def test_damaged_metadata_says_nothing(foreign_folder: Path, photos: Path, tmp_path: Path) -> None:
    from edgetl_export.graph.flatbuffer import read_tree, write_tree
    from edgetl_export.package.metadata import ModelInfo, add_tflite_metadata

    info = ModelInfo("n", "d", "1", "", "", ("washer", "bolt", "gear"), 32, 32)
    data = add_tflite_metadata((foreign_folder / "float.tflite").read_bytes(), info)
    tree = read_tree(data)
    (entry,) = [one for one in tree.metadata if one.name == b"TFLITE_METADATA"]
    whole = tree.buffers[entry.buffer].data
    for number, bad in enumerate((whole[:3], whole[: len(whole) // 2], whole[::-1].copy())):
        tree.buffers[entry.buffer].data = np.asarray(bad, np.uint8)
        (tmp_path / "m.tflite").write_bytes(write_tree(tree))
        options = describe(tmp_path, "m.tflite", photos, labels=foreign_folder / "labels.txt")
        export_foreign(options, tmp_path / f"b{number}", FLOAT32)
        assert Bundle.open(tmp_path / f"b{number}").labels == info.labels


def test_what_was_examined_is_in_the_json_and_on_the_screen(
    foreign_folder: Path, photos: Path, tmp_path: Path, edgetl: Any
) -> None:
    arguments = ["--model", foreign_folder / "float.tflite", "--data", photos]
    arguments += ["--labels", foreign_folder / "labels.txt", "--scaling", "-1..1"]
    arguments += ["--recipe", "litert-float32"]
    code, out, err = edgetl("export", *arguments, "--out", tmp_path / "a", "--json")
    assert code == 0, err
    found = json.loads(out)["examination"]
    assert (found["photos"], found["doubts"]) == (48, [])
    assert found["top1"] > 0.8 > found["guessing_high"]
    code, out, err = edgetl("export", *arguments, "--out", tmp_path / "b")
    assert code == 0, err
    assert "labels and scaling fit the photos: top-1 is" in out


def test_a_few_photos_of_some_of_the_classes_are_enough_for_an_honest_model(
    foreign_folder: Path, photos_copy: Path, tmp_path: Path
) -> None:
    shutil.rmtree(photos_copy / "bolt")
    for file in photos_copy.rglob("*.jpg"):
        if int(file.stem) >= 5:
            file.unlink()
    options = describe(foreign_folder, "float.tflite", photos_copy)
    exported = export_foreign(options, tmp_path / "b", FLOAT32)
    assert exported.examination is not None
    assert not exported.examination.doubts


def test_a_label_that_is_there_twice_goes_all_the_way_to_the_device(
    foreign_folder: Path,
    photos_copy: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    wording: str,
) -> None:
    (tmp_path / "labels.txt").write_text("part\nbolt\npart\n")
    arguments: dict[str, Any] = {"labels": tmp_path / "labels.txt"}
    (photos_copy / "washer").rename(photos_copy / "part (0)")
    (photos_copy / "gear").rename(photos_copy / "part")
    options = describe(foreign_folder, "float.tflite", photos_copy, **arguments)
    with pytest.raises(DatasetError, match=wording):
        export_foreign(options, tmp_path / "b", FLOAT32)
    (photos_copy / "part").rename(photos_copy / "part (2)")
    with caplog.at_level(logging.WARNING):
        export_foreign(options, tmp_path / "b", FLOAT32)
    assert "has the label part 2 times; they are renamed to part (0) and part (2)" in caplog.text
    command = [sys.executable, "-m", "edgetl_runtime", "classify", tmp_path / "b", "--json"]
    photo = photos_copy / "part (2)" / "03.jpg"
    done = subprocess.run([*command, photo], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["label"] == "part (2)"
