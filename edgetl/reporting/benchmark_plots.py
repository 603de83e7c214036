"""Plots of benchmarks; see `edgetl.reporting.canvas` for what they have in common."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgetl.reporting.canvas import COLORS, HEIGHT_PX, drawing, open_figure, to_svg
from edgetl.reporting.series import Series, name_series
from edgetl_runtime.benchmarking.record import Benchmark

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW_PX, _FRAME_PX = 52, 96
_BAR = 0.36
# What fits above a bar, and beside a line of the legend.
_LETTERS = 66
_LEGEND_ROW_PX = 19
_LINES = ("val", "bad", "train", "ink")
_DASHES = ("-", "--", ":", "-.")


def draw_stages(reports: Sequence[tuple[Series, Benchmark]]) -> str:
    """A bar for each report, from frame to label: the medians of its stages, p90 and p99.

    Args:
        reports: What to name it by, and report, the first on top.

    Returns:
        An `<svg>` element.
    """
    with drawing():
        figure, axes = open_figure(_FRAME_PX + _ROW_PX * len(reports))
        names = name_series([series for series, _ in reports], _LETTERS)
        for row, (name, (_, record)) in enumerate(zip(names, reports, strict=True)):
            _draw_bar(axes, -row, record, first=not row)
            axes.text(0, -row + _BAR, f" {name}", color=COLORS["ink"], fontsize=12)
        axes.set(xlabel="ms from frame to label", ylim=(-len(reports) + 0.5, 0.85), yticks=[])
        axes.set_xlim(left=0)
        axes.grid(axis="y", visible=False)
        figure.legend(loc="outside upper left", ncols=5, fontsize=11, handlelength=1.0)
        return to_svg(figure, "Time from frame to label of each report, by stage")


def draw_drift(runs: Sequence[tuple[Series, Sequence[tuple[float, float]]]]) -> str:
    """Medians over the seconds of long runs; a rising line is a device that throttles.

    Args:
        runs: What to name it by, and pairs of second and milliseconds.

    Returns:
        An `<svg>` element.
    """
    with drawing():
        figure, axes = open_figure(HEIGHT_PX + _LEGEND_ROW_PX * len(runs))
        names = name_series([series for series, _ in runs], _LETTERS)
        for number, (name, (_, drift)) in enumerate(zip(names, runs, strict=True)):
            seconds, values = zip(*drift, strict=True)
            color = COLORS[_LINES[number % len(_LINES)]]
            style = _DASHES[number // len(_LINES) % len(_DASHES)]
            axes.plot(seconds, values, linestyle=style, color=color, label=name)
        axes.set(xlabel="seconds", ylabel="ms, median")
        axes.set_ylim(bottom=0)
        # Below the axes: inside them it would cover lines.
        figure.legend(loc="outside lower left", fontsize=12)
        return to_svg(figure, "Time from frame to label over the seconds of long runs")


def _draw_bar(axes: "Axes", y: float, record: Benchmark, *, first: bool) -> None:
    total = record.total_ms
    stages = {"preprocess": record.preprocess_ms.p50, "invoke": record.invoke_ms.p50}
    # Medians of parts do not add up to the median of the whole.
    stages["rest"] = max(0.0, total.p50 - sum(stages.values()))
    left = 0.0
    for role, (stage, ms) in zip(("train", "val", "line"), stages.items(), strict=True):
        label = f"{stage} p50" if stage != "rest" else stage
        axes.barh(y, ms, _BAR, left, color=COLORS[role], label=label if first else "")
        left += ms
    for ms, mark, name in ((total.p90, "|", "p90"), (total.p99, "o", "p99")):
        axes.plot(
            [ms],
            [y],
            mark,
            color=COLORS["bad"],
            markersize=11 if mark == "|" else 5,
            markeredgewidth=2,
            linestyle="none",
            label=name if first else "",
        )
