"""ONNX files: float32, float16 and int8 (static QDQ)."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgetl_export.conversion import freeze
from edgetl_runtime.errors import ExportError
from edgetl_runtime.preprocessing import Frame
from edgetl_runtime.tensors import TensorSpec

# Opset 17 and IR 8 load in ONNX Runtime since 1.14 and in its web build.
OPSET = 17
IR_VERSION = 8
_INPUT = "image"
_OUTPUT = "scores"
_PIXEL_STEP, _PIXEL_ZERO_POINT = "pixel_step", "pixel_zero_point"


def convert(model: Any) -> bytes:
    """Converts a Keras classifier to float32 ONNX.

    Args:
        model: float32 (batch, height, width, 3) RGB 0..255 -> probabilities.

    Returns:
        An .onnx with input `image` float32 (1, 3, height, width) RGB 0..255, which is the
        layout that ONNX Runtime and OpenCV like, and output `scores`.
    """
    import tf2onnx.tfonnx  # Takes a number for a name when it is first imported.

    # From the frozen graph: `from_function` makes inputs of constants that layers captured.
    frozen = freeze(model, (1, *model.input_shape[1:]))
    (entry,), (exit_,) = frozen.inputs, frozen.outputs
    # It would go on counting from the last conversion; equal models shall give equal bytes.
    tf2onnx.utils.INTERNAL_NAME = 1
    proto, _ = tf2onnx.convert.from_graph_def(
        frozen.graph.as_graph_def(),
        input_names=[entry.name],
        output_names=[exit_.name],
        opset=OPSET,
        inputs_as_nchw=[entry.name],
    )
    proto.ir_version = IR_VERSION
    _rename_ends(proto)
    onnx.checker.check_model(proto, full_check=True)
    return bytes(proto.SerializeToString())


def halve(model: bytes) -> bytes:
    """Turns a float32 ONNX classifier into float16; its input and output stay float32.

    Args:
        model: What `convert` returns.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    proto = convert_float_to_float16(onnx.load_from_string(model), keep_io_types=True)
    # It appends the casts at the input after the nodes that read them.
    OnnxModel(proto).topological_sort()
    onnx.checker.check_model(proto, full_check=True)
    return bytes(proto.SerializeToString())


def quantize(
    model: bytes,
    calibration: Sequence[Frame],
    *,
    per_channel: bool = True,
) -> bytes:
    """Quantizes a float32 ONNX classifier: static QDQ.

    Activations are uint8 and weights int8: with int8 activations ONNX Runtime is nearly twice
    slower on x86. The softmax stays in float, so that scores keep their resolution.

    Args:
        model: What `convert` returns.
        calibration: uint8 (height, width, 3) RGB each.
        per_channel: A step for each channel of a weight rather than one for all.

    Returns:
        An .onnx with input `image` uint8 (1, 3, height, width) RGB.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, prepared, target = (folder / n for n in ("a.onnx", "b.onnx", "c.onnx"))
        source.write_bytes(model)
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(target),
            _Reader(calibration),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=per_channel,
            nodes_to_exclude=_softmax_nodes(onnx.load(prepared)),
        )
        proto = onnx.load(target)
    _take_pixels(proto)
    proto.ir_version = IR_VERSION
    onnx.checker.check_model(proto, full_check=True)
    return bytes(proto.SerializeToString())


def describe(model: bytes) -> tuple[TensorSpec, TensorSpec]:
    """Input and output of an .onnx that this module wrote."""
    graph = onnx.load_from_string(model).graph
    return _spec(graph.input[0], "nchw"), _spec(graph.output[0], "nc")


def add_properties(model: bytes, properties: dict[str, str]) -> bytes:
    """Adds metadata that other tools read, such as labels (`names`) and input size (`imgsz`)."""
    proto = onnx.load_from_string(model)
    helper.set_model_props(proto, properties)
    return bytes(proto.SerializeToString())


class _Reader:
    """Feeds calibration pictures to ONNX Runtime's quantizer."""

    def __init__(self, calibration: Sequence[Frame]) -> None:
        self._pictures = iter(calibration)

    def get_next(self) -> dict[str, Any] | None:
        """The next picture as float32 (1, 3, height, width), or None at the end."""
        pixels = next(self._pictures, None)
        if pixels is None:
            return None
        planes = pixels.transpose(2, 0, 1)[np.newaxis]
        return {_INPUT: np.ascontiguousarray(planes, dtype=np.float32)}

    def __iter__(self) -> "_Reader":
        return self

    def __next__(self) -> dict[str, Any]:
        if (batch := self.get_next()) is None:
            raise StopIteration
        return batch


def _softmax_nodes(proto: onnx.ModelProto) -> list[str]:
    return [node.name for node in proto.graph.node if node.op_type == "Softmax"]


def _rename_ends(proto: onnx.ModelProto) -> None:
    (entry,), (exit_,) = proto.graph.input, proto.graph.output
    names = {entry.name: _INPUT, exit_.name: _OUTPUT}
    for node in proto.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    entry.name, exit_.name = _INPUT, _OUTPUT


def _take_pixels(proto: onnx.ModelProto) -> None:
    """Makes the input uint8 by removing its QuantizeLinear; one step becomes one level."""
    graph = proto.graph
    quantizers = [n for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] == _INPUT]
    if len(quantizers) != 1:
        raise ExportError(f"expected one quantizer at the input, found {len(quantizers)}")
    (quantizer,) = quantizers
    readers = [n for n in graph.node if quantizer.output[0] in n.input]
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array(1.0, np.float32), _PIXEL_STEP),
            numpy_helper.from_array(np.array(0, np.uint8), _PIXEL_ZERO_POINT),
        ]
    )
    for reader in readers:
        reader.input[:] = [_INPUT, _PIXEL_STEP, _PIXEL_ZERO_POINT]
    # ONNX Runtime warns at each load of what no node uses.
    for unused in [one for one in graph.initializer if one.name in quantizer.input[1:]]:
        graph.initializer.remove(unused)
    graph.node.remove(quantizer)
    graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8


def _spec(value: onnx.ValueInfoProto, layout: str) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(dimension.dim_value for dimension in tensor.shape.dim)
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
    return TensorSpec(value.name, shape, dtype, layout)  # type: ignore[arg-type]
