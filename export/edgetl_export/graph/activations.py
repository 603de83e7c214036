"""Activation statistics: what runs through each layer of a float graph when it sees photos."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_export.evaluate.engine_pool import share_out
from edgetl_export.graph.model_graph import (
    CONVOLUTION,
    DEPTHWISE,
    FULLY_CONNECTED,
    Convolution,
    Graph,
    Operator,
    Values,
)
from edgetl_export.progress import track
from edgetl_runtime.image.preprocessing import Frame

# Of the photos that keep all their values: all, or without the oddest, whose outliers would make
# the steps of all others coarser.
SHARES = (1.0, 0.99, 0.95, 0.9)
_MOST_STEPS = 64
T = TypeVar("T")
# Tensor name -> (lowest, highest).
Ranges = Mapping[str, tuple[float, float]]


class Extremes(msgspec.Struct, frozen=True, eq=False):
    """The lowest and the highest value of one tensor, float32 (photos,) each."""

    lowest: Values
    highest: Values

    def span(self, share: float) -> tuple[float, float]:
        """A range that holds all values of about this share of the photos, 0..1."""
        return (
            float(np.quantile(self.lowest, 1 - share)),
            float(np.quantile(self.highest, share)),
        )


def collect_statistics(
    model: bytes,
    pictures: Sequence[Frame],
    summarize: Callable[[Callable[[int], Any]], T],
) -> Iterator[T]:
    """Runs a float .tflite and summarizes what its layers output.

    Args:
        model: Input float32 (1, height, width, 3).
        pictures: uint8 (height, width, 3) RGB each.
        summarize: Called for each image, on any thread, with how to get any tensor by its index.

    Yields:
        What `summarize` returns, in the order of the images.
    """

    def hire() -> Callable[[Frame], T]:
        interpreter = _load(model)
        entry = interpreter.get_input_details()[0]["index"]

        def see(picture: Frame) -> T:
            interpreter.set_tensor(entry, picture[np.newaxis].astype(np.float32))
            interpreter.invoke()
            return summarize(interpreter.get_tensor)

        return see

    yield from track(share_out(hire, pictures), "looking at layers", len(pictures))


def _load(model: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    with warnings.catch_warnings():
        # It warns of the memory that every tensor takes; they are wanted here.
        warnings.simplefilter("ignore", UserWarning)
        interpreter = Interpreter(
            model_content=model, num_threads=1, experimental_preserve_all_tensors=True
        )
    interpreter.allocate_tensors()
    return interpreter


def find_extremes(graph: Graph, pictures: Sequence[Frame]) -> dict[str, Extremes]:
    """The extremes of every tensor that an operator writes, and of the input, by name."""
    tensors = {graph.input: graph.name(graph.input)}
    tensors |= {one.output: one.name for one in graph.operators}

    def summarize(get: Callable[[int], Any]) -> list[tuple[float, float]]:
        return [(value.min(), value.max()) for value in map(get, tensors)]

    found = [*collect_statistics(graph.encode(), pictures, summarize)]
    return collect_extremes([*tensors.values()], found)


def collect_extremes(
    names: Sequence[str], found: Sequence[Sequence[tuple[float, float]]]
) -> dict[str, Extremes]:
    """Puts together (lowest, highest) of each tensor, listed by photo, in the order of names."""
    pairs = np.array(found, np.float32).reshape(-1, len(names), 2)
    return {
        name: Extremes(pairs[:, place, 0], pairs[:, place, 1]) for place, name in enumerate(names)
    }


def choose_ranges(graph: Graph, extremes: Mapping[str, Extremes], share: float) -> Ranges:
    """The range of each tensor; that of the image is 0..255 exactly, so that a step is a level.

    Args:
        graph: The graph.
        extremes: Of its tensors, by name.
        share: Of the photos that keep all their values.
    """
    spans = {name: one.span(share) for name, one in extremes.items()}
    spans |= {graph.name(graph.input): (0.0, 255.0)}
    for one in graph.operators:
        if one.kind in (CONVOLUTION, DEPTHWISE, FULLY_CONNECTED) and one.name in spans:
            spans[one.name] = _widen(spans[one.name], _find_least(graph, one, spans))
    return spans


def choose_share(divergences: Mapping[float, NDArray[np.float64]]) -> float:
    """The share with which the scores diverge least, or an earlier one that is as good.

    As good is what lies no more than one standard error of the mean difference above the least
    (the rule of Breiman et al. 1984, section 3.4.3, here on the same photos): another processor
    rounds otherwise, and shall choose the same.

    Args:
        divergences: By share, in the order of preference: of each photo, nats, (photos,).
    """
    least = min(divergences.values(), key=np.mean)
    return next(share for share, one in divergences.items() if _is_as_good(one, least))


def _is_as_good(one: NDArray[np.float64], least: NDArray[np.float64]) -> bool:
    above = one - least
    return bool(above.mean() <= above.std() / np.sqrt(len(above)))


def _find_least(graph: Graph, one: Operator, spans: Ranges) -> float:
    """The narrowest range that a layer may have; one that is silent on all photos has none.

    A step of the input times one of the weights must be below 256 steps of the output, which is
    XNNPACK's limit. LiteRT does not refuse such a file: loading it aborts the process (measured
    at 400; fine at 40). A quarter of the limit leaves room for the rounding of steps.
    """
    low, high = spans.get(graph.name(one.inputs[0]), (0.0, 0.0))
    if not graph.is_constant(one.inputs[1]):
        return 0.0
    weight = float(np.abs(graph.values(one.inputs[1])).max())
    return (max(high, 0.0) - min(low, 0.0)) * weight / 127 / _MOST_STEPS


def _widen(span: tuple[float, float], least: float) -> tuple[float, float]:
    low, high = span
    return (low, max(high, low + least))


def mean_patches(graph: Graph, pictures: Sequence[Frame]) -> dict[str, NDArray[np.float64]]:
    """The mean input of each convolution.

    Returns:
        By name: (kernel height, kernel width, input channels), the mean over images and
        positions, zeros of the padding included.
    """
    convolutions = graph.convolutions

    def summarize(get: Callable[[int], Any]) -> list[NDArray[np.float64]]:
        return [_mean_patch(one, graph, get(one.inputs[0])) for one in convolutions]

    seen = collect_statistics(graph.encode(), pictures, summarize)
    sums = [sum(patches) for patches in zip(*seen, strict=True)]
    return {
        one.name: np.asarray(total) / len(pictures)
        for one, total in zip(convolutions, sums, strict=True)
    }


def _mean_patch(one: Convolution, graph: Graph, maps: Values) -> NDArray[np.float64]:
    height, width = graph.shape(one.kernel)[1:3]
    rows, columns = graph.shape(one.output)[1:3]
    if one.same:
        maps = np.pad(maps, ((0, 0), *_margins(one, maps.shape, graph.shape(one.kernel)), (0, 0)))
    (down, across), (apart, aside) = one.strides, one.dilations
    patch = np.empty((height, width, maps.shape[3]))
    for row in range(height):
        top = row * apart
        # Added up once for all columns of the kernel.
        lines = maps[0, top : top + rows * down : down].sum(axis=0)
        for column in range(width):
            left = column * aside
            seen = lines[left : left + columns * across : across]
            patch[row, column] = seen.sum(axis=0, dtype=np.float64)
    return patch / (rows * columns)


def _margins(
    one: Convolution, maps: tuple[int, ...], kernel: tuple[int, ...]
) -> Iterator[tuple[int, int]]:
    """Zeros (before, after) along each axis, as TensorFlow's `SAME` has them."""
    for axis in range(2):
        length, stride = maps[axis + 1], one.strides[axis]
        reach = (kernel[axis + 1] - 1) * one.dilations[axis] + 1
        total = max((-(-length // stride) - 1) * stride + reach - length, 0)
        yield total // 2, total - total // 2
