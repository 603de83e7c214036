"""Outputs of an .onnx: of those that somebody else's tools add, the scores are chosen."""

from collections.abc import Iterable, Mapping, Sequence

import onnx
from onnx import TensorProto, helper

from edgetl_export.load.output_activation import Activation
from edgetl_runtime.errors import ExportError

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
# A dictionary of scores, as scikit-learn's and Azure's converters make it, or no more than the
# best labels: what they are made of are the scores.
_MADE_OF_SCORES = ("ZipMap", "ArgMax", "TopK")
_CARRIES = {"Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"}
_CARRIES |= {"DequantizeLinear", "QuantizeLinear", "Dropout"}
_ACTIVATIONS: dict[str, Activation] = {
    "Softmax": "softmax",
    "LogSoftmax": "log_softmax",
    "Sigmoid": "sigmoid",
    "QLinearSigmoid": "sigmoid",
    "QLinearSoftmax": "softmax",
    **dict.fromkeys(
        ("Gemm", "MatMul", "Conv", "MatMulInteger", "ConvInteger", "QGemm", "QLinearMatMul"),
        "linear",
    ),
    "QLinearConv": "linear",
}
# Of several outputs, that which ends in the first of these is the scores.
_PREFERRED: tuple[Activation, ...] = ("softmax", "log_softmax", "sigmoid", "linear")


def choose_scores(proto: onnx.ModelProto) -> str:
    """Leaves one output, the scores, and the operators that they need; changes the model in place.

    A dictionary of scores becomes the scores that it is made of. A label beside the scores, which
    is no list of floats, is left out. Of a softmax and its logits, the softmax stays.

    Returns:
        What was done, for people; empty: nothing that needs a word.

    Raises:
        ExportError: If several outputs could be the scores, or none.
    """
    graph = proto.graph
    writers = _list_writers(graph)
    kinds = {one.name: one.type.tensor_type.elem_type for one in graph.output}
    found = [name for name, kind in kinds.items() if kind in _FLOATS]
    # What it is written by tells more than the kind of an output.
    made = [source for name in kinds if (source := _find_source(name, writers))]
    sorted_ = {name for name in found if _find_source(name, writers)}
    candidates = list(dict.fromkeys([*(name for name in found if name not in sorted_), *made]))
    candidates = _drop_copies(candidates, writers) or list(kinds)
    kept = candidates[0] if len(candidates) == 1 else _prefer(candidates, proto)
    if kept is None:
        raise ExportError(
            f"the .onnx has {len(candidates)} outputs ({', '.join(candidates)}), expected 1; "
            "export the classifier only"
        )
    others = [name for name in kinds if name != kept and name in found]
    if kept not in kinds:
        graph.output.append(helper.make_tensor_value_info(kept, TensorProto.FLOAT, None))
    outputs = [one for one in graph.output if one.name == kept]
    del graph.output[:]
    graph.output.extend(outputs)
    _drop_unused(graph)
    if not outputs[0].type.HasField("tensor_type"):
        raise ExportError(
            "the .onnx outputs a sequence or a dictionary, expected an array of scores; export it "
            "with that"
        )
    if len(candidates) > 1 and others:
        return f"its output {kept} is used as the scores, {', '.join(others)} left out"
    return ""


def find_activation(proto: onnx.ModelProto, output: str = "") -> Activation:
    """The type of operator that writes the scores, ignoring those that only pass them on.

    Args:
        proto: The model.
        output: Of which output; by default the first.
    """
    writers = _list_writers(proto.graph)
    constants = _list_constants(proto.graph)
    name = output or proto.graph.output[0].name
    for _ in proto.graph.node:
        node = writers.get(name)
        if node is None:
            break
        biased = node.op_type == "Add" and len(constants & set(node.input)) == 1
        # Dynamic quantization multiplies its sums with the steps.
        scaled = node.op_type == "Mul" and any(_is_sum(one, writers) for one in node.input)
        if node.op_type == "Div" and _is_softmax(node, writers):
            return "softmax"
        if node.op_type not in _CARRIES and not biased and not scaled:
            return _ACTIVATIONS.get(node.op_type, "other")
        followed = [one for one in node.input if one not in constants]
        if scaled:
            followed = [one for one in followed if _is_sum(one, writers)]
        name = next(iter(followed), "")
    return "other"


