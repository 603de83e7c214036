"""ONNX files: float32, float16, int8 (static QDQ) and dynamic."""

import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgetl_export.evaluate.engine_pool import share_out
from edgetl_export.graph.activations import Extremes, Ranges, collect_extremes
from edgetl_export.progress import track
from edgetl_export.quantize.onnx_ordering import put_in_order
from edgetl_export.quiet_stderr import divert_stderr
from edgetl_runtime.bundle.head import Head
from edgetl_runtime.errors import ExportError
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.text.quoting import quote_error

# Opset 17 and IR 8 load in ONNX Runtime since 1.14 and in its web build.
OPSET = 17
IR_VERSION = 8
_INPUT = "image"
_OUTPUT = "scores"
_PIXEL_STEP, _PIXEL_ZERO_POINT = "pixel_step", "pixel_zero_point"
_PIXEL_LEVELS = "pixel_levels"
_ERRORS_ONLY = 3
_ACTIVATIONS = ("Clip", "Relu")


def convert(model: bytes) -> bytes:
    """Converts a float32 .tflite to float32 ONNX.

    Args:
        model: Input float32 (1, height, width, 3) RGB 0..255.

    Returns:
        An .onnx with input `image` float32 (1, 3, height, width) RGB 0..255, which is the
        layout that ONNX Runtime and OpenCV like, and output `scores`.

    Raises:
        ExportError: If it has an operator that ONNX lacks.
    """
    import tf2onnx
    from ai_edge_litert.interpreter import Interpreter

    name = Interpreter(model_content=model).get_input_details()[0]["name"]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "model.tflite"
        source.write_bytes(model)
        try:
            with divert_stderr():
                proto, _ = tf2onnx.convert.from_tflite(
                    str(source), opset=OPSET, inputs_as_nchw=[name]
                )
        except (ValueError, KeyError, NotImplementedError, AssertionError) as error:
            raise ExportError(
                f"this model cannot be converted to ONNX ({quote_error(error)})"
            ) from error
    proto.ir_version = IR_VERSION
    _rename_ends(proto)
    put_in_order(proto)
    onnx.checker.check_model(proto, full_check=True)
    return bytes(proto.SerializeToString(deterministic=True))


def to_float16(model: bytes) -> bytes:
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
    return bytes(proto.SerializeToString(deterministic=True))


def prepare(model: bytes) -> bytes:
    """Folds constants and infers shapes, as quantization wants it."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "a.onnx", Path(folder) / "b.onnx"
        source.write_bytes(model)
        with divert_stderr():
            quant_pre_process(str(source), str(target), skip_symbolic_shape=True)
        return target.read_bytes()


def find_extremes(model: bytes, pictures: Sequence[Frame]) -> dict[str, Extremes]:
    """The extremes of every tensor that a node writes, and of the input, by name.

    Args:
        model: What `prepare` returns.
        pictures: uint8 (height, width, 3) RGB each.
    """
    import onnxruntime

    proto = onnx.load_from_string(model)
    entry = proto.graph.input[0].name
    names = [name for node in proto.graph.node for name in node.output if name]
    del proto.graph.output[:]
    proto.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )

    # Any number of threads may run one session.
    def summarize(picture: Frame) -> list[tuple[float, float]]:
        planes = picture.transpose(2, 0, 1)[np.newaxis].astype(np.float32)
        values = [planes, *session.run(names, {entry: planes})]
        return [(value.min(), value.max()) for value in values]

    found = track(share_out(lambda: summarize, pictures), "looking at layers", len(pictures))
    return collect_extremes([entry, *names], [*found])


def choose_ranges(extremes: Mapping[str, Extremes], share: float) -> Ranges:
    """The range of each tensor; the image's is 0..255 exactly, so that a step is a level."""
    entry = next(iter(extremes))
    return {name: one.span(share) for name, one in extremes.items()} | {entry: (0.0, 255.0)}


def quantize(
    model: bytes, ranges: Ranges, *, per_channel: bool = True, keep: Collection[str] = ()
) -> bytes:
    """Quantizes a float32 ONNX classifier: static QDQ.

    Activations are uint8 and weights int8: with int8 activations ONNX Runtime is nearly twice
    slower on x86. Head and softmax stay in float, so that scores keep their resolution and the
    head of a quantized file can be replaced.

    Args:
        model: What `prepare` returns.
        ranges: (lowest, highest) of each tensor by its name.
        per_channel: A step for each channel of a weight rather than one for all.
        keep: Names of layers that stay in float, with their activation functions.

    Returns:
        An .onnx with input `image` uint8 (1, 3, height, width) RGB.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    proto = onnx.load_from_string(model)
    pairs = {name: tuple(map(np.float32, pair)) for name, pair in ranges.items()}
    quantizer = QDQQuantizer(
        proto,
        per_channel,
        False,
        QuantType.QInt8,
        QuantType.QUInt8,
        TensorsData(CalibrationMethod.MinMax, pairs),
        [],
        _name_float_nodes(proto, keep),
        [*QLinearOpsRegistry, *QDQRegistry],
        {},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    done = quantizer.model.model
    _take_pixels(done)
    done.ir_version = IR_VERSION
    onnx.checker.check_model(done, full_check=True)
    return bytes(done.SerializeToString(deterministic=True))


def quantize_dynamically(model: bytes, *, per_channel: bool = True) -> bytes:
    """Quantizes the weights of a float32 ONNX classifier; activations get steps while it runs.

    Weights are uint8, as activations are: products of uint8 and int8 saturate on x86 without VNNI.
    The head stays in float, as in `quantize`.

    Args:
        model: What `prepare` returns.
        per_channel: A step for each channel of a weight rather than one for all.

    Returns:
        An .onnx with the input of `model`.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    proto = onnx.load_from_string(model)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "b.onnx"
        quantize_dynamic(
            proto,
            target,
            per_channel=per_channel,
            weight_type=QuantType.QUInt8,
            nodes_to_exclude=_name_float_nodes(proto, ()),
        )
        done = onnx.load_from_string(target.read_bytes())
    done.ir_version = IR_VERSION
    onnx.checker.check_model(done, full_check=True)
    return bytes(done.SerializeToString(deterministic=True))


