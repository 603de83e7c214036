"""Passes of one row made into one report, and how far another survey's median may be off."""

import math
import statistics
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final

import msgspec

from edgetl_runtime.benchmarking.isolation import Pass
from edgetl_runtime.benchmarking.record import (
    STAGES,
    BoardBenchmark,
    Drift,
    find_range,
    find_slowed,
)
from edgetl_runtime.system.monitoring import Observation
from edgetl_runtime.system.percentiles import compute_percentiles

# Of the normal distribution: 95 % lie within.
_NORMAL: Final = 1.959964
# More would make an end of the range infinite.
_MOST_WAITING: Final = 0.9


def merge_passes(passes: Sequence[Pass]) -> BoardBenchmark:
    """The passes of a row as one report, without samples; percentiles are of all samples."""
    reports = [one.report for one in passes]
    first = reports[0]
    samples = {stage: _chain_samples(reports, stage) for stage in STAGES}
    drift = _chain_drift(reports)
    runs = sum(one.runs for one in reports)
    observation = merge_observations([one.observation for one in reports])
    energy_j = observation.energy_j
    return msgspec.structs.replace(
        first.without_samples(),
        **{f"{stage}_ms": compute_percentiles(samples[stage]) for stage in STAGES},
        **{name: _mean(reports, name) for name in ("load_ms", "first_ms", "start_ms")},
        runs=runs,
        warmup_runs=sum(one.warmup_runs for one in reports),
        drift=drift,
        slowed=find_slowed(drift),
        duration_s=sum(one.duration_s for one in reports),
        warmup_s=sum(one.warmup_s for one in reports),
        steady=all(one.steady for one in reports),
        peak_rss_mib=_highest(one.peak_rss_mib for one in reports),
        rest_rss_mib=_highest(one.rest_rss_mib for one in reports),
        joules_per_run=None if energy_j is None else energy_j / runs,
        observation=observation,
        throttled=observation.throttled,
        waited=measure_waiting(passes),
    )


def merge_observations(seen: Sequence[Observation]) -> Observation:
    """What was seen in several measurements, in order of time, as if of one."""
    told = [one.throttled for one in seen if one.throttled is not None]
    energies = [one.energy_j for one in seen if one.energy_j is not None]
    is_known = len(energies) == len(seen)
    return Observation(
        before=seen[0].before,
        after=seen[-1].after,
        # The ends of each lie between the ends of all.
        readings=sum(one.readings for one in seen) + 2 * (len(seen) - 1),
        highest_c=_highest(one.highest_c for one in seen),
        lowest_clock_mhz=_lowest(one.lowest_clock_mhz for one in seen),
        highest_clock_mhz=_highest(one.highest_clock_mhz for one in seen),
        throttled=any(told) if told else None,
        throttling=tuple(dict.fromkeys(chain.from_iterable(one.throttling for one in seen))),
        energy_j=sum(energies) if is_known else None,
        energy_source=seen[0].energy_source if is_known else None,
        duration_s=sum(one.duration_s for one in seen),
    )


def measure_noise(medians_ms: Iterable[Sequence[float]]) -> float | None:
    """How much the median of a pass varies from pass to pass: its relative standard deviation.

    The passes of a row lie minutes apart, so that this holds what comes and goes slowly, which the
    seconds of one pass do not show.

    Args:
        medians_ms: Of each row, those of its passes.

    Returns:
        The root of half the mean square of the differences of the logarithms; None without pairs.
    """
    apart = [
        math.log(max(last, 1e-9) / max(first, 1e-9))
        for first, *_, last in (one for one in medians_ms if len(one) > 1)
    ]
    return math.sqrt(statistics.fmean(one**2 for one in apart) / 2) if apart else None


def find_reach(noise: float | None, rows: int) -> float:
    """How far the median of another survey may be off: below 5 % of them are off further.

    The difference of two medians, each of two passes, has the standard deviation of one pass:
    sqrt(2) / sqrt(2) (the repeatability limit of ISO 5725-6). Since that was measured by few rows,
    Student's t stands for the normal distribution's 1.96, by Abramowitz and Stegun, 26.7.5.

    Args:
        noise: What `measure_noise` found.
        rows: How many had two passes.

    Returns:
        A factor, from 1.
    """
    if noise is None:
        return 1.0
    z, n = _NORMAL, rows
    t = z + (z**3 + z) / (4 * n) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
    return math.exp(t * noise)


def measure_waiting(passes: Sequence[Pass]) -> float | None:
    """Share of the time in which others had the processor, 0..1; None where it is not known."""
    known = [one.report.waited for one in passes if one.report.waited is not None]
    return statistics.fmean(known) if known else None


def find_span(p50_ms: float, passes: Sequence[Pass], reach: float) -> tuple[float, float]:
    """Between what the median of another survey of this machine is expected, milliseconds.

    Args:
        p50_ms: The median of all samples.
        passes: Of one row.
        reach: What `find_reach` found.

    Returns:
        The ends of the widest of these: from the 5th to the 95th percentile of the pairs of all
        passes; the medians of the passes; from 1/reach to reach times the median of all; and the
        median without and with twice the time that others had the processor.
    """
    # Others may be gone next time, or be twice as many.
    reach = max(reach, 1 / (1 - min(measure_waiting(passes) or 0.0, _MOST_WAITING)))
    pairs: Drift = tuple(chain.from_iterable(one.pairs for one in passes))
    found = find_range(pairs) or (p50_ms, p50_ms)
    medians = [one.report.total_ms.p50 for one in passes]
    return min(found[0], p50_ms / reach, *medians), max(found[1], p50_ms * reach, *medians)


def _chain_samples(reports: Sequence[BoardBenchmark], stage: str) -> list[float]:
    return list(chain.from_iterable(getattr(one, f"{stage}_samples_ms") for one in reports))


def _chain_drift(reports: Sequence[BoardBenchmark]) -> Drift:
    """As if the second began where the first ended."""
    pairs: list[tuple[float, float]] = []
    begin_s = 0.0
    for report in reports:
        pairs += [(begin_s + moment_s, ms) for moment_s, ms in report.drift]
        begin_s += report.duration_s
    return tuple(pairs)


def _mean(reports: Sequence[BoardBenchmark], name: str) -> float | None:
    values: list[Any] = [getattr(one, name) for one in reports]
    return None if None in values else statistics.fmean(values)


def _highest(values: Iterable[float | None]) -> float | None:
    return max((one for one in values if one is not None), default=None)


def _lowest(values: Iterable[float | None]) -> float | None:
    return min((one for one in values if one is not None), default=None)
