"""LiteRT files: float32 and full-integer int8."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from edgetl_export.conversion import convert_to_tflite, freeze
from edgetl_export.correction import Features, corrected_head
from edgetl_runtime.engine import default_threads, open_engine
from edgetl_runtime.errors import ExportError
from edgetl_runtime.preprocessing import Frame
from edgetl_runtime.tensors import TensorSpec


def convert(model: Any, precision: str, calibration: Sequence[Frame]) -> bytes:
    """Converts a Keras classifier.

    Args:
        model: float32 (batch, height, width, 3) RGB 0..255 -> probabilities.
        precision: `float32` or `int8`.
        calibration: For int8: uint8 (height, width, 3) RGB each.

    Returns:
        A .tflite: batch 1; input uint8 for int8 and float32 0..255 for float32; probabilities
        float32.

    Raises:
        ExportError: If TensorFlow cannot convert it.
    """
    if precision == "float32":
        return _convert(model, None)
    with corrected_head(model, calibration, _quantized_features):
        return _convert(model, calibration)


def _convert(model: Any, calibration: Sequence[Frame] | None) -> bytes:
    import tensorflow as tf

    frozen = freeze(model, (1, *model.input_shape[1:]))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen], None)
    if calibration is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: _samples(calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.float32
    return convert_to_tflite(converter)


def _quantized_features(extractor: Any, calibration: Sequence[Frame]) -> Features:
    model = _convert(extractor, calibration)
    engine = open_engine("litert", model, describe(model), default_threads())
    return np.stack([engine.run(pixels) for pixels in calibration])


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
