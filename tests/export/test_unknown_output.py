"""Files with one more output, for what is none of the classes: everything counts it as no label."""

import zipfile
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import onnx
import pytest

from edgetl_export.evaluate.rejection import (
    choose_threshold,
    find_acceptance,
    hold_out_classes,
    measure_rejection,
)
from edgetl_export.options import ExportOptions
from edgetl_export.package.app_description import describe_for_apps
from edgetl_export.package.bundling import export_model
from edgetl_export.quantize import tflite_quantizer
from edgetl_export.trained import Trained, UnknownPhotos
from edgetl_runtime.bundle.golden_frames import verify
from edgetl_runtime.bundle.memory import read_memory
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.image.decoding import read_picture

RECIPES = ("litert-float32", "litert-int8", "onnx-float32", "onnx-int8")
OUTPUTS = ["bolt", "gear", "washer", "unknown"]
BLACK = np.zeros((64, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def suspicious(
    tiny_model: Any, trained: Trained, tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    """The small classifier with a fourth output that wins where the others say little."""
    import keras
    from keras import layers

    features = tiny_model.layers[-2].output
    kernel, bias = tiny_model.layers[-1].get_weights()
    model = keras.Model(tiny_model.input, layers.Dense(4, "softmax")(features))
    inner = keras.Model(tiny_model.input, features)
    photos = [trained.preprocessing.apply(read_picture(one.file)) for one in trained.training]
    black = trained.preprocessing.apply(BLACK)
    logits = np.asarray(inner(np.stack([*photos, black]).astype(np.float32))) @ kernel + bias
    # A black picture is 90 % unknown; what else is, shall not matter here.
    faint = np.random.default_rng(0).normal(0, 1e-3, (len(kernel), 1)).astype(np.float32)
    kernel = np.hstack([kernel, faint])
    least = float(np.log(9 * np.exp(logits[-1]).sum()))
    model.layers[-1].set_weights([kernel, np.append(bias, np.float32(least))])
    folder = tmp_path_factory.mktemp("suspicious")
    cv2.imwrite(str(folder / "black.png"), BLACK)
    four = msgspec.structs.replace(
        trained,
        graph=tflite_quantizer.convert(model),
        unknown_label="unknown",
        unknown=UnknownPhotos((folder / "black.png",), (folder / "black.png",)),
        test=trained.validation,
    )
    options = ExportOptions(recipes=RECIPES, repair="none", allow_drop=True)
    return export_model(four, folder / "four.bundle", options).bundle


def test_the_bundle_has_three_labels_and_four_outputs(suspicious: Bundle) -> None:
    assert list(suspicious.labels) == OUTPUTS[:3]
    assert list(suspicious.manifest.outputs) == OUTPUTS
    assert suspicious.read(suspicious.manifest.labels_file).decode().split() == OUTPUTS
    for variant in suspicious.manifest.variants:
        assert variant.output.shape == (1, 4)
        assert list(variant.metrics.recall) == OUTPUTS[:3]
        assert list(variant.metrics.label_shares or {}) == OUTPUTS[:3]
        assert {len(scores) for scores in variant.golden_scores} == {4}


def test_it_verifies_on_the_device(suspicious: Bundle) -> None:
    assert verify(suspicious).failures == []


@pytest.mark.parametrize("name", RECIPES)
def test_a_picture_of_nothing_is_rejected_and_a_photo_is_named(
    suspicious: Bundle, trained: Trained, name: str
) -> None:
    classifier = Classifier.open(suspicious, variant=name)
    nothing = classifier(BLACK)
    assert nothing.label is None
    assert nothing.top(1)[0][0] == "unknown"
    part = trained.validation.photos
    found = [classifier(one.file) for one in part]
    right = [one.scores[:3].argmax() == photo.index for one, photo in zip(found, part, strict=True)]
    assert classifier.variant.metrics.top1 == pytest.approx(np.mean(right))
    rejected = np.mean([one.label is None for one in found])
    assert classifier.variant.metrics.reject_rate == pytest.approx(rejected)


@pytest.mark.parametrize("name", RECIPES)
def test_what_the_unknown_output_takes_is_no_false_accept(suspicious: Bundle, name: str) -> None:
    assert suspicious.variant(name).calibration.false_accept_rate == 0


def test_the_accuracy_is_that_of_the_classes(suspicious: Bundle, trained: Trained) -> None:
    """The fourth output takes nothing from what the three say: they rank as they did."""
    metrics = suspicious.variant("litert-float32").metrics
    assert (metrics.agreement, metrics.drop) == (1, pytest.approx(0))
    tested = suspicious.variant("litert-float32").test_metrics
    assert tested is not None
    assert tested.top1 == metrics.top1


def test_other_programs_read_four_labels(suspicious: Bundle, tmp_path: Path) -> None:
    file = tmp_path / "model.tflite"
    file.write_bytes(suspicious.read(suspicious.variant("litert-int8")))
    with zipfile.ZipFile(file) as archive:
        assert archive.read("labels.txt").decode().split() == OUTPUTS
    proto = onnx.load_from_string(suspicious.read(suspicious.variant("onnx-int8")))
    properties = {one.key: one.value for one in proto.metadata_props}
    assert properties["names"] == str(dict(enumerate(OUTPUTS)))


def test_the_memory_holds_the_head_of_the_classes(suspicious: Bundle) -> None:
    for variant in suspicious.manifest.variants:
        memory = read_memory(suspicious, variant)
        assert memory is not None
        assert memory.kernel.shape == (128, 3)


def test_the_description_for_apps_names_every_output(suspicious: Bundle) -> None:
    found = describe_for_apps(suspicious)
    assert list(found.labels) == OUTPUTS
    assert "'unknown'" in found.reject_threshold.description
    assert {one.label for one in found.golden} <= {*OUTPUTS[:3], None}


def test_the_card_is_of_three_classes(suspicious: Bundle) -> None:
    card = suspicious.read(suspicious.manifest.card).decode()
    assert "one of 3 classes: bolt, gear, washer" in card


def test_a_score_of_the_unknown_is_never_accepted() -> None:
    scores = np.array([[0.6, 0.1, 0.3], [0.2, 0.1, 0.7]], np.float32)
    assert find_acceptance(scores, True).tolist() == [pytest.approx(0.6), -1]
    assert find_acceptance(scores, False).tolist() == pytest.approx([0.6, 0.7])
    truth = np.array([0, 0])
    rates = measure_rejection(0.0, scores, truth, scores, has_unknown=True)
    assert (rates.false_accept_rate, rates.false_reject_rate, rates.known) == (0.5, 0.5, 2)


def test_a_threshold_is_never_below_zero() -> None:
    unknown = np.tile(np.array([[0.1, 0.1, 0.8]], np.float32), (4, 1))
    truth = np.zeros(4, np.int64)
    chosen = choose_threshold(
        unknown, truth, unknown, false_accept_rate=0.1, max_false_rejects=0.1, has_unknown=True
    )
    assert (chosen.threshold, chosen.false_accept_rate, chosen.limited) == (0.0, 0.0, False)


def test_classes_are_held_out_and_the_unknown_stays() -> None:
    scores = np.array([[0.5, 0.2, 0.2, 0.1]], np.float32)
    held_out = hold_out_classes(scores, np.array([1]), has_unknown=True)
    assert held_out is not None
    np.testing.assert_allclose(held_out, [[0.625, 0.25, 0.125]], atol=1e-6)
    assert hold_out_classes(scores[:, 1:], np.array([1]), has_unknown=True) is None
