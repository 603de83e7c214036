"""Ordering: equal ONNX graphs become equal bytes.

tf2onnx walks through sets, whose order changes from one conversion to the next, and counts the
names that it makes up. Here nodes are put into the order in which the output asks for them, and
what has a made-up name is named after its place.
"""

import re

import onnx

# A name that tf2onnx made up, such as `Relu6__89:0` or `const_fold_opt__426`.
_MADE_UP = re.compile(r"__\d+(:\d+)?$")


def put_in_order(proto: onnx.ModelProto) -> None:
    """Orders nodes and constants, and names them by their order; changes the model in place."""
    graph = proto.graph
    nodes = _order(graph)
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    names = _choose_names(graph)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    constants = {one.name: one.SerializeToString() for one in graph.initializer}
    ordered = [onnx.TensorProto.FromString(constants[name]) for name in names if name in constants]
    for one in ordered:
        one.name = names[one.name]
    del graph.initializer[:]
    graph.initializer.extend(ordered)


def _choose_names(graph: onnx.GraphProto) -> dict[str, str]:
    """New names of constants, in the order of their use, and of tensors with made-up names."""
    constants = {one.name for one in graph.initializer}
    names: dict[str, str] = {}
    for number, node in enumerate(graph.node):
        if _MADE_UP.search(node.name):
            node.name = f"{node.op_type}_{number}"
        for place, name in enumerate(node.input):
            if name in constants:
                names.setdefault(name, f"{node.name}/{place}")
        for place, name in enumerate(node.output):
            if _MADE_UP.search(name):
                names[name] = f"{node.name}:{place}"
    return names


def _order(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Copies of the nodes, each after those whose outputs it reads, as its inputs are listed."""
    writers = {name: place for place, node in enumerate(graph.node) for name in node.output}
    done: dict[int, None] = {}
    # Deep networks are deeper than Python's stack: no recursion.
    waiting = [writers[one.name] for one in reversed(graph.output) if one.name in writers]
    while waiting:
        place = waiting[-1]
        before = [writers[name] for name in graph.node[place].input if name in writers]
        missing = [one for one in before if one not in done]
        if missing and place not in done:
            waiting += reversed(missing)
            continue
        waiting.pop()
        done[place] = None
    return [onnx.NodeProto.FromString(graph.node[place].SerializeToString()) for place in done]
