"""Plots of what quantization costs and gains."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from edgetl.metrics import estimate_share
from edgetl.reporting.canvas import (
    COLORS,
    PX,
    WIDTH_PX,
    drawing,
    open_figure,
    to_svg,
)
from edgetl.reporting.labels import Label, place_labels
from edgetl_export.distribution import Distribution
from edgetl_export.tradeoff import Layer, Measured, Outcome, Tradeoff

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Axis = Literal["bytes", "latency"]
_SCATTER_PX, _BAR_PX, _ENDS_PX, _RANGES_PX = 390, 21, 90, 230
_LEGEND_FONT = 11.5
# Engine -> (marker, its size, colour role).
_ENGINES = {"onnx": ("s", 9.5, "train"), "litert": ("o", 7.5, "val")}
_NAMES = {"onnx": "ONNX", "litert": "LiteRT"}
_AXES = {"bytes": "MB (log scale)", "latency": "time of the engine's float32 file (log scale)"}
_LINES = (("trained model", "ink", (5, 3)), ("least that is allowed", "bad", (1, 2)))
_LEAST_DIVERGENCE = 1e-7
_LOG_FROM = 20.0


class _Place(msgspec.Struct, frozen=True):
    """Where a file is drawn: x in the axis' unit, y in %."""

    x: float
    y: float


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
        labels: list[Label] = []
        plain: list[tuple[float, float]] = []
        for outcome in sorted(found.outcomes, key=lambda one: [*_ENGINES].index(one.engine)):
            place = _draw_outcome(axes, outcome, axis, found.examples, plain)
            color = COLORS["muted" if outcome.engine == "onnx" else "val"]
            labels.append(Label(outcome.recipe.split("-")[1], place.x, place.y, color))
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
        place_labels(axes, labels, plain)
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
    values = [max(layer.divergence, _LEAST_DIVERGENCE) for layer in layers]
    with drawing():
        figure, axes = open_figure(_ENDS_PX + _BAR_PX * len(layers))
        colors = [COLORS["bad" if n < kept else "val"] for n in range(len(layers))]
        axes.barh(range(len(layers)), values, color=colors, height=0.72)
        axes.set_yticks(range(len(layers)), [layer.name for layer in layers], fontsize=11.5)
        axes.set(ylim=(len(layers) - 0.4, -0.6), xlabel="divergence, nats")
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", labelcolor=COLORS["ink"], length=0)
        if max(values) > _LOG_FROM * min(values):
            axes.set_xscale("log")
            axes.set_xlabel("divergence, nats (log scale)")
            _tick_plainly(axes)
        return to_svg(figure, title)


def draw_distribution(one: Distribution, title: str) -> str:
    """The inputs of a layer with the range that 8 bits span, beside its weights by channel.

    Returns:
        An `<svg>` element.
    """
    from matplotlib.figure import Figure

    with drawing():
        figure = Figure(figsize=(WIDTH_PX / PX, _RANGES_PX / PX), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        _draw_inputs(left, one)
        _draw_weights(right, one)
        return to_svg(figure, title)


def _draw_limits(axes: "Axes", found: Tradeoff) -> None:
    allowed = 100 * found.top1 - found.gate.max_drop
    axes.axhline(100 * found.top1, color=COLORS["ink"], linewidth=1.2, dashes=(5, 3), zorder=1)
    axes.axhline(allowed, color=COLORS["bad"], linewidth=1.2, dashes=(1, 2), zorder=1)


def _draw_outcome(
    axes: "Axes", outcome: Outcome, axis: Axis, examples: int, plain: list[tuple[float, float]]
) -> _Place:
    """Draws a recipe's mark, and how the repair brought it there."""
    marker, size, role = _ENGINES[outcome.engine]
    color = COLORS[role]
    place = _find_place(outcome.chosen, axis)
    interval = estimate_share(round(outcome.chosen.top1 * examples), examples)
    ends = [100 * interval.lower, 100 * interval.upper]
    axes.plot([place.x] * 2, ends, color=color, linewidth=1.2, alpha=0.35, zorder=2)
    if outcome.best:
        _draw_repair(axes, _find_place(outcome.plain, axis), place, color, plain)
    axes.plot(
        [place.x],
        [place.y],
        marker,
        color=color,
        markersize=size,
        markerfacecolor=color if outcome.chosen.passed else "none",
        markeredgewidth=1.8,
        zorder=4,
    )
    return place


def _draw_repair(
    axes: "Axes", start: _Place, end: _Place, color: str, plain: list[tuple[float, float]]
) -> None:
    plain.append((start.x, start.y))
    axes.plot([start.x], [start.y], "o", color=color, markersize=3.5, zorder=3)
    if start != end:
        arrow = {"arrowstyle": "->", "color": color, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 4}
        axes.annotate("", (end.x, end.y), (start.x, start.y), arrowprops=arrow, zorder=3)


def _find_place(one: Measured, axis: Axis) -> _Place:
    # The plain and the chosen file of a recipe are always timed.
    cost = one.bytes / 1e6 if axis == "bytes" else one.latency_ratio or 1.0
    return _Place(cost, 100 * one.top1)


def _scale(axes: "Axes", axis: Axis) -> None:
    axes.set_xscale("log")
    # Room for names beside the outermost points.
    axes.margins(x=0.14, y=0.06)
    _tick_plainly(axes, suffix=" x" if axis == "latency" else "")


def _tick_plainly(axes: "Axes", suffix: str = "") -> None:
    """Ticks such as 0.5, 1, 2 and none in small print."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = axes.get_xlim()
    subs = (1.0, 2.0, 5.0) if high < 100 * low else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}{suffix}"))


def _make_legend(found: Tradeoff) -> list[Any]:
    from matplotlib.lines import Line2D

    def mark(label: str, **style: Any) -> Line2D:
        return Line2D([], [], linestyle="none", label=label, **style)

    handles = []
    for engine in dict.fromkeys(outcome.engine for outcome in found.outcomes):
        marker, size, role = _ENGINES[engine]
        handles.append(mark(_NAMES[engine], marker=marker, markersize=size, color=COLORS[role]))
    if any(outcome.best for outcome in found.outcomes):
        handles.append(mark("before the repair", marker="o", markersize=3.5, color=COLORS["muted"]))
    if not all(outcome.chosen.passed for outcome in found.outcomes):
        hollow = {"markerfacecolor": "none", "markeredgewidth": 1.8}
        refused = mark("refused", marker="o", markersize=7.5, color=COLORS["muted"], **hollow)
        handles.append(refused)
    for label, role, dashes in (
        ("trained model", "ink", (5, 3)),
        ("least that the gate allows", "bad", (1, 2)),
    ):
        handles.append(
            Line2D([], [], color=COLORS[role], linewidth=1.2, dashes=dashes, label=label)
        )
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
    for end in one.chosen:
        axes.axvline(end, color=COLORS["bad"], linewidth=1.4)
    for end in one.whole:
        axes.axvline(end, color=COLORS["ink"], linewidth=1.2, dashes=(3, 2))
    axes.grid(axis="x", visible=False)


def _draw_weights(axes: "Axes", one: Distribution) -> None:
    lows = [low for low, _ in one.weights]
    highs = [high for _, high in one.weights]
    axes.fill_between(range(len(lows)), lows, highs, step="mid", color=COLORS["val"], linewidth=0)
    axes.set(xlabel="channels", ylabel="weights")
    axes.grid(axis="x", visible=False)
