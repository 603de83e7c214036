"""Tensors: what goes into a model file, and what comes out."""

from typing import Any

import numpy as np
import onnx
from onnx import helper

from edgetl_export.quiet_stderr import divert_stderr
from edgetl_runtime.engines.engine import EngineName
from edgetl_runtime.engines.tensors import TensorSpec
from edgetl_runtime.errors import ExportError
from edgetl_runtime.text.quoting import quote_error


def describe(engine: EngineName, model: bytes) -> tuple[TensorSpec, TensorSpec]:
    """Input and output of a model file that was written here."""
    return describe_tflite(model) if engine == "litert" else describe_onnx(model)


def describe_tflite(model: bytes, *, any_step: bool = False) -> tuple[TensorSpec, TensorSpec]:
    """Input and output of a .tflite.

    Args:
        model: The .tflite.
        any_step: A quantized input may have any step, as when its numbers were compared with
            what the model expects of a level.

    Raises:
        ExportError: If it cannot be loaded, has other ends than one image and one list of
            scores, or raw pixels would be wrong for its quantized input.
    """
    interpreter = _load(model)
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    if len(inputs) != 1 or len(outputs) != 1:
        raise ExportError(
            f"the .tflite has {len(inputs)} inputs and {len(outputs)} outputs, expected 1 and 1"
        )
    scale, zero_point = inputs[0]["quantization"]
    exact = any_step or inputs[0]["dtype"] != np.uint8
    if not exact and (abs(scale - 1.0) > 1e-3 or zero_point != 0):
        raise ExportError(
            f"the quantized input has scale {scale:g} and zero point {zero_point}, expected 1 "
            "and 0, so that pixel values go in unchanged"
        )
    return _spec_tflite(inputs[0], "nhwc"), _spec_tflite(outputs[0], "nc")


def describe_onnx(model: bytes) -> tuple[TensorSpec, TensorSpec]:
    """Input and output of an .onnx that was written here."""
    graph = onnx.load_from_string(model).graph
    return _spec_onnx(graph.input[0], "nchw"), _spec_onnx(graph.output[0], "nc")


def _load(model: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    # LiteRT announces its delegate, and says there what its errors say again.
    with divert_stderr():
        try:
            interpreter = Interpreter(model_content=model)
            interpreter.allocate_tensors()
            return interpreter
        except (ValueError, RuntimeError) as error:
            failure = error
    raise ExportError(f"LiteRT cannot load this .tflite ({quote_error(failure)})") from failure


def _spec_tflite(detail: Any, layout: str) -> TensorSpec:
    shape = tuple(int(n) for n in detail["shape"])
    kind = np.dtype(detail["dtype"]).name
    if kind not in ("uint8", "float32"):
        raise ExportError(
            f"tensor {detail['name']} is {kind}, expected uint8 or float32; "
            "convert the model again with such an input and output"
        )
    return TensorSpec(detail["name"], shape, kind, layout)  # type: ignore[arg-type]


def _spec_onnx(value: onnx.ValueInfoProto, layout: str) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(dimension.dim_value for dimension in tensor.shape.dim)
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
    return TensorSpec(value.name, shape, dtype, layout)  # type: ignore[arg-type]
