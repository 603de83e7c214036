"""The .onnx files: every precision follows Keras, and other readers of the format read them."""

import json
from typing import Any

import cv2
import numpy as np
import onnx
import pytest

from edgetl_export.graph.model_graph import Graph
from edgetl_export.quantize import tflite_quantizer
from edgetl_export.quantize.onnx_quantizer import (
    IR_VERSION,
    OPSET,
    choose_ranges,
    convert,
    end_before_head,
    find_extremes,
    prepare,
    quantize,
    set_head,
    to_float16,
)
from edgetl_runtime.bundle.head import Head
from edgetl_runtime.bundle.reader import Bundle
from tests.export.engines import Onnx


@pytest.fixture(scope="session")
def tiny_onnx(tiny_model: Any) -> bytes:
    return convert(Graph(tflite_quantizer.convert(tiny_model)).encode())


def quantize_tiny(model: bytes, inputs: list[np.ndarray], **options: Any) -> bytes:
    ready = prepare(model)
    return quantize(ready, choose_ranges(find_extremes(ready, inputs), 1.0), **options)


def test_int8_follows_keras(
    tiny_onnx: bytes, tiny_inputs: list[np.ndarray], tiny_expected: np.ndarray
) -> None:
    found = Onnx(quantize_tiny(tiny_onnx, tiny_inputs)).run(tiny_inputs)
    assert tiny_expected.std(axis=0).max() > 0.03
    np.testing.assert_allclose(found, tiny_expected, atol=0.02)


def test_float16_follows_keras_in_half_the_bytes(
    tiny_onnx: bytes, tiny_inputs: list[np.ndarray], tiny_expected: np.ndarray
) -> None:
    model = to_float16(tiny_onnx)
    assert len(model) < 0.6 * len(tiny_onnx)
    assert Onnx(model).entry.type == "tensor(float)"
    found = Onnx(model).run(tiny_inputs)
    np.testing.assert_allclose(found, tiny_expected, atol=0.005)


def test_one_step_for_all_channels_follows_keras_too(
    tiny_onnx: bytes, tiny_inputs: list[np.ndarray], tiny_expected: np.ndarray
) -> None:
    model = quantize_tiny(tiny_onnx, tiny_inputs, per_channel=False)
    assert model != quantize_tiny(tiny_onnx, tiny_inputs)
    np.testing.assert_allclose(Onnx(model).run(tiny_inputs), tiny_expected, atol=0.05)


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
    features = Onnx(end_before_head(data)).run(tiny_inputs)
    assert features.shape == (len(tiny_inputs), head.kernel.shape[0])
    other = Head(head.kernel[:, ::-1].copy(), head.bias[::-1].copy())
    found = Onnx(set_head(data, other)).run(tiny_inputs)
    np.testing.assert_allclose(found, Onnx(data).run(tiny_inputs)[:, ::-1], atol=1e-6)


def test_opencv_reads_the_float_file(
    bundle: Bundle, tiny_inputs: list[np.ndarray], tiny_expected: np.ndarray
) -> None:
    net = cv2.dnn.readNetFromONNX(
        np.frombuffer(bundle.read(bundle.variant("onnx-float32")), np.uint8)
    )
    net.setInput(np.stack(tiny_inputs[:1]).transpose(0, 3, 1, 2).astype(np.float32, order="C"))
    # The last one is that of the unknown.
    scores = net.forward()[:, :-1]
    np.testing.assert_allclose(scores / scores.sum(), tiny_expected[:1], atol=1e-3)


def test_int8_has_uint8_activations_and_int8_weights(bundle: Bundle) -> None:
    graph = onnx.load_from_string(bundle.read(bundle.variant("onnx-int8"))).graph
    kinds = {one.name: one.data_type for one in graph.initializer}
    zero_points = {kinds[node.input[2]] for node in graph.node if node.op_type == "QuantizeLinear"}
    assert zero_points == {onnx.TensorProto.UINT8}
    source = {node.output[0]: node.input[0] for node in graph.node}
    kernels = {source[node.input[1]] for node in graph.node if node.op_type == "Conv"}
    assert len(kernels) == 5
    assert {kinds[name] for name in kernels} == {onnx.TensorProto.INT8}


@pytest.mark.parametrize("name", ["onnx-int8", "onnx-float32"])
def test_no_constant_is_unused(bundle: Bundle, name: str) -> None:
    graph = onnx.load_from_string(bundle.read(bundle.variant(name))).graph
    used = {entry for node in graph.node for entry in node.input}
    assert {one.name for one in graph.initializer} <= used


@pytest.mark.parametrize("name", ["onnx-int8", "onnx-float32"])
def test_files_are_of_the_promised_versions_and_name_their_tensors(
    bundle: Bundle, name: str
) -> None:
    data = bundle.read(bundle.variant(name))
    assert (Onnx(data).entry.name, Onnx(data).exit.name) == ("image", "scores")
    proto = onnx.load_from_string(data)
    assert proto.ir_version == IR_VERSION
    assert {one.version for one in proto.opset_import if one.domain in ("", "ai.onnx")} == {OPSET}


@pytest.mark.parametrize("name", ["onnx-int8", "onnx-float32"])
def test_files_carry_their_labels(bundle: Bundle, name: str) -> None:
    properties = Onnx(bundle.read(bundle.variant(name))).session.get_modelmeta().custom_metadata_map
    assert json.loads(properties["edgetl"])["labels"] == list(bundle.manifest.outputs)
    assert properties["names"] == "{0: 'bolt', 1: 'gear', 2: 'washer', 3: 'unknown'}"
    assert properties["imgsz"] == "[32, 32]"


def test_two_conversions_give_the_same_bytes(tiny_model: Any, tiny_onnx: bytes) -> None:
    assert convert(Graph(tflite_quantizer.convert(tiny_model)).encode()) == tiny_onnx


def test_no_name_is_made_up_by_a_counter(tiny_onnx: bytes) -> None:
    graph = onnx.load_from_string(tiny_onnx).graph
    names = [name for node in graph.node for name in (node.name, *node.input, *node.output)]
    assert not [name for name in names if "__" in name]
