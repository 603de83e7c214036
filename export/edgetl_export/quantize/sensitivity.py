"""Sensitivity: what each layer costs when it alone has 8 bits."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_export.evaluate.scoring import run
from edgetl_export.graph.model_graph import CONVOLUTION, DEPTHWISE, FULLY_CONNECTED, Graph
from edgetl_export.progress import track
from edgetl_export.quantize import tflite_quantizer
from edgetl_runtime.image.preprocessing import Frame

PHOTOS = 24
_LEAST = 1e-7
Divergences = NDArray[np.float64]


class Sensitivity(msgspec.Struct, frozen=True):
    """One layer.

    Attributes:
        name: As the float graph has it.
        divergence: Mean Kullback-Leibler divergence of the scores from those of the float model
            when this layer alone has 8 bits, nats.
        parameters: Number of its weights.
    """

    name: str
    divergence: float
    parameters: int


def measure(
    graph: Graph,
    ranges: Mapping[str, tuple[float, float]],
    pictures: Sequence[Frame],
) -> list[Sensitivity]:
    """Quantizes the layers that hold weights, one at a time.

    Args:
        graph: Float.
        ranges: Of its tensors, by name.
        pictures: uint8 (height, width, 3) RGB each; `PHOTOS` are enough to rank by.

    Returns:
        The most sensitive layer first.
    """
    model = graph.encode()
    trained = run("litert", model, pictures)
    weighty = (CONVOLUTION, DEPTHWISE, FULLY_CONNECTED)
    layers = [one for one in graph.operators if one.kind in weighty]
    found = [
        Sensitivity(
            name=layer.name,
            divergence=float(
                diverge(
                    trained,
                    run(
                        "litert", tflite_quantizer.quantize_one(model, layer.name, ranges), pictures
                    ),
                ).mean()
            ),
            parameters=int(np.prod(graph.shape(layer.inputs[1]))),
        )
        for layer in track(layers, "measuring sensitivity", len(layers))
    ]
    return sorted(found, key=lambda one: -one.divergence)


def diverge(wanted: NDArray[np.floating], found: NDArray[np.floating]) -> Divergences:
    """Kullback-Leibler divergence of `found` from `wanted` for each photo, nats, (photos,).

    Args:
        wanted: Probabilities, (photos, classes).
        found: Probabilities, (photos, classes).
    """
    exact, other = (np.clip(one.astype(np.float64), _LEAST, 1) for one in (wanted, found))
    divergences: Divergences = (exact * np.log(exact / other)).sum(axis=1)
    return divergences
