"""From a Keras model to a frozen TensorFlow function, the start of every conversion."""

import warnings
from typing import Any

from edgetl_export.quiet_stderr import divert_stderr
from edgetl_runtime.errors import ExportError
from edgetl_runtime.text.quoting import quote_error


def freeze(model: Any, shape: tuple[int, ...]) -> Any:
    """Traces a model on one input shape and turns its variables into constants.

    A frozen function converts in half the time that `from_keras_model` takes, quantizes where
    `from_concrete_functions` on variables fails with Keras 3, and has a fixed batch of 1, which
    LiteRT.js and delegates ask for.

    Args:
        model: Keras model with one input and one output.
        shape: Of the input, batch first.

    Returns:
        A ConcreteFunction without variables; its input is float32.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    def call(image: Any) -> Any:
        return model(image, training=False)

    signature = tf.TensorSpec(shape, tf.float32, name="image")
    function = tf.function(call, autograph=False).get_concrete_function(signature)
    return convert_variables_to_constants_v2(function)


def convert_to_tflite(converter: Any) -> bytes:
    """Runs a configured TFLiteConverter.

    Raises:
        ExportError: If the model has an operation that the device's engine lacks.
    """
    from tensorflow.lite.python.convert import ConverterError

    try:
        with divert_stderr(), warnings.catch_warnings():
            # Of the converter's own making: it asks for statistics that nobody can give it.
            warnings.simplefilter("ignore")
            return bytes(converter.convert())
    except (ConverterError, ValueError, RuntimeError) as error:
        raise ExportError(
            f"TensorFlow cannot convert this model to LiteRT ({quote_error(error)})"
        ) from error
