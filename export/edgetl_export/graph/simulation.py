"""Simulation: the upper part of a float graph in TensorFlow, rounded as 8 bits will round it.

What is trained in it keeps its worth in 8 bits (quantization-aware training: Jacob et al. 2018,
"Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference").
Weights are rounded by channel and symmetrically, activations by tensor, as the quantizers do;
gradients pass the rounding as if it were not there.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from edgetl_export.graph.model_graph import (
    ADD,
    CONCATENATION,
    CONVOLUTION,
    DEPTHWISE,
    FULLY_CONNECTED,
    LOGISTIC,
    SOFTMAX,
    Graph,
    Operator,
    Values,
)

# `BuiltinOperator` of LiteRT's schema.
_AVERAGE_POOL, _MAX_POOL, _MUL, _RELU, _RELU6, _RESHAPE = 1, 17, 18, 19, 21, 22
_MEAN, _SUB, _HARD_SWISH = 40, 41, 117
# `ActivationFunctionType`.
_FUSED_NONE, _FUSED_RELU, _FUSED_RELU6 = 0, 1, 3
_SIMULATED = {
    ADD,
    _AVERAGE_POOL,
    CONCATENATION,
    CONVOLUTION,
    DEPTHWISE,
    FULLY_CONNECTED,
    LOGISTIC,
    _MAX_POOL,
    _MUL,
    _RELU,
    _RELU6,
    _RESHAPE,
    SOFTMAX,
    _MEAN,
    _SUB,
    _HARD_SWISH,
}
_WEIGHTY = (CONVOLUTION, DEPTHWISE, FULLY_CONNECTED)
_HIGHEST = 127.0
_NO_RANGE = (0.0, 0.0)
Ranges = Mapping[str, tuple[float, float]]


class Division(msgspec.Struct, frozen=True):
    """A graph in two parts.

    Attributes:
        upper: The operators of the upper part, in order.
        crossing: Indices of the tensors that the lower part writes and the upper part reads.
    """

    upper: tuple[Operator, ...]
    crossing: tuple[int, ...]


class Simulation:
    """The operators above a cut, with weights that can be trained."""

    def __init__(self, graph: Graph, division: Division, ranges: Ranges) -> None:
        """Prepares a simulation.

        Args:
            graph: Float, ends in a softmax.
            division: Its upper part is simulated.
            ranges: (lowest, highest) of each tensor by its name; those without stay in float.
        """
        self._graph = graph
        self._operators = division.upper
        self._crossing = division.crossing
        self._ranges = ranges
        self._places = [
            index
            for one in self._operators
            if one.kind in _WEIGHTY
            for index in one.inputs[1:]
            if index >= 0 and graph.is_constant(index)
        ]

    @property
    def weights(self) -> list[Values]:
        """Kernels and biases as the graph has them, float32."""
        return [self._graph.values(index) for index in self._places]

    def logits(self, crossing: Sequence[Any], weights: Sequence[Any]) -> Any:
        """What the softmax is taken of, float32 (rows, classes).

        Args:
            crossing: The tensors of the division's `crossing`, float32 (rows, ...) each.
            weights: Kernels and biases in the order of `weights`.
        """
        known = dict(zip(self._crossing, crossing, strict=True))
        known |= dict(zip(self._places, weights, strict=True))
        for one in self._operators[:-1]:
            known[one.output] = self._round(one, self._run(one, known))
        return known[self._operators[-1].inputs[0]]

    def write(self, weights: Sequence[Values]) -> None:
        """Writes kernels and biases into the graph."""
        for index, values in zip(self._places, weights, strict=True):
            self._graph.set_values(index, values)

    def _round(self, one: Operator, values: Any) -> Any:
        import tensorflow as tf

        if one.name not in self._ranges or one.kind == _RESHAPE:
            return values
        low, high = self._ranges[one.name]
        if one.kind == LOGISTIC:
            low, high = 0.0, 255 / 256
        low, high = min(low, 0.0), max(high, 0.0)
        if high <= low:
            return values
        return tf.quantization.fake_quant_with_min_max_args(values, low, high, num_bits=8)

    def _read(self, index: int, known: Mapping[int, Any]) -> Any:
        """An activation, or a constant, which has 8 bits of its own."""
        if index in known:
            return known[index]
        return self._graph.values(index)

    def _run(self, one: Operator, known: Mapping[int, Any]) -> Any:
        import tensorflow as tf

        options = self._graph.options(one.position)
        if one.kind in _WEIGHTY:
            return self._run_layer(one, known, options)
        if one.kind == _RESHAPE:
            return tf.reshape(known[one.inputs[0]], (-1, *self._graph.shape(one.output)[1:]))
        if one.kind == _MEAN:
            axes = [int(n) for n in self._graph.integers(one.inputs[1])]
            return tf.reduce_mean(known[one.inputs[0]], axes, keepdims=options.keepDims)
        inputs = [self._read(index, known) for index in one.inputs]
        if one.kind == CONCATENATION:
            return tf.concat(inputs, options.axis)
        if one.kind in (_AVERAGE_POOL, _MAX_POOL):
            pool = tf.nn.avg_pool2d if one.kind == _AVERAGE_POOL else tf.nn.max_pool2d
            size = (options.filterHeight, options.filterWidth)
            return pool(*inputs, size, (options.strideH, options.strideW), _padding(options))
        fused = getattr(options, "fusedActivationFunction", _FUSED_NONE)
        return _fuse(_calculate(one.kind)(*inputs), fused)

    def _run_layer(self, one: Operator, known: Mapping[int, Any], options: Any) -> Any:
        import tensorflow as tf

        values = self._read(one.inputs[0], known)
        kernel = known[one.inputs[1]]
        bias = known.get(one.inputs[2]) if len(one.inputs) > 2 else None
        if one.kind == FULLY_CONNECTED:
            rounded = _round_kernel(kernel, 0)
            found = tf.reshape(values, (-1, kernel.shape[1])) @ tf.transpose(rounded)
            shape = self._graph.shape(one.output)[1:]
            found = tf.reshape(found, (-1, *shape))
        elif one.kind == CONVOLUTION:
            rounded = tf.transpose(_round_kernel(kernel, 0), (1, 2, 3, 0))
            found = tf.nn.conv2d(
                values, rounded, (options.strideH, options.strideW), _padding(options)
            )
        else:
            _, height, width, channels = kernel.shape
            rounded = tf.reshape(_round_kernel(kernel, 3), (height, width, channels, 1))
            strides = (1, options.strideH, options.strideW, 1)
            found = tf.nn.depthwise_conv2d(values, rounded, strides, _padding(options))
        return _fuse(found if bias is None else found + bias, options.fusedActivationFunction)


def share_ranges(graph: Graph, ranges: Ranges) -> dict[str, tuple[float, float]]:
    """The ranges that a file has in the end: some operators give two tensors one step.

    What is concatenated has the step of the result, what is pooled or reshaped that of its input
    (LiteRT's quantization specification).
    """
    shared = dict(ranges)
    operators = graph.operators
    for one in operators:
        if one.kind in (_AVERAGE_POOL, _MAX_POOL, _RESHAPE):
            shared[one.name] = shared.get(
                graph.name(one.inputs[0]), shared.get(one.name, _NO_RANGE)
            )
    for one in reversed(operators):
        if one.kind == CONCATENATION and one.name in shared:
            shared |= {graph.name(index): shared[one.name] for index in one.inputs}
    return shared


def divide(graph: Graph, start: int) -> Division:
    """Divides a graph below an operator; maps from below that are only pooled above stay below."""
    operators = graph.operators
    below = {graph.input, *(one.output for one in operators[:start])}
    upper = []
    for one in operators[start:]:
        if one.kind == _MEAN and one.inputs[0] in below:
            below.add(one.output)
        else:
            upper.append(one)
    read = [index for one in upper for index in one.inputs if index in below]
    return Division(tuple(upper), tuple(dict.fromkeys(read)))


def find_division(graph: Graph, *, most_values: int, most_work: float) -> Division | None:
    """The largest upper part of a graph that can be simulated.

    Args:
        graph: Float.
        most_values: So many values of one photo may cross the cut below it.
        most_work: So large a part of all multiply-adds may lie above it, 0..1.

    Returns:
        None if the graph does not end in a dense layer and a softmax.
    """
    if graph.head is None:
        return None
    operators = graph.operators
    whole = sum(_count_work(graph, one) for one in operators)
    best = None
    for start in range(len(operators) - 1, 0, -1):
        division = divide(graph, start)
        work = sum(_count_work(graph, one) for one in division.upper)
        if not _can_simulate(graph, operators[start]) or work > most_work * whole:
            break
        if sum(int(np.prod(graph.shape(one))) for one in division.crossing) <= most_values:
            best = division
    return best


def _can_simulate(graph: Graph, one: Operator) -> bool:
    if one.kind not in _SIMULATED:
        return False
    options = graph.options(one.position)
    fused = getattr(options, "fusedActivationFunction", _FUSED_NONE)
    if fused not in (_FUSED_NONE, _FUSED_RELU, _FUSED_RELU6):
        return False
    if one.kind not in _WEIGHTY:
        return True
    # Grouped and dilated convolutions, and depthwise ones that widen, are not in our networks.
    kernel = graph.shape(one.inputs[1])
    if not graph.is_constant(one.inputs[1]):
        return False
    if one.kind == FULLY_CONNECTED:
        return True
    channels = graph.shape(one.inputs[0])[3]
    dilated = (options.dilationHFactor, options.dilationWFactor) != (1, 1)
    return not dilated and kernel[3] == channels


def _count_work(graph: Graph, one: Operator) -> int:
    if one.kind not in _WEIGHTY:
        return 0
    kernel = graph.shape(one.inputs[1])
    taps = np.prod(kernel[1:3]) if one.kind == DEPTHWISE else np.prod(kernel[1:])
    return int(np.prod(graph.shape(one.output)) * taps)


def _calculate(kind: int) -> Callable[..., Any]:
    """What an operator without options does, value by value."""
    import tensorflow as tf

    functions: dict[int, Callable[..., Any]] = {
        ADD: tf.add,
        _MUL: tf.multiply,
        _SUB: tf.subtract,
        LOGISTIC: tf.sigmoid,
        _RELU: tf.nn.relu,
        _RELU6: tf.nn.relu6,
        _HARD_SWISH: lambda values: values * tf.nn.relu6(values + 3.0) / 6.0,
    }
    return functions[kind]


def _round_kernel(kernel: Any, axis: int) -> Any:
    """A kernel as 8 bits store it, -127..127 times a step for each channel of an axis."""
    import tensorflow as tf

    others = [place for place in range(len(kernel.shape)) if place != axis]
    steps = tf.reduce_max(tf.abs(kernel), others, keepdims=True) / _HIGHEST
    steps = tf.where(steps > 0, steps, 1.0)
    return kernel + tf.stop_gradient(tf.round(kernel / steps) * steps - kernel)


def _fuse(values: Any, activation: int) -> Any:
    import tensorflow as tf

    if activation == _FUSED_RELU:
        return tf.nn.relu(values)
    return tf.nn.relu6(values) if activation == _FUSED_RELU6 else values


def _padding(options: Any) -> str:
    return "SAME" if options.padding == 0 else "VALID"
