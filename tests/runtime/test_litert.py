import msgspec
import numpy as np
import pytest

from edgetl_runtime.engines.litert_engine import LiteRTEngine
from edgetl_runtime.errors import EngineError

LOAD = """
import sys
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.errors import EngineError
from edgetl_runtime.engines.litert_engine import LiteRTEngine
bundle = Bundle.open(sys.argv[1])
for variant in (bundle.variant("litert-int8"), bundle.variant("litert-float32")):
    model = bundle.read(variant)
    for share in (0, 0.01, 0.3, 0.7, 0.9):
        try:
            LiteRTEngine(model[:int(len(model) * share)], variant.input, variant.output, threads=1)
        except EngineError as error:
            print("refused", error)
"""
MISSING = """
import sys
sys.modules["ai_edge_litert"] = sys.modules["tflite_runtime"] = None
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.errors import EngineError
sys.maxsize, sys.version_info = eval(sys.argv[2])
try:
    Classifier.open(sys.argv[1], engine="litert")
except EngineError as error:
    print(error)
"""


def load(bundle, name, **changes):
    variant = bundle.variant(name)
    tensor_in = msgspec.structs.replace(variant.input, **changes.get("input", {}))
    tensor_out = msgspec.structs.replace(variant.output, **changes.get("output", {}))
    return LiteRTEngine(bundle.read(variant), tensor_in, tensor_out, threads=1)


@pytest.mark.parametrize("name", ["litert-int8", "litert-float32"])
def test_scores_are_probabilities_of_each_label(name, bundle, golden_frames):
    for frame in golden_frames:
        scores = load(bundle, name).run(bundle.manifest.preprocessing.apply(frame))
        assert (scores.shape, scores.dtype) == ((3,), np.float32)
        assert scores.sum() == pytest.approx(1, abs=0.01)


def test_scores_are_a_copy(bundle, golden_frames):
    engine = load(bundle, "litert-float32")
    first, second = map(bundle.manifest.preprocessing.apply, golden_frames[:2])
    kept = engine.run(first)
    before = kept.copy()
    engine.run(second)
    assert np.array_equal(kept, before)


def test_the_engine_names_itself_with_its_version(bundle):
    assert load(bundle, "litert-int8").name.startswith(("ai-edge-litert ", "tflite-runtime "))


def test_truncated_models_are_refused_without_a_crash(tiny, run_python):
    done = run_python(LOAD, tiny)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("refused") == 10


@pytest.mark.parametrize(
    "changes",
    [
        {"input": {"dtype": "float32"}},
        {"input": {"shape": (1, 33, 32, 3)}},
        {"output": {"shape": (1, 4)}},
    ],
)
def test_a_model_other_than_promised_is_refused(changes, bundle, wording):
    with pytest.raises(EngineError, match=wording):
        load(bundle, "litert-int8", **changes)


@pytest.mark.parametrize(
    ("bits", "python", "remedy"),
    [
        (64, (3, 13), "install it with: pip install ai-edge-litert"),
        (32, (3, 11), "install it with: pip install tflite-runtime 'numpy<2'"),
        (32, (3, 13), "take a 64-bit system, or one whose Python is 3.11"),
    ],
)
def test_a_missing_litert_is_named_with_the_remedy(bits, python, remedy, tiny, run_python):
    done = run_python(MISSING, tiny, repr((2 ** (bits - 1) - 1, python)))
    assert "LiteRT, which is not installed; " in done.stdout
    assert remedy in done.stdout
