"""Equalization: the scores stay, the channels become alike, and 8 bits then lose little."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgetl_export.evaluate.scoring import run
from edgetl_export.graph import activations
from edgetl_export.graph.activations import collect_statistics
from edgetl_export.graph.equalization import EqualizationGroup, equalize, find_streams
from edgetl_export.graph.model_graph import ADD, Graph
from edgetl_export.quantize import tflite_quantizer

SIDE = 32
LEVELS = np.array([[10, 120, 250], [240, 20, 60], [90, 200, 30], [200, 200, 200]])
PICTURES = [
    np.random.default_rng(0).integers(0, level + 1, (SIDE, SIDE, 3)).astype(np.uint8)
    for level in LEVELS
]
BOOSTED = 1000


def normalize(maps: Any) -> Any:
    from keras import layers

    return layers.BatchNormalization(beta_initializer="normal")(maps)


def squeeze(maps: Any) -> Any:
    """Squeeze and excitation: a factor for each channel."""
    from keras import layers

    channels = maps.shape[-1]
    factors = layers.GlobalAveragePooling2D(keepdims=True)(maps)
    factors = layers.Conv2D(2, 1, activation="relu")(factors)
    factors = layers.Conv2D(channels, 1, activation="sigmoid")(factors)
    return layers.Multiply()([maps, factors])


def add_block(stream: Any, channels: int, *, activation: str = "relu6", se: bool = False) -> Any:
    """An inverted residual block as in MobileNetV2, or one as in EfficientNet."""
    from keras import layers

    maps = layers.Conv2D(12, 1, use_bias=False)(stream)
    maps = layers.Activation(activation)(normalize(maps))
    maps = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(maps)
    maps = layers.Activation(activation)(normalize(maps))
    maps = squeeze(maps) if se else maps
    maps = normalize(layers.Conv2D(channels, 1, use_bias=False)(maps))
    return layers.Add()([stream, maps]) if stream.shape[-1] == channels else maps


def convert(build: Any) -> bytes:
    """A network: a stem, what `build` makes of its maps, and a head."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((SIDE, SIDE, 3))
    maps = layers.Conv2D(8, 3, strides=2, activation="relu")(layers.Rescaling(1 / 255)(image))
    maps = layers.GlobalAveragePooling2D()(build(maps))
    scores = layers.Dense(5, "softmax", bias_initializer="normal")(maps)
    network = keras.Model(image, scores)
    # With the statistics of the images; without, what runs through random layers fades away.
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0
    network(np.stack(PICTURES).astype(np.float32), training=True)
    return tflite_quantizer.convert(network)


def find_longest_stream(graph: Graph) -> EqualizationGroup:
    """The one that runs through several blocks."""
    return max(find_streams(graph), key=lambda one: len(one.tensors))


def build_mobilenet(maps: Any) -> Any:
    from keras import layers

    for channels in (6, 6, 6, 10):
        maps = add_block(maps, channels)
    return layers.Conv2D(16, 1, activation="relu6")(maps)


def build_efficientnet(maps: Any) -> Any:
    from keras import layers

    for channels in (6, 6, 10, 10):
        maps = add_block(maps, channels, activation="silu", se=True)
    return layers.Conv2D(16, 1, activation="silu")(maps)


@pytest.fixture(scope="module")
def mobilenet() -> bytes:
    return convert(build_mobilenet)


@pytest.fixture(scope="module")
def efficientnet() -> bytes:
    return convert(build_efficientnet)


def boost(model: bytes) -> bytes:
    """The same function, one channel of whose longest stream is a thousand times larger."""
    graph = Graph(model)
    stream = find_longest_stream(graph)
    for one in stream.writers:
        kernel, bias = graph.values(one.kernel), graph.values(one.bias)
        kernel[0] *= BOOSTED
        bias[0] *= BOOSTED
        graph.set_values(one.kernel, kernel)
        graph.set_values(one.bias, bias)
    for one in stream.readers:
        kernel = graph.values(one.kernel)
        kernel[..., 0] /= BOOSTED
        graph.set_values(one.kernel, kernel)
    return graph.encode()


def lose_by_8_bits(graph: Graph) -> float:
    """The largest error of a score that int8 makes."""
    ranges = activations.choose_ranges(graph, activations.find_extremes(graph, PICTURES), 1.0)
    model = graph.encode()
    scores = run("litert", tflite_quantizer.quantize(model, "int8", ranges), PICTURES)
    return float(np.abs(scores - run("litert", model, PICTURES)).max())


def find_largest(graph: Graph, tensor: int) -> np.ndarray:
    """The largest magnitude of each channel."""
    return np.max(
        [
            *collect_statistics(
                graph.encode(), PICTURES, lambda get: np.abs(get(tensor)).max((0, 1, 2))
            )
        ],
        0,
    )


@pytest.mark.parametrize("name", ["mobilenet", "efficientnet"])
def test_the_scores_stay_what_they_are(name: str, request: pytest.FixtureRequest) -> None:
    for model in (request.getfixturevalue(name), boost(request.getfixturevalue(name))):
        graph = Graph(model)
        assert equalize(graph, PICTURES) == 2
        assert graph.encode() != Graph(model).encode()
        before = run("litert", model, PICTURES)
        assert before.std(axis=0).max() > 1e-3
        np.testing.assert_allclose(run("litert", graph.encode(), PICTURES), before, atol=1e-4)


