"""What engines say of a failure becomes a part of one of our sentences."""

import pytest

from edgetl_runtime.engines.engine import open_engine
from edgetl_runtime.errors import EngineError
from edgetl_runtime.text.quoting import quote_error


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("First it is. Then it\nis more.", "First it is. Then it is more"),
        (f"First it is. Then {'it ' * 80}.", "First it is"),
        ("[ONNXRuntimeError] : 10 : INVALID_GRAPH : It is none.", "It is none"),
        (
            "[ONNXRuntimeError] : 1 : FAIL : Load model from a.onnx failed:/src/core/model.cc:256 "
            "onnxruntime::Model::Model(onnx::ModelProto&&, const Path&) Unsupported version: 99",
            "Load model from a.onnx failed: Unsupported version: 99",
        ),
        (
            "Exception: /src/initializer.cc:51 ort::Initializer::Initializer(const path&) "
            "[ONNXRuntimeError] : 1 : FAIL : utils.cc:17 Validate 'w' has 3 bytes (not 24)",
            "Exception: 'w' has 3 bytes (not 24)",
        ),
        (
            "/src/arena.cc:360 void* ort::Arena::Get(size_t, ort::Stream*) Failed to allocate",
            "Failed to allocate",
        ),
        ("model.keras has 3.11 of\n  it", "model.keras has 3.11 of it"),
        ("", "ValueError"),
        ("word " * 100, "word " * 39 + "word ..."),
    ],
)
def test_what_another_library_says_is_one_whole_part_of_a_sentence(text, quoted):
    assert quote_error(ValueError(text)) == quoted


@pytest.mark.parametrize(
    ("variant", "before", "after"),
    [
        ("litert-float32", b"TFL3", b"TFL9"),
        # An operator that is none.
        ("onnx-float32", b"GlobalAveragePool", b"GlobalAveragePuul"),
    ],
)
def test_an_engine_that_cannot_load_a_model_says_so_in_one_line(bundle, variant, before, after):
    found = bundle.variant(variant)
    model = bundle.read(found)
    assert before in model
    with pytest.raises(EngineError) as caught:
        tensors = (found.input, found.output)
        open_engine(found.engine, model.replace(before, after), tensors, 1)
    said = str(caught.value)
    assert " cannot load the model: " in said
    assert "\n" not in said
    assert "[ONNXRuntimeError]" not in said
    assert not said.endswith(".")
