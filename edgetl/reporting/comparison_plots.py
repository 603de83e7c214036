"""The picture of trainings side by side: what each bought, and what it cost."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from edgetl.metrics import Interval
from edgetl.reporting.canvas import COLORS, HEIGHT_PX, drawing, open_figure, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINES = ("val", "bad", "ink", "train")
_DASHES = ("-", "--", ":", "-.")
_LETTERS = 66
_LEGEND_ROW_PX = 20
# Where the longest training takes so much longer, a linear scale would hide the shortest.
_LOG_FROM = 6.0
_ROOM = 1.15


class CourseLine(msgspec.Struct, frozen=True):
    """The course of a training.

    Attributes:
        name: For the legend.
        stages: For each stage when its epochs ended, s, and the accuracies after them, 0..1.
        seconds: Of the whole training.
        top1: Of the finished model, 0..1.
        interval: Of `top1`.
    """

    name: str
    stages: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]
    seconds: float
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
    with drawing():
        figure, axes = open_figure(HEIGHT_PX + _LEGEND_ROW_PX * len(lines))
        for number, line in enumerate(lines):
            color = COLORS[_LINES[number % len(_LINES)]]
            style = _DASHES[number // len(_LINES) % len(_DASHES)]
            _draw_line(axes, line, color, style)
        ends = [line.seconds for line in lines]
        if max(ends) > _LOG_FROM * min(ends):
            _scale_log(axes)
        else:
            axes.set_xlim(0, _ROOM * max(ends))
        axes.set_ylabel("validation accuracy, %")
        axes.set_xlabel("time since the start of the training" + _note(axes))
        _tick_times(axes)
        figure.legend(loc="outside upper left", fontsize=11)
        return to_svg(figure, title)


def _draw_line(axes: "Axes", line: CourseLine, color: str, style: str) -> None:
    times = [time for ends, _ in line.stages for time in ends]
    accuracies = [100 * one for _, values in line.stages for one in values]
    # What is done after the last epoch changes no weights, but calibrates and writes the model.
    end, top1 = max(line.seconds, times[-1] if times else 0.0), 100 * line.top1
    axes.plot(times, accuracies, linestyle=style, color=color, label=_shorten(line.name))
    for ends, values in line.stages[1:]:
        axes.plot(ends[0], 100 * values[0], "s", color=color, markersize=6)
    if times:
        axes.plot([times[-1], end], [accuracies[-1], top1], linestyle=":", color=color, linewidth=1)
    axes.vlines(end, 100 * line.interval.lower, 100 * line.interval.upper, color=color, alpha=0.6)
    axes.plot(end, top1, "o", color=color, markersize=7)


def _scale_log(axes: "Axes") -> None:
    axes.set_xscale("log")
    left, right = axes.get_xlim()
    axes.set_xlim(left, right * _ROOM)


def _note(axes: "Axes") -> str:
    return " (log scale)" if axes.get_xscale() == "log" else ""


def _tick_times(axes: "Axes") -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if axes.get_xscale() == "log":
        axes.xaxis.set_major_locator(LogLocator(10, (1.0, 3.0)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: _tell_time(seconds)))


def _tell_time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"


def _shorten(name: str) -> str:
    if len(name) <= _LETTERS:
        return name
    return f"\N{HORIZONTAL ELLIPSIS}{name[1 - _LETTERS :]}"
