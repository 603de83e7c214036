import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgetl_runtime.bundle.golden_frames import (
    TOLERANCE,
    compare_inputs,
    compare_scores,
    digest,
    measure_deviation,
    prepare,
    replay,
    verify,
)
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.engines.engine import open_engine

# Files of tests/data/tiny.bundle in which one thing is wrong; tests/make_tiny_bundle.py has what.
DAMAGED = Path(__file__).parents[1] / "data" / "damaged"

VERIFY_WITHOUT = """
import sys
for name in sys.argv[2:]:
    sys.modules[name] = None
import msgspec
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.bundle.golden_frames import verify
print(msgspec.json.encode(verify(Bundle.open(sys.argv[1]))).decode())
"""
LITERT = ("ai_edge_litert", "tflite_runtime")


@pytest.fixture
def deviate(bundle):
    """How far a variant's scores of changed inputs, or those of a changed file, are off."""

    def measure(name, change=lambda pixels: pixels, model=None):
        variant = bundle.variant(name)
        tensors = (variant.input, variant.output)
        engine = open_engine(variant.engine, model or bundle.read(variant), tensors, 1)
        scores = np.stack([engine.run(change(pixels)) for pixels in prepare(bundle)])
        return measure_deviation(np.asarray(variant.golden_scores, np.float32), scores)

    return measure


def test_the_committed_bundle_reproduces_its_golden_frames(bundle):
    result = verify(bundle)
    assert result.ok, result.failures
    assert result.failures == []
    assert {stored.file for stored in bundle.files} <= set(result.checked)
    assert "litert-int8 on 5 golden frames" in result.checked


def test_every_variant_of_an_installed_engine_is_replayed(bundle):
    pytest.importorskip("onnxruntime")
    replays = [line for line in verify(bundle).checked if " on " in line]
    assert len(replays) == len(bundle.manifest.variants)


def test_other_golden_scores_are_a_failure(edit):
    def change(manifest):
        (variant,) = (v for v in manifest["variants"] if v["name"] == "litert-int8")
        variant["golden_scores"] = [scores[::-1] for scores in variant["golden_scores"]]

    result = verify(Bundle.open(edit(change)))
    assert not result.ok
    assert len(result.failures) == 1
    assert "litert-int8: its scores on the golden frames differ by " in result.failures[0]


def test_swapped_channels_are_a_failure(replace_file, golden_frames):
    swapped = cv2.imencode(".png", golden_frames[2][..., ::-1])[1].tobytes()
    result = verify(Bundle.open(replace_file("golden/2.png", swapped)))
    assert not result.ok
    assert "golden/2.png: this machine preprocesses it differently" in result.failures[0]


RULES = {
    "linear": cv2.INTER_LINEAR,
    "area": cv2.INTER_AREA,
    "cubic": cv2.INTER_CUBIC,
    "nearest": cv2.INTER_NEAREST,
}


@pytest.mark.parametrize("rule", RULES)
def test_another_resize_rule_is_a_failure(rule, bundle, golden_frames, replace_file):
    # The committed frames are 72 px, the input is 32 px.
    inputs = [
        cv2.resize(frame, (32, 32), interpolation=RULES[rule])[..., ::-1].copy()
        for frame in golden_frames
    ]
    assert len(compare_inputs(bundle, inputs)) == len(golden_frames)
    assert compare_inputs(bundle, prepare(bundle)) == []


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_another_fit_is_a_failure(fit, edit, replace_file, golden_frames):
    # The committed frames are square, where every fit is the same: make one wide, and
    # expect what the bundle's own preprocessing makes of it.
    wide = cv2.resize(golden_frames[3], (216, 72))
    folder = replace_file("golden/3.png", cv2.imencode(".png", wide)[1].tobytes())
    bundle = Bundle.open(folder)
    inputs = prepare(bundle)
    scores = {v.name: replay(bundle, v, inputs).tolist() for v in bundle.manifest.variants[:2]}

    def change(manifest):
        manifest["golden"][3]["input_sha256"] = digest(inputs[3])
        manifest["variants"] = manifest["variants"][:2]
        for variant in manifest["variants"]:
            variant["golden_scores"] = scores[variant["name"]]

    assert verify(Bundle.open(edit(change))).ok
    assert not verify(Bundle.open(edit(lambda m: m["preprocessing"].update(fit=fit)))).ok


WRONG_INPUTS = {
    "swapped channels": lambda pixels: pixels[..., ::-1].copy(),
    "half of the levels": lambda pixels: pixels // 2,
    "levels of 0..1": lambda pixels: pixels // 255,
    "inverted levels": lambda pixels: 255 - pixels,
}


