"""Heat maps of runs and bundles: exact, on the page, in the report, on the device."""

import importlib.util
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from edgetl.drawings import PARTS, draw_part
from edgetl.explaining.models import explain_run
from edgetl.options import FittingOptions, HeadOptions, TrainOptions
from edgetl.run import Run
from edgetl.training.train import train
from edgetl_export.options import ExportOptions
from edgetl_runtime import Classifier
from edgetl_runtime.bundle.head import Head
from edgetl_runtime.errors import EngineError, RunError
from edgetl_runtime.heatmaps.explainer import Explainer
from edgetl_runtime.heatmaps.opening import open_explainer
from edgetl_runtime.image.decoding import read_picture
from tests.conftest import BACKBONE, TESTS

WEIGHTS = "mobilenet_v2_0.35_224_notop.weights.h5"
SCENES = 30


@pytest.fixture(scope="module")
def tiny_bundle(tiny_run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from edgetl.exporting.runs import export_run

    folder = tmp_path_factory.mktemp("explained") / "tiny.bundle"
    options = ExportOptions(max_drop=100, max_class_drop=100, repair="none")
    export_run(Run.open(tiny_run_folder), folder, options)
    return folder


@pytest.fixture(scope="module")
def photo(photos: Path) -> Path:
    return sorted(photos.rglob("*.jpg"))[5]


def find_scores(explainer: Explainer, photo: Path) -> np.ndarray:
    heats = explainer.explain_several(read_picture(photo), explainer.labels)
    logits = np.array([one.logit for one in heats])
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()  # type: ignore[no-any-return]


def test_the_heat_maps_of_a_run_add_up_to_its_scores(tiny_run_folder: Path, photo: Path) -> None:
    run = Run.open(tiny_run_folder)
    scores = run.predict(photo).scores
    np.testing.assert_allclose(find_scores(explain_run(run), photo), scores, atol=1e-4)


def test_the_taps_of_a_mobilenet_add_up_to_its_scores(run_folder: Path, photo: Path) -> None:
    run = Run.open(run_folder)
    scores = run.predict(photo).scores
    np.testing.assert_allclose(find_scores(explain_run(run), photo), scores, atol=1e-4)


@pytest.mark.parametrize(
    ("variant", "tolerance"),
    [("litert-float32", 1e-4), ("litert-int8", 0.02), ("onnx-float32", 1e-4), ("onnx-int8", 0.02)],
)
def test_the_heat_maps_of_each_file_add_up_to_its_scores(
    tiny_bundle: Path, photo: Path, variant: str, tolerance: float
) -> None:
    classifier = Classifier.open(tiny_bundle, variant=variant)
    scores = classifier.engine.run(classifier.prepare(read_picture(photo)))
    found = find_scores(classifier.explainer, photo)
    # Without that of the unknown.
    known = scores[: len(found)] / scores[: len(found)].sum()
    np.testing.assert_allclose(found, known, atol=tolerance)


def test_a_run_and_its_float_file_have_the_same_map(
    tiny_run_folder: Path, tiny_bundle: Path, photo: Path
) -> None:
    """The head of the file was not fitted again, since nothing was quantized."""
    label = PARTS[1]
    ours = explain_run(Run.open(tiny_run_folder)).explain(read_picture(photo), label)
    theirs = Classifier.open(tiny_bundle, variant="litert-float32").explain(photo, label)
    np.testing.assert_allclose(ours.cells, theirs.cells, atol=1e-3)
    assert ours.hottest == theirs.hottest


def test_a_second_call_uses_the_engine_of_the_first(tiny_bundle: Path, photo: Path) -> None:
    classifier = Classifier.open(tiny_bundle)
    classifier.explain(photo)
    assert classifier.explainer is classifier.explainer


def test_a_file_without_maps_is_named(tiny_bundle: Path, wording: str) -> None:
    classifier = Classifier.open(tiny_bundle)
    without = msgspec.structs.replace(classifier.variant, hidden=None, memory=None)
    with pytest.raises(EngineError, match=wording):
        open_explainer(classifier.bundle, without, 1)


def test_an_mlp_has_no_heat_maps_and_says_so(photos: Path, tmp_path: Path, wording: str) -> None:
    options = TrainOptions(
        backbone="cnn",
        weights="none",
        size_px=32,
        augment="none",
        head=HeadOptions(kind="mlp", hidden=(8,)),
        training=FittingOptions(epochs=1),
    )
    run = train(photos, tmp_path / "run", options)
    with pytest.raises(RunError, match=wording):
        explain_run(run)
    assert 'class="maps"' not in (tmp_path / "run" / "report.html").read_text("utf-8")


def test_explain_writes_a_picture_of_each_photo_and_one_page(
    edgetl: Any, tiny_run_folder: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, said, _ = edgetl("explain", tiny_run_folder, photos / "gear", "--out", out, "--json")
    assert code == 0
    record = json.loads(said)
    assert Path(record["page"]) == out / "explained.html"
    assert len(record["photos"]) == len(list((photos / "gear").iterdir()))
    for one in record["photos"]:
        assert one["label"] == one["predicted"]
        height, width = cv2.imread(str(out / one["picture"])).shape[:2]
        assert width == 2 * height + 8
        assert all(0 < place < 96 for place in one["hottest_px"])
    page = (out / "explained.html").read_text("utf-8")
    assert page.count("data:image/jpeg;base64,") == len(record["photos"])
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_explain_explains_the_class_that_is_asked_for(
    edgetl: Any, tiny_bundle: Path, photo: Path, tmp_path: Path
) -> None:
    rest = (photo, "--label", "washer", "--out", tmp_path / "out", "--json")
    code, said, _ = edgetl("explain", tiny_bundle, *rest)
    assert (code, json.loads(said)["photos"][0]["label"]) == (0, "washer")


def test_explain_refuses_a_class_that_the_model_lacks(
    edgetl: Any, tiny_bundle: Path, photo: Path, tmp_path: Path, wording: str
) -> None:
    rest = (photo, "--label", "cat", "--out", tmp_path / "out")
    code, _, complaint = edgetl("explain", tiny_bundle, *rest)
    assert code == 1
    assert re.search(wording, complaint)
    assert not (tmp_path / "out").exists()


def test_the_report_shows_what_speaks_for_both_classes_of_a_mistake(tiny_run_folder: Path) -> None:
    page = (tiny_run_folder / "report.html").read_text("utf-8")
    mistakes = page.count('alt="A photo of')
    assert mistakes
    assert page.count('alt="Where the evidence for') == 2 * mistakes


def test_classify_writes_the_heat_map_of_each_frame(
    tiny_bundle: Path, photos: Path, tmp_path: Path
) -> None:
    done = run_device("classify", tiny_bundle, photos / "gear", "--explain", tmp_path / "maps")
    assert done.returncode == 0, done.stderr
    written = sorted((tmp_path / "maps").iterdir())
    assert [one.stem for one in written] == sorted(one.stem for one in (photos / "gear").iterdir())
    plain = cv2.imread(str(photos / "gear" / written[0].name))
    assert np.abs(cv2.imread(str(written[0])).astype(int) - plain).max() > 100


def test_the_video_of_a_camera_has_the_heat_map_of_its_label(
    tiny_bundle: Path, photos: Path, tmp_path: Path
) -> None:
    base = ("camera", tiny_bundle, "--source", photos / "gear", "--terminal", "none", "--video")
    for name, more in (("plain.avi", ()), ("heat.avi", ("--video-heat-map",))):
        done = run_device(*base, tmp_path / name, *more)
        assert done.returncode == 0, done.stderr
    plain, heat = (read_first(tmp_path / name) for name in ("plain.avi", "heat.avi"))
    assert np.abs(plain.astype(int) - heat).max() > 100


def run_device(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "edgetl_runtime", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)


def read_first(path: Path) -> np.ndarray:
    capture = cv2.VideoCapture(str(path))
    frame: np.ndarray = capture.read()[1]
    capture.release()
    return frame


@pytest.fixture(scope="module")
def parts_run(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("sanity")
    for label in PARTS:
        (folder / "photos" / label).mkdir(parents=True)
        for seed in range(24):
            path = folder / "photos" / label / f"{seed:02}.jpg"
            cv2.imwrite(str(path), draw_part(label, seed))
    weights = str(real_data / "weights" / WEIGHTS)
    options = TrainOptions(backbone=BACKBONE, weights=weights, finetune="none", views=0)
    return train(folder / "photos", folder / "run", options)


@pytest.mark.real_data
def test_the_hottest_place_lies_on_the_part_and_not_without_a_trained_head(parts_run: Run) -> None:
    """`benchmarks/explaining.py` does this with more of everything."""
    explainer = explain_run(parts_run)
    kernel = explainer.head.kernel
    shuffled = np.random.default_rng(0).permuted(kernel.ravel()).reshape(kernel.shape)
    untrained = explainer.replace_head(Head(shuffled, explainer.head.bias), explainer.labels)
    assert count_hits(explainer) >= 0.9 * SCENES
    assert count_hits(untrained) <= 0.5 * SCENES


def count_hits(explainer: Explainer) -> int:
    draw_scene = load_benchmark().draw_scene
    hits = 0
    for scene in map(draw_scene, range(SCENES)):
        x, y = explainer.explain(scene.picture, scene.label).hottest
        hits += math.hypot(x - scene.place[0], y - scene.place[1]) < scene.reach + 0.5 / 7
    return hits


def load_benchmark() -> Any:
    path = TESTS.parent / "benchmarks" / "explaining.py"
    sys.path.insert(0, str(path.parent))
    try:
        spec = importlib.util.spec_from_file_location("explaining", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["explaining"] = module
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module
