"""Intervals and durations as a person reads them, the same on every page."""

from edgetl.metrics import Interval
from edgetl_export.wording import percent


def span(interval: Interval, digits: int = 0) -> str:
    """`83% to 91%`."""
    return f"{percent(interval.lower, digits)} to {percent(interval.upper, digits)}"


def duration(seconds: float) -> str:
    """`0.42 s`, `28 s`, `3 min 20 s`, `1 h 12 min`."""
    if seconds < 10:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
