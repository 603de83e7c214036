"""Retraining in 8 bits: what is simulated is what the file does, and it learns to be right."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgetl_export.evaluate.scoring import run
from edgetl_export.graph.activations import choose_ranges, find_extremes
from edgetl_export.graph.model_graph import Graph, end_at
from edgetl_export.graph.simulation import Simulation, divide, find_division
from edgetl_export.quantize import retraining, tflite_quantizer
from edgetl_export.quantize.sensitivity import diverge
from edgetl_runtime.bundle.head import Head

SIZE_PX, CLASSES = 32, 4


def widen(values: Any, filters: int, name: str, *, swish: bool = False) -> Any:
    """An inverted residual, with squeeze-and-excitation and hard swish as MobileNet V3 has them."""
    from keras import activations, layers

    wide = layers.Conv2D(3 * filters, 1, name=f"{name}_expand")(values)
    wide = layers.Activation(activations.hard_swish)(wide) if swish else layers.ReLU(6.0)(wide)
    wide = layers.DepthwiseConv2D(3, padding="same", name=f"{name}_depthwise")(wide)
    wide = layers.ReLU()(wide)
    if swish:
        squeezed = layers.GlobalAveragePooling2D(keepdims=True)(wide)
        squeezed = layers.Conv2D(filters, 1, activation="relu")(squeezed)
        squeezed = layers.Conv2D(3 * filters, 1, activation="sigmoid")(squeezed)
        wide = layers.Multiply()([wide, squeezed])
    return layers.Conv2D(filters, 1, name=f"{name}_project")(wide)


def build(*, swish: bool) -> bytes:
    """A network of random weights that ends in taps, a dense layer and a softmax."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE_PX, SIZE_PX, 3))
    values = layers.Rescaling(1 / 127.5, offset=-1)(image)
    values = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="stem")(values)
    first = layers.Add()([values, widen(values, 8, "block_1", swish=swish)])
    halved = layers.Conv2D(8, 3, strides=2, padding="same", name="halving")(first)
    second = layers.Add()([halved, widen(halved, 8, "block_2", swish=swish)])
    pools = [layers.GlobalAveragePooling2D()(one) for one in (first, second)]
    features = layers.Concatenate(name="features")(pools)
    scores = layers.Dense(CLASSES, activation="softmax", name="head")(features)
    network = keras.Model(image, scores)
    random = np.random.default_rng(1)
    weights = [one + random.normal(0, 0.05, one.shape) for one in network.get_weights()]
    network.set_weights(weights)
    return spread(tflite_quantizer.convert(network))


def spread(model: bytes) -> bytes:
    """Gives a model a head whose logits differ, so that labels are not a matter of the last bit."""
    graph, lower = Graph(model), Graph(model)
    lower.end_before_head()
    features = run("litert", lower.encode(), draw())
    kernel = np.random.default_rng(2).normal(0, 1, (features.shape[1], CLASSES))
    kernel /= features.std(axis=0)[:, np.newaxis] + 1e-6
    bias = -features.mean(axis=0) @ kernel
    graph.set_head(Head(kernel.astype(np.float32), bias.astype(np.float32)))
    return graph.encode()


def draw() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    small = [random.integers(0, 256, (4, 4, 3)).astype(np.uint8) for _ in range(96)]
    return [cv2.resize(one, (SIZE_PX, SIZE_PX)) for one in small]


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return draw()


@pytest.fixture(scope="module", params=[False, True], ids=["relu6", "squeeze-and-swish"])
def model(request: pytest.FixtureRequest) -> bytes:
    return build(swish=request.param)


def find_ranges(model: bytes, pictures: list[np.ndarray]) -> dict[str, tuple[float, float]]:
    graph = Graph(model)
    return dict(choose_ranges(graph, find_extremes(graph, pictures), 1.0))


