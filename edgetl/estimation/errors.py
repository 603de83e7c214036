"""How far the estimates are off: summaries of the errors on figures left out of the fit."""

import msgspec
import numpy as np

from edgetl.estimation.costs import PRECISIONS, Precision
from edgetl.estimation.fit import Floats, LeftOut, left_out_ratios
from edgetl.estimation.published import EngineName, used_points

# Of published over predicted latency: four of five figures lie between.
QUANTILES = (0.1, 0.9)


class Errors(msgspec.Struct, frozen=True):
    """Of figures that were left out: by how much the larger of two latencies exceeds the other.

    Attributes:
        points: How many figures.
        median: 0.2 where half are within a factor of 1.2.
        p90: The same for nine of ten.
        worst: The largest.
    """

    points: int
    median: float
    p90: float
    worst: float


def summarize_errors(
    left_out: LeftOut, *, precision: Precision | None = None, engine: EngineName | None = None
) -> Errors:
    """Summarizes the errors of all figures, or of one precision or engine."""
    ratios = _select(left_out, precision, engine)
    factors = np.exp(np.abs(np.log(ratios))) - 1
    median, p90 = np.quantile(factors, (0.5, 0.9))
    return Errors(len(factors), float(median), float(p90), float(factors.max()))


def range_factors(precision: Precision) -> tuple[float, float]:
    """What to multiply an estimate by for its range, from the errors on left-out boards."""
    low, high = np.quantile(_select("board", precision, None), QUANTILES)
    return float(low), float(high)


def record_errors() -> dict[str, dict[str, Errors]]:
    """All summaries: by what is left out, then of all figures and of each precision."""
    kinds: tuple[LeftOut, ...] = ("board", "network")
    return {
        f"leave_one_{kind}_out": {"all": summarize_errors(kind)}
        | {one: summarize_errors(kind, precision=one) for one in PRECISIONS}
        for kind in kinds
    }


def _select(left_out: LeftOut, precision: Precision | None, engine: EngineName | None) -> Floats:
    chosen = [
        precision in (None, point.series.precision) and engine in (None, point.series.engine)
        for point in used_points()
    ]
    return left_out_ratios(left_out)[chosen]
