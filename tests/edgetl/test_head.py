"""The head: what is exported gives the probabilities of what was trained."""

from typing import Any, Literal

import keras
import numpy as np
import pytest

from edgetl.networks.arrays import decode_weights, encode_weights
from edgetl.networks.head import (
    build_finished_head,
    build_head,
    finish_head,
    hidden_units,
    probabilities,
)
from edgetl.options import HeadOptions

FEATURES = 6
ACTIVATIONS = ("relu", "tanh", "gelu", "swish", "sigmoid")
MEAN = np.linspace(-3, 4, FEATURES, dtype=np.float32)
DEVIATION = np.geomspace(0.2, 9, FEATURES, dtype=np.float32)
ROWS = (np.random.default_rng(0).normal(0, 1, (40, FEATURES)) * DEVIATION + MEAN).astype(np.float32)


def build(options: HeadOptions, classes: int = 3, **penalties: float) -> Any:
    """A head with weights and statistics as a training leaves them: none is 0 or 1."""
    keras.utils.set_random_seed(0)
    head = build_head((MEAN, DEVIATION), classes, options, **penalties)
    random = np.random.default_rng(1)
    for layer in head.layers:
        if isinstance(layer, keras.layers.Dense | keras.layers.BatchNormalization):
            drawn = [random.uniform(0.3, 1.5, part.shape) for part in layer.get_weights()]
            signs = random.choice([-1, 1], drawn[0].shape)
            layer.set_weights([drawn[0] * signs, *drawn[1:]])
    return head


def check_same(trained: Any, options: HeadOptions) -> Any:
    finished = finish_head(trained, options)
    before = probabilities(np.asarray(trained(ROWS)))
    after = np.asarray(finished(ROWS))
    assert after.shape == before.shape
    assert np.ptp(before[:, 0]) > 0.05
    np.testing.assert_allclose(after, before, atol=2e-5)
    np.testing.assert_allclose(after.sum(axis=1), 1, atol=1e-5)
    return finished


def test_a_finished_linear_head_is_one_dense_layer_with_the_same_probabilities() -> None:
    options = HeadOptions(dropout=0.4)
    finished = check_same(build(options), options)
    assert [type(one).__name__ for one in finished.layers] == ["InputLayer", "Dense"]
    assert finished.layers[-1].name == "head"


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_finished_mlp_gives_the_same_probabilities(activation: Any, batch_norm: bool) -> None:
    options = HeadOptions("mlp", (5, 4), activation, dropout=0.3, batch_norm=batch_norm)
    finished = check_same(build(options), options)
    kinds = {type(one).__name__ for one in finished.layers}
    assert not kinds & {"Dropout", "Normalization"}
    assert ("BatchNormalization" in kinds) == batch_norm
    assert finished.layers[-1].name == "head"


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a_finished_sigmoid_gives_both_classes_scores(kind: Any) -> None:
    options = HeadOptions(kind, output="sigmoid")
    trained = build(options, classes=2)
    assert trained.output_shape == (None, 1)
    finished = check_same(trained, options)
    second = 1 / (1 + np.exp(-np.asarray(trained(ROWS))[:, 0]))
    np.testing.assert_allclose(np.asarray(finished(ROWS))[:, 1], second, atol=2e-5)


def test_a_sigmoid_becomes_minus_and_plus_half_its_log_odds() -> None:
    options = HeadOptions(output="sigmoid")
    trained = build(options, classes=2)
    kernel, bias = finish_head(trained, options).get_layer("head").get_weights()
    np.testing.assert_array_equal(kernel[:, 0], -kernel[:, 1])
    log_odds = np.asarray(trained(ROWS))[:, 0]
    np.testing.assert_allclose(ROWS @ kernel[:, 1] + bias[1], log_odds / 2, atol=2e-5)


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_the_temperature_divides_the_logits(output: Any) -> None:
    options = HeadOptions("mlp", (5,), output=output)
    trained = build(options, classes=2)
    softened = np.asarray(finish_head(trained, options, temperature=2.5)(ROWS))
    np.testing.assert_allclose(softened, probabilities(np.asarray(trained(ROWS)) / 2.5), atol=2e-5)


def test_the_standardization_moves_into_the_first_layer() -> None:
    options = HeadOptions()
    trained = build(options)
    kernel, bias = trained.get_layer("head").get_weights()
    folded, shifted = finish_head(trained, options).get_layer("head").get_weights()
    np.testing.assert_allclose(folded, kernel / DEVIATION[:, np.newaxis], rtol=1e-5)
    np.testing.assert_allclose(shifted, bias - MEAN / DEVIATION @ kernel, rtol=1e-4)


def test_an_mlp_has_one_hidden_layer_of_128_unless_told_otherwise() -> None:
    assert hidden_units(HeadOptions("mlp")) == (128,)
    assert hidden_units(HeadOptions("mlp", (7, 3))) == (7, 3)
    assert hidden_units(HeadOptions()) == ()
    assert build(HeadOptions("mlp")).get_layer("hidden_0").units == 128


def test_an_untrained_linear_head_finds_each_class_equally_likely() -> None:
    head = build_head((MEAN, DEVIATION), 4, HeadOptions())
    np.testing.assert_array_equal(probabilities(np.asarray(head(ROWS))), np.float32(0.25))


def test_penalties_are_those_of_the_formula() -> None:
    head = build(HeadOptions("mlp", (5,)), l1=0.1, l2=0.3)
    kernels = [head.get_layer(name).get_weights()[0] for name in ("hidden_0", "head")]
    wanted = sum(0.1 * np.abs(one).sum() + 0.15 * np.square(one).sum() for one in kernels)
    assert float(sum(head.losses)) == pytest.approx(wanted, rel=1e-5)


def test_dropout_acts_in_training_only() -> None:
    head = build(HeadOptions(dropout=0.5))
    plain = np.asarray(head(ROWS))
    np.testing.assert_array_equal(np.asarray(head(ROWS, training=False)), plain)
    assert (np.asarray(head(ROWS, training=True)) != plain).any()


def test_probabilities_of_huge_logits_are_numbers() -> None:
    scores = probabilities(np.array([[1e4, 0, -1e4]], np.float32))
    np.testing.assert_array_equal(scores, [[1, 0, 0]])
    assert scores.dtype == np.float32
    np.testing.assert_allclose(
        probabilities(np.array([[np.log(3)], [0]], np.float32)), [[0.25, 0.75], [0.5, 0.5]], 1e-6
    )


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
@pytest.mark.parametrize("hidden", [(), (5,), (5, 4)])
def test_a_head_comes_back_from_its_weights(
    hidden: tuple[int, ...], output: Literal["softmax", "sigmoid"]
) -> None:
    kind: Literal["mlp", "linear"] = "mlp" if hidden else "linear"
    options = HeadOptions(kind, hidden, batch_norm=bool(hidden), output=output)
    finished = finish_head(build(options, classes=2), options)
    features = finished.input_shape[-1]
    rebuilt = build_finished_head(features, 2, options)
    for layer in rebuilt.layers:
        layer.set_weights([np.full_like(one, 0.5) for one in layer.get_weights()])
    decode_weights(encode_weights(finished), rebuilt)
    rows = np.random.default_rng(0).normal(size=(9, features)).astype(np.float32)
    np.testing.assert_array_equal(rebuilt.predict_on_batch(rows), finished.predict_on_batch(rows))
