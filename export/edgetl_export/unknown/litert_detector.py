"""The detector within a .tflite: a few operators in float behind the head."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgetl_export.graph.ending import find_tflite_ending
from edgetl_export.graph.flatbuffer import read_tree, write_tree
from edgetl_export.graph.model_graph import CONCATENATION, DEQUANTIZE, FULLY_CONNECTED
from edgetl_export.unknown.detector import Detector
from edgetl_runtime.errors import ExportError

# `BuiltinOperator`, `BuiltinOptions` and `TensorType` of LiteRT's schema.
_L2_NORMALIZATION, _REDUCE_MIN, _SPLIT_V = 11, 89, 102
_FLOAT32, _FLOAT16, _INT32, _INT8 = 0, 1, 2, 9
_TYPES: Final = {"float32": _FLOAT32, "int32": _INT32, "int8": _INT8}
# Versions of the operator for what it reads: LiteRT refuses a file that asks for a newer one.
_DEQUANTIZE_VERSIONS: Final = {_FLOAT16: 3, _INT8: 2}
_OTHER_VERSION = 3


def add_to_tflite(model: bytes, detector: Detector) -> bytes:
    """Gives a .tflite one more score, the last one: that of the unknown.

    Args:
        model: In any precision.
        detector: For its own features.

    Raises:
        ExportError: If it does not end in a dense layer and a softmax.
    """
    tree = read_tree(model)
    ending = find_tflite_ending(tree)
    if ending is None:
        raise ExportError("this .tflite does not end in a dense layer and a softmax")
    work = _Extension(tree)
    softmax = work.find_softmax()
    logits, count = int(softmax.inputs[0]), len(detector.biases)
    outputs = int(tree.subgraphs[0].tensors[logits].shape[-1])
    features = work.dequantize(ending.features)
    direction = work.scale_parts(features, detector.parts)
    weights = work.dequantize(work.add_levels(-detector.levels, detector.step, "weights"))
    biases = work.add_constant(detector.biases, "biases")
    distances = work.add(FULLY_CONNECTED, [direction, weights, biases], [1, count], "distances")
    axis = work.add_constant(np.array([1], np.int32), "axis")
    unknown = work.add(_REDUCE_MIN, [distances, axis], [1, 1], "logit")
    both = work.add(CONCATENATION, [logits, unknown], [1, outputs + 1], "logits")
    softmax.inputs = np.array([both], np.int32)
    scores = tree.subgraphs[0].tensors[int(softmax.outputs[0])]
    scores.shape = np.array([1, outputs + 1], np.int32)
    scores.shapeSignature = None
    work.finish(softmax)
    return write_tree(tree)


class _Extension:
    """Operators that are put before the softmax of a graph."""

    def __init__(self, tree: Any) -> None:
        self._tree, self._graph = tree, tree.subgraphs[0]
        self._added: list[Any] = []

    def find_softmax(self) -> Any:
        output = int(self._graph.outputs[0])
        return next(one for one in self._graph.operators if int(one.outputs[0]) == output)

    def dequantize(self, tensor: int) -> int:
        """The tensor in float32: itself, or what one more operator makes of it."""
        found = self._graph.tensors[tensor]
        if found.type == _FLOAT32:
            return tensor
        name = found.name.decode()
        version = _DEQUANTIZE_VERSIONS.get(found.type, _OTHER_VERSION)
        return self.add(DEQUANTIZE, [tensor], list(found.shape), f"{name}_float", version)

    def add_constant(self, values: Any, name: str) -> int:
        from ai_edge_litert import schema_py_generated as schema

        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self._tree.buffers.append(buffer)
        kind = _TYPES[values.dtype.name]
        return self._add_tensor(list(values.shape), name, kind, len(self._tree.buffers) - 1)

    def add_levels(self, levels: NDArray[np.int8], step: float, name: str) -> int:
        """A constant of 8 bits: `step` times its levels."""
        from ai_edge_litert import schema_py_generated as schema

        tensor = self.add_constant(levels, name)
        quantization = schema.QuantizationParametersT()
        quantization.scale = np.array([step], np.float32)
        quantization.zeroPoint = np.array([0], np.int64)
        self._graph.tensors[tensor].quantization = quantization
        return tensor

    def add(
        self, kind: int, inputs: list[int], shape: list[int], name: str, version: int = 1
    ) -> int:
        """One more operator in float32; returns the tensor that it writes."""
        from ai_edge_litert import schema_py_generated as schema

        output = self._add_tensor(shape, name, _FLOAT32, 0)
        operator = schema.OperatorT()
        operator.opcodeIndex = self._find_code(kind, version)
        operator.inputs = np.array(inputs, np.int32)
        operator.outputs = np.array([output], np.int32)
        operator.builtinOptionsType, operator.builtinOptions = _make_options(kind)
        self._added.append(operator)
        return output

    def scale_parts(self, features: int, parts: Sequence[int]) -> int:
        """Scales each part of the features to length 1."""
        pieces = self._split(features, parts) if len(parts) > 1 else [features]
        scaled = [
            self.add(_L2_NORMALIZATION, [one], [1, part], f"direction_{n}")
            for n, (one, part) in enumerate(zip(pieces, parts, strict=True))
        ]
        if len(scaled) == 1:
            return scaled[0]
        return self.add(CONCATENATION, scaled, [1, sum(parts)], "direction")

    def _split(self, features: int, parts: Sequence[int]) -> list[int]:
        sizes = self.add_constant(np.array(parts, np.int32), "sizes")
        axis = self.add_constant(np.array(1, np.int32), "split_axis")
        first = self.add(_SPLIT_V, [features, sizes, axis], [1, parts[0]], "part_0")
        rest = [
            self._add_tensor([1, part], f"part_{n}", _FLOAT32, 0)
            for n, part in enumerate(parts[1:], 1)
        ]
        split = self._added[-1]
        split.outputs = np.array([first, *rest], np.int32)
        split.builtinOptions.numSplits = len(parts)
        return [first, *rest]

    def finish(self, softmax: Any) -> None:
        """Puts the new operators in their place: what they read is written before the softmax."""
        operators = list(self._graph.operators)
        operators.remove(softmax)
        self._graph.operators = [*operators, *self._added, softmax]

    def _add_tensor(self, shape: list[int], name: str, kind: int, buffer: int) -> int:
        from ai_edge_litert import schema_py_generated as schema

        tensor = schema.TensorT()
        tensor.shape = np.array(shape, np.int32)
        tensor.type, tensor.buffer, tensor.name = kind, buffer, f"unknown_{name}".encode()
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _find_code(self, kind: int, version: int) -> int:
        from ai_edge_litert import schema_py_generated as schema

        codes = self._tree.operatorCodes
        for index, one in enumerate(codes):
            if (max(one.builtinCode, one.deprecatedBuiltinCode), one.version) == (kind, version):
                return index
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = kind
        code.version = version
        codes.append(code)
        return len(codes) - 1


def _make_options(kind: int) -> tuple[int, Any]:
    from ai_edge_litert import schema_py_generated as schema

    types = schema.BuiltinOptions
    made = {
        _L2_NORMALIZATION: (types.L2NormOptions, schema.L2NormOptionsT),
        FULLY_CONNECTED: (types.FullyConnectedOptions, schema.FullyConnectedOptionsT),
        _REDUCE_MIN: (types.ReducerOptions, schema.ReducerOptionsT),
        CONCATENATION: (types.ConcatenationOptions, schema.ConcatenationOptionsT),
        DEQUANTIZE: (types.DequantizeOptions, schema.DequantizeOptionsT),
        _SPLIT_V: (types.SplitVOptions, schema.SplitVOptionsT),
    }
    number, make = made[kind]
    options = make()
    if kind == _REDUCE_MIN:
        options.keepDims = True
    if kind == CONCATENATION:
        options.axis = 1
    return number, options
