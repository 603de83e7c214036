"""Figures as a person reads them, the same on every page."""

from edgetl.metrics import Interval

NOTHING = "-"


def percent(share: float | None, digits: int = 1) -> str:
    """`87.3%`; a dash where there is no share. It says 100% of all only, and 0% of none only."""
    if share is None:
        return NOTHING
    text = f"{share:.{digits}%}"
    if share < 1 and text == f"{1:.{digits}%}":
        return f">{1 - 10.0 ** -(digits + 2):.{digits}%}"
    if share > 0 and text == f"{0:.{digits}%}":
        return f"<{10.0 ** -(digits + 2):.{digits}%}"
    return text


def span(interval: Interval, digits: int = 0) -> str:
    """`83% to 91%`."""
    return f"{percent(interval.lower, digits)} to {percent(interval.upper, digits)}"


def points(share: float) -> str:
    """A difference of two shares in percentage points, `4` or `0.6`, without its sign."""
    size = abs(share) * 100
    return f"{size:.0f}" if size >= 2 else f"{size:.1f}"


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