@pytest.mark.parametrize("name", ["litert-int8", "litert-float32", "onnx-int8", "onnx-float32"])
@pytest.mark.parametrize("wrong", WRONG_INPUTS)
def test_a_wrong_scaling_or_channel_order_in_the_engine_is_noticed(wrong, name, bundle, deviate):
    if name.startswith("onnx"):
        pytest.importorskip("onnxruntime")
    assert deviate(name) <= TOLERANCE[bundle.variant(name).precision] / 2
    assert deviate(name, WRONG_INPUTS[wrong]) > 1.5 * TOLERANCE[bundle.variant(name).precision]


@pytest.mark.parametrize("name", ["litert-int8", "litert-float32"])
@pytest.mark.parametrize("damage", ["head", "layer", "scaling"])
def test_a_damaged_model_is_noticed(damage, name, deviate):
    model = (DAMAGED / f"{name}-{damage}.tflite").read_bytes()
    assert deviate(name, model=model) > 1.5 * TOLERANCE[name.removeprefix("litert-")]


def test_a_golden_frame_that_is_no_picture_is_a_failure(replace_file):
    result = verify(Bundle.open(replace_file("golden/0.png", b"no image")))
    assert not result.ok
    assert "not an image" in result.failures[0]


@pytest.mark.parametrize(
    "damage", [lambda png: png[:300], lambda png: png[:16] + b"\xff" + png[17:]]
)
def test_a_golden_frame_that_is_damaged_is_named_with_what_to_do(damage, replace_file, tiny):
    data = damage((tiny / "golden" / "0.png").read_bytes())
    (failure,) = verify(Bundle.open(replace_file("golden/0.png", data))).failures
    assert failure.startswith("golden/0.png: ")
    assert failure.endswith("it was exported like this; do not use this bundle")
    assert "save it" not in failure
    assert "make it smaller" not in failure


def test_a_bundle_without_golden_frames_is_not_verified(edit):
    def change(manifest):
        manifest["golden"] = []
        for variant in manifest["variants"]:
            variant["golden_scores"] = []

    result = verify(Bundle.open(edit(change)))
    assert not result.ok
    assert "no golden frame" in result.failures[0]


def test_a_model_that_no_engine_loads_is_a_failure(replace_file):
    result = verify(Bundle.open(replace_file("litert-int8.tflite", b"no model" * 100)))
    assert not result.ok
    assert "litert-int8: " in result.failures[0]
    assert any(line.startswith("litert-float32 on ") for line in result.checked)


def test_a_missing_engine_is_skipped_not_failed(tiny, run_python):
    result = json.loads(run_python(VERIFY_WITHOUT, tiny, "onnxruntime").stdout)
    assert result["ok"]
    assert [line.split(":")[0] for line in result["skipped"]] == ["onnx-int8", "onnx-float32"]


def test_a_device_without_any_engine_verifies_nothing(tiny, run_python):
    result = json.loads(run_python(VERIFY_WITHOUT, tiny, "onnxruntime", *LITERT).stdout)
    assert not result["ok"]
    assert result["failures"] == ["no engine for any variant is installed"]


def test_nan_never_agrees(bundle):
    variant = bundle.variant()
    scores = np.array(variant.golden_scores, np.float32)
    assert compare_scores(variant, scores) == []
    scores[1, 2] = np.nan
    assert compare_scores(variant, scores) != []


def test_deviation_does_not_see_how_sure_a_frame_is_beyond_a_thousandth():
    sure = np.array([[0.9999, 0.0001], [0.2, 0.8]], np.float32)
    surer = np.array([[0.99999, 0.00001], [0.2, 0.8]], np.float32)
    assert measure_deviation(sure, surer) < 1e-3
    assert measure_deviation(sure, sure[::-1]) > 1


def test_scores_that_are_all_alike_can_be_compared():
    alike = np.full((2, 3), 1 / 3, np.float32)
    assert measure_deviation(alike, alike) == 0
    step = alike + np.float32([1 / 256, 0, 0])
    assert 0 < measure_deviation(alike, step) < TOLERANCE["int8"]
    assert measure_deviation(alike, np.float32([[0.8, 0.1, 0.1]] * 2)) > 1


def test_the_bundle_carries_the_stated_tolerances(bundle):
    for variant in bundle.manifest.variants:
        assert variant.golden_tolerance == TOLERANCE[variant.precision]
