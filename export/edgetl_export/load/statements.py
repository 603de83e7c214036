"""Statements: what a model file says itself of the images that it takes."""

import struct
from collections.abc import Mapping
from typing import Any

import msgspec

from edgetl_export.load.scaling import SCALINGS, Order, Scaling

# Two ranges that share less than this of both together are not the same said roughly: 0..1 and
# -1..1 share a half, and calibration photos without bright spots take away a tenth or two.
_LEAST_SHARED = 0.6
_SAME = 0.95
_QUANTIZATION = "the quantization of its input"
# They leave the pixels' values as they are.
_MOVING = ("Transpose", "Identity", "Reshape")
_LIMITS = {"uint8": (0, 255), "int8": (-128, 127)}
_NAMED_RANGES = {
    "NominalRange_0_255": (0.0, 255.0),
    "NominalRange_16_235": (16.0, 235.0),
    "Normalized_0_1": (0.0, 1.0),
    "Normalized_1_1": (-1.0, 1.0),
}
_NAMED_ORDERS: dict[str, Order] = {"rgb": "rgb", "rgba": "rgb", "bgr": "bgr", "bgra": "bgr"}


class Statement(msgspec.Struct, frozen=True):
    """One thing that is said.

    Attributes:
        source: Where in the file.
        range: What the levels 0..255 become, least and greatest; None: not said.
        order: Of the channels; None: not said.
    """

    source: str
    range: tuple[float, float] | None = None
    order: Order | None = None

    def contradict(self, scaling: Scaling) -> str:
        """One sentence if a scaling is plainly another one, else nothing."""
        if self.range is not None and _share(self.range, scaling.range) < _LEAST_SHARED:
            return (
                f"{self.source} says that its pixel values are {_show(self.range)}, but --scaling "
                f"{scaling.name} turns them into {_show(scaling.range)}{_suggest(self.range)}"
            )
        if self.order not in (None, scaling.order) and scaling.order != "grey":
            return (
                f"{self.source} says that its channels are {self.order}, but --scaling "
                f'{scaling.name} gives {scaling.order}; give --scaling "{scaling.swap().name}"'
            )
        return ""


def read_statements(tree: Any, picture: Any) -> tuple[Statement, ...]:
    """What a .tflite says.

    Args:
        tree: Of LiteRT's schema.
        picture: The tensor of its input.
    """
    quantization = _read_quantization(_find_quantized(tree, picture))
    if quantization is not None:
        return (quantization,)
    # A quantized input counts before any normalization in the metadata, which readers of it
    # apply in different ways.
    normalization = _read_normalization(tree)
    return () if normalization is None else (normalization,)


def read_graph(proto: Any, entry: str) -> tuple[Statement, ...]:
    """What an .onnx says: by its properties, and where its input is quantized first.

    Args:
        proto: The model.
        entry: Name of its input.
    """
    from onnx.numpy_helper import to_array

    said = read_properties({one.key: one.value for one in proto.metadata_props})
    constants = {one.name: one for one in proto.graph.initializer}
    names = {entry}
    for node in proto.graph.node:
        if node.op_type in _MOVING and node.input[0] in names:
            names.add(node.output[0])
        if node.op_type == "QuantizeLinear" and node.input[0] in names:
            numbers = [to_array(constants[one]) for one in node.input[1:] if one in constants]
            if len(numbers) == len(("scale", "zero point")) and numbers[0].size == 1:
                limits = _LIMITS.get(numbers[1].dtype.name, (0, 0))
                low, high = ((end - int(numbers[1])) * float(numbers[0]) for end in limits)
                return (*said, Statement(_QUANTIZATION, (low, high))) if high > low else said
    return said


def read_properties(properties: Mapping[str, str]) -> tuple[Statement, ...]:
    """What the properties of an .onnx say, by the keys of the standard (docs/MetadataProps.md)."""
    found = []
    if (named := _NAMED_RANGES.get(properties.get("Image.NominalPixelRange", ""))) is not None:
        found.append(Statement("its property Image.NominalPixelRange", named))
    name = properties.get("Image.BitmapPixelFormat", "").lower().rstrip("0123456789")
    if (order := _NAMED_ORDERS.get(name)) is not None:
        found.append(Statement("its property Image.BitmapPixelFormat", order=order))
    return tuple(found)


def _find_quantized(tree: Any, picture: Any) -> Any:
    """The input, or what a first operator makes of it where all but the ends has 8 bits."""
    graph = tree.subgraphs[0]
    (entry,) = graph.inputs
    for one in graph.operators:
        code = tree.operatorCodes[one.opcodeIndex]
        # Old files have their codes in the narrower field.
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)
        if one.inputs is not None and entry in one.inputs and kind == _QUANTIZE:
            return graph.tensors[one.outputs[0]]
    return picture


