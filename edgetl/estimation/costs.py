"""What networks cost: a table of multiply-adds and memory traffic, counted once from Keras."""

from functools import cache
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

TABLE = Path(__file__).parent / "costs.json"
Precision = Literal["float32", "int8"]
PRECISIONS: tuple[Precision, ...] = ("float32", "int8")
# Networks halve their maps up to five times. At multiples of 32 each half is a whole number.
ANCHOR_PX = 32
_BYTES: dict[Precision, int] = {"float32": 4, "int8": 1}
# What grows with the input; weights and layers stay what they are.
_GROWING = ("convolution_macs", "depthwise_macs", "values")


class Costs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One image's costs, as `edgetl.estimation.counting` counts them.

    Attributes:
        size_px: Side of the input.
        convolution_macs: Multiply-adds of convolutions and dense layers.
        depthwise_macs: Multiply-adds of depthwise convolutions.
        values: Numbers that layers read and write, without weights.
        weights: Number of weights that are read.
        layers: Number of operations.
    """

    size_px: int = 0
    convolution_macs: int = 0
    depthwise_macs: int = 0
    values: int = 0
    weights: int = 0
    layers: int = 0

    @property
    def macs(self) -> int:
        """All multiply-adds."""
        return self.convolution_macs + self.depthwise_macs

    def traffic(self, precision: Precision) -> int:
        """Bytes read and written, if nothing stays in a cache."""
        return (self.values + self.weights) * _BYTES[precision]

    def __add__(self, other: "Costs") -> "Costs":
        """The sums; the size is the larger one."""
        names = set(self.__struct_fields__) - {"size_px"}
        sums = {name: getattr(self, name) + getattr(other, name) for name in names}
        return Costs(size_px=max(self.size_px, other.size_px), **sums)


class CostTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file.

    Attributes:
        backbones: By name, as in `edgetl.networks.backbones`, without a top: at three multiples of
            `ANCHOR_PX`, and at the backbone's own size.
        published: Networks of published figures, with their classifier of 1000 classes.
    """

    backbones: dict[str, tuple[Costs, ...]]
    published: dict[str, Costs]


@cache
def read_costs() -> CostTable:
    """Reads the table, which `benchmarks/network_costs.py` writes."""
    return msgspec.json.decode(TABLE.read_bytes(), type=CostTable)


def find_costs(backbone: str, size_px: int) -> Costs:
    """Costs of a backbone at any input size.

    Beside the counted sizes each cost is the parabola through the three counts: a map's area grows
    with the square of the input's side, and what is not padded adds a linear part. At other
    sizes than multiples of `ANCHOR_PX`, networks round maps up and need up to an eighth more.

    Args:
        backbone: A name of `BACKBONES`.
        size_px: Side of the input.
    """
    rows = read_costs().backbones[backbone]
    for row in rows:
        if row.size_px == size_px:
            return row
    anchors = [row for row in rows if row.size_px % ANCHOR_PX == 0]
    shares = _parabola([row.size_px for row in anchors], size_px)
    grown = {
        name: sum(s * getattr(row, name) for s, row in zip(shares, anchors, strict=True))
        for name in _GROWING
    }
    scaled = {name: max(0, round(value)) for name, value in grown.items()}
    return Costs(size_px=size_px, weights=rows[0].weights, layers=rows[0].layers, **scaled)


def _parabola(known: list[int], at: int) -> list[float]:
    """What each of three known values adds to the parabola through them (Lagrange)."""
    return [
        float(np.prod([(at - other) / (one - other) for other in known if other != one]))
        for one in known
    ]
