"""Sensitivity: the layer that 8 bits hurt most is named first."""

from typing import Any

import numpy as np
import pytest

from edgetl_export.graph import activations
from edgetl_export.graph.model_graph import Graph
from edgetl_export.quantize import sensitivity, tflite_quantizer
from edgetl_export.quantize.sensitivity import diverge

PICTURES = [
    np.random.default_rng(0).integers(0, level, (12, 12, 3)).astype(np.uint8)
    for level in (60, 120, 180, 255)
]
BAD = "mixing"


@pytest.fixture(scope="module")
def model() -> bytes:
    """Four layers with weights, those of one of which 8 bits cannot hold."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    network: Any = keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(6, 3, activation="relu", bias_initializer="normal", name="first"),
            layers.DepthwiseConv2D(3, activation="relu", bias_initializer="normal", name="deep"),
            layers.Conv2D(6, 1, activation="relu", bias_initializer="normal", name=BAD),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, "softmax", bias_initializer="normal", name="scores"),
        ]
    )
    (kernel, bias), (reader, shift) = (network.get_layer(n).get_weights() for n in ("deep", BAD))
    # A channel that is always zero, and weights that read it: they say nothing and cost all steps.
    bias[0], reader[:, :, 0] = -100, 100
    network.get_layer("deep").set_weights([kernel, bias])
    network.get_layer(BAD).set_weights([reader, shift])
    return tflite_quantizer.convert(network)


@pytest.fixture(scope="module")
def found(model: bytes) -> list[sensitivity.Sensitivity]:
    graph = Graph(model)
    extremes = activations.find_extremes(graph, PICTURES)
    ranges = activations.choose_ranges(graph, extremes, 1.0)
    return sensitivity.measure(graph, ranges, PICTURES)


def test_the_layer_that_was_made_bad_comes_first(found: list[sensitivity.Sensitivity]) -> None:
    assert found[0].name == BAD
    assert found[0].divergence > 5 * found[1].divergence
    divergences = [one.divergence for one in found]
    assert divergences == sorted(divergences, reverse=True)


def test_every_layer_with_weights_is_measured(found: list[sensitivity.Sensitivity]) -> None:
    parameters = {one.name: one.parameters for one in found}
    assert parameters == {"first": 162, "deep": 54, BAD: 36, "scores": 24}


def test_the_graph_is_not_changed_by_measuring(model: bytes) -> None:
    graph = Graph(model)
    before = graph.encode()
    ranges = activations.choose_ranges(graph, activations.find_extremes(graph, PICTURES), 1.0)
    sensitivity.measure(graph, ranges, PICTURES[:1])
    assert graph.encode() == before


def test_equal_scores_do_not_diverge_and_others_do() -> None:
    random = np.random.default_rng(0)
    scores = random.dirichlet(np.ones(4), 50).astype(np.float32)
    assert not diverge(scores, scores).any()
    for _ in range(20):
        assert diverge(scores, random.dirichlet(np.ones(4), 50)).mean() > 0


def test_divergence_is_that_of_the_formula_and_finite_for_zeros() -> None:
    wanted, found = np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([[0.25, 0.75], [1.0, 0.0]])
    expected = [0.5 * np.log(2) + 0.5 * np.log(2 / 3), 0]
    assert diverge(wanted, found) == pytest.approx(expected)
    assert 1 < diverge(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])) < 100
