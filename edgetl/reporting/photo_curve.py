"""What a learning curve over photos says, in words, tables and the part of a page that shows it."""

import msgspec

from edgetl.learning_curve.record import Change, ClassRise, PhotoCurve
from edgetl.reporting.pages import mark_safe
from edgetl.reporting.photo_curve_plots import draw_class_curves, draw_photo_curve
from edgetl.reporting.wording import span
from edgetl_export.wording import percent, points, signed_points
from edgetl_runtime.text.wording import count_noun

_NAMED = 3


class CurveSection(msgspec.Struct, frozen=True):
    """All that a page shows of a curve, or why there is none.

    Attributes:
        curve: The record; None without one.
        reason: Why there is none.
        headline: One sentence.
        sentences: What it rests on.
        plots: Pairs of title and `<svg>`.
    """

    curve: PhotoCurve | None
    reason: str = ""
    headline: str = ""
    sentences: tuple[str, ...] = ()
    plots: tuple[tuple[str, str], ...] = ()


def make_section(curve: PhotoCurve | None, reason: str = "") -> CurveSection:
    """Writes and draws what `templates/photo_curve.html.j2` shows."""
    if curve is None:
        return CurveSection(None, reason)
    headline, *sentences = conclude_curve(curve)
    accuracy = draw_photo_curve(curve, "Validation accuracy over the number of training photos")
    recalls = draw_class_curves(curve, "Recall of each class over the number of training photos")
    return CurveSection(
        curve,
        headline=headline,
        sentences=tuple(sentences),
        plots=(
            ("Accuracy over training photos", mark_safe(accuracy)),
            ("Recall of each class", mark_safe(recalls)),
        ),
    )


def conclude_curve(curve: PhotoCurve) -> list[str]:
    """Says whether more photos are likely to help, on what it rests, and which classes gain most.

    Returns:
        Sentences, the answer first.
    """
    return [_conclude(curve), _tell_rise(curve), _tell_classes(curve)]


def tell_change(change: Change) -> str:
    """`+5.9 points (95% interval +2.9 to +9.1)`."""
    return f"{signed_points(change.value)} points (95% interval {_tell_range(change)})"


def list_points(curve: PhotoCurve) -> list[tuple[str, ...]]:
    """Rows of photos, share of all, top-1 and its interval, as text."""
    return [
        (
            f"{one.photos:,}",
            percent(one.fraction, 0),
            percent(one.accuracy),
            span(one.interval),
        )
        for one in curve.points
    ]


def list_classes(curve: PhotoCurve, most: int | None = None) -> list[tuple[str, ...]]:
    """Rows of label, training photos, recall at each point, its rise and the rise's interval."""
    return [
        (
            one.label,
            f"{one.photos:,}",
            *(percent(point.recalls[one.label], 0) for point in curve.points),
            signed_points(one.rise.value),
            _tell_range(one.rise),
        )
        for one in curve.classes[:most]
    ]


def _tell_range(change: Change) -> str:
    return f"{signed_points(change.lower)} to {signed_points(change.upper)}"


def _conclude(curve: PhotoCurve) -> str:
    forecast = curve.forecast
    twice = f"twice as many, {forecast.photos:,},"
    match curve.verdict:
        case "rising":
            return (
                f"More photos are likely to help: {twice} would add about "
                f"{points(forecast.gain.value)} points to the accuracy of a head. One training may "
                f"show {_tell_range(forecast.seen)} on these validation photos."
            )
        case "flat":
            return (
                f"The curve is flat: {twice} would add at most {points(forecast.gain.upper)} "
                "points. Other photos help more than more of the same: those that are classified "
                "wrong, another light, another background. So may fine-tuning."
            )
        case "unclear" if curve.points[-1].accuracy == 1.0:
            return (
                "All validation photos are classified correctly, so these photos cannot tell "
                "whether more would help. More validation photos, or harder ones, would tell."
            )
        case "unclear":
            return (
                f"These photos cannot tell whether more would help: {twice} may change accuracy "
                f"by {_tell_range(forecast.seen)} points. More validation photos would tell."
            )


def _tell_rise(curve: PhotoCurve) -> str:
    before = next(one for one in curve.points if one.fraction == curve.since)
    last = curve.points[-1]
    sure = "more than chance" if curve.rise.lower > 0 else "no more than chance may explain"
    return (
        f"From {count_noun(before.photos, 'photo')} to {last.photos:,}, accuracy went from "
        f"{percent(before.accuracy)} to {percent(last.accuracy)}, {tell_change(curve.rise)}: "
        f"{sure}."
    )


def _tell_classes(curve: PhotoCurve) -> str:
    rising = curve.rising_classes
    if not rising:
        first = curve.classes[0]
        return (
            "No single class rose by more than chance; the largest rise is that of "
            f"{first.label}, {tell_change(first.rise)}."
        )
    named = ", ".join(_tell_class(one) for one in rising[:_NAMED])
    others = f" and {len(rising) - _NAMED} more" if len(rising) > _NAMED else ""
    return f"Recall rose by more than chance, and most, for {named}{others}."


def _tell_class(one: ClassRise) -> str:
    return f"{one.label} ({signed_points(one.rise.value)} points)"
