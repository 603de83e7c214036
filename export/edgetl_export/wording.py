"""Shares as a person reads them, the same in messages, tables, pages and on the model card."""

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


def points(share: float) -> str:
    """A difference of two shares in percentage points, `4` or `0.6`, without its sign."""
    size = abs(share) * 100
    return f"{size:.0f}" if size >= 2 else f"{size:.1f}"


def signed_points(share: float) -> str:
    """A difference of two shares in percentage points, `+0.6` or `-4.0`."""
    return f"{100 * share:+.1f}"
