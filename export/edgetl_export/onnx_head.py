"""The head of an .onnx: the dense layer whose outputs become the scores by a softmax."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgetl_export.graph import Head


def find_head(model: bytes) -> Head | None:
    """The head of a model as `onnx.prepare` returns it; None without one that can be changed."""
    proto = onnx.load_from_string(model)
    dense = _find(proto)
    if dense is None:
        return None
    kernel, bias = (_values(proto, name) for name in dense.input[1:])
    return Head(kernel.T.copy() if _is_transposed(dense) else kernel, bias)


def set_head(model: bytes, head: Head) -> bytes:
    """The model with another kernel and bias."""
    proto = onnx.load_from_string(model)
    dense = _find(proto)
    if dense is None:
        raise ValueError("an .onnx without a head")
    kernel = head.kernel.T if _is_transposed(dense) else head.kernel
    for name, values in zip(dense.input[1:], (kernel, head.bias), strict=True):
        constant = _constants(proto)[name]
        constant.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), name))
    return bytes(proto.SerializeToString(deterministic=True))


def end_before_head(model: bytes) -> bytes:
    """The model that puts out the head's features, float32 (1, features)."""
    proto = onnx.load_from_string(model)
    dense = _find(proto)
    if dense is None:
        raise ValueError("an .onnx without a head")
    kernel = _values(proto, dense.input[1])
    features = kernel.shape[1 if _is_transposed(dense) else 0]
    graph = proto.graph
    unused = {*dense.input[1:]}
    kept = [one for one in graph.initializer if one.name not in unused]
    # The softmax and the dense layer are what the scores need beyond the features.
    above = [dense, _producer(proto, graph.output[0].name)]
    nodes = [one for one in graph.node if one not in above]
    del graph.initializer[:], graph.node[:], graph.output[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    graph.output.append(
        helper.make_tensor_value_info(dense.input[0], TensorProto.FLOAT, (1, features))
    )
    return bytes(proto.SerializeToString(deterministic=True))


def _find(proto: onnx.ModelProto) -> onnx.NodeProto | None:
    softmax = _producer(proto, proto.graph.output[0].name)
    if softmax is None or softmax.op_type != "Softmax":
        return None
    dense = _producer(proto, softmax.input[0])
    if dense is None or dense.op_type != "Gemm" or len(dense.input) != 3:
        return None
    plain = {"alpha": 1.0, "beta": 1.0, "transA": 0}
    scaled = any(
        helper.get_attribute_value(one) != plain.get(one.name)
        for one in dense.attribute
        if one.name in plain
    )
    constants = _constants(proto)
    fixed = all(name in constants for name in dense.input[1:])
    readers = [one for one in proto.graph.node if {*dense.input[1:]} & {*one.input}]
    alone = fixed and len(readers) == 1 and len(constants[dense.input[2]].dims) == 1
    return dense if alone and not scaled else None


def _is_transposed(dense: onnx.NodeProto) -> bool:
    return any(one.name == "transB" and one.i == 1 for one in dense.attribute)


def _producer(proto: onnx.ModelProto, name: str) -> onnx.NodeProto | None:
    return next((one for one in proto.graph.node if name in one.output), None)


def _constants(proto: onnx.ModelProto) -> dict[str, TensorProto]:
    return {one.name: one for one in proto.graph.initializer}


def _values(
    proto: onnx.ModelProto, name: str
) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    return numpy_helper.to_array(_constants(proto)[name]).astype(np.float32)
