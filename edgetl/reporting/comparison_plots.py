"""The picture of trainings side by side: what each bought, and what it cost."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from edgetl.metrics import Interval
from edgetl.reporting.canvas import COLORS, HEIGHT_PX, PX, drawing, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINES = ("val", "bad", "ink", "train")
_DASHES = ("-", "--", ":", "-.")
_WIDTH_PX, _LETTERS = 720, 100
_MINUTES_FROM_S = 300
_LEGEND_ROW_PX = 20
# Where the longest training takes so much longer, a linear scale would hide the shortest.
_LOG_FROM = 6.0
_ROOM = 1.15


class CourseLine(msgspec.Struct, frozen=True):
    """The course of a training.

    Attributes:
        name: For the legend.
        stages: For each stage when its epochs ended, s, and the accuracies after them, 0..1; at
            least one of each.
        top1: Of the finished model, 0..1.
        interval: Of `top1`.
    """

    name: str
    stages: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]
    top1: float
    interval: Interval


def draw_course(lines: Sequence[CourseLine], title: str) -> str:
    """Validation accuracy over training time, a line for each run.

    Args:
        lines: The runs.
        title: What the plot shows, for readers who do not see it.

    Returns:
        An `<svg>` element.
    """
    from matplotlib.figure import Figure

    height_px = HEIGHT_PX + _LEGEND_ROW_PX * len(lines)
    with drawing():
        figure = Figure(figsize=(_WIDTH_PX / PX, height_px / PX), dpi=PX, layout="constrained")
        axes = figure.add_subplot()
        ends = [line.stages[-1][0][-1] for line in lines]
        unit, seconds = ("min", 60) if max(ends) > _MINUTES_FROM_S else ("s", 1)
        for number, line in enumerate(lines):
            color = COLORS[_LINES[number % len(_LINES)]]
            style = _DASHES[number // len(_LINES) % len(_DASHES)]
            _draw_line(axes, line, seconds, color, style)
        scale = ""
        if max(ends) > _LOG_FROM * min(ends):
            scale = " (log scale)"
            _scale_log(axes)
        else:
            axes.set_xlim(0, _ROOM * max(ends) / seconds)
        axes.set_ylabel("validation accuracy, %")
        axes.set_xlabel(f"time since the start of the training, {unit}{scale}")
        figure.legend(loc="outside upper left", fontsize=12)
        return to_svg(figure, title)


def _draw_line(axes: "Axes", line: CourseLine, seconds: float, color: str, style: str) -> None:
    times = [time / seconds for ends, _ in line.stages for time in ends]
    accuracies = [100 * one for _, values in line.stages for one in values]
    axes.plot(times, accuracies, linestyle=style, color=color, label=_shorten(line.name))
    for ends, values in line.stages[1:]:
        axes.plot(ends[0] / seconds, 100 * values[0], "s", color=color, markersize=6)
    lower, upper = 100 * line.interval.lower, 100 * line.interval.upper
    axes.vlines(times[-1], lower, upper, color=color, alpha=0.6)
    axes.plot(times[-1], 100 * line.top1, "o", color=color, markersize=7)


def _scale_log(axes: "Axes") -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    left, right = axes.get_xlim()
    axes.set_xlim(left, right * _ROOM)
    axes.xaxis.set_major_locator(LogLocator(10, (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _shorten(name: str) -> str:
    if len(name) <= _LETTERS:
        return name
    return f"\N{HORIZONTAL ELLIPSIS}{name[1 - _LETTERS :]}"
