"""Outputs of an .onnx: of those that somebody else's tools add, the scores are chosen."""

from collections.abc import Iterable, Mapping

import onnx
from onnx import TensorProto, helper

from edgetl_export.foreign.ending import End
from edgetl_export.foreign.labels import OwnLabels
from edgetl_runtime.errors import ExportError

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)
# What scikit-learn's and Azure's converters put between probabilities and a dictionary.
_DICTIONARY = "ZipMap"
_CARRIES = {"Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"}
_CARRIES |= {"DequantizeLinear", "QuantizeLinear", "Dropout"}
_ENDS: dict[str, End] = {
    "Softmax": "softmax",
    "LogSoftmax": "log_softmax",
    "Sigmoid": "sigmoid",
    "QLinearSigmoid": "sigmoid",
    "QLinearSoftmax": "softmax",
    **dict.fromkeys(
        ("Gemm", "MatMul", "Conv", "MatMulInteger", "QGemm", "QLinearMatMul"), "linear"
    ),
}


def choose_scores(proto: onnx.ModelProto) -> OwnLabels | None:
    """Leaves one output, the scores, and the operators that they need; changes the model in place.

    A dictionary of scores becomes the scores that it is made of. A label beside the scores, which
    is no list of floats, is left out.

    Returns:
        The labels that a dictionary has, or the properties of the file, in the order of scores.

    Raises:
        ExportError: If several outputs could be the scores.
    """
    graph = proto.graph
    dictionaries = {node.output[0]: node for node in graph.node if node.op_type == _DICTIONARY}
    labels = _read_properties(proto)
    for output in graph.output:
        if (dictionary := dictionaries.get(output.name)) is not None:
            labels = _read_labels(dictionary) or labels
            scores = helper.make_tensor_value_info(dictionary.input[0], TensorProto.FLOAT, None)
            output.CopyFrom(scores)
    candidates = [one for one in graph.output if one.type.tensor_type.elem_type in _FLOATS]
    if len(candidates) > 1:
        names = ", ".join(one.name for one in graph.output)
        raise ExportError(
            f"the .onnx has {len(candidates)} outputs ({names}), expected 1; export the classifier "
            "alone"
        )
    if candidates and len(graph.output) > 1:
        (kept,) = candidates
        del graph.output[:]
        graph.output.append(kept)
    _drop_unused(graph)
    return labels


def find_end(proto: onnx.ModelProto) -> End:
    """What kind of operator writes the scores, below those that only carry them on."""
    writers = {name: node for node in proto.graph.node for name in node.output}
    constants = {one.name for one in proto.graph.initializer}
    name = proto.graph.output[0].name
    for _ in proto.graph.node:
        node = writers.get(name)
        if node is None:
            break
        biased = node.op_type == "Add" and len(constants & set(node.input)) == 1
        if node.op_type == "Div" and _is_softmax(node, writers):
            return "softmax"
        if node.op_type not in _CARRIES and not biased:
            return _ENDS.get(node.op_type, "other")
        name = next((one for one in node.input if one not in constants), "")
    return "other"


def _read_labels(dictionary: onnx.NodeProto) -> OwnLabels | None:
    for attribute in dictionary.attribute:
        if attribute.name == "classlabels_strings":
            lines = [one.decode("utf-8", "replace") for one in attribute.strings]
            return OwnLabels(f"output {dictionary.output[0]}", "\n".join(lines))
    return None


def _read_properties(proto: onnx.ModelProto) -> OwnLabels | None:
    """As Ultralytics writes them (`names`), edgetl (`labels`) and others."""
    properties = {one.key.lower(): one.value for one in proto.metadata_props}
    for key in ("names", "labels", "classes", "class_names"):
        if properties.get(key, "").strip():
            return OwnLabels(f"property {key}", properties[key])
    return None


def _is_softmax(division: onnx.NodeProto, writers: Mapping[str, onnx.NodeProto]) -> bool:
    """e^x / sum of e^x, as old exporters spell it."""
    above, below = (writers.get(name) for name in division.input)
    return bool(
        above is not None
        and below is not None
        and above.op_type == "Exp"
        and below.op_type == "ReduceSum"
        and below.input[0] == division.input[0]
    )


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Operators whose results nobody reads."""
    needed = {one.name for one in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= {name for name in _read_by(node) if name}
    if len(kept) < len(graph.node):
        kept.reverse()
        del graph.node[:]
        graph.node.extend(kept)


def _read_by(node: onnx.NodeProto) -> Iterable[str]:
    yield from node.input
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            # Layers in layers may read what lies outside of them.
            for one in inner.node:
                yield from _read_by(one)
            yield from (output.name for output in inner.output)
