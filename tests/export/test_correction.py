"""Correction: the mean of what each layer outputs stays, although its weights are rounded."""

from typing import Any

import numpy as np
import pytest

from edgetl_export.evaluate.scoring import run
from edgetl_export.graph import activations
from edgetl_export.graph.activations import collect_statistics
from edgetl_export.graph.bias_correction import correct, round_to_float16, round_to_int8
from edgetl_export.graph.model_graph import DEPTHWISE, Graph
from edgetl_export.quantize import tflite_quantizer

PICTURES = [
    np.random.default_rng(0).integers(0, level, (11, 11, 3)).astype(np.uint8)
    for level in (60, 120, 255)
]


def round_coarsely(kernel: np.ndarray, axis: int) -> np.ndarray:
    """To a few levels, so that what is lost is large."""
    return np.round(kernel * 4) / 4


def build(*layers: Any) -> Graph:
    """A network with random kernels and biases."""
    import keras

    random = np.random.default_rng(1)
    network = keras.Sequential([keras.Input((11, 11, 3)), *layers])
    network.set_weights([random.normal(0, 0.3, one.shape) for one in network.get_weights()])
    return Graph(tflite_quantizer.convert(network))


@pytest.fixture(scope="module")
def network() -> bytes:
    from keras import layers

    return build(
        layers.Rescaling(1 / 255),
        layers.Conv2D(4, 3, strides=2, padding="same"),
        layers.DepthwiseConv2D(3, padding="same"),
        layers.Conv2D(6, 1, activation="relu"),
        layers.DepthwiseConv2D(3, depth_multiplier=2, dilation_rate=2),
        layers.Conv2D(5, 2),
    ).encode()


def find_means(graph: Graph, tensors: list[int]) -> list[np.ndarray]:
    """The mean of each channel over photos and positions."""
    found = collect_statistics(
        graph.encode(), PICTURES, lambda get: [get(one).mean(axis=(0, 1, 2)) for one in tensors]
    )
    return [np.mean(one, axis=0) for one in zip(*found, strict=True)]


def keep_only(graph: Graph, place: int) -> Graph:
    """All layers below are as they were, so that this one sees what it saw."""
    others = [one.name for n, one in enumerate(graph.convolutions) if n != place]
    patches = activations.mean_patches(graph, PICTURES)
    changed = Graph(graph.encode())
    correct(changed, patches, round_coarsely, keep=others)
    return changed


@pytest.mark.parametrize("place", [0, 1, 3, 4])
def test_the_mean_output_of_a_rounded_layer_stays(network: bytes, place: int) -> None:
    graph = Graph(network)
    one = graph.convolutions[place]
    assert one.linear
    changed = keep_only(graph, place)
    kernel = graph.values(one.kernel)
    np.testing.assert_array_equal(changed.values(one.kernel), round_coarsely(kernel, 0))
    (wanted,), (found,) = (find_means(each, [one.output]) for each in (graph, changed))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    # Without the correction it would not have been so.
    changed.set_values(one.bias, graph.values(one.bias))
    (spoilt,) = find_means(changed, [one.output])
    assert np.abs(spoilt - wanted).max() > 0.02


