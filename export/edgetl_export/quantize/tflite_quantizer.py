"""LiteRT files: the float graph, and what quantization makes of it."""

import re
import warnings
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from edgetl_export.graph.conversion import convert_to_tflite, freeze
from edgetl_export.graph.flatbuffer import read_tree, write_tree
from edgetl_export.quiet_stderr import divert_stderr
from edgetl_runtime.bundle.manifest import Precision
from edgetl_runtime.errors import ExportError
from edgetl_runtime.text.quoting import quote_error

_UINT8 = 3
# Kernels of 16-bit activations exist for these on a processor; the rest stays in float.
_ONLY_8_BITS = ("ADD", "MUL", "MEAN", "CONCATENATION")


def convert(model: Any) -> bytes:
    """Converts a Keras classifier.

    Args:
        model: float32 (batch, height, width, 3) RGB 0..255 -> probabilities.

    Returns:
        A float32 .tflite of batch 1.

    Raises:
        ExportError: If TensorFlow cannot convert it.
    """
    import tensorflow as tf

    frozen = freeze(model, (1, *model.input_shape[1:]))
    return convert_to_tflite(tf.lite.TFLiteConverter.from_concrete_functions([frozen], None))


def quantize(
    model: bytes,
    precision: Precision,
    ranges: Mapping[str, tuple[float, float]],
    *,
    keep: Collection[str] = (),
) -> bytes:
    """Quantizes a float32 .tflite; the softmax stays in float, so that scores are fine-grained.

    Args:
        model: Input float32 (1, height, width, 3) RGB 0..255.
        precision: Any but float32.
        ranges: For int8, mixed and int16x8: (lowest, highest) of each tensor by its name.
        keep: Names of operators that stay in float.

    Returns:
        A .tflite: input uint8 for int8 and mixed, else float32 0..255; probabilities float32.

    Raises:
        ExportError: If the model has an operator that cannot be quantized.
    """
    from litert_quantizer import quantizer, recipe
    from litert_quantizer.qtyping import TFLOperationName as Kind

    work = quantizer.Quantizer(model)
    match precision:
        case "float16":
            _store_halves(work)
        case "dynamic":
            work.load_quantization_recipe(recipe.dynamic_wi8_afp32())
        case "int16x8":
            work.load_quantization_recipe(recipe.static_wi8_ai16())
            _leave_kinds(work, ("INPUT", "OUTPUT", "SOFTMAX", *_ONLY_8_BITS))
        case _:
            work.load_quantization_recipe(recipe.static_wi8_ai8())
            _leave_kinds(work, ("INPUT", "OUTPUT", "SOFTMAX"))
    for name in keep:
        _leave(work, f"^{re.escape(name)};", Kind.ALL_SUPPORTED)
    return _run(work, ranges, pixels=precision in ("int8", "mixed"))


def quantize_one(model: bytes, name: str, ranges: Mapping[str, tuple[float, float]]) -> bytes:
    """Quantizes one operator to 8 bits and leaves all others in float, to see what it costs."""
    from litert_quantizer import quantizer
    from litert_quantizer.qtyping import TFLOperationName as Kind

    work = quantizer.Quantizer(model)
    work.add_static_config(f"^{re.escape(name)};", Kind.ALL_SUPPORTED, 8, 8)
    return _run(work, ranges)


def _run(work: Any, ranges: Mapping[str, tuple[float, float]], *, pixels: bool = False) -> bytes:
    calibration = {
        name: {"min": np.array([low], np.float32), "max": np.array([high], np.float32)}
        for name, (low, high) in ranges.items()
    }
    try:
        # It shows a progress bar too short to be read, and warns of its own use of LiteRT.
        with divert_stderr(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            done = work.quantize(
                calibration or None, enable_progress_report=False, enable_progress_bar=False
            )
    except (ValueError, RuntimeError, KeyError, NotImplementedError) as error:
        raise ExportError(f"this model cannot be quantized ({quote_error(error)})") from error
    return _pack(done.quantized_model, pixels=pixels)


def _leave_kinds(work: Any, kinds: Collection[str]) -> None:
    from litert_quantizer.qtyping import TFLOperationName as Kind

    for kind in kinds:
        _leave(work, ".*", Kind(kind))


def _leave(work: Any, pattern: str, kind: Any) -> None:
    from litert_quantizer.algorithm_manager import AlgorithmName

    work.update_quantization_recipe(pattern, kind, algorithm_key=AlgorithmName.NO_QUANTIZE)


def _store_halves(work: Any) -> None:
    from litert_quantizer import qtyping
    from litert_quantizer.algorithm_manager import AlgorithmName

    halves = qtyping.OpQuantizationConfig(
        weight_tensor_config=qtyping.TensorQuantizationConfig(
            num_bits=16, dtype=qtyping.TensorDataType.FLOAT
        ),
        compute_precision=qtyping.ComputePrecision.FLOAT,
        explicit_dequantize=True,
    )
    for kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        work.update_quantization_recipe(
            ".*", qtyping.TFLOperationName(kind), halves, AlgorithmName.FLOAT_CASTING
        )


def _pack(model: bytes, *, pixels: bool) -> bytes:
    """Moves all constants inside the flatbuffer, where every reader finds them.

    Args:
        model: As the quantizer wrote it.
        pixels: Make the input uint8: the first operator, which quantizes, takes levels as they are.
    """
    from ai_edge_litert import schema_py_generated as schema

    tree = read_tree(model)
    if pixels:
        graph = tree.subgraphs[0]
        picture = graph.tensors[graph.inputs[0]]
        picture.type = _UINT8
        picture.quantization = schema.QuantizationParametersT()
        picture.quantization.scale = np.array([1.0], np.float32)
        picture.quantization.zeroPoint = np.array([0], np.int64)
    return write_tree(tree)
