"""Layout: how the image lies that an .onnx takes."""

from collections.abc import Iterator, Sequence
from typing import Final

import onnx
from onnx import helper

from edgetl_export.load.source import Size, choose_size
from edgetl_runtime.errors import ExportError

_CHANNELS: Final = (3, 1)
# What changes numbers and not their places.
_CARRIES: Final = {
    *("Identity", "Cast", "Sub", "Div", "Mul", "Add", "Clip", "Pad", "BatchNormalization"),
    *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"),
}
# Which of a convolution's inputs are its weights, (filters, channels / groups, height, width).
_WEIGHTS: Final = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3}
_TO_FIRST: Final = [0, 3, 1, 2]


def read_layout(
    proto: onnx.ModelProto, entry: onnx.ValueInfoProto, size_px: Size | None
) -> tuple[int, bool, tuple[int, int]]:
    """Number of channels, True if they are last, and (height, width).

    Where the number of channels is free, as Hugging Face's exporter leaves it, the weights of the
    first convolution tell it; where there is none, they are three.

    Args:
        proto: The model.
        entry: Its input.
        size_px: Side of the input, or (width, height), where the model leaves it free.

    Raises:
        ExportError: If it takes something else than one image, or its size has to be chosen.
    """
    tensor = entry.type.tensor_type
    # Some exporters write -1 for what is free.
    lengths = [one.dim_value if one.dim_value > 0 else None for one in tensor.shape.dim]
    if not tensor.HasField("shape"):
        # Nothing is said: all may be free.
        lengths = [None] * 4
    shown = "(" + ", ".join("?" if one is None else str(one) for one in lengths) + ")"
    channels, last = _find_channels(proto, entry.name, lengths) if len(lengths) == 4 else (0, False)
    if channels not in _CHANNELS:
        raise ExportError(
            f"the .onnx takes {shown}{f' of {channels} channels' * bool(channels)}, expected an "
            "RGB image: (1, 3, height, width) or (1, height, width, 3), or a gray one, with 1 "
            "instead of 3"
        )
    if lengths[0] not in (None, 1):
        raise ExportError(
            f"the .onnx takes {lengths[0]} images at once, {shown}; export it again with batch "
            "size 1, or a variable one"
        )
    height, width = (lengths[1], lengths[2]) if last else (lengths[2], lengths[3])
    return channels, last, choose_size((height, width), size_px)


def _find_channels(
    proto: onnx.ModelProto, entry: str, lengths: Sequence[int | None]
) -> tuple[int, bool]:
    """Number of channels, 0 if there are none, and True if they are last."""
    # Of a grey image one pixel high or wide nothing is known but that it is none.
    for channels in _CHANNELS:
        if channels in (lengths[1], lengths[3]):
            return channels, lengths[1] != channels
    if lengths[1] is not None and lengths[3] is not None:
        return 0, False
    found = next(_list_convolved(proto.graph, entry), (_CHANNELS[0], lengths[1] is not None))
    free = lengths[3] if found[1] else lengths[1]
    return found if free is None else (0, False)


def _list_convolved(graph: onnx.GraphProto, entry: str) -> Iterator[tuple[int, bool]]:
    """Channels that convolutions of the image have, and whether they were last before."""
    last = {entry: False}
    for node in graph.node:
        name = node.input[0] if node.input else ""
        if name not in last:
            continue
        options = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        if node.op_type in _WEIGHTS:
            shape = _find_shape(graph, node.input[_WEIGHTS[node.op_type]])
            if len(shape) == 4:
                yield shape[1] * options.get("group", 1), last[name]
        elif node.op_type in _CARRIES:
            last[node.output[0]] = last[name]
        elif node.op_type == "Transpose" and options.get("perm") == _TO_FIRST:
            last[node.output[0]] = True


def _find_shape(graph: onnx.GraphProto, name: str) -> tuple[int, ...]:
    """Shape of a constant, or of what one that is packed becomes; empty if it is none."""
    shapes = {one.name: tuple(one.dims) for one in graph.initializer}
    writers = {output: node for node in graph.node for output in node.output}
    while name not in shapes and (node := writers.get(name)) is not None:
        if node.op_type == "Constant":
            return next((tuple(one.t.dims) for one in node.attribute if one.name == "value"), ())
        if node.op_type not in _CARRIES:
            return ()
        name = node.input[0]
    return shapes.get(name, ())