def test_a_stream_is_what_additions_join_with_all_who_write_and_read_it(mobilenet: bytes) -> None:
    graph = Graph(mobilenet)
    second, first = sorted(find_streams(graph), key=lambda one: len(one.tensors))
    # Three projections and two sums; the next expansions and nobody else read them.
    assert (len(first.tensors), len(first.writers), len(first.readers)) == (5, 3, 3)
    assert (len(second.tensors), len(second.writers), len(second.readers)) == (1, 1, 1)
    assert all(one.linear and graph.shape(one.kernel)[0] == 6 for one in first.writers)
    assert all(graph.shape(one.kernel)[3] == 6 for one in first.readers)
    assert [one.kind for one in graph.operators].count(ADD) == 2


def test_channels_of_very_different_ranges_become_alike(mobilenet: bytes) -> None:
    graph = Graph(boost(mobilenet))
    stream = find_longest_stream(graph)
    before = find_largest(graph, stream.tensors[0])
    equalize(graph, PICTURES)
    after = find_largest(graph, stream.tensors[0])
    assert before[0] / np.median(before[1:]) > 200
    assert after[0] / np.median(after[1:]) < 5


@pytest.mark.parametrize("name", ["mobilenet", "efficientnet"])
def test_a_channel_that_drowns_the_others_in_8_bits_does_so_no_more(
    name: str, request: pytest.FixtureRequest
) -> None:
    graph = Graph(boost(request.getfixturevalue(name)))
    before = lose_by_8_bits(graph)
    equalize(graph, PICTURES)
    after = lose_by_8_bits(graph)
    assert before > 0.01
    assert after < before / 5


def test_a_channel_that_is_always_zero_stays_so(mobilenet: bytes) -> None:
    graph = Graph(mobilenet)
    stream = min(find_streams(graph), key=lambda one: len(one.tensors))
    (writer,), (reader,) = stream.writers, stream.readers
    for index in (writer.kernel, writer.bias):
        values = graph.values(index)
        values[2] = 0
        graph.set_values(index, values)
    unread = graph.values(reader.kernel)
    unread[..., 3] = 0
    graph.set_values(reader.kernel, unread)
    before = run("litert", graph.encode(), PICTURES)
    equalize(graph, PICTURES)
    assert not graph.values(writer.kernel)[2].any()
    assert np.isfinite(graph.values(writer.kernel)).all()
    np.testing.assert_allclose(run("litert", graph.encode(), PICTURES), before, atol=1e-4)


def read_twice(maps: Any, other: Callable[[Any, Any], Any]) -> Any:
    """A linear stream that a convolution and something else read."""
    from keras import layers

    stream = layers.Conv2D(6, 1)(maps)
    one = layers.Conv2D(6, 3, padding="same", activation="relu")(stream)
    return layers.Concatenate()([one, other(layers, stream)])


OTHERS: dict[str, Callable[[Any, Any], Any]] = {
    "pooling": lambda layers, one: layers.MaxPooling2D(3, strides=1, padding="same")(one),
    "depthwise": lambda layers, one: layers.DepthwiseConv2D(3, padding="same")(one),
    "multiplication": lambda layers, one: squeeze(one),
    "activation": lambda layers, one: layers.Activation("silu")(one),
    "nothing": lambda layers, one: one,
    "addition with activation": lambda layers, one: layers.Conv2D(4, 1)(
        layers.ReLU()(layers.Add()([one, layers.Conv2D(6, 1)(one)]))
    ),
    "addition of what has an activation": lambda layers, one: layers.Conv2D(4, 1)(
        layers.Add()([one, layers.Conv2D(6, 1, activation="relu6")(one)])
    ),
    "addition of one channel": lambda layers, one: layers.Conv2D(4, 1)(
        layers.Add()([one, layers.Conv2D(1, 1)(one)])
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_another_layer_reads_is_left_alone(name: str) -> None:
    model = convert(lambda maps: read_twice(maps, OTHERS[name]))
    graph = Graph(model)
    linear = graph.convolutions[1]
    assert linear.linear
    before = run("litert", graph.encode(), PICTURES)
    equalize(graph, PICTURES)
    np.testing.assert_array_equal(graph.values(linear.kernel), Graph(model).values(linear.kernel))
    np.testing.assert_allclose(run("litert", graph.encode(), PICTURES), before, atol=1e-4)


def test_a_sum_that_a_constant_is_added_to_is_left_alone() -> None:
    from keras import layers

    def build(maps: Any) -> Any:
        stream = layers.Add()(
            [layers.Conv2D(6, 1)(maps), layers.Conv2D(6, 3, padding="same")(maps)]
        )
        shifted = stream + np.arange(6, dtype=np.float32)
        return layers.Concatenate()([layers.Conv2D(6, 1)(stream), layers.Conv2D(6, 1)(shifted)])

    graph = Graph(convert(build))
    assert [one.kind for one in graph.operators].count(ADD) == 2
    before = run("litert", graph.encode(), PICTURES)
    equalize(graph, PICTURES)
    np.testing.assert_allclose(run("litert", graph.encode(), PICTURES), before, atol=1e-4)


def test_a_network_without_streams_is_not_changed() -> None:
    from keras import layers

    def build(maps: Any) -> Any:
        return layers.Conv2D(8, 3, activation="relu")(layers.Conv2D(6, 3, activation="relu")(maps))

    graph = Graph(convert(build))
    before = graph.encode()
    assert equalize(graph, PICTURES) == 0
    assert graph.encode() == before


def test_the_features_of_a_network_that_ends_in_a_sum_stay() -> None:
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((SIDE, SIDE, 3))
    maps = layers.Conv2D(6, 3, padding="same")(image)
    sums = layers.Add()([maps, layers.Conv2D(6, 1)(maps)])
    graph = Graph(tflite_quantizer.convert(keras.Model(image, sums)))
    assert find_streams(graph) == []
