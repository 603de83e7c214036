import json

import cv2
import pytest

from edgetl_runtime.bundle import Bundle
from edgetl_runtime.golden import TOLERANCE, compare, replay, verify

VERIFY_WITHOUT = """
import sys
for name in sys.argv[2:]:
    sys.modules[name] = None
import msgspec
from edgetl_runtime.bundle import Bundle
from edgetl_runtime.golden import verify
print(msgspec.json.encode(verify(Bundle.open(sys.argv[1]))).decode())
"""
LITERT = ("ai_edge_litert", "tflite_runtime")


def test_the_committed_bundle_reproduces_its_golden_frames(bundle):
    result = verify(bundle)
    assert result.ok, result.failures
    assert result.failures == []
    assert {stored.file for stored in bundle.files} <= set(result.checked)
    assert "litert-int8 on golden/0.png" in result.checked


def test_every_variant_of_an_installed_engine_is_replayed(bundle):
    pytest.importorskip("onnxruntime")
    replays = [line for line in verify(bundle).checked if " on " in line]
    assert len(replays) == len(bundle.manifest.variants) * len(bundle.manifest.golden)


def test_a_wrong_golden_score_is_a_failure(edit):
    def change(manifest):
        (variant,) = (v for v in manifest["variants"] if v["name"] == "litert-int8")
        variant["golden_scores"][2][1] += 0.1

    result = verify(Bundle.open(edit(change)))
    assert not result.ok
    assert len(result.failures) == 1
    assert "litert-int8 on golden/2.png: a score differs by 0.1" in result.failures[0]


def test_swapped_channels_are_a_failure(replace_file, golden_frames):
    swapped = cv2.imencode(".png", golden_frames[2][..., ::-1])[1].tobytes()
    result = verify(Bundle.open(replace_file("golden/2.png", swapped)))
    assert not result.ok
    assert all("golden/2.png" in line for line in result.failures)


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_another_fit_is_a_failure(fit, edit, replace_file, golden_frames):
    # The committed frames are square, where every fit is the same: make them wide, and
    # expect what the bundle's own preprocessing makes of them.
    wide = cv2.resize(golden_frames[3], (216, 72))
    folder = replace_file("golden/3.png", cv2.imencode(".png", wide)[1].tobytes())
    bundle = Bundle.open(folder)
    scores = {v.name: replay(bundle, v)[3].tolist() for v in bundle.manifest.variants[:2]}

    def change(manifest):
        manifest["variants"] = manifest["variants"][:2]
        for variant in manifest["variants"]:
            variant["golden_scores"][3] = scores[variant["name"]]

    assert verify(Bundle.open(edit(change))).ok
    assert not verify(Bundle.open(edit(lambda m: m["preprocessing"].update(fit=fit)))).ok


def test_a_golden_frame_that_is_no_picture_is_a_failure(replace_file):
    result = verify(Bundle.open(replace_file("golden/0.png", b"no picture")))
    assert not result.ok
    assert "not a picture" in result.failures[0]


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
    expected = bundle.manifest.variants[0].golden_scores[0]
    assert compare(bundle, variant, 0, expected) == []
    assert compare(bundle, variant, 0, [float("nan")] * 3) != []


def test_the_bundle_carries_the_stated_tolerances(bundle):
    for variant in bundle.manifest.variants:
        assert variant.golden_tolerance == TOLERANCE[variant.precision]
