"""Labels of points in a plot, placed so that they cover neither points nor each other."""

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING

import msgspec

from edgetl.reporting.canvas import COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FONT_PX = 12
# Of a letter, on the average of common fonts; the browser chooses the font.
_LETTER_PX, _LINE_PX = 0.62 * _FONT_PX, 1.15 * _FONT_PX
_POINT_PX = 7
_DISTANCES_PX = (9, 16, 24, 34, 46, 60)
_DIRECTIONS = 16
# A label so far from its point needs a line to it.
_NEAR_PX = 12
_COVERING, _OUTSIDE, _CROSSING = 1000.0, 3000.0, 0.7


Point = tuple[float, float]


class Label(msgspec.Struct, frozen=True):
    """A point and its name.

    Attributes:
        text: The name.
        x: In the plot's units.
        y: In the plot's units.
        color: Of the text.
    """

    text: str
    x: float
    y: float
    color: str


class _Box(msgspec.Struct, frozen=True):
    """A rectangle in pixels, y upwards."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: "_Box") -> float:
        """The common area, square pixels."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0.0) * max(height, 0.0)

    def leaves(self, other: "_Box") -> bool:
        """True if some of it is outside of the other one."""
        return (
            self.left < other.left
            or self.right > other.right
            or self.bottom < other.bottom
            or self.top > other.top
        )


class _Surroundings(msgspec.Struct, frozen=True):
    """What a label should keep clear of.

    Attributes:
        taken: Points and other labels: not to be covered.
        lines: Thin ones: better not crossed.
        frame: Not to be left.
    """

    taken: list[_Box]
    lines: list[_Box]
    frame: _Box


def place_labels(
    axes: "Axes",
    labels: Sequence[Label],
    *,
    others: Sequence[Point] = (),
    lines: Sequence[tuple[Point, Point]] = (),
) -> None:
    """Writes names beside points, each where it covers least.

    Args:
        axes: With final limits, in a figure of `edgetl.reporting.canvas`.
        labels: The points with names.
        others: Points without a name.
        lines: Horizontal or vertical ones, from left or below, that run near the points.
    """
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    to_px = axes.transData.transform
    points = [tuple(to_px((one.x, one.y))) for one in labels]
    bounds = axes.get_window_extent()
    around = _Surroundings(
        [_surround(*point) for point in (*points, *map(to_px, others))],
        [_Box(*to_px(start), *(to_px(end) + 1)) for start, end in lines],
        _Box(bounds.x0, bounds.y0, bounds.x1, bounds.y1),
    )
    for label, (x, y) in zip(labels, points, strict=True):
        box, distance = min(
            _candidates(label.text, x, y), key=lambda one: one[1] + _cost(one[0], around)
        )
        around.taken.append(box)
        _write(axes, label, box, (x, y), distance)


def _surround(x: float, y: float) -> _Box:
    return _Box(x - _POINT_PX, y - _POINT_PX, x + _POINT_PX, y + _POINT_PX)


def _candidates(text: str, x: float, y: float) -> Iterator[tuple[_Box, float]]:
    """Places around a point and their distances, the nearest first."""
    wide, high = _LETTER_PX * len(text), _LINE_PX
    for distance, step in product(_DISTANCES_PX, range(_DIRECTIONS)):
        angle = 2 * math.pi * step / _DIRECTIONS
        across, up = math.cos(angle), math.sin(angle)
        # The label's nearest side is so far from the point.
        left = x + across * (distance + wide / 2) - wide / 2
        bottom = y + up * (distance + high / 2) - high / 2
        yield _Box(left, bottom, left + wide, bottom + high), distance


def _cost(box: _Box, around: _Surroundings) -> float:
    """How bad a place is, in pixels that a label would rather move."""
    covered = sum(box.overlap(one) for one in around.taken)
    # Lines are a pixel wide: a text that is struck through is worse than one with a bar in it.
    crossed = sum(box.overlap(one) for one in around.lines)
    cost = _CROSSING * crossed + (_OUTSIDE if box.leaves(around.frame) else 0.0)
    return cost + (_COVERING + covered if covered else 0.0)


def _write(axes: "Axes", label: Label, box: _Box, point: Point, distance: float) -> None:
    middle = ((box.left + box.right) / 2 - point[0], (box.bottom + box.top) / 2 - point[1])
    line = {"arrowstyle": "-", "color": COLORS["train"], "linewidth": 0.8, "shrinkB": 5}
    written = axes.annotate(
        label.text,
        (label.x, label.y),
        xytext=middle,
        textcoords="offset pixels",
        ha="center",
        va="center",
        color=label.color,
        fontsize=_FONT_PX,
        arrowprops=line if distance > _NEAR_PX else None,
    )
    written.set_in_layout(False)
