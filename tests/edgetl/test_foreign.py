"""`edgetl export --model`: a model trained elsewhere becomes a bundle, or one line says why not."""

import io
import json
import logging
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgetl.exporting.foreign import ForeignOptions, export_foreign
from edgetl_export.options import ExportOptions
from edgetl_runtime.bundle.golden_frames import verify
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.errors import ExportError
from edgetl_runtime.image.decoding import read_picture
from tests.fingerprint import fingerprint

FLOAT = ("litert-int8", "litert-float32", "onnx-int8", "onnx-float32")

FLOAT32 = ExportOptions(recipes=("litert-float32",))


def describe(folder: Path, name: str, photos: Path, **more: Any) -> ForeignOptions:
    return ForeignOptions(folder / name, folder / "labels.txt", photos, "-1..1", trust=True, **more)


@pytest.fixture(scope="module")
def old_bundle(
    foreign_folder: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A bundle that is there already."""
    out = tmp_path_factory.mktemp("bundles") / "old.bundle"
    options = describe(foreign_folder, "float.tflite", photos)
    export_foreign(options, out, FLOAT32)
    return out


@pytest.mark.parametrize(
    ("name", "variants"),
    [
        ("model.keras", FLOAT),
        ("saved", FLOAT),
        ("float.tflite", FLOAT),
        ("model.onnx", ("onnx-int8", "onnx-float32")),
        ("uint8.tflite", ("litert-int8",)),
        ("int8.tflite", ("litert-int8",)),
        ("dynamic.tflite", ("litert-dynamic",)),
    ],
)
def test_each_form_becomes_a_bundle_that_names_the_right_labels(
    foreign_folder: Path, photos: Path, tmp_path: Path, name: str, variants: tuple[str, ...]
) -> None:
    out = tmp_path / "parts.bundle"
    export_foreign(describe(foreign_folder, name, photos), out)
    bundle = Bundle.open(out)
    assert bundle.labels == ("washer", "bolt", "gear")
    assert tuple(one.name for one in bundle.manifest.variants) == variants
    assert verify(bundle).ok
    assert bundle.manifest.provenance.backbone == Path(name).stem
    for variant in variants:
        classify = Classifier.open(bundle, variant=variant)
        right = [
            classify(read_picture(file)).label == file.parent.name
            for file in sorted(photos.rglob("*.jpg"))
        ]
        assert np.mean(right) > 0.8, variant


def test_the_device_classifies_with_the_bundle(old_bundle: Path, photos: Path) -> None:
    command = [sys.executable, "-m", "edgetl_runtime", "classify", str(old_bundle)]
    photo = str(photos / "gear" / "03.jpg")
    done = subprocess.run([*command, photo], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "gear" in done.stdout.split("[")[0].rsplit("#", 1)[-1]


def test_the_command_says_what_was_done_to_the_model(
    foreign_folder: Path, photos: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "edgetl.cli", "export", "--json", "--scaling", "-1..1"]
    command += ["--model", foreign_folder / "int8.tflite", "--data", photos]
    command += ["--labels", foreign_folder / "labels.txt", "--out", tmp_path / "b"]
    done = subprocess.run(
        [str(one) for one in command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (variant,) = json.loads(done.stdout)["variants"]
    assert (variant["name"], variant["drop"], variant["agreement"]) == ("litert-int8", 0, 1)
    softmax, reference, unknown = sorted(done.stderr.splitlines(), key=find_subject)
    assert "its outputs are logits, so a softmax was added" in softmax
    assert "already int8 and is shipped as it is" in reference
    assert "its drop is 0 by definition" in reference
    assert "no class for unknown things" in unknown


def find_subject(line: str) -> int:
    subjects = ("softmax was added", "by definition", "unknown things")
    return next(n for n, one in enumerate(subjects) if one in line)


def test_the_gate_compares_with_the_model_itself(
    foreign_folder: Path, photos: Path, tmp_path: Path
) -> None:
    import keras

    from edgetl.dataset.manifest import scan
    from edgetl.exporting.foreign import _SEED
    from edgetl_runtime.image.preprocessing import Preprocessing

    options = describe(foreign_folder, "float.tflite", photos)
    exported = export_foreign(options, tmp_path / "b", FLOAT32)
    manifest = scan(photos, seed=_SEED)
    examples = manifest.select("val")
    model: Any = keras.models.load_model(foreign_folder / "model.keras", compile=False)
    apply = Preprocessing(32, 32).apply
    inputs = np.stack([apply(read_picture(manifest.file(one))) for one in examples])
    named = np.asarray(model(inputs.astype(np.float32) / 127.5 - 1)).argmax(axis=1)
    labels = exported.bundle.labels
    top1 = np.mean([labels[n] == one.label for n, one in zip(named, examples, strict=True)])
    metrics = exported.bundle.variant().metrics
    assert (metrics.top1, metrics.examples) == (pytest.approx(top1), len(examples))
    assert (metrics.drop, metrics.agreement) == (0, 1)


def test_a_worse_file_fails_the_gate_and_leaves_the_old_bundle(
    foreign_folder: Path, photos: Path, old_bundle: Path, tmp_path: Path, edgetl: Any
) -> None:
    out = Path(shutil.copytree(old_bundle, tmp_path / "b"))
    before = fingerprint(out)
    arguments = ["--model", foreign_folder / "float.tflite", "--data", photos, "--out", out]
    arguments += ["--labels", foreign_folder / "labels.txt", "--scaling", "-1..1", "--overwrite"]
    code, _, err = edgetl("export", *arguments, "--max-bytes", 100)
    assert code == 3
    assert "no bundle was written" in err
    assert fingerprint(out) == before


def test_labels_without_photos_are_a_warning(
    foreign_folder: Path, photos_copy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(photos_copy / "bolt")
    options = describe(foreign_folder, "float.tflite", photos_copy)
    with caplog.at_level(logging.WARNING):
        exported = export_foreign(options, tmp_path / "b", FLOAT32)
    assert "1 of 3 labels have no photos" in caplog.text
    assert "bolt" in caplog.text
    assert exported.bundle.variant().metrics.recall["bolt"] is None


def test_few_calibration_photos_are_a_warning_once(
    foreign_folder: Path, photos_copy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for file in photos_copy.rglob("*.jpg"):
        if int(file.stem) >= 8:
            file.unlink()
    options = describe(foreign_folder, "float.tflite", photos_copy)
    with caplog.at_level(logging.WARNING):
        export_foreign(options, tmp_path / "b", ExportOptions(recipes=("int8",)))
    assert caplog.text.count("training photos for calibration, fewer than 20") == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"washer\nbolt\nwasher\n", "has the class gear, which is not in"),
        (b"washer\ngear\ngear\n", "has the class bolt, which is not in"),
        (b"gear\nbolt\ngear\nwasher\n", "has 4 labels"),
        (b"washer\n\nbolt\ngear\n", "line 2 is empty"),
        (b"washer\nb\xf6lt\ngear\n", "line 2 is not UTF-8"),
        (b"washer\nbolt\n", "has 2 labels (line 2: bolt), the model has 3 outputs"),
        (b"washer\nbolt\ngear\nspring\n", "has 4 labels (line 3: gear), the model has 3 outputs"),
        (b"washer\nbolt\nspring\n", "has the class gear, which is not in"),
        (b"washer\nbolt\ngears\n", ", which has gears; rename or remove the folder"),
        (b"", "has 0 labels"),
        (None, "labels.txt cannot be read (No such file or directory)"),
    ],
)
def test_bad_labels_are_one_line_and_touch_nothing(
    foreign_folder: Path,
    photos: Path,
    old_bundle: Path,
    tmp_path: Path,
    edgetl: Any,
    content: bytes | None,
    words: str,
) -> None:
    labels = tmp_path / "labels.txt"
    if content is not None:
        labels.write_bytes(content)
    before = fingerprint(old_bundle)
    arguments = ["--model", foreign_folder / "float.tflite", "--data", photos, "--labels", labels]
    code, out, err = edgetl(
        "export", *arguments, "--scaling", "-1..1", "--out", old_bundle, "--overwrite"
    )
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert words in err
    assert fingerprint(old_bundle) == before


@pytest.mark.parametrize(
    ("name", "more", "words"),
    [
        ("model.keras", (), "a .keras file can run code"),
        ("saved", (), "a SavedModel is a program"),
        ("model.onnx", ("--recipe", "litert-int8"), "is not possible for an .onnx"),
        ("model.onnx", ("--recipe", "mixed"), "litert-mixed is not possible for an .onnx"),
        ("int8.tflite", ("--recipe", "float32"), "is shipped as it is; ask for litert-int8 only"),
        ("float.tflite", ("--size", 64), "takes 32x32 px only"),
        ("labels.txt", (), "is text, not a model"),
        ("gone.onnx", (), "does not exist"),
    ],
)
def test_a_model_that_cannot_be_used_is_one_line_and_touches_nothing(
    foreign_folder: Path,
    photos: Path,
    old_bundle: Path,
    edgetl: Any,
    name: str,
    more: tuple[object, ...],
    words: str,
) -> None:
    before = fingerprint(old_bundle)
    arguments = ["--model", foreign_folder / name, "--data", photos, "--scaling", "-1..1"]
    arguments += ["--labels", foreign_folder / "labels.txt", "--out", old_bundle, "--overwrite"]
    code, out, err = edgetl("export", *arguments, *more)
    assert (code, out, len(err.splitlines())) == (1, "", 1), err
    assert words in err
    assert fingerprint(old_bundle) == before


@pytest.mark.parametrize("name", ["bad.tflite", "bad.onnx", "bad.keras"])
def test_a_damaged_file_is_one_line(
    foreign_folder: Path, photos: Path, tmp_path: Path, edgetl: Any, name: str
) -> None:
    whole = {".tflite": "float.tflite", ".onnx": "model.onnx", ".keras": "model.keras"}
    data = (foreign_folder / whole[Path(name).suffix]).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) * 2 // 3])
    arguments = ["--model", tmp_path / name, "--data", photos, "--scaling", "-1..1", "--trust"]
    arguments += ["--labels", foreign_folder / "labels.txt", "--out", tmp_path / "b"]
    code, out, err = edgetl("export", *arguments)
    assert (code, out, len(err.splitlines())) == (1, "", 1), err
    assert not (tmp_path / "b").exists()


def test_data_without_photos_to_calibrate_with_is_refused(
    foreign_folder: Path, photos: Path, tmp_path: Path, wording: str
) -> None:
    (tmp_path / "data" / "train").mkdir(parents=True)
    shutil.copytree(photos, tmp_path / "data" / "val")
    options = describe(foreign_folder, "float.tflite", tmp_path / "data")
    with pytest.raises(Exception, match=wording) as caught:
        export_foreign(options, tmp_path / "b")
    assert type(caught.value).__module__ == "edgetl_runtime.errors"


def test_a_recipe_that_cannot_be_made_is_refused_before_photos_are_read(
    foreign_folder: Path, tmp_path: Path, wording: str
) -> None:
    for label in ("bolt", "gear", "washer"):
        (tmp_path / "unreadable" / label).mkdir(parents=True)
        (tmp_path / "unreadable" / label / "1.jpg").touch()
    options = describe(foreign_folder, "model.onnx", tmp_path / "unreadable")
    with pytest.raises(ExportError, match=wording):
        export_foreign(options, tmp_path / "b", FLOAT32)


def test_two_exports_of_one_model_hold_the_same_files(
    foreign_folder: Path, photos: Path, tmp_path: Path
) -> None:
    options = describe(foreign_folder, "model.onnx", photos)
    for name in ("a", "b"):
        export_foreign(options, tmp_path / name)
    first, second = (fingerprint(tmp_path / name) for name in ("a", "b"))
    dated = {"bundle.json", "bundle.json.sha256", "MODEL_CARD.md"}
    assert {name for name in first if first[name] != second[name]} <= dated


@pytest.fixture(scope="module")
def labelled_folder(foreign_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with its labels inside, as Ultralytics and TensorFlow Lite write them."""
    import onnx

    folder = tmp_path_factory.mktemp("labelled")
    labels = (foreign_folder / "labels.txt").read_text().split()
    proto = onnx.load(foreign_folder / "model.onnx")
    named = proto.metadata_props.add()
    named.key, named.value = "names", repr(dict(enumerate(labels)))
    onnx.save(proto, folder / "named.onnx")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("readme.txt", "hello")
        file.writestr("labels.txt", "\n".join(labels) + "\n")
    model = (foreign_folder / "float.tflite").read_bytes()
    (folder / "named.tflite").write_bytes(model + archive.getvalue())
    return folder


@pytest.mark.parametrize(
    ("name", "place"), [("named.onnx", "the property names of"), ("named.tflite", "labels.txt in")]
)
def test_labels_that_lie_in_the_model_need_no_file(
    labelled_folder: Path,
    photos: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    place: str,
) -> None:
    options = ForeignOptions(labelled_folder / name, None, photos, "-1..1")
    recipe = "onnx-float32" if name.endswith("onnx") else "litert-float32"
    exported = export_foreign(options, tmp_path / "b", ExportOptions(recipes=(recipe,)))
    assert exported.bundle.manifest.labels == ("washer", "bolt", "gear")
    assert exported.bundle.manifest.variants[0].metrics.top1 > 0.8
    assert f"using the 3 labels in {place} {labelled_folder / name}: washer" in caplog.text


def test_labels_in_another_order_than_the_models_own_are_refused(
    labelled_folder: Path, photos: Path, tmp_path: Path, wording: str
) -> None:
    (tmp_path / "labels.txt").write_text("bolt\ngear\nwasher\n")
    model = labelled_folder / "named.onnx"
    options = ForeignOptions(model, tmp_path / "labels.txt", photos, "-1..1")
    with pytest.raises(ExportError, match=wording):
        export_foreign(options, tmp_path / "b", ExportOptions(recipes=("onnx-float32",)))


def test_a_model_without_labels_asks_for_them(
    foreign_folder: Path, photos: Path, tmp_path: Path, wording: str
) -> None:
    options = ForeignOptions(foreign_folder / "float.tflite", None, photos, "-1..1")
    with pytest.raises(ExportError, match=wording):
        export_foreign(options, tmp_path / "b")
