"""Files with one more output, for what is none of the classes: everything counts it as no label."""

import zipfile
from pathlib import Path

import cv2
import msgspec
import numpy as np
import onnx
import pytest

from edgetl_export.evaluate.rejection import (
    find_acceptance,
    measure_rejection,
)
from edgetl_export.evaluate.scoring import look, run
from edgetl_export.options import ExportOptions
from edgetl_export.package.app_description import describe_for_apps
from edgetl_export.package.bundling import export_model
from edgetl_export.trained import Trained, UnknownPhotos
from edgetl_export.unknown.detecting import measure_lead
from edgetl_export.unknown.detector import sum_up, weigh
from edgetl_export.unknown.litert_detector import add_to_tflite
from edgetl_export.unknown.onnx_detector import add_to_onnx
from edgetl_runtime.bundle.golden_frames import verify
from edgetl_runtime.bundle.memory import read_memory
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.image.preprocessing import Frame

RECIPES = ("litert-float32", "litert-int8", "onnx-float32", "onnx-int8")
MOST_REJECTED = 50.0
OUTPUTS = ["bolt", "gear", "washer", "unknown"]


@pytest.fixture(scope="module")
def suspicious(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The small classifier with a detector, which eight dark pictures choose and measure."""
    folder = tmp_path_factory.mktemp("suspicious")
    random = np.random.default_rng(0)
    files = tuple(folder / f"{n}.png" for n in range(8))
    for file in files:
        cv2.imwrite(str(file), make_plain(random))
    described = msgspec.structs.replace(
        trained,
        unknown=UnknownPhotos(files[:4], files[4:]),
        test=trained.validation,
        view=dim,
    )
    options = ExportOptions(
        recipes=RECIPES,
        repair="none",
        allow_drop=True,
        false_accepts=0.0,
        max_false_rejects=MOST_REJECTED,
    )
    return export_model(described, folder / "four.bundle", options).bundle


def make_plain(random: np.random.Generator) -> Frame:
    """An image of one dark color."""
    return np.full((64, 64, 3), random.integers(0, 60, 3), np.uint8)


def dim(photo: Frame, sha256: str, number: int) -> Frame:
    return np.asarray(photo * 0.8, np.uint8)


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
    nothing = classifier(make_plain(np.random.default_rng(1)))
    assert nothing.label is None
    assert nothing.top(1)[0][0] == "unknown"
    part = trained.validation.photos
    found = [classifier(one.file) for one in part]
    right = [one.scores[:3].argmax() == photo.index for one, photo in zip(found, part, strict=True)]
    assert classifier.variant.metrics.top1 == pytest.approx(np.mean(right))
    rejected = np.mean([one.label is None for one in found])
    assert classifier.variant.metrics.reject_rate == pytest.approx(rejected)


@pytest.mark.parametrize("name", RECIPES)
def test_false_accepts_are_counted_on_images_that_chose_nothing(
    suspicious: Bundle, name: str
) -> None:
    classifier = Classifier.open(suspicious, variant=name)
    files = [Path(suspicious.path).with_name(f"{n}.png") for n in range(4, 8)]
    named = [classifier(file).label is not None for file in files]
    assert classifier.variant.calibration.false_accept_rate == np.mean(named)


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


def test_the_card_is_of_three_classes_and_says_three_figures(suspicious: Bundle) -> None:
    card = suspicious.read(suspicious.manifest.card).decode()
    assert "one of 3 classes: bolt, gear, washer" in card
    assert "(photos of \\_unknown\\_) that get a label: " in card
    for variant in suspicious.manifest.variants:
        found = variant.calibration
        for share in (found.held_out_accept_rate, found.view_reject_rate):
            assert share is not None
            assert f"{share:.1%}" in card


def test_few_known_photos_are_rejected(suspicious: Bundle) -> None:
    for variant in suspicious.manifest.variants:
        found = variant.calibration
        assert found.unknown == "_unknown_"
        assert found.reject_threshold == 0
        assert found.false_reject_rate is not None
        assert found.false_reject_rate <= MOST_REJECTED / 100


def test_a_detector_adds_little(suspicious: Bundle, trained: Trained, tmp_path: Path) -> None:
    options = ExportOptions(recipes=RECIPES, repair="none", allow_drop=True, unknown_class=False)
    plain = export_model(trained, tmp_path / "three.bundle", options).bundle
    assert plain.manifest.outputs == plain.labels
    for one, other in zip(plain.manifest.variants, suspicious.manifest.variants, strict=True):
        assert one.bytes < other.bytes <= 1.1 * one.bytes + 1000


def test_a_limit_of_bytes_holds_for_a_file_with_a_detector(
    suspicious: Bundle, trained: Trained, tmp_path: Path
) -> None:
    wide = suspicious.variant("litert-int8").bytes
    options = ExportOptions(
        recipes=("litert-int8",), repair="none", allow_drop=True, max_bytes=wide - 500
    )
    narrow = export_model(trained, tmp_path / "narrow.bundle", options).bundle
    assert narrow.manifest.unknown_label == "unknown"
    assert narrow.variant().bytes <= wide - 500


def test_a_class_called_unknown_keeps_its_name(trained: Trained, tmp_path: Path) -> None:
    named = msgspec.structs.replace(trained, labels=("bolt", "gear", "Unknown"))
    options = ExportOptions(recipes=("litert-float32",), unknown_class=True)
    bundle = export_model(named, tmp_path / "named.bundle", options).bundle
    assert bundle.manifest.outputs == ("bolt", "gear", "Unknown", "none of the classes")


@pytest.mark.parametrize("name", RECIPES)
def test_a_file_computes_what_its_detector_says(
    suspicious: Bundle, trained: Trained, name: str
) -> None:
    """The logit of the unknown is the one that numpy finds from the features."""
    plain = export_model(
        trained,
        Path(suspicious.path).with_name(f"{name}.bundle"),
        ExportOptions(recipes=(name,), repair="none", allow_drop=True, unknown_class=False),
    ).bundle
    variant = plain.variant()
    tensors = (variant.input, variant.output)
    pictures = [trained.preprocessing.apply(read_picture(one.file)) for one in trained.training]
    data = plain.read(variant)
    assert variant.hidden is not None
    seen = look(variant.engine, data, tensors, variant.hidden, "features", pictures)
    features = np.stack([one.features for one in seen])
    truth = np.array([one.index for one in trained.training])
    memory = read_memory(plain, variant)
    assert memory is not None
    logits = features @ memory.kernel + memory.bias
    known = weigh(sum_up(features, truth, 3, 6, 0), logits, features)
    detector = known.make_detector(float(np.median(known.measure(logits, features))))
    add = add_to_tflite if variant.engine == "litert" else add_to_onnx
    # Without the metadata behind it, a file is as it was before export finished it.
    extended = add(data, detector)
    scores = run(variant.engine, extended, pictures)
    expected = detector.measure(features) - logits.max(axis=1)
    # An int8 file rounds its logits and features.
    tolerance = (0.05 if "int8" in name else 1e-3) * float(np.ptp(expected))
    np.testing.assert_allclose(-measure_lead(scores), expected, atol=tolerance)


def test_a_score_of_the_unknown_is_never_accepted() -> None:
    scores = np.array([[0.6, 0.1, 0.3], [0.2, 0.1, 0.7]], np.float32)
    assert find_acceptance(scores, True).tolist() == [pytest.approx(0.6), -1]
    assert find_acceptance(scores, False).tolist() == pytest.approx([0.6, 0.7])
    truth = np.array([0, 0])
    rates = measure_rejection(0.0, scores, truth, scores, has_unknown=True)
    assert (rates.false_accept_rate, rates.false_reject_rate, rates.known) == (0.5, 0.5, 2)
