"""The plots of the experiments: learning curves, accuracy against seconds, bars."""

import io
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from edgetl.reporting.plots import COLORS
from edgetl_runtime.system.storage import write_file

_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": COLORS["line"],
    "axes.grid": True,
    "axes.labelcolor": COLORS["muted"],
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": COLORS["ink"],
    "axes.titlesize": 11,
    "figure.facecolor": "white",
    "grid.color": COLORS["line"],
    "legend.frameon": False,
    "legend.fontsize": 9,
    # Equal values give equal bytes.
    "svg.hashsalt": "edgetl",
    "text.parse_math": False,
    "xtick.color": COLORS["muted"],
    "ytick.color": COLORS["muted"],
}
# Of lines that are compared: told apart by readers who see no red or green, too (Okabe and Ito
# 2008, "Color Universal Design").
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_PANEL_INCHES = (3.4, 2.6)


class Line(msgspec.Struct, frozen=True):
    """One curve: values an epoch, from the first.

    Attributes:
        label: In the legend.
        values: One an epoch.
        color: Of the line.
        dashed: For training, beside a solid line for validation.
        kept: The epoch, from 1, whose weights were kept: a ring; 0: none.
    """

    label: str
    values: Sequence[float]
    color: str
    dashed: bool = False
    kept: int = 0


class Panel(msgspec.Struct, frozen=True):
    """One set of axes."""

    title: str
    lines: Sequence[Line]


class Dot(msgspec.Struct, frozen=True):
    """One result in a plot of accuracy against seconds.

    Attributes:
        group: Dots of a group have one colour and are joined, such as those of a backbone.
        label: Beside the dot.
        x: Seconds.
        y: Accuracy, %.
    """

    group: str
    label: str
    x: float
    y: float


class Bar(msgspec.Struct, frozen=True):
    """A number and what it is of."""

    label: str
    value: float


def draw_panels(
    path: Path, panels: Sequence[Panel], y_label: str, *, highest: float | None = None
) -> None:
    """Draws curves over epochs as an SVG, a panel each, all with the same y axis.

    Args:
        path: The file.
        panels: In reading order.
        y_label: What is drawn, and its unit.
        highest: The top of the y axis; None: that of the curves.
    """
    columns = min(3 if len(panels) % 3 == 0 else 4, len(panels))
    rows = -(-len(panels) // columns)
    size = (_PANEL_INCHES[0] * columns, _PANEL_INCHES[1] * rows)
    with _figure(path, size) as figure:
        shown = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        for axes, panel in zip(shown, panels, strict=False):
            _draw_panel(axes, panel)
        for axes in shown[len(panels) :]:
            axes.set_visible(False)
        for axes in shown[::columns]:
            axes.set_ylabel(y_label)
        if highest is not None:
            shown[0].set_ylim(0, highest)


def _draw_panel(axes, panel: Panel) -> None:
    from matplotlib.ticker import MaxNLocator

    for line in panel.lines:
        epochs = range(1, len(line.values) + 1)
        style = {"linestyle": "--", "linewidth": 1.2} if line.dashed else {"linewidth": 1.8}
        # One epoch is a point, not a line.
        marker = "." if len(line.values) == 1 else None
        axes.plot(epochs, line.values, color=line.color, label=line.label, marker=marker, **style)
        if line.kept:
            ring = {"marker": "o", "markerfacecolor": "white", "markersize": 6}
            axes.plot([line.kept], [line.values[line.kept - 1]], color=line.color, **ring)
    axes.set_title(panel.title, loc="left")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes.legend(loc="best")


def draw_dots(path: Path, dots: Sequence[Dot]) -> None:
    """Draws accuracy, %, over seconds on a logarithmic axis as an SVG."""
    from matplotlib.ticker import LogFormatter

    with _figure(path, (6.6, 4.2)) as figure:
        axes = figure.add_subplot()
        axes.set_xscale("log")
        # The usual labels are formulas, 2x10^1, and formulas are off for the sake of class names.
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.5)))
        groups = dict.fromkeys(one.group for one in dots)
        for color, group in zip(_repeat(PALETTE), groups, strict=False):
            own = [one for one in dots if one.group == group]
            xs, ys = [one.x for one in own], [one.y for one in own]
            axes.plot(xs, ys, "o-", color=color, label=group, linewidth=1)
            for one in own:
                place = {"xytext": (6, -12), "textcoords": "offset points"}
                axes.annotate(one.label, (one.x, one.y), color=COLORS["muted"], **place)
        axes.margins(x=0.15, y=0.15)
        axes.set(xlabel="seconds of training, logarithmic", ylabel="accuracy, %")
        axes.legend(loc="best")


def draw_bars(path: Path, bars: Sequence[Bar], x_label: str) -> None:
    """Draws numbers as bars, the first on top, as an SVG."""
    with _figure(path, (6.6, 0.8 + 0.3 * max(len(bars), 1))) as figure:
        axes = figure.add_subplot()
        drawn = axes.barh(
            [one.label for one in bars], [one.value for one in bars], color=PALETTE[0]
        )
        axes.bar_label(drawn, fmt="{:.0f}", padding=3, color=COLORS["muted"])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(x_label)


def _repeat(colors: Sequence[str]):
    while True:
        yield from colors


@contextmanager
def _figure(path: Path, size: tuple[float, float]):
    """A figure that is written when the block ends; no setting of Matplotlib outlives it."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(figsize=size, layout="constrained")
        yield figure
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, file.getvalue())
