"""Activation statistics: what a layer sees on average, and the ranges of what it outputs."""

from typing import Any

import numpy as np
import pytest

from edgetl_export.evaluate.scoring import run
from edgetl_export.graph import activations
from edgetl_export.graph.activations import Extremes
from edgetl_export.graph.model_graph import Graph
from edgetl_export.quantize import tflite_quantizer

CONVOLUTIONS = {
    "plain": {"kernel_size": 3},
    "same": {"kernel_size": 3, "padding": "same"},
    "pointwise": {"kernel_size": 1},
    "stride": {"kernel_size": 3, "strides": 2},
    "stride_same": {"kernel_size": 3, "strides": 2, "padding": "same"},
    "stride_beyond_kernel": {"kernel_size": 1, "strides": 2, "padding": "same"},
    "dilated": {"kernel_size": 3, "dilation_rate": 2},
    "dilated_same": {"kernel_size": 3, "dilation_rate": 2, "padding": "same"},
    "even": {"kernel_size": 2, "padding": "same"},
    "wide": {"kernel_size": (1, 5), "padding": "same"},
    "large": {"kernel_size": 5, "strides": 3, "padding": "same"},
}


def draw_pictures(height: int, width: int, photos: int = 3) -> list[np.ndarray]:
    """Brighter to the right, so that it shows where a kernel looks."""
    noise = np.random.default_rng(0).integers(0, 120, (photos, height, width, 3))
    slope = np.linspace(0, 120, width, dtype=int)[:, np.newaxis]
    return list((noise + slope).astype(np.uint8))


def build(height: int, width: int, *layers: Any) -> tuple[Any, Graph]:
    """A network with random kernels and biases, and its graph."""
    import keras

    random = np.random.default_rng(0)
    network = keras.Sequential([keras.Input((height, width, 3)), *layers])
    network.set_weights([random.normal(0, 0.02, one.shape) for one in network.get_weights()])
    return network, Graph(tflite_quantizer.convert(network))


def compute_means(network: Any, pictures: list[np.ndarray]) -> np.ndarray:
    """The mean output of each channel, by Keras."""
    outputs = network.predict_on_batch(np.stack(pictures).astype(np.float32))
    return np.asarray(outputs, np.float64).mean(axis=(0, 1, 2))


@pytest.mark.parametrize("sides", [(9, 12), (10, 13)])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_the_mean_output_is_the_kernel_times_the_mean_patch(
    name: str, sides: tuple[int, int]
) -> None:
    from keras import layers

    network, graph = build(*sides, layers.Conv2D(4, **CONVOLUTIONS[name]))
    pictures = draw_pictures(*sides)
    (patch,) = activations.mean_patches(graph, pictures).values()
    kernel, bias = network.get_weights()
    assert patch.shape == kernel.shape[:3]
    found = np.einsum("hwc,hwco->o", patch, kernel) + bias
    np.testing.assert_allclose(found, compute_means(network, pictures), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"padding": "same", "strides": 2}, {"dilation_rate": 2}])
@pytest.mark.parametrize("sides", [(9, 12), (10, 13)])
def test_it_is_so_in_depthwise_convolutions_too(
    options: dict[str, Any], sides: tuple[int, int]
) -> None:
    from keras import layers

    network, graph = build(*sides, layers.DepthwiseConv2D(3, **options))
    pictures = draw_pictures(*sides)
    (patch,) = activations.mean_patches(graph, pictures).values()
    kernel, bias = network.get_weights()
    found = np.einsum("hwc,hwc->c", patch, kernel[..., 0]) + bias
    np.testing.assert_allclose(found, compute_means(network, pictures), rtol=1e-4, atol=1e-4)