def float_scores(proto: onnx.ModelProto) -> None:
    """Makes scores of 8 bits those that they stand for, by what the graph says of their steps.

    Raises:
        ExportError: If it does not say them.
    """
    (scores,) = proto.graph.output
    kind = scores.type.tensor_type.elem_type
    if kind not in (TensorProto.UINT8, TensorProto.INT8):
        return
    node = _list_writers(proto.graph).get(scores.name)
    if node is not None and node.op_type == "QuantizeLinear":
        steps = list(node.input[1:])
    elif node is not None and str(node.op_type).startswith(("QLinear", "QGemm")):
        # All of these end in the step and the zero point of what they put out.
        steps = list(node.input[-2:])
    else:
        name = TensorProto.DataType.Name(kind).lower()
        raise ExportError(f"the .onnx outputs {name} without its scale; export float32 scores")
    name = f"{scores.name}/float"
    proto.graph.node.append(helper.make_node("DequantizeLinear", [scores.name, *steps], [name]))
    scores.CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))


def _list_writers(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    return {name: node for node in graph.node for name in node.output}


def _list_constants(graph: onnx.GraphProto) -> set[str]:
    """Names of what depends on no input, such as a bias of 8 bits and what it stands for."""
    found = {one.name for one in graph.initializer} | {""}
    for node in graph.node:
        if found.issuperset(read_by(node)):
            found |= set(node.output)
    return found


def _find_source(name: str, writers: Mapping[str, onnx.NodeProto]) -> str:
    """The scores that a dictionary or a best label is made of; empty if it is none."""
    node = writers.get(name)
    while node is not None and node.op_type in ("Identity", "Cast", "Squeeze", "Reshape"):
        node = writers.get(node.input[0])
    if node is None:
        return ""
    if node.op_type == "SequenceConstruct" and len(node.input) == 1:
        return str(node.input[0])
    return str(node.input[0]) if node.op_type in _MADE_OF_SCORES else ""


def _drop_copies(names: Iterable[str], writers: Mapping[str, onnx.NodeProto]) -> list[str]:
    """Without those that are another one, or only the same by another name."""
    found: dict[str, str] = {}
    for name in names:
        root = name
        while (node := writers.get(root)) is not None and node.op_type in ("Identity", "Cast"):
            root = node.input[0]
        found.setdefault(root, name)
    return list(found.values())


def _prefer(candidates: Sequence[str], proto: onnx.ModelProto) -> str | None:
    found = {name: find_activation(proto, name) for name in candidates}
    for activation in _PREFERRED:
        alike = [name for name in candidates if found[name] == activation]
        if alike:
            return alike[0] if len(alike) == 1 else None
    return None


def _is_sum(name: str, writers: Mapping[str, onnx.NodeProto]) -> bool:
    """True of the integers that dynamic quantization sums up."""
    node = writers.get(name)
    while node is not None and node.op_type == "Cast":
        node = writers.get(node.input[0])
    return node is not None and node.op_type in ("MatMulInteger", "ConvInteger")


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
    """Operators whose results are not used."""
    needed = {one.name for one in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= {name for name in read_by(node) if name}
    if len(kept) < len(graph.node):
        kept.reverse()
        del graph.node[:]
        graph.node.extend(kept)


def read_by(node: onnx.NodeProto) -> Iterable[str]:
    """Names that an operator reads, those of the layers within it, too."""
    yield from node.input
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            # Layers in layers may read what lies outside of them.
            for one in inner.node:
                yield from read_by(one)
            yield from (output.name for output in inner.output)
