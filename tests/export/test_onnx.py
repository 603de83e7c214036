"""The .onnx files: what they take, what they put out, and that they say what Keras says."""

import json
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest

from edgetl_export.evaluate.tensors import describe_onnx
from edgetl_export.graph.model_graph import Graph, Head
from edgetl_export.quantize import tflite_quantizer
from edgetl_export.quantize.onnx_quantizer import (
    IR_VERSION,
    OPSET,
    choose_ranges,
    convert,
    end_before_head,
    find_extremes,
    halve,
    prepare,
    quantize,
    set_head,
)
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.engines.onnx_engine import EXACT


def open_variant(bundle: Bundle, name: str) -> Any:
    return open_session(bundle.read(bundle.variant(name)))


def open_session(model: bytes) -> Any:
    """In exact arithmetic, as the device computes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry(*EXACT)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run(session: Any, inputs: np.ndarray, dtype: type) -> np.ndarray:
    planes = np.ascontiguousarray(inputs.transpose(0, 3, 1, 2)).astype(dtype)
    return np.concatenate([session.run(None, {"image": one[np.newaxis]})[0] for one in planes])


@pytest.mark.parametrize(
    ("name", "kind"), [("onnx-int8", "tensor(uint8)"), ("onnx-float32", "tensor(float)")]
)
def test_planes_go_in_and_float_probabilities_come_out(
    bundle: Bundle, name: str, kind: str
) -> None:
    session = open_variant(bundle, name)
    (entry,), (exit_,) = session.get_inputs(), session.get_outputs()
    assert (entry.name, entry.type, entry.shape) == ("image", kind, [1, 3, 64, 64])
    assert (exit_.name, exit_.type, exit_.shape) == ("scores", "tensor(float)", [1, 3])


def test_float32_agrees_with_keras(
    bundle: Bundle, inputs: np.ndarray, expected: np.ndarray
) -> None:
    found = run(open_variant(bundle, "onnx-float32"), inputs, np.float32)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.fixture(scope="session")
def tiny_onnx(tiny_model: Any) -> bytes:
    return convert(Graph(tflite_quantizer.convert(tiny_model)).encode())


def run_bytes(model: bytes, inputs: list[np.ndarray], dtype: type) -> np.ndarray:
    session = open_session(model)
    return run(session, np.stack(inputs), dtype)


def quantize_tiny(model: bytes, inputs: list[np.ndarray], **options: Any) -> bytes:
    ready = prepare(model)
    return quantize(ready, choose_ranges(find_extremes(ready, inputs), 1.0), **options)


def test_int8_follows_keras(
    tiny_onnx: bytes, tiny_inputs: list[np.ndarray], tiny_expected: np.ndarray
) -> None:
    found = run_bytes(quantize_tiny(tiny_onnx, tiny_inputs), tiny_inputs, np.uint8)
    assert tiny_expected.std(axis=0).max() > 0.03
    np.testing.assert_allclose(found, tiny_expected, atol=0.01)


def test_float16_follows_keras_in_half_the_bytes(
    tiny_onnx: bytes, tiny_inputs: list[np.ndarray], tiny_expected: np.ndarray
) -> None:
    model = halve(tiny_onnx)
    assert len(model) < 0.6 * len(tiny_onnx)
    session = open_session(model)
    assert session.get_inputs()[0].type == "tensor(float)"
    found = run_bytes(model, tiny_inputs, np.float32)
    np.testing.assert_allclose(found, tiny_expected, atol=0.005)


def test_one_step_for_all_channels_follows_keras_too(
    tiny_onnx: bytes, tiny_inputs: list[np.ndarray], tiny_expected: np.ndarray
) -> None:
    model = quantize_tiny(tiny_onnx, tiny_inputs, per_channel=False)
    assert model != quantize_tiny(tiny_onnx, tiny_inputs)
    np.testing.assert_allclose(run_bytes(model, tiny_inputs, np.uint8), tiny_expected, atol=0.05)


def test_a_layer_that_is_kept_has_float_weights(
    tiny_onnx: bytes, tiny_inputs: list[np.ndarray]
) -> None:
    names = [node.name for node in onnx.load_from_string(tiny_onnx).graph.node]
    first = next(name for name in names if name.startswith("block1"))
    whole, spared = (quantize_tiny(tiny_onnx, tiny_inputs, keep=keep) for keep in ((), (first,)))
    assert len(spared) != len(whole)
    (kernel,) = (
        node.input[1] for node in onnx.load_from_string(spared).graph.node if node.name == first
    )
    kinds = {one.name: one.data_type for one in onnx.load_from_string(spared).graph.initializer}
    assert kinds[kernel] == onnx.TensorProto.FLOAT


def test_the_head_of_a_quantized_file_can_be_replaced(
    tiny_onnx: bytes, tiny_model: Any, tiny_inputs: list[np.ndarray]
) -> None:
    head = Graph(tflite_quantizer.convert(tiny_model)).head
    assert head is not None
    data = quantize_tiny(tiny_onnx, tiny_inputs)
    features = run_bytes(end_before_head(data), tiny_inputs, np.uint8)
    assert features.shape == (len(tiny_inputs), head.kernel.shape[0])
    other = Head(head.kernel[:, ::-1].copy(), head.bias[::-1].copy())
    found = run_bytes(set_head(data, other), tiny_inputs, np.uint8)
    np.testing.assert_allclose(found, run_bytes(data, tiny_inputs, np.uint8)[:, ::-1], atol=1e-6)


def test_opencv_reads_the_float_file(
    bundle: Bundle, inputs: np.ndarray, expected: np.ndarray
) -> None:
    net = cv2.dnn.readNetFromONNX(
        np.frombuffer(bundle.read(bundle.variant("onnx-float32")), np.uint8)
    )
    net.setInput(np.ascontiguousarray(inputs[:1].transpose(0, 3, 1, 2)).astype(np.float32))
    np.testing.assert_allclose(net.forward(), expected[:1], atol=1e-3)


def test_int8_has_uint8_activations_and_int8_weights(bundle: Bundle) -> None:
    graph = onnx.load_from_string(bundle.read(bundle.variant("onnx-int8"))).graph
    kinds = {one.name: one.data_type for one in graph.initializer}
    zero_points = {kinds[node.input[2]] for node in graph.node if node.op_type == "QuantizeLinear"}
    assert zero_points == {onnx.TensorProto.UINT8}
    source = {node.output[0]: node.input[0] for node in graph.node}
    kernels = {source[node.input[1]] for node in graph.node if node.op_type == "Conv"}
    assert len(kernels) > 10
    assert {kinds[name] for name in kernels} == {onnx.TensorProto.INT8}


@pytest.mark.parametrize("name", ["onnx-int8", "onnx-float32"])
def test_no_constant_is_unused(bundle: Bundle, name: str) -> None:
    graph = onnx.load_from_string(bundle.read(bundle.variant(name))).graph
    used = {entry for node in graph.node for entry in node.input}
    assert {one.name for one in graph.initializer} <= used


@pytest.mark.parametrize("name", ["onnx-int8", "onnx-float32"])
def test_files_are_of_the_promised_versions(bundle: Bundle, name: str) -> None:
    proto = onnx.load_from_string(bundle.read(bundle.variant(name)))
    assert proto.ir_version == IR_VERSION
    assert {one.version for one in proto.opset_import if one.domain in ("", "ai.onnx")} == {OPSET}


@pytest.mark.parametrize("name", ["onnx-int8", "onnx-float32"])
def test_files_carry_their_labels(bundle: Bundle, name: str) -> None:
    properties = open_variant(bundle, name).get_modelmeta().custom_metadata_map
    assert json.loads(properties["edgetl"])["labels"] == list(bundle.labels)
    assert properties["names"] == "{0: 'bolt', 1: 'gear', 2: 'washer'}"
    assert properties["imgsz"] == "[64, 64]"


def test_int8_is_much_smaller_than_float32(bundle: Bundle) -> None:
    assert bundle.variant("onnx-int8").bytes < 0.45 * bundle.variant("onnx-float32").bytes


def test_descriptions_are_those_in_the_bundle(bundle: Bundle) -> None:
    for name in ("onnx-int8", "onnx-float32"):
        variant = bundle.variant(name)
        assert describe_onnx(bundle.read(variant)) == (variant.input, variant.output)


def test_two_conversions_give_the_same_bytes(tiny_model: Any, tiny_onnx: bytes) -> None:
    assert convert(Graph(tflite_quantizer.convert(tiny_model)).encode()) == tiny_onnx


def test_no_name_is_made_up_by_a_counter(tiny_onnx: bytes) -> None:
    graph = onnx.load_from_string(tiny_onnx).graph
    names = [name for node in graph.node for name in (node.name, *node.input, *node.output)]
    assert not [name for name in names if "__" in name]
