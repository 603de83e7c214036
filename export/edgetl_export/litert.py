"""LiteRT files: float, full-integer, and what lies between."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from edgetl_export.conversion import convert_to_tflite, freeze
from edgetl_runtime.errors import ExportError
from edgetl_runtime.preprocessing import Frame
from edgetl_runtime.tensors import TensorSpec


def convert(model: Any, precision: str, calibration: Sequence[Frame]) -> bytes:
    """Converts a Keras classifier.

    Args:
        model: float32 (batch, height, width, 3) RGB 0..255 -> probabilities.
        precision: See `edgetl_export.recipes`.
        calibration: For int8 and int16x8: uint8 (height, width, 3) RGB each.

    Returns:
        A .tflite: batch 1; input uint8 for int8, else float32 0..255; probabilities float32.

    Raises:
        ExportError: If TensorFlow cannot convert it.
    """
    import tensorflow as tf

    frozen = freeze(model, (1, *model.input_shape[1:]))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen], None)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    sets = tf.lite.OpsSet
    match precision:
        case "float16":
            converter.target_spec.supported_types = [tf.float16]
        case "int8":
            converter.representative_dataset = lambda: _samples(calibration)
            converter.target_spec.supported_ops = [sets.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = tf.uint8
            converter.inference_output_type = tf.float32
        case "int16x8":
            converter.representative_dataset = lambda: _samples(calibration)
            converter.target_spec.supported_ops = [
                sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
            ]
    return convert_to_tflite(converter)


def describe(model: bytes) -> tuple[TensorSpec, TensorSpec]:
    """Input and output of a .tflite.

    Raises:
        ExportError: If the input's step is not one level, so that raw pixels would be wrong.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model)
    (entry,) = interpreter.get_input_details()
    (exit_,) = interpreter.get_output_details()
    scale, zero_point = entry["quantization"]
    if entry["dtype"] == np.uint8 and (abs(scale - 1.0) > 1e-3 or zero_point != 0):
        raise ExportError(
            f"the int8 input has step {scale} and zero point {zero_point}, expected 1 and 0; "
            "calibrate with pictures that hold black and white"
        )
    return _spec(entry, "nhwc"), _spec(exit_, "nc")


def _spec(detail: Any, layout: str) -> TensorSpec:
    shape = tuple(int(n) for n in detail["shape"])
    return TensorSpec(detail["name"], shape, np.dtype(detail["dtype"]).name, layout)  # type: ignore[arg-type]


def _samples(calibration: Sequence[Frame]) -> Iterator[list[Any]]:
    for pixels in calibration:
        yield [pixels[np.newaxis].astype(np.float32)]
