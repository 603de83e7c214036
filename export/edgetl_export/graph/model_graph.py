"""The float graph: a float32 .tflite whose layers can be read and changed.

Every model passes through this form, whoever trained it: LiteRT runs it several times faster than
Keras, its normalizations are folded, and both quantizers take it.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_export.graph.flatbuffer import read_tree, write_tree
from edgetl_runtime.bundle.head import Head
from edgetl_runtime.errors import ExportError

Values = NDArray[np.float32]
# `BuiltinOperator`, `ActivationFunctionType`, `Padding` and `TensorType` of LiteRT's schema.
ADD, CONCATENATION, CONVOLUTION, DEPTHWISE, DEQUANTIZE = 0, 2, 3, 4, 6
FULLY_CONNECTED, LOGISTIC, SOFTMAX = 9, 14, 25
_NO_ACTIVATION, _SAME, _FLOAT32 = 0, 0, 0


class Operator(msgspec.Struct, frozen=True):
    """One operator.

    Attributes:
        position: Its place in the order of execution.
        kind: Its number in LiteRT's schema, such as `CONVOLUTION`.
        name: Of its output, by which quantizers find it.
        inputs: Indices of tensors; constants are among them.
        output: Index of its first output.
        linear: True if no activation is fused into it.
    """

    position: int
    kind: int
    name: str
    inputs: tuple[int, ...]
    output: int
    linear: bool


class Convolution(Operator, frozen=True):
    """A convolution; its kernel is (outputs, height, width, inputs) or, depthwise, (1, h, w, c).

    Attributes:
        kernel: Index of its kernel.
        bias: Index of its bias, which is its own and no other layer's.
        strides: (down, across).
        dilations: (down, across).
        same: True if borders are padded so that the size is divided by the stride only.
    """

    kernel: int
    bias: int
    strides: tuple[int, int]
    dilations: tuple[int, int]
    same: bool


def find_graph(tree: Any) -> Any:
    """The one graph of a .tflite.

    Raises:
        ExportError: If it has several, or other ends than one input and one output.
    """
    if len(tree.subgraphs) != 1:
        raise ExportError(f"the .tflite has {len(tree.subgraphs)} graphs, expected 1")
    graph = tree.subgraphs[0]
    for kind, ends in (("input", graph.inputs), ("output", graph.outputs)):
        if len(ends) != 1:
            raise ExportError(f"the .tflite has {len(ends)} {kind}s, expected 1")
    return graph


def end_at(model: bytes, names: Sequence[str]) -> bytes:
    """Makes tensors within a .tflite, quantized or not, its outputs, and drops what lies above.

    Args:
        model: A .tflite of one graph.
        names: Of the tensors, in the order of the new outputs.
    """
    tree = read_tree(model)
    graph = find_graph(tree)
    place = {tensor.name.decode(): index for index, tensor in enumerate(graph.tensors)}
    outputs = [place[name] for name in names]
    needed, kept = set(outputs), []
    for operator in reversed(graph.operators):
        if needed & {int(index) for index in operator.outputs}:
            needed |= {int(index) for index in operator.inputs}
            kept.append(operator)
    graph.operators = kept[::-1]
    graph.outputs = np.array(outputs, np.int32)
    tree.signatureDefs = []
    return write_tree(tree)


class Graph:
    """A float32 .tflite with one image in and one list of scores out."""

    def __init__(self, model: bytes) -> None:
        """Reads a model.

        Raises:
            ExportError: If it is not a .tflite of this form.
        """
        try:
            self._read(model)
        # The reader of the format checks nothing: what is damaged shows where it is used.
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise ExportError(f"this is not a .tflite, or a damaged one: {error}") from error

    @property
    def input(self) -> int:
        """Index of the image."""
        return int(self._graph.inputs[0])

    @property
    def output(self) -> int:
        """Index of the scores."""
        return int(self._graph.outputs[0])

    @property
    def operators(self) -> list[Operator]:
        """In the order of execution."""
        return [self._describe(place) for place in range(len(self._graph.operators))]

    @property
    def convolutions(self) -> list[Convolution]:
        """Those whose kernels and biases can be changed."""
        return [one for one in self.operators if isinstance(one, Convolution)]

    def name(self, tensor: int) -> str:
        """A tensor's name."""
        return str(self._graph.tensors[tensor].name.decode())

    def shape(self, tensor: int) -> tuple[int, ...]:
        """A tensor's shape; batch first."""
        shape = self._graph.tensors[tensor].shape
        return () if shape is None else tuple(int(length) for length in shape)

    def is_constant(self, tensor: int) -> bool:
        """True for weights and other fixed values."""
        return self._buffer(tensor).data is not None

    def values(self, tensor: int) -> Values:
        """A copy of a constant, float32 of the tensor's shape."""
        data = np.asarray(self._buffer(tensor).data, np.uint8)
        return data.view(np.float32).reshape(self.shape(tensor)).copy()

    def integers(self, tensor: int) -> NDArray[np.int32]:
        """A copy of a constant of whole numbers, int32 of the tensor's shape."""
        data = np.asarray(self._buffer(tensor).data, np.uint8)
        return data.view(np.int32).reshape(self.shape(tensor)).copy()

    def options(self, position: int) -> Any:
        """What an operator's kind needs to know besides its inputs, as LiteRT's schema has it."""
        return self._graph.operators[position].builtinOptions

    def set_values(self, tensor: int, values: NDArray[np.floating]) -> None:
        """Replaces a constant by another one of the same shape."""
        exact = np.ascontiguousarray(values, np.float32)
        if exact.shape != self.shape(tensor):
            raise ValueError(f"values are {exact.shape}, the tensor is {self.shape(tensor)}")
        self._buffer(tensor).data = exact.reshape(-1).view(np.uint8)

    @property
    def head(self) -> Head | None:
        """The dense layer whose outputs become the scores by a softmax; None without one."""
        dense = self._find_head()
        if dense is None:
            return None
        return Head(self.values(dense.inputs[1]).T.copy(), self.values(dense.inputs[2]))

    def set_head(self, head: Head) -> None:
        """Replaces the dense layer's kernel and bias."""
        dense = self._find_head()
        if dense is None:
            raise ValueError("a graph without a head")
        self.set_values(dense.inputs[1], head.kernel.T)
        self.set_values(dense.inputs[2], head.bias)

    def end_before_head(self) -> None:
        """Makes the head's features the output: what lies above them is cut away."""
        dense = self._find_head()
        if dense is None:
            raise ValueError("a graph without a head")
        self._graph.operators = self._graph.operators[: dense.position]
        self._graph.outputs = [dense.inputs[0]]
        self._tree.signatureDefs = []

    def encode(self) -> bytes:
        """The bytes of the .tflite."""
        return write_tree(self._tree)

    def _read(self, model: bytes) -> None:
        self._tree: Any = read_tree(model)
        self._graph = find_graph(self._tree)
        self._own_constants()
        self._name_apart()
        self._read_all()

    def _read_all(self) -> None:
        """Reads what the methods will, so that a damaged file is refused and not half used."""
        tensors = {self.input, self.output}
        for one in self.operators:
            tensors |= {one.output, *(index for index in one.inputs if index >= 0)}
        for index in tensors:
            self.shape(index)
            if self._graph.tensors[index].type == _FLOAT32 and self.is_constant(index):
                self.values(index)
        _ = self.head

    def _describe(self, position: int) -> Operator:
        operator = self._graph.operators[position]
        code = self._tree.operatorCodes[operator.opcodeIndex]
        # Old files hold the number in the narrower field.
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)
        options = operator.builtinOptions
        output = int(operator.outputs[0])
        activation = getattr(options, "fusedActivationFunction", _NO_ACTIVATION)
        inputs = tuple(int(n) for n in operator.inputs)
        described = Operator(
            position, kind, self.name(output), inputs, output, activation == _NO_ACTIVATION
        )
        return self._as_convolution(described, options) or described

    def _as_convolution(self, one: Operator, options: Any) -> Convolution | None:
        if one.kind not in (CONVOLUTION, DEPTHWISE) or len(one.inputs) != 3:
            return None
        _, kernel, bias = one.inputs
        if bias < 0 or not (self.is_constant(kernel) and self.is_constant(bias)):
            return None
        if self._graph.tensors[kernel].type != _FLOAT32:
            return None
        return Convolution(
            **msgspec.structs.asdict(one),
            kernel=kernel,
            bias=bias,
            strides=(options.strideH, options.strideW),
            dilations=(options.dilationHFactor, options.dilationWFactor),
            same=options.padding == _SAME,
        )

    def _find_head(self) -> Operator | None:
        by_output = {one.output: one for one in self.operators}
        scores = by_output.get(self.output)
        if scores is None or scores.kind != SOFTMAX:
            return None
        dense = by_output.get(scores.inputs[0])
        if dense is None or dense.kind != FULLY_CONNECTED or not dense.linear:
            return None
        constant = len(dense.inputs) == 3 and dense.inputs[2] >= 0
        if not constant or not all(map(self.is_constant, dense.inputs[1:])):
            return None
        return dense

    def _buffer(self, tensor: int) -> Any:
        return self._tree.buffers[self._graph.tensors[tensor].buffer]

    def _own_constants(self) -> None:
        """Gives each layer constants of its own: the converter shares equal ones, such as zeros."""
        import copy

        graph, buffers = self._graph, self._tree.buffers
        readers = Counter(int(n) for one in graph.operators for n in one.inputs)
        holders = Counter(tensor.buffer for tensor in graph.tensors)
        for operator in graph.operators:
            for place, index in enumerate(int(n) for n in operator.inputs):
                if index < 0 or not self.is_constant(index):
                    continue
                tensor = graph.tensors[index]
                if readers[index] == 1 and holders[tensor.buffer] == 1:
                    continue
                readers[index] -= 1
                holders[tensor.buffer] -= 1
                tensor, buffer = copy.copy(tensor), copy.copy(buffers[tensor.buffer])
                buffers.append(buffer)
                tensor.buffer = len(buffers) - 1
                graph.tensors.append(tensor)
                operator.inputs[place] = len(graph.tensors) - 1

    def _name_apart(self) -> None:
        """Gives every tensor a short name of its own, by which people and quantizers know it."""
        # Layers first: a constant gets the number where both have one name.
        tensors = self._graph.tensors
        layers = [self.input, *(int(one.outputs[0]) for one in self._graph.operators)]
        order = dict.fromkeys([*layers, *range(len(tensors))])
        seen: Counter[str] = Counter()
        for tensor in map(tensors.__getitem__, order):
            name = shorten(tensor.name.decode())
            seen[name] += 1
            tensor.name = (name if seen[name] == 1 else f"{name}#{seen[name]}").encode()


def shorten(name: str) -> str:
    """The layer's own name: `block_1_expand` of `net_1/block_1_expand_BN_1/batchnorm/add_1;...`."""
    path = name.split(";")[0].split("/")
    layers = [part for part in path[:-1] if part != "batchnorm"]
    if not layers:
        return path[-1]
    layer = re.sub(r"_\d+$", "", layers[-1])
    return re.sub(r"_(bn|BN|relu)$", "", layer)
