from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgetl_runtime.engines.onnx_engine import OnnxEngine
from edgetl_runtime.engines.tensors import TensorSpec
from edgetl_runtime.errors import EngineError

pytest.importorskip("onnxruntime")

LOAD = """
import sys
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.errors import EngineError
from edgetl_runtime.engines.onnx_engine import OnnxEngine
bundle = Bundle.open(sys.argv[1])
for variant in (bundle.variant("onnx-int8"), bundle.variant("onnx-float32")):
    model = bundle.read(variant)
    for share in (0, 0.01, 0.3, 0.7, 0.9):
        try:
            OnnxEngine(model[:int(len(model) * share)], variant.input, variant.output, threads=1)
        except EngineError as error:
            print("refused", error)
"""
# One convolution over 4x4 pixels, written by tests/make_saturating_model.py, which has the sums.
SATURATING = Path(__file__).parents[1] / "data" / "saturating.onnx"
WHITE, WHITE_SUMS = np.full((4, 4, 3), 255, np.uint8), [96 * 128, -24 * 128]
# Protobuf: a dimension {dim_value: 1}, and one whose name is empty.
BATCH_1, BATCH_FREE = b"\x0a\x02\x08\x01\x0a\x02\x08\x03", b"\x0a\x02\x12\x00\x0a\x02\x08\x03"


def load(bundle, name="onnx-float32", **changes):
    variant = bundle.variant(name)
    tensor_in = msgspec.structs.replace(variant.input, **changes.get("input", {}))
    tensor_out = msgspec.structs.replace(variant.output, **changes.get("output", {}))
    model = changes.get("model", bundle.read(variant))
    return OnnxEngine(model, tensor_in, tensor_out, threads=1)


@pytest.mark.parametrize("name", ["onnx-int8", "onnx-float32"])
def test_scores_are_probabilities_of_each_label(name, bundle, golden_frames):
    for frame in golden_frames:
        scores = load(bundle, name).run(bundle.manifest.preprocessing.apply(frame))
        assert (scores.shape, scores.dtype) == ((3,), np.float32)
        assert scores.sum() == pytest.approx(1, abs=0.01)


def test_scores_are_a_copy(bundle, golden_frames):
    engine = load(bundle)
    first, second = map(bundle.manifest.preprocessing.apply, golden_frames[:2])
    kept = engine.run(first)
    before = kept.copy()
    engine.run(second)
    assert np.array_equal(kept, before)


def test_the_engine_names_itself_with_its_version(bundle):
    assert load(bundle).name.startswith("onnxruntime 1.")


def test_truncated_models_are_refused_without_a_crash(tiny, run_python):
    done = run_python(LOAD, tiny)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("refused") == 10


@pytest.mark.parametrize(
    "changes",
    [
        {"input": {"dtype": "uint8"}},
        {"input": {"shape": (1, 3, 33, 32)}},
        {"output": {"shape": (1, 4)}},
    ],
)
def test_a_model_other_than_promised_is_refused(changes, bundle, wording):
    with pytest.raises(EngineError, match=wording):
        load(bundle, **changes)


def test_a_model_with_a_free_batch_axis_is_refused(bundle, wording):
    model = bundle.read(bundle.variant("onnx-float32"))
    assert BATCH_1 in model
    with pytest.raises(EngineError, match=wording):
        load(bundle, model=model.replace(BATCH_1, BATCH_FREE, 1))


def test_int8_products_are_summed_exactly_on_every_processor():
    tensor_in = TensorSpec("image", (1, 3, 4, 4), "uint8", "nchw")
    tensor_out = TensorSpec("scores", (1, 2), "float32", "nc")
    engine = OnnxEngine(SATURATING.read_bytes(), tensor_in, tensor_out, threads=1)
    assert engine.run(WHITE).tolist() == WHITE_SUMS


def test_onnx_runtime_reports_to_nobody_and_leaves_nothing_in_home_and_tmpdir(
    run_python, tiny, tmp_path, monkeypatch
):
    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    assert run_python(LOAD, tiny).returncode == 0
    assert [*home.rglob("*")] == []


def test_without_the_session_option_a_processor_that_saturates_gets_other_sums():
    import onnxruntime

    session = onnxruntime.InferenceSession(
        SATURATING.read_bytes(), providers=["CPUExecutionProvider"]
    )
    planes = WHITE.transpose(2, 0, 1)[np.newaxis]
    sums = session.run(None, {"image": planes})[0][0].tolist()
    if sums == WHITE_SUMS:
        pytest.skip("this processor does not saturate (ARM, or x86 with VNNI): nothing to see here")
    assert 0 < sums[0] < WHITE_SUMS[0]