def test_a_mean_patch_is_what_tensorflow_cuts_out() -> None:
    import tensorflow as tf
    from keras import layers

    _, graph = build(9, 9, layers.Conv2D(2, 3, strides=2, padding="same"))
    pictures = draw_pictures(9, 9)
    sizes, strides, rates = (1, 3, 3, 1), (1, 2, 2, 1), (1, 1, 1, 1)
    cut = tf.image.extract_patches(
        np.stack(pictures).astype(np.float32), sizes, strides, rates, "SAME"
    )
    expected = np.asarray(cut).mean(axis=(0, 1, 2)).reshape(3, 3, 3)
    (found,) = activations.mean_patches(graph, pictures).values()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_deeper_layers_see_what_runs_below_them() -> None:
    from keras import layers

    network, graph = build(
        10,
        10,
        layers.Conv2D(4, 3, activation="relu"),
        layers.Conv2D(5, 3, padding="same"),
    )
    pictures = draw_pictures(10, 10)
    patches = activations.mean_patches(graph, pictures)
    assert list(patches) == [one.name for one in graph.convolutions]
    kernel, bias = network.layers[1].get_weights()
    found = np.einsum("hwc,hwco->o", list(patches.values())[1], kernel) + bias
    np.testing.assert_allclose(found, compute_means(network, pictures), rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def watched() -> tuple[Any, Graph]:
    from keras import layers

    return build(
        6,
        6,
        layers.Conv2D(4, 3),
        layers.ReLU(6.0),
        layers.Conv2D(2, 1),
        layers.GlobalAveragePooling2D(),
    )


def test_extremes_are_those_of_each_photo(watched: tuple[Any, Graph]) -> None:
    network, graph = watched
    pictures = draw_pictures(6, 6)
    extremes = activations.find_extremes(graph, pictures)
    assert set(extremes) == {graph.name(graph.input), *(one.name for one in graph.operators)}
    batch = np.stack(pictures).astype(np.float32)
    outputs = network.predict_on_batch(batch)
    scores = extremes[graph.name(graph.output)]
    np.testing.assert_allclose(scores.lowest, outputs.min(axis=1), rtol=1e-4)
    np.testing.assert_allclose(scores.highest, outputs.max(axis=1), rtol=1e-4)
    entry = extremes[graph.name(graph.input)]
    np.testing.assert_array_equal(entry.lowest, batch.min(axis=(1, 2, 3)))
    np.testing.assert_array_equal(entry.highest, batch.max(axis=(1, 2, 3)))
    clipped = extremes[graph.convolutions[0].name]
    assert clipped.lowest.shape == (3,)
    assert (clipped.lowest.min(), clipped.highest.max()) == (0, 6)


def test_the_picture_keeps_its_256_levels(watched: tuple[Any, Graph]) -> None:
    _, graph = watched
    dull = [np.full((6, 6, 3), level, np.uint8) for level in (90, 100, 110)]
    extremes = activations.find_extremes(graph, dull)
    for share in activations.SHARES:
        ranges = activations.choose_ranges(graph, extremes, share)
        assert set(ranges) == set(extremes)
        assert ranges[graph.name(graph.input)] == (0, 255)


def test_a_layer_that_is_silent_on_all_photos_gets_a_range_that_litert_can_take() -> None:
    from keras import layers

    silent = layers.Conv2D(4, 3, activation="relu")
    network, graph = build(
        8, 8, silent, layers.Conv2D(4, 1, activation="relu"), layers.GlobalAveragePooling2D()
    )
    kernel, bias = silent.get_weights()
    silent.set_weights([kernel, bias - 1e4])
    graph = Graph(tflite_quantizer.convert(network))
    pictures = draw_pictures(8, 8)
    extremes = activations.find_extremes(graph, pictures)
    name = graph.convolutions[0].name
    assert extremes[name].highest.max() == 0
    ranges = activations.choose_ranges(graph, extremes, 1.0)
    # A level times one of the weights is at most 64 of its own steps; at 256 LiteRT aborts.
    low, high = ranges[name]
    step = np.abs(kernel).max() / 127
    assert step / ((high - low) / 255) == pytest.approx(64, rel=1e-3)
    scores = run("litert", tflite_quantizer.quantize(graph.encode(), "int8", ranges), pictures)
    np.testing.assert_allclose(scores, run("litert", graph.encode(), pictures), atol=1e-3)


def test_a_share_leaves_out_the_oddest_photos_at_both_ends() -> None:
    # The oddest at one end is not the oddest at the other.
    one = Extremes(
        np.array([-100, *[-1] * 19], np.float32), np.array([*[2] * 18, 3, 300], np.float32)
    )
    assert one.span(1.0) == (-100, 300)
    assert one.span(0.9) == pytest.approx((-1, 2.1))
    lows, highs = zip(*(one.span(share) for share in activations.SHARES), strict=True)
    assert list(lows) == sorted(lows)
    assert list(highs) == sorted(highs, reverse=True)


def test_a_graph_is_not_changed_by_looking(watched: tuple[Any, Graph]) -> None:
    _, graph = watched
    before = graph.encode()
    activations.mean_patches(graph, draw_pictures(6, 6))
    activations.find_extremes(graph, draw_pictures(6, 6))
    assert graph.encode() == before


def test_the_first_share_that_is_as_good_as_the_best_is_chosen() -> None:
    random = np.random.default_rng(0)
    base = random.gamma(0.5, 0.05, 200)
    noise = random.normal(0, 0.01, 200)
    noise -= noise.mean()
    worse, alike = base + noise + 0.005, base + noise + 0.0001
    assert activations.choose_share({1.0: alike, 0.99: base}) == 1.0
    assert activations.choose_share({1.0: base, 0.99: alike}) == 1.0
    assert activations.choose_share({1.0: worse, 0.99: base, 0.95: alike}) == 0.99
    assert activations.choose_share({1.0: base, 0.99: base}) == 1.0