def _read_quantization(picture: Any) -> Statement | None:
    quantization, limits = picture.quantization, _LIMITS.get(_TYPES.get(picture.type, ""))
    if limits is None or quantization is None or quantization.scale is None:
        return None
    if not len(quantization.scale):
        return None
    step, zero = float(quantization.scale[0]), int(quantization.zeroPoint[0])
    low, high = ((limit - zero) * step for limit in limits)
    return Statement(_QUANTIZATION, (low, high))


# `BuiltinOperator` and `TensorType` (uint8, int8) of LiteRT's schema.
_QUANTIZE = 114
_TYPES = {3: "uint8", 9: "int8"}
# Slots of `metadata_schema.fbs` 1.5; see `edgetl_export.package.metadata.tflite_metadata`.
_SUBGRAPHS, _INPUTS, _UNITS, _KIND, _OPTIONS, _MEAN, _STD = 3, 2, 4, 0, 1, 0, 1
_NORMALIZATION = 1


def _read_normalization(tree: Any) -> Statement | None:
    """Mean and deviation in the metadata of a .tflite, whose readers compute (level - m) / d."""
    from edgetl_export.package.metadata.tflite_metadata import METADATA_NAME

    for entry in tree.metadata or []:
        if entry.name == METADATA_NAME.encode():
            try:
                return _find_normalization(bytes(tree.buffers[entry.buffer].data))
            except (struct.error, LookupError, TypeError, ValueError):
                # Damaged metadata says nothing; the network is judged for itself.
                return None
    return None


def _find_normalization(data: bytes) -> Statement | None:
    for graph in _Table.read_root(data).list_tables(_SUBGRAPHS)[:1]:
        for picture in graph.list_tables(_INPUTS)[:1]:
            for unit in picture.list_tables(_UNITS):
                options = unit.find_table(_OPTIONS)
                if options is not None and unit.read_byte(_KIND) == _NORMALIZATION:
                    return _describe(options.list_floats(_MEAN), options.list_floats(_STD))
    return None


class _Table:
    """A table of a flatbuffer whose schema has no generated reader here, by the slots of fields."""

    def __init__(self, data: bytes, start: int) -> None:
        from flatbuffers.table import Table

        self._data, self._table = data, Table(data, start)

    @classmethod
    def read_root(cls, data: bytes) -> "_Table":
        return cls(data, *struct.unpack_from("<I", data))

    def list_tables(self, slot: int) -> "list[_Table]":
        if not (offset := self._find(slot)):
            return []
        start, count = self._table.Vector(offset), self._table.VectorLen(offset)
        return [_Table(self._data, self._table.Indirect(start + 4 * n)) for n in range(count)]

    def find_table(self, slot: int) -> "_Table | None":
        if not (offset := self._find(slot)):
            return None
        return _Table(self._data, self._table.Indirect(self._table.Pos + offset))

    def list_floats(self, slot: int) -> list[float]:
        if not (offset := self._find(slot)):
            return []
        start, count = self._table.Vector(offset), self._table.VectorLen(offset)
        return list(struct.unpack_from(f"<{count}f", self._data, start))

    def read_byte(self, slot: int) -> int:
        offset = self._find(slot)
        return self._data[self._table.Pos + offset] if offset else 0

    def _find(self, slot: int) -> int:
        # The first two numbers of a table's layout are lengths of its own.
        return int(self._table.Offset(4 + 2 * slot))


def _describe(mean: list[float], deviation: list[float]) -> Statement | None:
    pairs = list(zip(mean, deviation, strict=False))
    if not pairs or not all(one > 0 for one in deviation):
        return None
    ends = [(level - middle) / one for level in (0, 255) for middle, one in pairs]
    return Statement("the normalization in its metadata", (min(ends), max(ends)))


def _share(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Intersection over union of two ranges, 0..1."""
    whole = max(one[1], other[1]) - min(one[0], other[0])
    return max(0.0, min(one[1], other[1]) - max(one[0], other[0])) / whole


def _suggest(wanted: tuple[float, float]) -> str:
    fitting = [one for one in SCALINGS if _share(wanted, one.range) >= _SAME]
    return f"; give --scaling {fitting[0].name}" if fitting else ""


def _show(range_: tuple[float, float]) -> str:
    return f"{range_[0]:.3g} to {range_[1]:.3g}"
