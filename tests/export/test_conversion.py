"""Freezing: one fixed batch, no variables, the same answers."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgetl_export.graph.conversion import convert_to_tflite, freeze
from edgetl_runtime.errors import ExportError


def test_a_frozen_model_answers_like_the_live_one(tiny_model: Any) -> None:
    frozen = freeze(tiny_model, (1, 32, 32, 3))
    image = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
    (found,) = frozen(tf.constant(image))
    np.testing.assert_allclose(found.numpy(), tiny_model(image, training=False), atol=1e-5)


def test_a_frozen_model_has_no_variables_and_one_fixed_batch(tiny_model: Any) -> None:
    frozen = freeze(tiny_model, (1, 32, 32, 3))
    assert list(frozen.variables) == []
    assert frozen.inputs[0].shape.as_list() == [1, 32, 32, 3]


def test_a_model_that_litert_cannot_run_is_our_error(wording: str) -> None:
    image = keras.Input((8, 8, 3))
    spectrum = keras.layers.Lambda(lambda x: tf.math.real(tf.linalg.expm(x[..., 0])))(image)
    frozen = freeze(keras.Model(image, spectrum), (1, 8, 8, 3))
    with pytest.raises(ExportError, match=wording):
        convert_to_tflite(tf.lite.TFLiteConverter.from_concrete_functions([frozen], None))
