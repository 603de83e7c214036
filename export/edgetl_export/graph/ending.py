"""The ending of a model file in any precision: its features, the maps below them, and its head.

What is read here is the file as it ships, so that the head is what 8 bits left of it.
"""

from collections.abc import Callable, Collection
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgetl_export.graph.model_graph import (
    CONCATENATION,
    DEQUANTIZE,
    FULLY_CONNECTED,
    SOFTMAX,
)
from edgetl_runtime.bundle.head import Head

# `BuiltinOperator` and `TensorType` of LiteRT's schema.
_AVERAGE_POOL, _RESHAPE = 1, 22
_MEAN, _SQUEEZE, _CAST, _QUANTIZE = 40, 43, 53, 114
_CHANGES_NOTHING = {DEQUANTIZE, _RESHAPE, _SQUEEZE, _CAST, _QUANTIZE}
_DTYPES = {
    **{0: np.float32, 1: np.float16, 2: np.int32, 3: np.uint8, 4: np.int64, 7: np.int16},
    9: np.int8,
}
_ONNX_CHANGES_NOTHING = {
    *("QuantizeLinear", "DequantizeLinear", "Cast", "Identity"),
    *("Reshape", "Squeeze", "Flatten"),
}
_ONNX_MEANS = {"GlobalAveragePool", "AveragePool", "ReduceMean"}
T = TypeVar("T", int, str)
_MAP_AXES = 4


class Ending(msgspec.Struct, Generic[T], frozen=True, eq=False):
    """Tensors by index or name, above which there are only a dense layer and a softmax.

    Attributes:
        features: What the dense layer multiplies.
        maps: What averaging makes the features of, in order; empty if they are made otherwise.
        map_channels: Of each map.
        head: The dense layer; None if it cannot be read.
    """

    features: T
    maps: tuple[T, ...]
    map_channels: tuple[int, ...]
    head: Head | None


def find_tflite_ending(tree: Any) -> Ending[int] | None:
    """The ending of a .tflite; None if it is another one.

    Args:
        tree: What `flatbuffer.read_tree` returns.
    """
    graph = tree.subgraphs[0]
    codes = [max(one.builtinCode, one.deprecatedBuiltinCode) for one in tree.operatorCodes]
    writers = {int(one.outputs[0]): one for one in graph.operators}

    def find(tensor: int) -> tuple[Any, int | None]:
        writer = writers.get(tensor)
        while writer is not None and codes[writer.opcodeIndex] in _CHANGES_NOTHING:
            writer = writers.get(int(writer.inputs[0]))
        return writer, None if writer is None else codes[writer.opcodeIndex]

    softmax, kind = find(int(graph.outputs[0]))
    if kind != SOFTMAX:
        return None
    dense, kind = find(int(softmax.inputs[0]))
    if kind == CONCATENATION:
        # The logit of the unknown comes after those of the classes.
        dense, kind = find(int(dense.inputs[0]))
    if kind != FULLY_CONNECTED or dense.builtinOptions.fusedActivationFunction:
        return None
    features = int(dense.inputs[0])
    maps = _find_maps(features, find, {_MEAN, _AVERAGE_POOL}, CONCATENATION)
    shapes = [tuple(map(int, graph.tensors[one].shape)) for one in maps]
    fits = all(len(shape) == _MAP_AXES for shape in shapes)
    channels = tuple(shape[-1] for shape in shapes) if fits else ()
    return _make_ending(features, maps, channels, _read_tflite_head(tree, dense, writers))


def find_onnx_ending(proto: onnx.ModelProto) -> Ending[str] | None:
    """The ending of an .onnx; None if it is another one."""
    graph = onnx.shape_inference.infer_shapes(proto).graph
    writers = {name: node for node in graph.node for name in node.output}

    def find(tensor: str) -> tuple[Any, str | None]:
        writer = writers.get(tensor)
        while writer is not None and writer.op_type in _ONNX_CHANGES_NOTHING:
            writer = writers.get(writer.input[0])
        return writer, None if writer is None else writer.op_type

    softmax, kind = find(graph.output[0].name)
    if kind != "Softmax":
        return None
    dense, kind = find(softmax.input[0])
    if kind == "Concat":
        # The logit of the unknown comes after those of the classes.
        dense, kind = find(dense.input[0])
    # Some tools write a dense layer as a product and a sum.
    product, kind = find(dense.input[0]) if kind == "Add" else (dense, kind)
    steps = product if kind == "Mul" else None
    if steps is not None:
        product, kind = find(steps.input[0])
    if kind not in ("Gemm", "MatMul", "MatMulInteger"):
        return None
    # Dynamic files quantize the features just before the product.
    quantizer = writers.get(product.input[0]) if kind == "MatMulInteger" else None
    features = str((quantizer or product).input[0])
    maps = _find_maps(features, find, _ONNX_MEANS, "Concat")
    shapes = {
        one.name: [side.dim_value for side in one.type.tensor_type.shape.dim]
        for one in graph.value_info
    }
    found = [shapes.get(one, []) for one in maps]
    fits = all(len(shape) == _MAP_AXES for shape in found)
    channels = tuple(shape[1] for shape in found) if fits else ()
    factor = writers.get(steps.input[1]) if steps is not None else None
    head = _read_onnx_head(graph, product, dense, factor)
    return _make_ending(features, maps, channels, head)


