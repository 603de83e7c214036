"""The head of an .onnx: found, replaced and cut away, whichever way its dense layer is written."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgetl_export.evaluate.tensors import describe_onnx
from edgetl_export.quantize.onnx_quantizer import (
    end_before_head,
    prepare,
    read_head,
    set_head,
)
from edgetl_runtime.bundle.head import Head
from edgetl_runtime.engines.engine import open_engine
from tests.export.formulas import softmax

RANDOM = np.random.default_rng(0)
KERNEL = RANDOM.normal(size=(3, 4)).astype(np.float32) / 64
BIAS = RANDOM.normal(size=4).astype(np.float32)
PICTURE = RANDOM.integers(0, 256, (8, 8, 3), np.uint8)


def make(style: str) -> bytes:
    """The mean colour, a dense layer and a softmax, as PyTorch or as TensorFlow writes it."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
    ]
    kernel = KERNEL
    match style:
        case "transposed":
            kernel = np.ascontiguousarray(KERNEL.T)
            nodes += [helper.make_node("Gemm", ["features", "k", "b"], ["logits"], transB=1)]
        case "product and sum":
            nodes += [helper.make_node("MatMul", ["features", "k"], ["product"])]
            nodes += [helper.make_node("Add", ["product", "b"], ["logits"])]
        case _:
            nodes += [helper.make_node("Gemm", ["features", "k", "b"], ["logits"])]
    if style == "no softmax":
        nodes += [helper.make_node("Sigmoid", ["logits"], ["scores"])]
    else:
        nodes += [helper.make_node("Softmax", ["logits"], ["scores"], axis=1)]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, 8, 8))],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, 4))],
        [numpy_helper.from_array(kernel, "k"), numpy_helper.from_array(BIAS, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return prepare(model.SerializeToString())


def run(model: bytes) -> np.ndarray:
    onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
    return open_engine("onnx", model, describe_onnx(model), 1).run(PICTURE)


@pytest.mark.parametrize("style", ["plain", "transposed", "product and sum"])
def test_the_head_is_found_cut_away_and_replaced(style: str) -> None:
    model = make(style)
    head = read_head(model)
    assert head is not None
    np.testing.assert_array_equal(head.kernel, KERNEL)
    np.testing.assert_array_equal(head.bias, BIAS)
    features = run(end_before_head(model))
    np.testing.assert_allclose(features, PICTURE.mean(axis=(0, 1)), rtol=1e-5)
    other = Head(-KERNEL, BIAS + 1)
    expected = softmax(features @ other.kernel + other.bias)
    np.testing.assert_allclose(run(set_head(model, other)), expected, atol=1e-5)


def test_without_a_softmax_there_is_no_head_to_fit_again() -> None:
    assert read_head(make("no softmax")) is None
