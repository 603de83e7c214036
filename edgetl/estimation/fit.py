"""The model of a latency, its fit to published figures, and its errors on figures left out.

The time of one image is the sum of three parts, times a factor of the engine:

- multiply-adds of convolutions, over what the core's SIMD units could start in that time,
- multiply-adds of depthwise convolutions, the same, which come nowhere near it,
- bytes read and written, over the speed of memcpy.

More threads divide the first two by less than their number, and the third not at all. Only five
numbers are fitted; what a board is enters through `Board`, so that the fit can be tried on boards
that it has not seen.
"""

from collections.abc import Sequence
from functools import cache
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl.estimation.boards import Board
from edgetl.estimation.costs import Costs, Precision
from edgetl.estimation.published import EngineName, Point, used_points

Floats = NDArray[np.float64]
LeftOut = Literal["board", "network"]
_START = (np.log(1.5), np.log(5.0), np.log(0.5), 0.0, 0.5)
# All but the exponent of the threads are logarithms.
_BOUNDS = ([-10.0, -10.0, -10.0, -3.0, 0.0], [10.0, 10.0, 10.0, 3.0, 1.0])


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """What takes time: a network's costs, and what runs it."""

    costs: Costs
    board: Board
    precision: Precision
    threads: int
    engine: EngineName = "xnnpack"


class Coefficients(msgspec.Struct, frozen=True):
    """What is fitted.

    Attributes:
        convolution: Time of a convolution on one thread, as a multiple of the least its core could
            take.
        depthwise: The same of a depthwise convolution.
        traffic: Share of the bytes that a network reads and writes that memory has to deliver.
        ncnn: How much longer ncnn takes than XNNPACK.
        threads: n threads compute n**threads as fast as one.
    """

    convolution: float
    depthwise: float
    traffic: float
    ncnn: float
    threads: float


class _Parts(msgspec.Struct, frozen=True):
    """Of workloads, each shape (workloads,): milliseconds at a coefficient of 1."""

    convolution: Floats
    depthwise: Floats
    traffic: Floats
    threads: Floats
    ncnn: NDArray[np.bool_]


def fit(points: Sequence[Point]) -> Coefficients:
    """Fits the model to published figures, by least squares of the ratios' logarithms.

    Raises:
        ValueError: If the costs of a point's network are not known.
    """
    # 0.3 s that only this needs.
    from scipy.optimize import least_squares

    parts = _split([describe_point(point) for point in points])
    published = np.log([point.ms for point in points])
    found = least_squares(
        lambda values: np.log(_combine(parts, _coefficients(values))) - published,
        _START,
        bounds=_BOUNDS,
    )
    return _coefficients(found.x)


@cache
def fit_all() -> Coefficients:
    """The fit to all figures, which estimates use."""
    return fit(used_points())


def predict_ms(coefficients: Coefficients, workloads: Sequence[Workload]) -> Floats:
    """Latencies in milliseconds, float64 (workloads,)."""
    return _combine(_split(workloads), coefficients)


@cache
def left_out_ratios(kind: LeftOut) -> Floats:
    """Published over predicted latency of each used figure, predicted without its like.

    Args:
        kind: What is left out of a point's fit: all figures of its board, or all of its network.

    Returns:
        float64 (points,), in the order of `used_points`.
    """
    points = used_points()
    ratios = np.zeros(len(points))
    groups = [point.series.board if kind == "board" else point.network for point in points]
    for group in set(groups):
        others = [point for point, one in zip(points, groups, strict=True) if one != group]
        coefficients = fit(others)
        for n, point in enumerate(points):
            if groups[n] == group:
                (predicted,) = predict_ms(coefficients, [describe_point(point)])
                ratios[n] = point.ms / predicted
    return ratios


def describe_point(point: Point) -> Workload:
    """The workload of a published figure.

    Raises:
        ValueError: If the costs of its network are not known.
    """
    if point.costs is None:
        raise ValueError(f"costs.json has no {point.network}; see benchmarks/network_costs.py")
    return Workload(
        costs=point.costs,
        board=point.board,
        precision=point.series.precision,
        threads=point.series.threads,
        engine=point.series.engine,
    )


def _coefficients(values: Floats) -> Coefficients:
    convolution, depthwise, traffic, ncnn = np.exp(values[:4]).tolist()
    return Coefficients(convolution, depthwise, traffic, ncnn, float(values[4]))


def _combine(parts: _Parts, by: Coefficients) -> Floats:
    computing = by.convolution * parts.convolution + by.depthwise * parts.depthwise
    ms = computing / parts.threads**by.threads + by.traffic * parts.traffic
    return np.where(parts.ncnn, by.ncnn, 1.0) * ms


def _split(workloads: Sequence[Workload]) -> _Parts:
    # Millions of multiply-adds over GHz, and megabytes over GB/s, are milliseconds.
    pace = [one.board.clock_ghz * one.board.core.pace for one in workloads]
    lanes = [one.board.core.lanes[one.precision] for one in workloads]
    depthwise_lanes = [one.board.core.depthwise_lanes[one.precision] for one in workloads]
    convolution = [one.costs.convolution_macs / 1e6 for one in workloads]
    depthwise = [one.costs.depthwise_macs / 1e6 for one in workloads]
    megabytes = [one.costs.traffic(one.precision) / 1e6 for one in workloads]
    memory = [one.board.memory_gb_s for one in workloads]
    return _Parts(
        np.divide(convolution, np.multiply(pace, lanes)),
        np.divide(depthwise, np.multiply(pace, depthwise_lanes)),
        np.divide(megabytes, memory),
        np.array([one.threads for one in workloads], float),
        np.array([one.engine == "ncnn" for one in workloads]),
    )
