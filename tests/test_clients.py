"""Other people's programs read and run our files: MediaPipe Tasks, ONNX Runtime, OpenCV.

They are given 100 real photos where EDGETL_TEST_DATA has some, else drawn ones.
"""

import ast
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest

from edgetl_export.package.metadata import ModelInfo, add_onnx_metadata, add_tflite_metadata
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.engines.onnx_engine import EXACT
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.prediction import Prediction
from tests.conftest import BACKBONE

ROOT = Path(__file__).resolve().parent.parent
MEDIAPIPE = ROOT / ".venv-mediapipe" / "bin" / "python"
PRECISIONS = ("float32", "float16", "int8")
WEIGHTS = "mobilenet_v2_0.35_224_notop.weights.h5"
# So few that training and export take seconds; how good the model is does not matter here.
PHOTOS_A_CLASS = 20
UNKNOWN = 10

needs_mediapipe = pytest.mark.skipif(
    not MEDIAPIPE.is_file(), reason="`make test` installs .venv-mediapipe"
)


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some TrashNet photos of each class, or the drawn ones."""
    if not os.environ.get("EDGETL_TEST_DATA"):
        return Path(request.getfixturevalue("photos"))
    folder = tmp_path_factory.mktemp("some_photos")
    for label in sorted((request.getfixturevalue("real_data") / "trashnet").iterdir()):
        (folder / label.name).mkdir()
        for photo in sorted(label.iterdir())[:PHOTOS_A_CLASS]:
            (folder / label.name / photo.name).symlink_to(photo)
    return folder


@pytest.fixture(scope="module")
def bundle(
    request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    """Every precision of both engines, whatever it lost."""
    from edgetl.exporting.runs import export_run
    from edgetl.options import TrainOptions
    from edgetl.run import Run
    from edgetl.training.train import train
    from edgetl_export.options import ExportOptions

    out = tmp_path_factory.mktemp("clients")
    if os.environ.get("EDGETL_TEST_DATA"):
        weights = request.getfixturevalue("real_data") / "weights" / WEIGHTS
        options = TrainOptions(backbone=BACKBONE, weights=str(weights), finetune="none")
        train(folder, out / "run", options)
        run = Run.open(out / "run")
    else:
        run = Run.open(request.getfixturevalue("tiny_run_folder"))
    settings = ExportOptions(
        recipes=tuple(PRECISIONS),
        repair="none",
        allow_drop=True,
    )
    return export_run(run, out / "a.bundle", settings).bundle


@pytest.fixture(scope="module")
def photos_100(folder: Path) -> list[Path]:
    by_class = [sorted(label.iterdir()) for label in sorted(folder.iterdir())]
    return [photo for row in zip(*by_class, strict=True) for photo in row][:100]


@pytest.fixture(scope="module")
def pictures(
    photos_100: list[Path], bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """Noise, and the photos as our preprocessing makes them, so that no resize rule matters."""
    folder = tmp_path_factory.mktemp("pictures")
    files = [folder / f"{number}.png" for number in range(len(photos_100) + UNKNOWN)]
    for photo, file in zip(photos_100, files, strict=False):
        pixels = bundle.manifest.preprocessing.apply(read_picture(photo))
        cv2.imwrite(str(file), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    random = np.random.default_rng(0)
    size = bundle.manifest.preprocessing
    for file in files[len(photos_100) :]:
        noise = random.integers(0, 256, (size.height_px, size.width_px, 3), np.uint8)
        cv2.imwrite(str(file), noise)
    return files


def ask_mediapipe(model: bytes, pictures: list[Path], folder: Path) -> Any:
    (folder / "model.tflite").write_bytes(model)
    command = [MEDIAPIPE, ROOT / "benchmarks" / "mediapipe_client.py", folder / "model.tflite"]
    result = subprocess.run([*command, *pictures], capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


def ask_ours(bundle: Bundle, variant: str, pictures: list[Path]) -> list[Prediction]:
    classifier = Classifier.open(bundle, variant=variant, threads=1)
    return [classifier(read_picture(file)) for file in pictures]


def name_best(prediction: Prediction) -> str:
    """What a program says that takes the highest score: a class, or `unknown`."""
    return prediction.labels[prediction.index]


def open_session(model: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    # On x86 without VNNI a client must ask for this itself, as the README says.
    options.add_session_config_entry(*EXACT)
    return onnxruntime.InferenceSession(model, options)


def model_of(bundle: Bundle, name: str) -> bytes:
    return bundle.read(bundle.variant(name))


def planes(picture: Path, dtype: type) -> np.ndarray:
    rgb = cv2.cvtColor(read_picture(picture), cv2.COLOR_BGR2RGB)
    return np.ascontiguousarray(rgb.transpose(2, 0, 1)[np.newaxis]).astype(dtype)


@needs_mediapipe
@pytest.mark.parametrize("precision", PRECISIONS)
def test_mediapipe_names_the_same_label_as_our_runtime_for_every_picture(
    precision: str, bundle: Bundle, pictures: list[Path], tmp_path: Path
) -> None:
    theirs = ask_mediapipe(model_of(bundle, f"litert-{precision}"), pictures, tmp_path)["labels"]
    predictions = ask_ours(bundle, f"litert-{precision}", pictures)
    assert theirs == [name_best(one) for one in predictions]
    assert set(theirs) == {*bundle.labels, "unknown"}
    assert [one.label is None for one in predictions] == [one == "unknown" for one in theirs]


@needs_mediapipe
def test_mediapipe_mostly_agrees_on_photos_that_it_resizes_by_its_own_rule(
    bundle: Bundle, photos_100: list[Path], tmp_path: Path
) -> None:
    theirs = ask_mediapipe(model_of(bundle, "litert-float32"), photos_100, tmp_path)["labels"]
    ours = [name_best(one) for one in ask_ours(bundle, "litert-float32", photos_100)]
    same = sum(one == other for one, other in zip(theirs, ours, strict=True))
    assert same > 0.7 * len(ours), f"{same} of {len(ours)}"


@needs_mediapipe
def test_mediapipe_rejects_what_our_runtime_rejects(
    bundle: Bundle, pictures: list[Path], tmp_path: Path
) -> None:
    predictions = ask_ours(bundle, "litert-float32", pictures)
    scores = sorted(one.score for one in predictions)
    threshold = (scores[len(scores) // 2 - 1] + scores[len(scores) // 2]) / 2
    model = add_tflite_metadata(
        model_of(bundle, "litert-float32"), describe(bundle, reject_threshold=threshold)
    )
    ours = [name_best(one) if one.score >= threshold else None for one in predictions]
    assert ask_mediapipe(model, pictures, tmp_path)["labels"] == ours
    assert ours.count(None) == len(ours) // 2


def describe(bundle: Bundle, **changes: Any) -> ModelInfo:
    size = bundle.manifest.preprocessing
    named = dict.fromkeys(("name", "description", "version", "author", "license"), "x")
    return ModelInfo(
        **named,
        labels=changes.pop("labels", bundle.manifest.outputs),
        width_px=size.width_px,
        height_px=size.height_px,
        **changes,
    )


@needs_mediapipe
def test_mediapipe_and_onnx_runtime_read_the_same_metadata(
    bundle: Bundle, pictures: list[Path], tmp_path: Path
) -> None:
    outputs = bundle.manifest.outputs
    labels = ("Schraube groß", "螺母, M5", 'it\'s a "nut"', *outputs)[: len(outputs)]
    info = describe(bundle, labels=labels, reject_threshold=0.625)
    lite = add_tflite_metadata(model_of(bundle, "litert-int8"), info)
    found = ask_mediapipe(lite, pictures[:1], tmp_path)["metadata"]
    model = add_onnx_metadata(model_of(bundle, "onnx-int8"), info)
    told = open_session(model).get_modelmeta().custom_metadata_map
    assert tuple(found["labels"]) == tuple(ast.literal_eval(told["names"]).values()) == labels
    assert found["size"] == ast.literal_eval(told["imgsz"])
    assert found["threshold"] == float(told["model_info confidence_threshold"]) == 0.625
    assert found["custom"] == {"edgetl": json.loads(told["edgetl"])}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_onnx_runtime_alone_names_the_same_labels(
    precision: str, bundle: Bundle, pictures: list[Path]
) -> None:
    session = open_session(model_of(bundle, f"onnx-{precision}"))
    about = session.get_modelmeta()
    assert about.producer_name == "edgetl"
    assert about.description.endswith(f"one of {len(bundle.labels)} labels.")
    names = ast.literal_eval(about.custom_metadata_map["names"])
    dtype = np.uint8 if precision == "int8" else np.float32
    theirs = [
        names[int(session.run(None, {"image": planes(file, dtype)})[0].argmax())]
        for file in pictures
    ]
    assert theirs == [name_best(one) for one in ask_ours(bundle, f"onnx-{precision}", pictures)]


# A CPU has no 16-bit arithmetic, and each engine rounds in other places.
@pytest.mark.parametrize(
    ("precision", "apart"), [("float32", 1e-4), ("float16", 0.05), ("int8", 0.1)]
)
def test_opencv_gives_the_same_scores(
    precision: str, apart: float, bundle: Bundle, pictures: list[Path]
) -> None:
    name = f"onnx-{precision}"
    dtype = bundle.variant(name).input.dtype
    net = cv2.dnn.readNetFromONNX(np.frombuffer(model_of(bundle, name), np.uint8))
    for file, ours in zip(pictures, ask_ours(bundle, name, pictures), strict=True):
        net.setInput(planes(file, np.dtype(dtype).type))
        np.testing.assert_allclose(net.forward()[0], ours.scores, atol=apart)
