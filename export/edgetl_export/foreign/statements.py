"""Statements: what a model file says itself of the pictures that it takes."""

import struct
from collections.abc import Mapping
from typing import Any

import msgspec

from edgetl_export.foreign.scaling import SCALINGS, Order, Scaling
from edgetl_export.metadata.tflite import METADATA_NAME

# Two ranges that share less than this of both together are not the same said roughly: 0..1 and
# -1..1 share a half, and calibration photos without bright spots take away a tenth or two.
_LEAST_SHARED = 0.6
_SAME = 0.95
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
                f"{self.source} says that its pixels are {_show(self.range)}, but --scaling "
                f"{scaling.name} makes {_show(scaling.range)} of them{_suggest(self.range)}"
            )
        if self.order is not None and "grey" not in (scaling.order, self.order):
            if self.order != scaling.order:
                return (
                    f"{self.source} says that its channels are {self.order}, but --scaling "
                    f"{scaling.name} gives {scaling.order}; give --scaling "
                    f'"{scaling.swap().name}"'
                )
        return ""


def read_statements(tree: Any, picture: Any) -> tuple[Statement, ...]:
    """What a .tflite says.

    Args:
        tree: Of LiteRT's schema.
        picture: The tensor of its input.
    """
    quantization = _read_quantization(picture)
    if quantization is not None:
        return (quantization,)
    # A quantized input counts before any normalization in the metadata, which readers of it
    # apply in different ways.
    normalization = _read_normalization(tree)
    return () if normalization is None else (normalization,)


def read_properties(properties: Mapping[str, str]) -> tuple[Statement, ...]:
    """What the properties of an .onnx say, by the keys of the standard (docs/MetadataProps.md)."""
    found = []
    if (named := _NAMED_RANGES.get(properties.get("Image.NominalPixelRange", ""))) is not None:
        found.append(Statement("its property Image.NominalPixelRange", named))
    name = properties.get("Image.BitmapPixelFormat", "").lower().rstrip("0123456789")
    if (order := _NAMED_ORDERS.get(name)) is not None:
        found.append(Statement("its property Image.BitmapPixelFormat", order=order))
    return tuple(found)


def _read_quantization(picture: Any) -> Statement | None:
    quantization, limits = picture.quantization, _LIMITS.get(picture.type)
    if limits is None or quantization is None or quantization.scale is None:
        return None
    if not len(quantization.scale):
        return None
    step, zero = float(quantization.scale[0]), int(quantization.zeroPoint[0])
    low, high = ((limit - zero) * step for limit in limits)
    return Statement("the quantization of its input", (low, high))


# `TensorType` of LiteRT's schema: uint8, int8.
_LIMITS = {3: (0, 255), 9: (-128, 127)}
# Slots of `metadata_schema.fbs` 1.5; see `edgetl_export.metadata.tflite`.
_SUBGRAPHS, _INPUTS, _UNITS, _KIND, _OPTIONS, _MEAN, _STD = 3, 2, 4, 0, 1, 0, 1
_NORMALIZATION = 1


def _read_normalization(tree: Any) -> Statement | None:
    """Mean and deviation in the metadata of a .tflite, whose readers compute (level - m) / d."""
    for entry in tree.metadata or []:
        if entry.name == METADATA_NAME.encode():
            try:
                return _find_normalization(bytes(tree.buffers[entry.buffer].data))
            except (struct.error, LookupError, TypeError, ValueError):
                # Damaged metadata says nothing; the network is judged for itself.
                return None
    return None


def _find_normalization(data: bytes) -> Statement | None:
    from flatbuffers import encode, number_types
    from flatbuffers.table import Table

    def enter(table: Any, slot: int) -> list[Any]:
        """The tables of a vector."""
        offset = table.Offset(4 + 2 * slot)
        if not offset:
            return []
        start = table.Vector(offset)
        return [
            Table(data, table.Indirect(start + 4 * n)) for n in range(table.VectorLen(offset))
        ]

    def read(table: Any, slot: int) -> list[float]:
        offset = table.Offset(4 + 2 * slot)
        if not offset:
            return []
        values = table.GetVectorAsNumpy(number_types.Float32Flags, offset)
        return [float(one) for one in values]

    root = Table(data, encode.Get(number_types.UOffsetTFlags.packer_type, data, 0))
    for graph in enter(root, _SUBGRAPHS)[:1]:
        for picture in enter(graph, _INPUTS)[:1]:
            for unit in enter(picture, _UNITS):
                kind = unit.Offset(4 + 2 * _KIND)
                inner = unit.Offset(4 + 2 * _OPTIONS)
                if not kind or not inner or data[unit.Pos + kind] != _NORMALIZATION:
                    continue
                options = Table(data, unit.Indirect(unit.Pos + inner))
                return _describe(read(options, _MEAN), read(options, _STD))
    return None


def _describe(mean: list[float], deviation: list[float]) -> Statement | None:
    pairs = list(zip(mean, deviation, strict=False))
    if not pairs or not all(one > 0 for one in deviation):
        return None
    ends = [(level - middle) / one for level in (0, 255) for middle, one in pairs]
    return Statement("the normalization in its metadata", (min(ends), max(ends)))


def _share(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Of all that two ranges cover, how much both do, 0..1."""
    whole = max(one[1], other[1]) - min(one[0], other[0])
    return max(0.0, min(one[1], other[1]) - max(one[0], other[0])) / whole


def _suggest(wanted: tuple[float, float]) -> str:
    fitting = [one for one in SCALINGS if _share(wanted, one.range) >= _SAME]
    return f"; give --scaling {fitting[0].name}" if fitting else ""


def _show(range_: tuple[float, float]) -> str:
    return f"{range_[0]:.3g} to {range_[1]:.3g}"
