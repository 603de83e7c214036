"""The detector within an .onnx: a few operators in float behind the head."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgetl_export.graph.ending import find_onnx_ending
from edgetl_export.unknown.detector import Detector
from edgetl_runtime.errors import ExportError

_NAME = "unknown_{}"


def add_to_onnx(model: bytes, detector: Detector) -> bytes:
    """Gives an .onnx one more score, the last one: that of the unknown.

    Args:
        model: In any precision.
        detector: For its own features.

    Raises:
        ExportError: If it does not end in a dense layer and a softmax.
    """
    proto = onnx.load_from_string(model)
    ending = find_onnx_ending(proto)
    if ending is None:
        raise ExportError("this .onnx does not end in a dense layer and a softmax")
    graph = proto.graph
    softmax = _find_softmax(graph)
    kind = _find_type(proto, softmax.input[0])
    place = list(graph.node).index(softmax)
    nodes = _make_nodes(ending.features, softmax.input[0], kind, detector)
    for offset, node in enumerate(nodes):
        graph.node.insert(place + offset, node)
    softmax.input[0] = _name("logits")
    graph.initializer.extend(
        [
            numpy_helper.from_array(detector.levels, _name("weights")),
            numpy_helper.from_array(detector.biases, _name("biases")),
            numpy_helper.from_array(np.array(detector.parts, np.int64), _name("sizes")),
        ]
    )
    length = graph.output[0].type.tensor_type.shape.dim[-1]
    length.dim_value += 1
    # Shapes inside that the longer list of scores made wrong.
    del graph.value_info[:]
    onnx.checker.check_model(proto, full_check=True)
    return bytes(proto.SerializeToString(deterministic=True))


def _make_nodes(features: str, logits: str, kind: int, detector: Detector) -> list[onnx.NodeProto]:
    """From the features and the logits to the longer logits, which have the type of the shorter."""
    make = helper.make_node
    return [
        make("Cast", [features], [_name("features")], to=TensorProto.FLOAT),
        *_scale_parts(len(detector.parts)),
        # Not a DequantizeLinear: ONNX Runtime would run that for every frame. It casts once.
        make("Cast", [_name("weights")], [_name("kernel")], to=TensorProto.FLOAT),
        make(
            "Gemm",
            [_name("direction"), _name("kernel"), _name("biases")],
            [_name("distances")],
            transB=1,
            alpha=-detector.step,
        ),
        make("ReduceMin", [_name("distances")], [_name("lowest")], axes=[1], keepdims=1),
        make("Cast", [_name("lowest")], [_name("logit")], to=kind),
        make("Concat", [logits, _name("logit")], [_name("logits")], axis=1),
    ]


def _scale_parts(parts: int) -> list[onnx.NodeProto]:
    """Scales each part of the features to length 1; zeros stay zeros."""
    make = helper.make_node
    pieces = [_name(f"part_{n}") for n in range(parts)]
    scaled = [_name(f"direction_{n}") for n in range(parts)]
    nodes = [make("Split", [_name("features"), _name("sizes")], pieces, axis=1)]
    nodes += [
        make("LpNormalization", [piece], [direction], axis=1, p=2)
        for piece, direction in zip(pieces, scaled, strict=True)
    ]
    return [*nodes, make("Concat", scaled, [_name("direction")], axis=1)]


def _find_softmax(graph: onnx.GraphProto) -> onnx.NodeProto:
    """The last one: a float16 file casts its scores after it."""
    found: onnx.NodeProto = next(n for n in reversed(graph.node) if n.op_type == "Softmax")
    return found


def _find_type(proto: onnx.ModelProto, name: str) -> int:
    known = onnx.shape_inference.infer_shapes(proto).graph.value_info
    types = {one.name: int(one.type.tensor_type.elem_type) for one in known}
    return types.get(name, TensorProto.FLOAT)


def _name(part: str) -> str:
    return _NAME.format(part)
