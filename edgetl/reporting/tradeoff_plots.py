"""Plots of what quantization costs and gains."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from edgetl.metrics import estimate_share
from edgetl.reporting.canvas import (
    COLORS,
    PX,
    WIDTH_PX,
    drawing,
    open_figure,
    to_svg,
)
from edgetl.reporting.labels import Label, Point, place_labels
from edgetl_export.quantize.distribution import Distribution
from edgetl_export.quantize.tradeoff import Layer, Measured, Outcome, Tradeoff

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import XAxis, YAxis

Axis = Literal["bytes", "latency"]
_SCATTER_PX, _BAR_PX, _ENDS_PX, _RANGES_PX = 390, 21, 90, 230
_LEGEND_FONT = 12.5
_PLAIN_PX = 4
# Engine -> (marker, its size, colour role).
_ENGINES = {"onnx": ("s", 9.5, "train"), "litert": ("o", 7.5, "val")}
_NAMES = {"onnx": "ONNX", "litert": "LiteRT"}
_AXES = {"bytes": "MB (log scale)", "latency": "time of the engine's float32 file (log scale)"}
_LINES = (("trained model", "ink", (5, 3)), ("least that the gate allows", "bad", (1, 2)))
_LEAST_DIVERGENCE = 1e-7
_LOG_FROM = 20.0
_LONGEST = 30


def draw_tradeoff(found: Tradeoff, axis: Axis, title: str) -> str:
    """Top-1 of every recipe over what it costs, both of the plain file and of the repaired one.

    Args:
        found: What was measured.
        axis: `bytes`, or `latency` as a multiple of the float32 file of the same engine.
        title: What the plot shows, for readers who do not see it.

    Returns:
        An `<svg>` element. Bars are 95 % intervals (Wilson).
    """
    with drawing():
        figure, axes = open_figure(_SCATTER_PX)
        _draw_limits(axes, found)
        for outcome in sorted(found.outcomes, key=lambda one: [*_ENGINES].index(one.engine)):
            _draw_outcome(axes, outcome, axis, found)
        _scale(axes, axis)
        axes.set(xlabel=_AXES[axis], ylabel="validation top-1, %")
        figure.legend(
            handles=_make_legend(found),
            loc="outside upper left",
            ncols=2,
            fontsize=_LEGEND_FONT,
            handlelength=1.6,
            columnspacing=1.2,
        )
        _name_outcomes(axes, found, axis)
        return to_svg(figure, title)


def draw_sensitivities(layers: Sequence[Layer], kept: int, title: str) -> str:
    """A bar for each layer; the first `kept` are those that `mixed` leaves in float.

    Args:
        layers: The most sensitive first.
        kept: How many stand out.
        title: What the plot shows, for readers who do not see it.

    Returns:
        An `<svg>` element.
    """
    values = [1e3 * max(layer.divergence, _LEAST_DIVERGENCE) for layer in layers]
    with drawing():
        figure, axes = open_figure(_ENDS_PX + _BAR_PX * len(layers))
        colors = [COLORS["bad" if n < kept else "val"] for n in range(len(layers))]
        axes.barh(range(len(layers)), values, color=colors, height=0.72)
        axes.set_yticks(range(len(layers)), [_shorten(one.name) for one in layers], fontsize=11.5)
        axes.set(ylim=(len(layers) - 0.4, -0.6), xlabel="divergence, millinats")
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", labelcolor=COLORS["ink"], length=0)
        if max(values) > _LOG_FROM * min(values):
            axes.set_xscale("log")
            axes.set_xlabel("divergence, millinats (log scale)")
            _tick_plainly(axes.xaxis, most=5)
        return to_svg(figure, title)


def draw_distribution(one: Distribution, title: str) -> str:
    """The inputs of a layer with the range that 8 bits span, beside its weights by channel.

    Returns:
        An `<svg>` element.
    """
    from matplotlib.figure import Figure

    with drawing():
        figure = Figure(figsize=(WIDTH_PX / PX, _RANGES_PX / PX), dpi=PX, layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        _draw_inputs(left, one)
        _draw_weights(right, one)
        return to_svg(figure, title)


def _draw_limits(axes: "Axes", found: Tradeoff) -> None:
    for (_, role, dashes), height in zip(_LINES, _find_limits(found), strict=True):
        axes.axhline(height, color=COLORS[role], linewidth=1.2, dashes=dashes, zorder=1)


def _find_limits(found: Tradeoff) -> tuple[float, float]:
    """Top-1 of the trained model and the least that the gate allows, %."""
    return 100 * found.top1, 100 * found.top1 - found.gate.max_drop


def _name_outcomes(axes: "Axes", found: Tradeoff, axis: Axis) -> None:
    labels, plain, lines = [], [], []
    left, right = axes.get_xlim()
    for outcome in found.outcomes:
        color = COLORS["muted" if outcome.engine == "onnx" else "val"]
        x, y = _find_place(outcome.chosen, axis)
        labels.append(Label(outcome.recipe.removeprefix(f"{outcome.engine}-"), x, y, color))
        low, high = _find_interval(outcome.chosen, found)
        lines.append(((x, low), (x, high)))
        if outcome.best:
            plain.append(_find_place(outcome.plain, axis))
    lines += [((left, height), (right, height)) for height in _find_limits(found)]
    place_labels(axes, labels, others=plain, lines=lines)


def _draw_outcome(axes: "Axes", outcome: Outcome, axis: Axis, found: Tradeoff) -> None:
    """Draws a recipe's mark, and how the repair brought it there."""
    marker, size, role = _ENGINES[outcome.engine]
    color = COLORS[role]
    x, y = _find_place(outcome.chosen, axis)
    interval = _find_interval(outcome.chosen, found)
    axes.plot([x, x], interval, color=color, linewidth=1.2, alpha=0.35, zorder=2)
    if outcome.best:
        _draw_repair(axes, _find_place(outcome.plain, axis), (x, y), color)
    axes.plot(
        [x],
        [y],
        marker,
        color=color,
        markersize=size,
        markerfacecolor=color if outcome.chosen.passed else "none",
        markeredgewidth=1.8,
        zorder=4,
    )


