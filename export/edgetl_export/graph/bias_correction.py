"""Correction: weights are rounded, and biases take back what that shifts on average.

A depthwise kernel often is a difference, whose weights nearly cancel; rounded to 8 bits they do
not, and each of its outputs is off by the same amount. Of MobileNet's loss in 8 bits that is the
larger part by far. See Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
Correction", ICCV 2019, section 4.2; here the means of the inputs are measured on photos.
"""

from collections.abc import Callable, Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from edgetl_export.graph.model_graph import DEPTHWISE, Convolution, Graph, Values

_HIGHEST = 127
# Of a bias. With it the bias fits into 32 bits where the input's range is above 0.15; an input of 6
# adds less than a thousandth of the bias.
_LEAST = 1e-4
# From a kernel and the axis of its channels to what is stored of it.
Rounding = Callable[[Values, int], Values]


def correct(
    graph: Graph,
    patches: Mapping[str, NDArray[np.float64]],
    rounding: Rounding,
    *,
    keep: Collection[str] = (),
) -> None:
    """Rounds the kernels as they will be stored, and corrects the biases.

    Args:
        graph: Changed in place.
        patches: What each convolution sees on average; see `activations.mean_patches`.
        rounding: `round_to_int8` or `round_to_float16`.
        keep: Names of convolutions that stay in float.
    """
    for one in graph.convolutions:
        if one.name not in keep:
            _correct(graph, one, patches[one.name], rounding)


def round_to_float16(kernel: Values, axis: int) -> Values:
    """Rounds to float16."""
    rounded: Values = kernel.astype(np.float16).astype(np.float32)
    return rounded


def round_to_int8(kernel: Values, axis: int) -> Values:
    """Rounds to 8 bits as the quantizers do: -127..127 times a step for each channel.

    Args:
        kernel: float32.
        axis: Of the channels.
    """
    others = tuple(place for place in range(kernel.ndim) if place != axis)
    steps = np.abs(kernel).max(axis=others, keepdims=True) / _HIGHEST
    steps = np.where(steps > 0, steps, 1)
    rounded: Values = (np.round(kernel / steps) * steps).astype(np.float32)
    return rounded


def _lift(kernel: Values, biases: Values, axis: int) -> Values:
    """Gives channels whose weights are next to nothing one weight that is only small.

    A bias is stored in steps of the input's times the weights' step, in 32 bits: where the weights
    of a channel died in training (1e-21 in MobileNetV2) it would overflow.
    """
    lifted = np.moveaxis(kernel, axis, 0).reshape(len(biases), -1).copy()
    least = _LEAST * np.abs(biases)
    dead = np.abs(lifted).max(axis=1) < least
    lifted[dead, 0] = least[dead]
    shape = np.moveaxis(kernel, axis, 0).shape
    return np.moveaxis(lifted.reshape(shape), 0, axis)


def _correct(
    graph: Graph, one: Convolution, patch: NDArray[np.float64], rounding: Rounding
) -> None:
    kernel = graph.values(one.kernel)
    depthwise = one.kind == DEPTHWISE
    axis = 3 if depthwise else 0
    rounded = rounding(_lift(kernel, graph.values(one.bias), axis), axis)
    lost = kernel.astype(np.float64) - rounded
    if depthwise:
        repeated = np.repeat(patch, kernel.shape[3] // patch.shape[2], axis=2)
        shift = (lost[0] * repeated).sum(axis=(0, 1))
    elif kernel.shape[3] == patch.shape[2]:
        shift = np.einsum("ohwc,hwc->o", lost, patch)
    else:
        # In groups, each of which reads channels of its own.
        return
    graph.set_values(one.kernel, rounded)
    graph.set_values(one.bias, graph.values(one.bias) + shift)
