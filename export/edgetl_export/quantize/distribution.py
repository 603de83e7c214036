"""Distributions: how the numbers of a layer lie in the range that its 8 bits must span."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_export.graph.activations import Extremes, Ranges, collect_statistics
from edgetl_export.graph.model_graph import DEPTHWISE, Graph, Operator
from edgetl_runtime.image.preprocessing import Frame

BINS = 64


class Distribution(msgspec.Struct, frozen=True):
    """The inputs and weights of one layer.

    Attributes:
        name: Of the layer, as the float graph has it.
        whole: (lowest, highest) of all its inputs.
        chosen: The range that 8 bits span; values beyond are clipped.
        counts: Inputs in each of `BINS` bins of equal width from end to end of `whole`.
        weights: (lowest, highest) of each output channel, that with the largest weight first;
            each has a step of its own. Empty if the weights are not constants.
    """

    name: str
    whole: tuple[float, float]
    chosen: tuple[float, float]
    counts: tuple[int, ...]
    weights: tuple[tuple[float, float], ...]


def find_distributions(
    graph: Graph,
    names: Sequence[str],
    extremes: Mapping[str, Extremes],
    ranges: Ranges,
    pictures: Sequence[Frame],
) -> list[Distribution]:
    """Looks at some layers.

    Args:
        graph: Float, as it is calibrated.
        names: Of layers that hold weights.
        extremes: Of its tensors for the same images, by name.
        ranges: That 8 bits span, by name of the tensor.
        pictures: uint8 (height, width, 3) RGB each.

    Returns:
        In the order of the names.
    """
    by_name = {one.name: one for one in graph.operators}
    layers = [by_name[name] for name in names]
    inputs = [graph.name(one.inputs[0]) for one in layers]
    wholes = [extremes[name].span(1.0) for name in inputs]

    def summarize(get: Callable[[int], Any]) -> NDArray[np.int64]:
        pairs = zip(layers, wholes, strict=True)
        return np.array([_count(get(layer.inputs[0]), whole) for layer, whole in pairs])

    counts = np.sum([*collect_statistics(graph.encode(), pictures, summarize)], axis=0)
    return [
        Distribution(
            name=layer.name,
            whole=whole,
            chosen=ranges[name],
            counts=tuple(row.tolist()),
            weights=_span_channels(graph, layer),
        )
        for layer, name, whole, row in zip(layers, inputs, wholes, counts, strict=True)
    ]


def _count(values: NDArray[np.float32], whole: tuple[float, float]) -> NDArray[np.int64]:
    """Values in each bin; several times faster than `np.histogram`."""
    low, high = whole
    if high <= low:
        return np.bincount([0], [values.size], BINS).astype(np.int64)
    bins = ((values.reshape(-1) - low) * (BINS / (high - low))).astype(np.int64)
    return np.bincount(bins.clip(0, BINS - 1), minlength=BINS)


def _span_channels(graph: Graph, layer: Operator) -> tuple[tuple[float, float], ...]:
    if not graph.is_constant(layer.inputs[1]):
        return ()
    kernel = graph.values(layer.inputs[1])
    channels = np.moveaxis(kernel, -1 if layer.kind == DEPTHWISE else 0, 0)
    flat = channels.reshape(len(channels), -1)
    spans = [(float(one.min()), float(one.max())) for one in flat]
    return tuple(sorted(spans, key=lambda span: -max(map(abs, span))))