def test_the_upper_part_is_what_is_asked_for_and_pooled_maps_stay_below(model: bytes) -> None:
    graph = Graph(model)
    division = find_division(graph, most_values=2500, most_work=0.4)
    assert division is not None
    shapes = [graph.shape(one) for one in division.crossing]
    assert (1, 8) in shapes, "the pooled first map"
    assert sum(int(np.prod(one)) for one in shapes) <= 2500
    names = [one.name for one in division.upper]
    assert "halving" in names
    assert "stem" not in names
    less = find_division(graph, most_values=2500, most_work=0.01)
    assert less is not None
    assert len(less.upper) < len(division.upper)


def test_a_graph_without_a_head_is_not_divided(model: bytes) -> None:
    graph = Graph(model)
    graph.end_before_head()
    assert find_division(Graph(graph.encode()), most_values=10_000, most_work=1.0) is None


def simulate(model: bytes, pictures: list[np.ndarray], ranges: Any) -> np.ndarray:
    """Probabilities of the quantized lower part and the simulated upper part."""
    graph = Graph(model)
    division = find_division(graph, most_values=2500, most_work=0.4)
    assert division is not None
    crossing = retraining.collect(graph, division, ranges, pictures)
    simulation = Simulation(graph, division, ranges)
    logits = simulation.logits([one.astype(np.float32) for one in crossing], simulation.weights)
    scores = np.exp(logits - np.max(logits, axis=1, keepdims=True))
    return scores / scores.sum(axis=1, keepdims=True)


def test_the_simulation_says_what_the_file_says(model: bytes, pictures: list[np.ndarray]) -> None:
    ranges = find_ranges(model, pictures)
    file = run("litert", tflite_quantizer.quantize(model, "int8", ranges), pictures)
    found = simulate(model, pictures, ranges)
    assert diverge(file, found).mean() < 0.2 * diverge(run("litert", model, pictures), file).mean()


def test_without_ranges_the_simulation_is_the_float_model(
    model: bytes, pictures: list[np.ndarray]
) -> None:
    graph = Graph(model)
    division = divide(graph, graph.operators[1].position)
    names = [graph.name(one) for one in division.crossing]
    seen = retraining.run_outputs(end_at(model, names), pictures)
    simulation = Simulation(graph, division, {})
    logits = simulation.logits([one.astype("f4") for one in seen], simulation.weights)
    scores = run("litert", model, pictures)
    # Kernels are rounded still.
    assert (np.argmax(logits, axis=1) == scores.argmax(axis=1)).mean() > 0.9


def test_retraining_brings_a_coarse_file_back(model: bytes, pictures: list[np.ndarray]) -> None:
    wide = {
        name: (8 * low, 8 * high) if "block_2" in name else (low, high)
        for name, (low, high) in find_ranges(model, pictures).items()
    }
    trained = run("litert", model, pictures)

    def lose(graph: Graph) -> float:
        file = tflite_quantizer.quantize(graph.encode(), "int8", wide)
        return float(diverge(trained, run("litert", file, pictures)).mean())

    graph = Graph(model)
    before = lose(graph)
    retraining.retrain(graph, model, wide, pictures, seed=0)
    assert lose(graph) < 0.6 * before


def test_retraining_repeats_by_seed(model: bytes, pictures: list[np.ndarray]) -> None:
    ranges = find_ranges(model, pictures)
    files = []
    for _ in range(2):
        graph = Graph(model)
        retraining.retrain(graph, model, ranges, pictures[:32], seed=3)
        files.append(graph.encode())
    assert files[0] == files[1]


def test_the_repair_is_offered_where_there_is_something_to_train(tmp_path: Path) -> None:
    from edgetl_export.quantize.repairs import make_plans
    from edgetl_export.recipes import find_recipes

    (recipe,) = find_recipes(["litert-int8"])
    words = "upper layers retrained in 8 bits"
    offered = [one.repair for one in make_plans(recipe, repair="quick", refit=True, retrain=True)]
    assert offered.index(words) == 2, "after the head was refitted, before layers stay in float"
    assert words not in [one.repair for one in make_plans(recipe, repair="quick", refit=True)]
