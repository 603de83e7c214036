"""Estimates of the latency of backbones on boards."""

from collections.abc import Iterable, Iterator

import msgspec

from edgetl.estimation.boards import BOARDS
from edgetl.estimation.costs import Precision, find_costs
from edgetl.estimation.errors import range_factors
from edgetl.estimation.fit import Workload, fit_all, predict_ms
from edgetl.networks.backbones import Backbone, Quantizes


class Latency(msgspec.Struct, frozen=True):
    """An estimate, in milliseconds.

    Attributes:
        ms: The estimate.
        low_ms: Four of five published figures lay between this and `high_ms` when their board was
            left out of the fit: one of ten below,
        high_ms: one of ten above.
    """

    ms: float
    low_ms: float
    high_ms: float


class Estimate(msgspec.Struct, frozen=True):
    """Of a backbone at an input size, without preprocessing.

    Attributes:
        backbone: Its name.
        size_px: Side of the input.
        float32: Latency of a float32 file in LiteRT.
        int8: Latency of an int8 file in LiteRT.
        quantizes: How well the network stands int8, see `Backbone`.
    """

    backbone: str
    size_px: int
    float32: Latency
    int8: Latency
    quantizes: Quantizes


def estimate_latencies(
    backbones: Iterable[Backbone], board: str, *, sizes_px: Iterable[int] = (), threads: int = 4
) -> Iterator[Estimate]:
    """Estimates each backbone at each size that it can take.

    Args:
        backbones: Rows of `BACKBONES`.
        board: A name of `BOARDS`.
        sizes_px: Sides of the input; none: each backbone's own.
        threads: 1 to 4.
    """
    sizes = tuple(sizes_px)
    for row in backbones:
        for size_px in sizes or (row.size_px,):
            if size_px >= row.least_px:
                float32 = _latency(row, board, "float32", size_px, threads)
                int8 = _latency(row, board, "int8", size_px, threads)
                yield Estimate(row.name, size_px, float32, int8, row.quantizes)


def _latency(
    row: Backbone, board: str, precision: Precision, size_px: int, threads: int
) -> Latency:
    workload = Workload(
        costs=find_costs(row.name, size_px),
        board=BOARDS[board],
        precision=precision,
        threads=threads,
    )
    (ms,) = predict_ms(fit_all(), [workload]).tolist()
    low, high = range_factors(precision)
    return Latency(ms, ms * low, ms * high)