def _make_ending(
    features: T, maps: list[T], channels: tuple[int, ...], head: Head | None
) -> Ending[T]:
    fits = bool(channels) and (head is None or sum(channels) == len(head.kernel))
    return Ending(features, tuple(maps) if fits else (), channels if fits else (), head)


def _find_maps(
    features: T, find: Callable[[T], tuple[Any, Any]], means: Collection[Any], concatenation: Any
) -> list[T]:
    """The inputs of the means that the features consist of; empty if they are other things."""
    writer, kind = find(features)
    parts = _list_inputs(writer) if kind == concatenation else [features]
    found = [find(part) for part in parts]
    if any(kind not in means for _, kind in found):
        return []
    return [_list_inputs(writer)[0] for writer, _ in found]


def _list_inputs(operator: Any) -> list[Any]:
    if isinstance(operator, onnx.NodeProto):
        return list(operator.input)
    return [int(one) for one in operator.inputs]


def _read_tflite_head(tree: Any, dense: Any, writers: dict[int, Any]) -> Head | None:
    def read(tensor: int) -> NDArray[np.float32] | None:
        # float16 files hold constants that an operator turns into float32.
        writer = writers.get(tensor)
        place = tree.subgraphs[0].tensors[tensor if writer is None else int(writer.inputs[0])]
        data = tree.buffers[place.buffer].data
        if data is None or place.type not in _DTYPES:
            return None
        values = np.frombuffer(bytes(data), _DTYPES[place.type])
        return _dequantize(values.reshape(tuple(place.shape)), place.quantization)

    kernel = read(int(dense.inputs[1]))
    if kernel is None:
        return None
    if len(dense.inputs) < 3 or int(dense.inputs[2]) < 0:
        return Head(kernel.T.copy(), np.zeros(len(kernel), np.float32))
    bias = read(int(dense.inputs[2]))
    return None if bias is None else Head(kernel.T.copy(), bias)


def _dequantize(values: NDArray[Any], quantization: Any) -> NDArray[np.float32]:
    """Scale times number less zero point, by output where there are several of them."""
    floats = values.astype(np.float32)
    if quantization is None or quantization.scale is None or not len(quantization.scale):
        return floats
    across = (-1, *[1] * (values.ndim - 1))
    scale = np.asarray(quantization.scale, np.float32).reshape(across)
    zero_point = np.asarray(quantization.zeroPoint, np.float32).reshape(across)
    dequantized: NDArray[np.float32] = (floats - zero_point) * scale
    return dequantized


def _read_onnx_head(graph: Any, product: Any, dense: Any, steps: Any) -> Head | None:
    """Of one operator, or of a product and a sum; `steps` multiplies those of both factors."""
    constants = {one.name: one for one in graph.initializer}
    options = {one.name: helper.get_attribute_value(one) for one in product.attribute}
    is_plain = (options.get("alpha", 1.0), options.get("beta", 1.0)) == (1.0, 1.0)
    names = [product.input[1], *(product.input[2:] if product is dense else dense.input[1:])]
    if len(names) != 2 or not set(names) <= constants.keys() or not is_plain:
        return None
    kernel, bias = (numpy_helper.to_array(constants[name]).astype(np.float32) for name in names)
    if bias.ndim != 1 or options.get("transA"):
        return None
    if steps is not None:
        own = [product.input[3], steps.input[1]]
        if not set(own) <= constants.keys():
            return None
        zero_point, step = (numpy_helper.to_array(constants[name]) for name in own)
        kernel = (kernel - zero_point.astype(np.float32)) * step
    return Head(kernel.T.copy() if options.get("transB") else kernel.copy(), bias)
