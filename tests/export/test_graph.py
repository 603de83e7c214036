"""The float graph: what is read of a .tflite, what may be changed in it, and what is refused."""

from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from edgetl_export.graph.model_graph import Graph, shorten
from edgetl_export.quantize import tflite_quantizer
from edgetl_runtime.bundle.head import Head
from edgetl_runtime.errors import ExportError

RANDOM = np.random.default_rng(0)
PICTURES = RANDOM.uniform(0, 255, (3, 12, 12, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def network() -> Any:
    """Two convolutions whose biases are equal zeros, and a head."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Rescaling(1 / 255, name="scaling"),
            layers.Conv2D(4, 3, strides=2, padding="same", name="first"),
            layers.BatchNormalization(name="first_bn"),
            layers.DepthwiseConv2D(3, dilation_rate=2, name="deep"),
            layers.Conv2D(4, 1, activation="relu6", name="second"),
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dense(5, activation="softmax", bias_initializer="normal", name="scores"),
        ]
    )


@pytest.fixture(scope="module")
def model(network: Any) -> bytes:
    return tflite_quantizer.convert(network)


def run(model: bytes, pictures: np.ndarray = PICTURES) -> np.ndarray:
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    (entry,), (exit_,) = interpreter.get_input_details(), interpreter.get_output_details()
    found = []
    for picture in pictures:
        interpreter.set_tensor(entry["index"], picture[np.newaxis])
        interpreter.invoke()
        found.append(interpreter.get_tensor(exit_["index"])[0].copy())
    return np.stack(found)


def read_features(network: Any) -> np.ndarray:
    """What Keras puts into the head."""
    import keras

    features = keras.Model(network.inputs, network.get_layer("pool").output)
    return np.asarray(features.predict_on_batch(PICTURES))


def convert(*layers: Any) -> Graph:
    """The graph of a network that takes 2x2 pictures."""
    import keras

    return Graph(tflite_quantizer.convert(keras.Sequential([keras.Input((2, 2, 3)), *layers])))


def test_layers_are_named_as_in_keras(model: bytes) -> None:
    graph = Graph(model)
    assert [one.name for one in graph.convolutions] == ["first", "deep", "second"]
    names = [graph.name(index) for index in range(len(graph._graph.tensors))]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) < 25


def test_names_stay_what_they_are_when_a_graph_is_read_again(model: bytes) -> None:
    graph = Graph(model)
    again = Graph(graph.encode())
    assert again.operators == graph.operators
    assert again.encode() == graph.encode()


@pytest.mark.parametrize(
    ("long", "short"),
    [
        ("net_1/block_1_expand_BN_1/batchnorm/add_1;net_1/other", "block_1_expand"),
        ("net_1/stem_conv_1/convolution", "stem_conv"),
        ("net/block2_bn/batchnorm/add", "block2"),
        ("net/out_relu/Relu6", "out"),
        ("image", "image"),
    ],
)
def test_a_name_is_that_of_the_layer(long: str, short: str) -> None:
    assert shorten(long) == short


def test_a_convolution_says_how_it_moves(model: bytes) -> None:
    first, deep, second = Graph(model).convolutions
    assert (first.strides, first.dilations, first.same, first.linear) == (
        (2, 2),
        (1, 1),
        True,
        True,
    )
    assert (deep.strides, deep.dilations, deep.same, deep.linear) == ((1, 1), (2, 2), False, True)
    assert [one.linear for one in (first, deep, second)] == [True, True, False]


def test_layers_that_share_a_constant_get_one_each(model: bytes) -> None:
    graph = Graph(model)
    _, deep, second = graph.convolutions
    assert deep.bias != second.bias
    np.testing.assert_array_equal(graph.values(deep.bias), graph.values(second.bias))
    graph.set_values(deep.bias, np.ones(4))
    assert not graph.values(second.bias).any()
    again = Graph(graph.encode())
    _, deep, second = again.convolutions
    assert again.values(deep.bias).all()
    assert not again.values(second.bias).any()


def test_a_graph_that_is_not_changed_says_what_keras_says(network: Any, model: bytes) -> None:
    expected = network.predict_on_batch(PICTURES)
    assert expected.std(axis=0).max() > 1e-3
    np.testing.assert_allclose(run(Graph(model).encode()), expected, atol=1e-5)


def test_changed_values_are_what_litert_computes_with(network: Any, model: bytes) -> None:
    import keras

    graph, other = Graph(model), keras.models.clone_model(network)
    other.set_weights(network.get_weights())
    _, deep, second = graph.convolutions
    kernel = RANDOM.normal(0, 1, (3, 3, 4, 1)).astype(np.float32)
    bias = RANDOM.normal(0, 1, 4)
    graph.set_values(deep.kernel, kernel.transpose(3, 0, 1, 2))
    graph.set_values(second.bias, bias)
    other.get_layer("deep").set_weights([kernel, np.zeros(4)])
    other.get_layer("second").set_weights([network.get_layer("second").get_weights()[0], bias])
    np.testing.assert_allclose(run(graph.encode()), other.predict_on_batch(PICTURES), atol=1e-5)


def test_values_are_a_copy(model: bytes) -> None:
    graph = Graph(model)
    first = graph.convolutions[0]
    values = graph.values(first.kernel)
    values += 1
    assert not np.array_equal(graph.values(first.kernel), values)


def test_the_head_is_found_and_replaced(network: Any, model: bytes) -> None:
    graph = Graph(model)
    kernel, bias = network.get_layer("scores").get_weights()
    assert graph.head is not None
    np.testing.assert_array_equal(graph.head.kernel, kernel)
    np.testing.assert_array_equal(graph.head.bias, bias)
    # Not contiguous, and in float64.
    head = Head(RANDOM.normal(0, 1, (5, 4)).T, np.array([0, 1, 2, 3, 4.0]))
    features = read_features(network)
    powers = np.exp(features @ head.kernel + head.bias)
    graph.set_head(head)
    expected = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(run(graph.encode()), expected, atol=1e-5)


def test_what_lies_before_the_head_are_the_features(network: Any, model: bytes) -> None:
    graph = Graph(model)
    graph.end_before_head()
    assert graph.head is None
    assert graph.operators[-1].output == graph.output
    found = run(graph.encode())
    assert found.shape == (3, 4)
    np.testing.assert_allclose(found, read_features(network), atol=1e-5)


def test_only_a_dense_layer_with_a_bias_below_a_softmax_is_a_head() -> None:
    from keras import layers

    def dense(activation: str | None, **options: Any) -> Any:
        return layers.Dense(3, activation, bias_initializer="ones", **options)

    flat, softmax = layers.Flatten(), layers.Softmax()
    found = [
        convert(*above).head is not None
        for above in (
            (flat, dense("softmax")),
            (flat, dense(None), softmax),
            (flat, dense("softmax", use_bias=False)),
            (flat, dense("sigmoid")),
            (flat, dense("relu"), softmax),
            (flat, softmax),
            (layers.Conv2D(3, 2, bias_initializer="ones"), layers.Flatten(), softmax),
        )
    ]
    assert found == [True, True, False, False, False, False, False]


def test_a_graph_without_a_head_says_so(wording: str) -> None:
    from keras import layers

    graph = convert(layers.Flatten(), layers.Softmax())
    with pytest.raises(ValueError, match=wording):
        graph.end_before_head()
    with pytest.raises(ValueError, match=wording):
        graph.set_head(Head(np.zeros((12, 3), np.float32), np.zeros(3, np.float32)))


@pytest.mark.parametrize("ends", [(2, 1), (1, 2)])
def test_two_inputs_or_two_outputs_are_refused(ends: tuple[int, int]) -> None:
    import tensorflow as tf

    def call(one: Any, other: Any = 0.0) -> Any:
        return (one + other, one - 1) if ends[1] == 2 else one + other

    specs = [tf.TensorSpec((1, 4), tf.float32)] * ends[0]
    function = tf.function(call).get_concrete_function(*specs)
    model = tf.lite.TFLiteConverter.from_concrete_functions([function], tf.Module()).convert()
    kind = "inputs" if ends[0] == 2 else "outputs"
    with pytest.raises(ExportError, match=rf"the \.tflite has 2 {kind}, expected 1"):
        Graph(model)


@pytest.mark.parametrize("broken", [b"", b"x", b"PK\x03\x04" * 20, bytes(500), b"\xff" * 500])
def test_what_is_no_tflite_is_refused_in_one_line(broken: bytes, wording: str) -> None:
    with pytest.raises(ExportError, match=wording) as caught:
        Graph(broken)
    assert "\n" not in str(caught.value)


def test_a_damaged_tflite_is_refused_or_can_be_read(model: bytes) -> None:
    random = np.random.default_rng(1)
    refused = 0
    for _ in range(600):
        damaged = bytearray(model[: random.choice([len(model), random.integers(len(model))])])
        for place in random.integers(max(len(damaged), 1), size=random.integers(1, 5)):
            damaged[place : place + 1] = random.bytes(1)
        try:
            graph = Graph(bytes(damaged))
        except ExportError:
            refused += 1
            continue
        _ = [graph.values(one.kernel) for one in graph.convolutions]
        if graph.head is not None:
            graph.end_before_head()
        graph.encode()
    assert 300 < refused < 600
