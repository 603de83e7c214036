"""Plots of a training's report; see `edgetl.reporting.canvas` for what they have in common."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgetl.history import StageHistory
from edgetl.metrics import Reliability, estimate_share
from edgetl.reporting.canvas import (
    COLORS,
    HEIGHT_PX,
    PX,
    WIDTH_PX,
    drawing,
    open_figure,
    to_svg,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CROWD = 6


def draw_curves(histories: Sequence[StageHistory], name: str, title: str) -> str:
    """Training and validation curve over the epochs of all stages, one stage after the other.

    Args:
        histories: The stages in order.
        name: `loss` (nats) or `accuracy` (0..1, drawn in %).
        title: What the plot shows, for readers who do not see it.

    Returns:
        An `<svg>` element. Stage boundaries are lines; the kept epoch of each stage is a ring
        on the validation curve.
    """
    from matplotlib.ticker import MaxNLocator

    with drawing():
        figure, axes = open_figure()
        scale = 100.0 if name == "accuracy" else 1.0
        _draw_stages(axes, histories, name, scale)
        axes.set_xlabel("epoch")
        axes.set_ylabel("accuracy, %" if name == "accuracy" else "loss, nats")
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        _mark_boundaries(axes, histories)
        axes.legend(loc="best")
        return to_svg(figure, title)


def draw_reliability(reliability: Reliability, title: str) -> str:
    """Accuracy over the score, with 95 % intervals, above a histogram of the scores.

    Returns:
        An `<svg>` element.
    """
    with drawing():
        figure, (axes, below) = _open_figures()
        axes.plot([0, 100], [0, 100], color=COLORS["muted"], linewidth=1.2, dashes=(4, 3))
        most = max(one.count for one in reliability.bins)
        for one in reliability.bins:
            if one.confidence is None or one.accuracy is None:
                continue
            interval = estimate_share(round(one.accuracy * one.count), one.count)
            x = 100 * one.confidence
            axes.plot([x, x], [100 * interval.lower, 100 * interval.upper], color=COLORS["train"])
            # The dot's area grows with the photos: one photo is no cause for alarm.
            size = 3 + 8 * (one.count / most) ** 0.5
            axes.plot([x], [100 * one.accuracy], "o", color=COLORS["val"], markersize=size)
        axes.set(xlim=(0, 102), ylim=(-2, 102), ylabel="accuracy, %")
        width = 100 / len(reliability.bins)
        below.bar(
            [100 * one.lower + width / 2 for one in reliability.bins],
            [one.count for one in reliability.bins],
            width * 0.86,
            color=COLORS["train"],
        )
        below.set(xlim=(0, 102), xlabel="score of the named label, %", ylabel="photos")
        below.grid(axis="x", visible=False)
        return to_svg(figure, title)


def draw_heatmap(confusion: Sequence[Sequence[int]], title: str) -> str:
    """The confusion matrix of many classes: a square a cell that is not empty.

    Args:
        confusion: Counts; row: true label, column: predicted label.
        title: What the plot shows, for readers who do not see it.

    Returns:
        An `<svg>` element; the stronger a square, the larger its share of the row.
    """
    from matplotlib.collections import PolyCollection

    counts = np.array(confusion)
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    with drawing():
        figure, axes = open_figure(WIDTH_PX)
        rows, columns = counts.nonzero()
        corners = np.stack([columns, rows], axis=1)[:, np.newaxis] + 0.5
        squares = PolyCollection(
            corners + np.array([(0, 0), (1, 0), (1, 1), (0, 1)]),
            facecolors=np.where(rows == columns, COLORS["val"], COLORS["bad"]).tolist(),
            alpha=0.15 + 0.85 * shares[rows, columns],
            linewidths=0,
        )
        axes.add_collection(squares, autolim=False)
        end = len(counts) + 0.5
        axes.set(xlim=(0.5, end), ylim=(end, 0.5), aspect="equal")
        axes.set(xlabel="named as (number of the class)", ylabel="true class (number)")
        axes.grid(visible=False)
        return to_svg(figure, title)


def _draw_stages(axes: "Axes", histories: Sequence[StageHistory], name: str, scale: float) -> None:
    start = 0
    for number, stage in enumerate(histories):
        for prefix, role, label in (("", "train", "training"), ("val_", "val", "validation")):
            judged = prefix and name == "loss"
            values = np.array(stage.val_losses if judged else stage.curves[prefix + name]) * scale
            epochs = start + 1 + np.arange(len(values))
            # One epoch is a point, not a line.
            axes.plot(
                epochs,
                values,
                color=COLORS[role],
                marker="o" if len(values) == 1 else "",
                label=label if not number else "",
            )
            if prefix and 0 < stage.best_epoch <= len(values):
                _mark_kept(axes, epochs[stage.best_epoch - 1], values[stage.best_epoch - 1], number)
        start += len(stage.curves[name])


def _mark_kept(axes: "Axes", epoch: int, value: float, number: int) -> None:
    axes.plot(
        [epoch],
        [value],
        "o",
        markersize=9,
        markerfacecolor="none",
        markeredgecolor=COLORS["bad"],
        markeredgewidth=2,
        linestyle="none",
        label="kept" if not number else "",
    )


def _mark_boundaries(axes: "Axes", histories: Sequence[StageHistory]) -> None:
    """Lines between stages, and the stages' names above them where they find room."""
    lengths = [len(stage.curves["loss"]) for stage in histories]
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if lengths else 1
    axes.set_xlim(0.5 - 0.02 * total, total + 0.5 + 0.02 * total)
    for end in ends[:-1]:
        axes.axvline(end + 0.5, color=COLORS["muted"], linewidth=1, dashes=(2, 2))
    for stage, length, end in zip(histories, lengths, ends, strict=True):
        if len(histories) > 1 and len(histories) <= _CROWD:
            middle = end - length / 2 + 0.5
            axes.annotate(
                stage.name,
                (middle, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, 4),
                textcoords="offset points",
                ha="center",
                color=COLORS["muted"],
            )


def _open_figures() -> tuple["Figure", tuple["Axes", "Axes"]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_PX / PX, 1.25 * HEIGHT_PX / PX), layout="constrained")
    grid = figure.add_gridspec(2, 1, height_ratios=(3, 1))
    above = figure.add_subplot(grid[0])
    below = figure.add_subplot(grid[1], sharex=above)
    above.tick_params(labelbottom=False)
    return figure, (above, below)
