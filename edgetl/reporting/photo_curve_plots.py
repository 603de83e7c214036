"""Plots of a learning curve over photos; see `edgetl.reporting.canvas` for the common parts."""

from typing import TYPE_CHECKING

import numpy as np

from edgetl.learning_curve.record import PhotoCurve
from edgetl.reporting.canvas import COLORS, drawing, open_figure, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PX = 320
_TWICE = 2.0
_EMPHASIZED = ("val", "bad", "ink")


def draw_photo_curve(curve: PhotoCurve, title: str) -> str:
    """Accuracy with 95 % intervals over the number of photos, and the power law to twice as many.

    Returns:
        An `<svg>` element.
    """
    with drawing():
        figure, axes = open_figure(_PX)
        photos, accuracies = _list_accuracies(curve)
        ends = np.array([(one.interval.lower, one.interval.upper) for one in curve.points]) * 100
        _draw_forecast(axes, curve)
        axes.vlines(photos, ends[:, 0], ends[:, 1], color=COLORS["train"], label="95% interval")
        axes.plot(photos, accuracies, "o-", color=COLORS["val"], label="measured")
        _scale_photos(axes, [*photos, curve.forecast.photos])
        axes.set_ylabel("validation accuracy, %")
        axes.legend(loc="lower right", fontsize=12)
        return to_svg(figure, title)


def draw_class_curves(curve: PhotoCurve, title: str) -> str:
    """Recall of each class over the number of photos; the three that rose most stand out.

    Returns:
        An `<svg>` element.
    """
    with drawing():
        figure, axes = open_figure(_PX)
        photos, _ = _list_accuracies(curve)
        for rank, one in reversed([*enumerate(curve.classes)]):
            named = rank < len(_EMPHASIZED)
            axes.plot(
                photos,
                [100 * (point.recalls[one.label] or 0.0) for point in curve.points],
                marker="o" if named else "",
                markersize=5,
                color=COLORS[_EMPHASIZED[rank] if named else "train"],
                linewidth=2 if named else 1,
                label=one.label if named else "",
            )
        _scale_photos(axes, photos)
        axes.set_ylabel("recall, %")
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(handles[::-1], labels[::-1], loc="lower right", title="rose most", fontsize=12)
        return to_svg(figure, title)


def _list_accuracies(curve: PhotoCurve) -> tuple[list[int], list[float]]:
    return [one.photos for one in curve.points], [100 * one.accuracy for one in curve.points]


def _draw_forecast(axes: "Axes", curve: PhotoCurve) -> None:
    forecast, last = curve.forecast, curve.points[-1]
    fractions = np.geomspace(curve.points[0].fraction, _TWICE, 40)
    heights = [100 * (1 - forecast.error(fraction)) for fraction in fractions]
    axes.plot(
        fractions * last.photos,
        heights,
        color=COLORS["bad"],
        linewidth=1.4,
        dashes=(4, 3),
        label="power law, to twice as many",
    )
    lower, upper = last.accuracy + forecast.seen.lower, last.accuracy + forecast.seen.upper
    axes.vlines(forecast.photos, 100 * lower, 100 * min(upper, 1.0), color=COLORS["bad"])


def _scale_photos(axes: "Axes", photos: list[int]) -> None:
    axes.set_xscale("log")
    axes.set_xticks(photos, [_tell_count(one) for one in photos])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("training photos (log scale)")


def _tell_count(photos: int) -> str:
    """`1,431`, `70k`: neighbours on the axis are close."""
    return f"{photos:,}" if photos < 10_000 else f"{photos / 1000:.0f}k"
