"""Equalization: channels of one layer get like ranges, so that one step suits all of them.

What runs between the blocks of MobileNetV2 and EfficientNet has no activation function. Each of
its channels may be divided by a number where it is written and multiplied by it where it is read:
in exact arithmetic nothing changes. With 8 bits for the whole layer, a channel that is much
smaller than the largest one gains steps. See Nagel et al., "Data-Free Quantization Through Weight
Equalization and Bias Correction", ICCV 2019, section 4.1, there for pairs of layers; here for all
layers that an addition joins.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from edgetl_export.graph.activations import collect_statistics
from edgetl_export.graph.model_graph import ADD, CONVOLUTION, Convolution, Graph, Operator, Values
from edgetl_runtime.image.preprocessing import Frame

_LEAST = 1e-3


class EqualizationGroup(msgspec.Struct, frozen=True):
    """Tensors that additions join, who writes them and who reads them."""

    tensors: tuple[int, ...]
    writers: tuple[Convolution, ...]
    readers: tuple[Convolution, ...]


def equalize(graph: Graph, pictures: Sequence[Frame]) -> int:
    """Rescales the channels of every stream.

    A channel is divided by the root of its largest value over the largest weight that reads it,
    so that neither activations nor weights take all the gain (SmoothQuant, Xiao et al. 2023,
    equation 4 with alpha 0.5).

    Args:
        graph: Changed in place.
        pictures: uint8 (height, width, 3) RGB each, to look at.

    Returns:
        The number of streams.
    """
    streams = find_streams(graph)
    if streams:
        largest = _find_largest(graph, streams, pictures)
        for stream, channels in zip(streams, largest, strict=True):
            _rescale(graph, stream, channels)
    return len(streams)


def find_streams(graph: Graph) -> list[EqualizationGroup]:
    """Tensors without activation that convolutions write and only full convolutions read."""
    operators = graph.operators
    found = []
    for tensors in _join_by_additions(graph, operators):
        additions = [one for one in operators if one.output in tensors and one.kind == ADD]
        writers = [one for one in operators if one.output in tensors and one.kind != ADD]
        # Among them an addition of a constant, whose sum is not joined.
        readers = [one for one in operators if set(one.inputs) & tensors and one not in additions]
        joined = all(one.linear and set(one.inputs) <= tensors for one in additions)
        alike = len({graph.shape(index)[-1] for index in tensors}) == 1
        full = all(isinstance(one, Convolution) for one in (*writers, *readers)) and readers
        if not (joined and alike and full):
            continue
        if all(map(_can_write, writers)) and all(map(_can_read, readers)):
            found.append(EqualizationGroup(tuple(sorted(tensors)), tuple(writers), tuple(readers)))  # type: ignore[arg-type]
    return found


def _can_write(one: Operator) -> bool:
    return one.linear and one.kind == CONVOLUTION


def _can_read(one: Operator) -> bool:
    return one.kind == CONVOLUTION


def _join_by_additions(graph: Graph, operators: Sequence[Operator]) -> list[set[int]]:
    """Outputs of convolutions, and what additions join with them."""
    groups = [{one.output} for one in operators if one.kind == CONVOLUTION]
    for one in operators:
        if one.kind != ADD or any(map(graph.is_constant, one.inputs)):
            continue
        joined = {*one.inputs, one.output}
        merged = [group for group in groups if group & joined]
        groups = [group for group in groups if not group & joined]
        groups.append(joined.union(*merged))
    return [group for group in groups if graph.output not in group]


def _find_largest(
    graph: Graph, streams: Sequence[EqualizationGroup], pictures: Sequence[Frame]
) -> list[Values]:
    """The largest magnitude of each channel of each stream."""

    def summarize(get: Callable[[int], Any]) -> list[Values]:
        return [
            np.max([np.abs(get(tensor)).max(axis=(0, 1, 2)) for tensor in stream.tensors], axis=0)
            for stream in streams
        ]

    seen = collect_statistics(graph.encode(), pictures, summarize)
    return [np.max(values, axis=0) for values in zip(*seen, strict=True)]


def _rescale(graph: Graph, stream: EqualizationGroup, largest: Values) -> None:
    kernels = [graph.values(one.kernel) for one in stream.readers]
    weights = np.max([np.abs(kernel).max(axis=(0, 1, 2)) for kernel in kernels], axis=0)
    alive = (largest > 0) & (weights > 0)
    scale = np.ones(len(largest))
    scale[alive] = np.sqrt(largest[alive] / weights[alive])
    scale[alive] /= np.exp(np.log(scale[alive]).mean())
    scale = np.clip(scale, _LEAST, 1 / _LEAST)
    for writer in stream.writers:
        kernel = graph.values(writer.kernel)
        graph.set_values(writer.kernel, kernel / scale[:, np.newaxis, np.newaxis, np.newaxis])
        graph.set_values(writer.bias, graph.values(writer.bias) / scale)
    for reader, kernel in zip(stream.readers, kernels, strict=True):
        graph.set_values(reader.kernel, kernel * scale)
