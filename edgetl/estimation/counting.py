"""Counts what a Keras network costs: multiply-adds and memory traffic, by kind of layer."""

from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING

from edgetl.estimation.costs import Costs

if TYPE_CHECKING:
    import keras

# Operations that LiteRT runs for an activation that is not part of the convolution before it:
# silu is a logistic and a multiplication there, hard_silu is one operation.
_OPERATIONS = {"silu": 2, "hard_silu": 1, "tanh": 1, "sigmoid": 1, "hard_sigmoid": 1}
_ON_MAPS = (
    "Add",
    "Multiply",
    "Concatenate",
    "MaxPooling2D",
    "AveragePooling2D",
    "GlobalAveragePooling2D",
    "Rescaling",
    "Normalization",
)
_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2D")


def count_costs(network: "keras.Model") -> Costs:
    """Counts one image's costs, as LiteRT runs the network.

    A batch normalization behind a convolution, ReLU, padding and reshaping are parts of other
    operations there and cost nothing.

    Args:
        network: Of convolutions, of any input size.

    Returns:
        The sums over its layers.
    """
    return sum(_layers(network), start=Costs(size_px=int(network.input.shape[1])))


def _layers(network: "keras.Model") -> Iterator[Costs]:
    for layer in network.layers:
        kind = type(layer).__name__
        if kind in (*_CONVOLUTIONS, "Dense"):
            yield _weighted(layer, depthwise=kind == "DepthwiseConv2D")
        if hasattr(layer, "activation"):
            yield _activation(layer)
        elif kind in _ON_MAPS or (kind == "BatchNormalization" and not _is_fused(layer)):
            yield _pass(layer)


def _is_fused(layer: "keras.Layer") -> bool:
    before = layer.input._keras_history.operation
    return type(before).__name__ in _CONVOLUTIONS


def _weighted(layer: "keras.Layer", *, depthwise: bool) -> Costs:
    # Each number of the output takes a product with each number of a kernel.
    taps = prod(layer.kernel.shape[:2] if depthwise else layer.kernel.shape[:-1])
    macs = taps * _size(layer.output)
    weights = sum(prod(weight.shape) for weight in layer.weights)
    values = _size(layer.input) + _size(layer.output)
    if depthwise:
        return Costs(depthwise_macs=macs, values=values, weights=weights, layers=1)
    return Costs(convolution_macs=macs, values=values, weights=weights, layers=1)


def _activation(layer: "keras.Layer") -> Costs:
    operations = _OPERATIONS.get(layer.activation.__name__, 0)
    return Costs(values=operations * 2 * _size(layer.output), layers=operations)


def _pass(layer: "keras.Layer") -> Costs:
    inputs = layer.input if isinstance(layer.input, list) else [layer.input]
    return Costs(values=sum(map(_size, inputs)) + _size(layer.output), layers=1)


def _size(tensor: "keras.KerasTensor") -> int:
    return int(prod(tensor.shape[1:]))