def test_what_an_activation_hides_is_corrected_before_it(network: bytes) -> None:
    graph = Graph(network)
    one = graph.convolutions[2]
    assert not one.linear
    changed = keep_only(graph, 2)
    patch = activations.mean_patches(graph, PICTURES)[one.name]
    wanted, found = (
        np.einsum("ohwc,hwc->o", each.values(one.kernel), patch) + each.values(one.bias)
        for each in (graph, changed)
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_keras_puts_the_outputs_of_one_channel_side_by_side() -> None:
    """Depth multiplier 2: outputs 2 n and 2 n + 1 see channel n, as the correction takes it."""
    from keras import layers

    graph = build(layers.DepthwiseConv2D(1, depth_multiplier=2, use_bias=True))
    (one,) = graph.convolutions
    assert one.kind == DEPTHWISE
    (kernel,) = graph.values(one.kernel).reshape(1, 6)
    (means,) = find_means(graph, [one.output])
    seen = np.stack(PICTURES).mean(axis=(0, 1, 2), dtype=np.float64)
    expected = np.repeat(seen, 2) * kernel + graph.values(one.bias)
    np.testing.assert_allclose(means, expected, rtol=1e-4)
    assert not np.allclose(means, np.tile(seen, 2) * kernel + graph.values(one.bias), rtol=1e-2)


def test_layers_that_are_kept_are_not_touched(network: bytes) -> None:
    graph = Graph(network)
    kept = graph.convolutions[1]
    correct(graph, activations.mean_patches(graph, PICTURES), round_to_int8, keep={kept.name})
    before = Graph(network)
    for one in graph.convolutions:
        same = [np.array_equal(graph.values(n), before.values(n)) for n in (one.kernel, one.bias)]
        assert same == [one == kept] * 2


def test_a_convolution_in_groups_stays_as_it_is() -> None:
    from keras import layers

    graph = build(layers.Conv2D(6, 3, groups=3), layers.Conv2D(4, 1))
    grouped, plain = graph.convolutions
    assert graph.shape(grouped.kernel)[3] == 1
    before = graph.values(grouped.kernel), graph.values(grouped.bias), graph.values(plain.kernel)
    correct(graph, activations.mean_patches(graph, PICTURES), round_to_int8)
    np.testing.assert_array_equal(graph.values(grouped.kernel), before[0])
    np.testing.assert_array_equal(graph.values(grouped.bias), before[1])
    assert not np.array_equal(graph.values(plain.kernel), before[2])


@pytest.mark.parametrize(("shape", "axis"), [((5, 3, 3, 4), 0), ((1, 3, 3, 4), 3)])
def test_bytes_are_at_most_255_levels_for_each_channel(shape: tuple[int, ...], axis: int) -> None:
    kernel = np.random.default_rng(0).normal(0, 1, (shape)).astype(np.float32)
    # Channels of very different size: each has a step of its own.
    sizes = np.geomspace(1e-3, 1e3, shape[axis], dtype=np.float32)
    kernel *= sizes.reshape([-1 if n == axis else 1 for n in range(4)])
    rounded = round_to_int8(kernel, axis)
    assert rounded.dtype == np.float32
    for before, after in zip(
        np.moveaxis(kernel, axis, 0), np.moveaxis(rounded, axis, 0), strict=True
    ):
        step = np.abs(before).max() / 127
        levels = after / step
        np.testing.assert_allclose(levels, np.round(levels), atol=1e-3)
        assert np.abs(levels).max() == pytest.approx(127)
        assert np.abs(after - before).max() <= step * 0.501


def test_what_is_rounded_is_not_rounded_again_by_the_quantizer(network: bytes) -> None:
    from ai_edge_litert.interpreter import Interpreter

    graph = Graph(network)
    correct(graph, activations.mean_patches(graph, PICTURES), round_to_int8)
    extremes = activations.find_extremes(graph, PICTURES)
    data = tflite_quantizer.quantize(
        graph.encode(), "int8", activations.choose_ranges(graph, extremes, 1.0)
    )
    interpreter = Interpreter(model_content=data)
    stored = {
        tuple(one["shape"]): one
        for one in interpreter.get_tensor_details()
        if one["dtype"] == np.int8
    }
    for one in graph.convolutions:
        kernel = graph.values(one.kernel)
        detail = stored[kernel.shape]
        scales = detail["quantization_parameters"]["scales"]
        along = [1, 1, 1, 1]
        along[detail["quantization_parameters"]["quantized_dimension"]] = -1
        found = interpreter.get_tensor(detail["index"]) * scales.reshape(along)
        np.testing.assert_allclose(found, kernel, atol=1e-5 * np.abs(kernel).max())


def test_a_channel_of_zeros_stays_zero() -> None:
    kernel = np.ones((3, 1, 1, 2), np.float32)
    kernel[1] = 0
    np.testing.assert_array_equal(round_to_int8(kernel, 0), kernel)


def test_halves_are_what_float16_can_hold() -> None:
    kernel = np.random.default_rng(0).normal(0, 1, (4, 3, 3, 2)).astype(np.float32)
    rounded = round_to_float16(kernel, 0)
    assert rounded.dtype == np.float32
    np.testing.assert_array_equal(rounded.astype(np.float16).astype(np.float32), rounded)
    np.testing.assert_allclose(rounded, kernel, rtol=2**-10, atol=1e-7)
    assert not np.array_equal(rounded, kernel)


@pytest.mark.parametrize("bias", [1.5, -1.5])
def test_the_bias_of_a_dead_channel_survives_8_bits(bias: float) -> None:
    import keras

    image = keras.Input((8, 8, 3))
    maps = keras.layers.Conv2D(2, 3, activation="relu", name="conv")(image)
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(maps))
    kernel = np.random.default_rng(0).normal(0, 0.001, (3, 3, 3, 2))
    kernel[..., 1] = 1e-21
    model.get_layer("conv").set_weights([kernel, np.array([0.1, bias])])
    graph = Graph(tflite_quantizer.convert(model))
    pictures = list(np.random.default_rng(1).integers(0, 256, (4, 8, 8, 3), np.uint8))
    correct(graph, activations.mean_patches(graph, pictures), round_to_int8)
    ranges = activations.choose_ranges(graph, activations.find_extremes(graph, pictures), 1.0)
    found = run("litert", tflite_quantizer.quantize(graph.encode(), "int8", ranges), pictures)
    np.testing.assert_allclose(found[:, 1], max(bias, 0), atol=0.02)