def end_before_head(model: bytes) -> bytes:
    """Makes the features that the head reads the output, float32 (1, features)."""
    proto = onnx.load_from_string(model)
    head = _find_head(proto)
    width = _shape(proto, head.input[1])[1 if _is_transposed(head) else 0]
    features = helper.make_tensor_value_info(head.input[0], TensorProto.FLOAT, (1, width))
    place = list(proto.graph.node).index(head)
    del proto.graph.node[place:]
    del proto.graph.output[:]
    proto.graph.output.append(features)
    return bytes(proto.SerializeToString(deterministic=True))


def read_head(model: bytes) -> Head | None:
    """The dense layer below the softmax of what `prepare` returns; None if it has no plain one."""
    proto = onnx.load_from_string(model)
    try:
        node = _find_head(proto)
    except ExportError:
        return None
    constants = {one.name: one for one in proto.graph.initializer}
    plain = {"alpha": 1.0, "beta": 1.0, "transA": 0}
    scaled = any(
        helper.get_attribute_value(one) != plain.get(one.name, one.i) for one in node.attribute
    )
    if scaled or len(node.input) != 3 or not {*node.input[1:]} <= constants.keys():
        return None
    kernel, bias = (numpy_helper.to_array(constants[name]) for name in node.input[1:])
    if bias.ndim != 1 or kernel.dtype != np.float32:
        return None
    return Head(kernel.T.copy() if _is_transposed(node) else kernel, bias)


def set_head(model: bytes, head: Head) -> bytes:
    """Replaces the head's kernel and bias."""
    proto = onnx.load_from_string(model)
    node = _find_head(proto)
    kernel = head.kernel.T if _is_transposed(node) else head.kernel
    for name, values in zip(node.input[1:], (kernel, head.bias), strict=True):
        (constant,) = (one for one in proto.graph.initializer if one.name == name)
        constant.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), name))
    return bytes(proto.SerializeToString(deterministic=True))


def _find_head(proto: onnx.ModelProto) -> onnx.NodeProto:
    """The dense layer below the softmax.

    Raises:
        ExportError: If there is none.
    """
    writers: dict[str, onnx.NodeProto] = {
        name: node for node in proto.graph.node for name in node.output
    }
    softmax = writers.get(proto.graph.output[0].name)
    dense = writers.get(softmax.input[0]) if softmax and softmax.op_type == "Softmax" else None
    if dense is None or dense.op_type != "Gemm":
        raise ExportError("this .onnx does not end in a dense layer and a softmax")
    return dense


def _is_transposed(head: onnx.NodeProto) -> bool:
    return any(one.name == "transB" and one.i for one in head.attribute)


def _shape(proto: onnx.ModelProto, constant: str) -> tuple[int, ...]:
    return next(tuple(one.dims) for one in proto.graph.initializer if one.name == constant)


def _name_float_nodes(proto: onnx.ModelProto, keep: Collection[str]) -> list[str]:
    kept = {name for node in proto.graph.node if node.name in keep for name in node.output}
    last = {name for node in proto.graph.node if node.op_type == "Softmax" for name in node.input}
    return [
        node.name
        for node in proto.graph.node
        if node.op_type == "Softmax"
        or (node.op_type == "Gemm" and set(node.output) & last)
        or node.name in keep
        or (node.op_type in _ACTIVATIONS and kept & set(node.input))
    ]


def _rename_ends(proto: onnx.ModelProto) -> None:
    (entry,), (exit_,) = proto.graph.input, proto.graph.output
    # A model may have tensors of these names inside.
    inside = {name: f"{name}_inside" for name in (_INPUT, _OUTPUT)}
    names = inside | {entry.name: _INPUT, exit_.name: _OUTPUT}
    for node in proto.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for named in (*proto.graph.initializer, *proto.graph.value_info, entry, exit_):
        named.name = names.get(named.name, named.name)


def _take_pixels(proto: Any) -> None:
    """Makes the input uint8: levels are the numbers of a quantized image whose step is 1."""
    graph = proto.graph
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array(1.0, np.float32), _PIXEL_STEP),
            numpy_helper.from_array(np.array(0, np.uint8), _PIXEL_ZERO_POINT),
        ]
    )
    quantizers = [n for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] == _INPUT]
    if quantizers:
        _remove_quantizer(graph, quantizers[0])
    else:
        _dequantize_pixels(graph)
    graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8


def _remove_quantizer(graph: Any, quantizer: Any) -> None:
    for reader in (node for node in graph.node if quantizer.output[0] in node.input):
        reader.input[:] = [_INPUT, _PIXEL_STEP, _PIXEL_ZERO_POINT]
    # ONNX Runtime warns at each load of what no node uses.
    for unused in [one for one in graph.initializer if one.name in quantizer.input[1:]]:
        graph.initializer.remove(unused)
    graph.node.remove(quantizer)


def _dequantize_pixels(graph: Any) -> None:
    """Where what reads the image computes in float, as in some models trained elsewhere."""
    for node in graph.node:
        node.input[:] = [_PIXEL_LEVELS if name == _INPUT else name for name in node.input]
    inputs = [_INPUT, _PIXEL_STEP, _PIXEL_ZERO_POINT]
    graph.node.insert(0, helper.make_node("DequantizeLinear", inputs, [_PIXEL_LEVELS], "pixels"))
