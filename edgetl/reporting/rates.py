"""The picture and the page of learning-rate range tests."""

from collections.abc import Sequence

import numpy as np

from edgetl.learning_rates import RULE, RateTest
from edgetl.reporting.canvas import COLORS, HEIGHT_PX, drawing, open_figure, to_svg
from edgetl.reporting.pages import mark_safe, render_page

# The loss of a diverging training would flatten all below it.
_HIGHEST = 1.6


def render_rates(tests: Sequence[RateTest], *, title: str, command: str) -> str:
    """Renders one HTML page that needs no network; equal input gives equal text.

    Args:
        tests: Of the stages in order.
        title: Of the page.
        command: The one that trains with the suggested rates.
    """
    return render_page(
        "rates.html.j2",
        title=title,
        rule=RULE,
        tests=tests,
        plots=[
            (one.stage, mark_safe(draw_rate_test(one, f"Loss of {one.stage} over the rate")))
            for one in tests
        ],
        command=command,
    )


def draw_rate_test(test: RateTest, title: str) -> str:
    """Loss of each step's batch and its moving average over the learning rate.

    Returns:
        An `<svg>` element; lines mark where the loss begins to rise, and the suggested rate.
    """
    from matplotlib.ticker import FuncFormatter, NullFormatter

    with drawing():
        figure, axes = open_figure(HEIGHT_PX)
        smoothed = test.smoothed
        axes.plot(test.rates, test.losses, ".", color=COLORS["train"], markersize=4, label="batch")
        axes.plot(test.rates, smoothed, color=COLORS["val"], label="moving average")
        if test.edge is not None:
            edge = test.rates[test.edge]
            axes.axvline(edge, color=COLORS["muted"], dashes=(2, 2), linewidth=1.2, label="rises")
        if test.suggested is not None:
            axes.axvline(test.suggested, color=COLORS["bad"], label="suggested")
        axes.axvline(test.before, color=COLORS["ink"], dashes=(6, 3), linewidth=1, label="current")
        lowest, highest = float(smoothed.min()), float(np.max(smoothed[: (test.edge or 0) + 1]))
        axes.set_ylim(0.85 * lowest, max(1.15 * highest, _HIGHEST * lowest))
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: _tell_rate(rate)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set(xlabel="learning rate (log scale)", ylabel="training loss, nats")
        axes.legend(loc="best", fontsize=11)
        return to_svg(figure, title)


def _tell_rate(rate: float) -> str:
    """`1e-5`, `0.01`."""
    return f"{rate:.0e}".replace("e-0", "e-") if rate < 0.001 else f"{rate:g}"
