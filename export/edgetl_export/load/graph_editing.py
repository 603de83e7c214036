"""Operators in front of a .tflite and behind it, by changing the objects that it holds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetl_export.graph.flatbuffer import write_tree
from edgetl_export.load.scaling import Scaling

# `TensorType` of LiteRT's schema.
_FLOAT32, _INT32, _UINT8 = 0, 2, 3


class GraphEditor:
    """Changes one tree; the new operators have constants of their own."""

    def __init__(self, tree: Any) -> None:
        """Takes a tree of one graph with one input and one output."""
        from ai_edge_litert import schema_py_generated as schema

        self._tree, self._graph, self._schema = tree, tree.subgraphs[0], schema

    @property
    def picture(self) -> Any:
        """The input."""
        return self._graph.tensors[self._graph.inputs[0]]

    @property
    def scores(self) -> Any:
        """The output."""
        return self._graph.tensors[self._graph.outputs[0]]

    def scale(self, scaling: Scaling) -> None:
        """Puts the scaling in front of a float32 input, which then takes RGB levels 0..255."""
        if scaling.order != "rgb":
            self._mix(scaling)
            return
        if any(scaling.offset):
            self._combine("ADD", "Add", np.array(scaling.offset))
        if scaling.factor != (1, 1, 1):
            self._combine("MUL", "Mul", np.array(scaling.factor))

    def quantize_picture(self) -> None:
        """Makes a quantized input float32."""
        picture = self._add_tensor("picture", self.picture.shape, _FLOAT32)
        self._put_first(picture, [], "QUANTIZE", "Quantize")

    def take_channels_last(self) -> None:
        """Makes an input (1, 3, height, width) one of (1, height, width, 3)."""
        _, channels, height, width = map(int, self.picture.shape)
        order = self._add_constant("picture/order", np.array([0, 3, 1, 2], np.int32), _INT32)
        picture = self._add_tensor(
            "picture/last", (1, height, width, channels), int(self.picture.type)
        )
        self._graph.tensors[picture].quantization = self.picture.quantization
        self._put_first(picture, [order], "TRANSPOSE", "Transpose")

    def take_unsigned(self) -> None:
        """Makes an int8 input uint8: the same numbers, counted from 0."""
        step, zero = self.picture.quantization.scale, self.picture.quantization.zeroPoint
        picture = self._add_tensor("picture", self.picture.shape, _UINT8)
        quantization = self._schema.QuantizationParametersT()
        quantization.scale = np.array(step, np.float32)
        quantization.zeroPoint = np.array(zero, np.int64) + 128
        self._graph.tensors[picture].quantization = quantization
        self._put_first(picture, [], "QUANTIZE", "Quantize")

    def dequantize_scores(self) -> None:
        """Makes quantized scores float32."""
        self._put_last(self.scores.shape, [], "DEQUANTIZE", "Dequantize")

    def flatten_scores(self, outputs: int) -> None:
        """Makes scores (1, outputs)."""
        shape = self._add_constant("shape", np.array([1, outputs], np.int32), _INT32)
        self._put_last([1, outputs], [shape], "RESHAPE", "Reshape").newShape = [1, outputs]

    def make_pair(self, factors: Sequence[float], offsets: Sequence[float]) -> None:
        """Makes two scores of one: each is its factor times the one, plus its offset."""
        kernel = self._add_constant("pair/kernel", np.array(factors, np.float32)[:, np.newaxis])
        bias = self._add_constant("pair/bias", np.array(offsets, np.float32))
        self._put_last([1, 2], [kernel, bias], "FULLY_CONNECTED", "FullyConnected")

    def add_softmax(self) -> None:
        """Turns logits into probabilities."""
        self._put_last(self.scores.shape, [], "SOFTMAX", "Softmax").beta = 1.0

    def encode(self) -> bytes:
        """The bytes of the .tflite; its signature names the ends that it has now."""
        for signature in self._tree.signatureDefs or []:
            ends = (signature.inputs, self._graph.inputs), (signature.outputs, self._graph.outputs)
            for names, (tensor,) in ends:
                if names:
                    names[0].tensorIndex = tensor
        return write_tree(self._tree)

    def _combine(self, kind: str, options: str, values: NDArray[np.floating]) -> None:
        numbers = self._add_constant(f"scaling/{kind.lower()}/values", values.astype(np.float32))
        picture = self._add_tensor(f"picture/{kind.lower()}", self.picture.shape, _FLOAT32)
        self._put_first(picture, [numbers], kind, options)

    def _mix(self, scaling: Scaling) -> None:
        """A convolution of single pixels: each channel of the model is a sum of all colours."""
        kernel = self._add_constant("mix/kernel", scaling.matrix[:, np.newaxis, np.newaxis])
        bias = self._add_constant("mix/bias", np.array(scaling.offset, np.float32))
        picture = self._add_tensor("picture/mix", [*self.picture.shape[:3], 3], _FLOAT32)
        options = self._put_first(picture, [kernel, bias], "CONV_2D", "Conv2D")
        options.padding = self._schema.Padding.VALID
        options.strideW = options.strideH = 1
        options.dilationWFactor = options.dilationHFactor = 1

    def _put_first(self, picture: int, more: list[int], kind: str, options: str) -> Any:
        """An operator that reads a new input and writes what was it; returns its options."""
        operator = self._operator([picture, *more], int(self._graph.inputs[0]), kind, options)
        self._graph.operators.insert(0, operator)
        self._graph.inputs = [picture]
        return operator.builtinOptions

    def _put_last(self, shape: Sequence[int], more: list[int], kind: str, options: str) -> Any:
        """An operator that reads what was the output and writes a new one; returns its options."""
        output = self._add_tensor(f"scores/{kind.lower()}", shape, _FLOAT32)
        scores = int(self._graph.outputs[0])
        operator = self._operator([scores, *more], output, kind, options)
        self._graph.operators.append(operator)
        self._graph.outputs = [output]
        return operator.builtinOptions

    def _operator(self, inputs: list[int], output: int, kind: str, options: str) -> Any:
        operator = self._schema.OperatorT()
        operator.opcodeIndex = self._find_code(getattr(self._schema.BuiltinOperator, kind))
        operator.inputs, operator.outputs = inputs, [output]
        operator.builtinOptionsType = getattr(self._schema.BuiltinOptions, f"{options}Options")
        operator.builtinOptions = getattr(self._schema, f"{options}OptionsT")()
        return operator

    def _find_code(self, kind: int) -> int:
        codes = self._tree.operatorCodes
        code = self._schema.OperatorCodeT()
        code.builtinCode, code.version = kind, 1
        # Readers of old files look at the narrower field, which holds up to 127.
        code.deprecatedBuiltinCode = min(kind, 127)
        codes.append(code)
        return len(codes) - 1

    def _add_constant(self, name: str, values: NDArray[np.generic], kind: int = _FLOAT32) -> int:
        buffer = self._schema.BufferT()
        buffer.data = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        self._tree.buffers.append(buffer)
        tensor = self._add_tensor(name, values.shape, kind)
        self._graph.tensors[tensor].buffer = len(self._tree.buffers) - 1
        return tensor

    def _add_tensor(self, name: str, shape: Sequence[int], kind: int) -> int:
        tensor = self._schema.TensorT()
        tensor.name, tensor.type = f"edgetl/{name}".encode(), kind
        tensor.shape = [int(length) for length in shape]
        # Buffer 0 is empty by convention: the tensor is computed.
        tensor.buffer = 0
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1
