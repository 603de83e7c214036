import numpy as np
import pytest

from edgetl_runtime.bundle.golden_frames import TOLERANCE
from edgetl_runtime.engines.engine import open_engine


def run(bundle, name, frames, threads=1):
    variant = bundle.variant(name)
    tensors = (variant.input, variant.output)
    engine = open_engine(variant.engine, bundle.read(variant), tensors, threads)
    return np.array([engine.run(bundle.manifest.preprocessing.apply(frame)) for frame in frames])


# The two int8 files are quantized by different converters, so they may differ by more.
@pytest.mark.parametrize(("precision", "most"), [("float32", 0.02), ("int8", TOLERANCE["int8"])])
def test_both_engines_agree_on_the_golden_frames(precision, most, bundle, golden_frames):
    pytest.importorskip("onnxruntime")
    litert = run(bundle, f"litert-{precision}", golden_frames)
    onnx = run(bundle, f"onnx-{precision}", golden_frames)
    assert np.abs(litert - onnx).max() <= most
    assert np.array_equal(litert.argmax(axis=1), onnx.argmax(axis=1))


def test_scores_differ_from_frame_to_frame(bundle, golden_frames):
    scores = run(bundle, "litert-float32", golden_frames)
    assert len({tuple(row) for row in scores.round(3).tolist()}) == len(golden_frames)


def test_the_number_of_threads_does_not_change_the_answer(bundle, golden_frames):
    one, three = (run(bundle, "litert-float32", golden_frames, threads) for threads in (1, 3))
    assert np.abs(one - three).max() < 1e-5