def _draw_repair(axes: "Axes", start: Point, end: Point, color: str) -> None:
    axes.plot([start[0]], [start[1]], "o", color=color, markersize=_PLAIN_PX, zorder=3)
    if start != end:
        arrow = {"arrowstyle": "->", "color": color, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 4}
        axes.annotate("", end, start, arrowprops=arrow, zorder=3)


def _find_place(one: Measured, axis: Axis) -> Point:
    """Where a file is drawn: x in the axis' unit, y in %."""
    # The plain and the chosen file of a recipe are always timed.
    cost = one.bytes / 1e6 if axis == "bytes" else one.latency_ratio or 1.0
    return cost, 100 * one.top1


def _find_interval(one: Measured, found: Tradeoff) -> Point:
    """Both ends of the interval of top-1, %."""
    hits = round(one.top1 * found.examples)
    interval = estimate_share(hits, found.examples, scenes=found.scenes)
    return 100 * interval.lower, 100 * interval.upper


def _scale(axes: "Axes", axis: Axis) -> None:
    axes.set_xscale("log")
    # Room for names beside the outermost points.
    axes.margins(x=0.14, y=0.06)
    _tick_plainly(axes.xaxis, suffix=" x" if axis == "latency" else "")


def _tick_plainly(axis: "XAxis | YAxis", suffix: str = "", most: int = 9) -> None:
    """Puts ticks such as 0.5, 1, 2 on a log scale, none in small print."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = sorted(map(float, axis.get_view_interval()))
    axis.set_major_locator(FixedLocator(_choose_ticks(low, high, most)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: _spell(value) + suffix))


def _choose_ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers of a log scale, up to a count."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for steps in (1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,):
        round_ones = [float(f"{step}e{decade}") for decade in decades for step in steps]
        ticks = [tick for tick in round_ones if low <= tick <= high]
        if len(ticks) <= most:
            return ticks
    return ticks[:: math.ceil(len(ticks) / most)]


def _shorten(name: str) -> str:
    return name if len(name) <= _LONGEST else name[: _LONGEST - 3] + "..."


def _spell(value: float) -> str:
    """`0.00001`, never `1e-05`."""
    return f"{value:.12f}".rstrip("0").rstrip(".")


def _make_legend(found: Tradeoff) -> list[Any]:
    from matplotlib.lines import Line2D

    def mark(label: str, **style: Any) -> Line2D:
        return Line2D([], [], linestyle="none", label=label, **style)

    handles = []
    for engine in dict.fromkeys(outcome.engine for outcome in found.outcomes):
        marker, size, role = _ENGINES[engine]
        handles.append(mark(_NAMES[engine], marker=marker, markersize=size, color=COLORS[role]))
    if any(outcome.best for outcome in found.outcomes):
        handles.append(
            mark("before the repair", marker="o", markersize=_PLAIN_PX, color=COLORS["muted"])
        )
    if not all(outcome.chosen.passed for outcome in found.outcomes):
        hollow = {"markerfacecolor": "none", "markeredgewidth": 1.8}
        refused = mark("refused", marker="o", markersize=7.5, color=COLORS["muted"], **hollow)
        handles.append(refused)
    for label, role, dashes in _LINES:
        line = Line2D([], [], label=label, color=COLORS[role], linewidth=1.2, dashes=dashes)
        handles.append(line)
    return handles


def _draw_inputs(axes: "Axes", one: Distribution) -> None:
    low, high = one.whole
    width = (high - low) / len(one.counts) or 1.0
    total = max(sum(one.counts), 1)
    lefts = [low + n * width for n in range(len(one.counts))]
    shares = [100 * count / total for count in one.counts]
    axes.bar(lefts, shares, width, align="edge", color=COLORS["train"])
    axes.set_yscale("log")
    axes.set(xlabel="inputs", ylabel="share, %")
    _tick_plainly(axes.yaxis, most=4)
    for end in one.chosen:
        axes.axvline(end, color=COLORS["bad"], linewidth=1.4)
    for end in one.whole:
        axes.axvline(end, color=COLORS["ink"], linewidth=1.2, dashes=(3, 2))
    axes.grid(axis="x", visible=False)


def _draw_weights(axes: "Axes", one: Distribution) -> None:
    from matplotlib.ticker import MaxNLocator

    # Each channel from its number to the next; the last one needs an end, too.
    spans = [*one.weights, *one.weights[-1:]]
    lows, highs = [low for low, _ in spans], [high for _, high in spans]
    axes.fill_between(range(len(spans)), lows, highs, step="post", color=COLORS["val"], linewidth=0)
    axes.set(xlabel="channels", ylabel="weights")
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.grid(axis="x", visible=False)
