"""The parts' shapes: height, coverage and tone of each, drawn from the side that a camera sees."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgetl.drawings.fields import (
    FULL_TURN,
    Field,
    Picture,
    Random,
    cover,
    field,
    pick,
    ramp,
    soften,
    step,
)


@dataclass(frozen=True)
class Relief:
    """A part's shape, one value per pixel; heights and lengths are fractions of its length."""

    height: Field
    coverage: Field
    tone: Field
    thickness: float = 0.01
    reach: float = 0.5


def _grid(half_height: float, pixels: float) -> tuple[Field, Field]:
    """Return x and y in part lengths, zero at the part's centre; parts are 1 long."""
    columns, rows = int(np.ceil(0.5 * pixels)) + 2, int(np.ceil(half_height * pixels)) + 2
    x, y = np.meshgrid(ramp(-columns, columns, 2 * columns + 1), ramp(-rows, rows, 2 * rows + 1))
    return x / pixels, y / pixels


def _shape_washer(random: Random, pixels: float) -> Relief:
    radius = np.hypot(*_grid(0.5, pixels))
    coverage = cover(np.minimum(0.495 - radius, radius - pick(random, 0.23, 0.33)), pixels)
    rounded = soften(coverage, pixels * pick(random, 0.008, 0.02)) * 0.03
    # A pressed washer is slightly dished, which is what sweeps the light around it.
    height = rounded - radius * pick(random, -0.12, 0.2)
    turned = 1 + 0.03 * np.sin(radius * pick(random, 150, 260))
    return Relief(height, coverage, turned, pick(random, 0.01, 0.04))


def _shape_nut(random: Random, pixels: float) -> Relief:
    x, y = _grid(0.5, pixels)
    radius = np.hypot(x, y)
    folded = np.maximum(np.abs(y), 0.866 * np.abs(x) + 0.5 * np.abs(y))
    hole = pick(random, 0.2, 0.26)
    bore = hole * pick(random, 0.74, 0.84)
    coverage = cover(np.minimum(0.428 - folded, radius - bore), pixels)
    # The corners of a real nut are turned down to a circle, so they catch the light apart.
    chamfer = np.maximum(radius - pick(random, 0.385, 0.42), 0) * 0.6
    top = step(radius, hole, 0.02)
    thread = 0.25 + 0.65 * step(np.cos((radius - hole) * 260), 0, 2)
    height = top * 0.035 - chamfer + soften(coverage, pixels * 0.008) * 0.015
    dished = height - radius * pick(random, -0.06, 0.1)
    return Relief(dished, coverage, top + (1 - top) * thread, pick(random, 0.06, 0.16))


def _tooth_depth(random: Random, radius: Field, angle: Field) -> Field:
    """Return the depth inside a rim whose outline swings between a root and a tip radius."""
    teeth = int(random.integers(8, 17))
    tooth = pick(random, 0.085, 0.11) * (11 / teeth) ** 0.5
    wave = np.clip(0.5 + pick(random, 0.8, 1.3) * np.cos(angle * teeth), 0, 1)
    return field(0.495 - tooth * (1 - wave) - radius)


def _window_depth(random: Random, radius: Field, angle: Field, hub: float) -> Field:
    """Return the depth inside the metal around the openings of a gear; some gears have none."""
    count, middle, half = int(random.integers(4, 7)), (hub + 0.355) / 2, (0.335 - hub) / 2
    turn = field(np.abs((angle * count / FULL_TURN) % 1 - 0.5) * FULL_TURN / count * middle)
    beside = np.abs(radius - middle)
    opening = 0.5 * FULL_TURN / count * middle - pick(random, 0.025, 0.04)
    style = random.integers(3)
    if style == 0:
        return np.ones_like(radius)
    if style == 1:
        return field(np.maximum(turn - opening, beside - half))
    return field(np.hypot(turn, beside) - min(half, opening))


def _shape_gear(random: Random, pixels: float) -> Relief:
    x, y = _grid(0.5, pixels)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    hole = pick(random, 0.055, 0.1)
    hub = hole + pick(random, 0.05, 0.08)
    rim = np.minimum(_tooth_depth(random, radius, angle), radius - hole)
    coverage = cover(np.minimum(rim, _window_depth(random, radius, angle, hub)), pixels)
    recess = step(radius, hub, 0.015) * (1 - step(radius, 0.345, 0.015))
    height = soften(coverage, pixels * 0.008) * 0.035 - recess * 0.012
    dished = height - radius * pick(random, -0.06, 0.12)
    tone = 1 - pick(random, 0.1, 0.35) * recess
    return Relief(dished, coverage, tone, pick(random, 0.03, 0.09))


def _thread(x: Field, y: Field, half_shank: float, pitch: float, bare_until: float) -> Field:
    """Return a ridge from 0 to 1 that leans over the shank like a helix; 1 where it is bare."""
    leaning = field((x / pitch + 0.5 * y / half_shank) % 1)
    return np.maximum(np.abs(leaning * 2 - 1), 1 - step(x, bare_until, 0.02))


def _round_bar(y: Field, radius: Field) -> tuple[Field, Field]:
    """Return the height of a bar with this radius along it, and the depth inside its outline."""
    return np.sqrt(np.maximum(radius * np.abs(radius) - y * y, 0)), radius - np.abs(y)


def _hexagonal_head(x: Field, y: Field, start: float, half: float) -> tuple[Field, Field]:
    """Return height and depth of a head whose one facet faces up and whose others slope away."""
    side = np.abs(y) / half
    arch = 0.25 * np.maximum(side - 0.55, 0) ** 2
    depth = np.minimum(np.minimum(half - np.abs(y), start - x), x + 0.495 - arch)
    chamfer = np.maximum(arch - 0.465 - x, 0)
    return half - np.maximum(side - 0.5, 0) * half * 1.3 - chamfer, depth


def _shape_bolt(random: Random, pixels: float) -> Relief:
    start, half_head = pick(random, -0.32, -0.26), pick(random, 0.19, 0.24)
    half_shank = half_head * pick(random, 0.52, 0.6)
    x, y = _grid(half_head, pixels)
    ridge = _thread(x, y, half_shank, pick(random, 0.035, 0.05), start + pick(random, 0, 0.25))
    radius = np.minimum(half_shank, 0.495 - x + half_shank * 0.7) - half_shank * 0.2 * (1 - ridge)
    shank, shank_depth = _round_bar(y, radius)
    head, head_depth = _hexagonal_head(x, y, start, half_head)
    coverage = cover(np.maximum(np.minimum(shank_depth, 0.495 - x), head_depth), pixels)
    in_head = cover(head_depth, pixels)
    # The head shades the first part of the shank where the two meet.
    corner = 1 - 0.5 * step(-np.abs(x - start), -0.008, 0.012)
    tone = (1 - 0.5 * (1 - ridge) * (1 - in_head)) * corner
    height = shank + (head - shank) * in_head
    return Relief(height, coverage, tone, reach=float(np.hypot(0.5, half_head)))


def _screw_head(random: Random, along: Field, half: float) -> Field:
    """Return the radius of a head along its axis, a cone or a dome; negative outside it."""
    head = pick(random, 0.09, 0.13)
    cone = half - np.maximum(along - head * 0.2, 0) * (half / (head * 1.1))
    dome = half * np.sqrt(np.clip(1 - (1 - along / head) ** 2, 0, 1))
    profile = cone if random.integers(2) else dome
    return field(np.where((along < 0) | (along > head), -1, profile))


def _shape_screw(random: Random, pixels: float) -> Relief:
    half_head, half_shank = pick(random, 0.1, 0.135), pick(random, 0.042, 0.058)
    x, y = _grid(half_head, pixels)
    point = np.clip((0.495 - x) / pick(random, 0.16, 0.28), 0, 1)
    ridge = _thread(x, y, half_shank, pick(random, 0.04, 0.058), pick(random, -0.38, -0.2))
    shank, shank_depth = _round_bar(y, half_shank * (point - 0.45 * (1 - ridge)))
    head, head_depth = _round_bar(y, _screw_head(random, x + 0.495, half_head))
    in_head = cover(head_depth, pixels)
    coverage = cover(np.maximum(shank_depth, head_depth), pixels)
    tone = 1 - 0.6 * (1 - ridge) * (1 - in_head)
    height = shank + (head - shank) * in_head
    return Relief(height, coverage, tone, reach=float(np.hypot(0.5, half_head)))


def _coil(random: Random, radius: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the wire's centre line, (points, 2) in part lengths, and which points are in front."""
    turns = int(random.integers(6, 11))
    phase = np.linspace(0, turns * FULL_TURN, turns * 40 + 1)
    from_end = np.minimum(phase, phase[::-1]) / FULL_TURN
    # Closed ends: the coil advances more slowly over its first and last turn.
    along = np.cumsum(0.25 + np.clip(from_end / 1.2, 0, 1))
    along = (along - along[0]) / (along[-1] - along[0]) * 0.94 - 0.47
    return np.stack([along, radius * np.cos(phase)], axis=1), np.sin(phase) > 0


def _draw_wire(
    points: NDArray[np.float64], wanted: NDArray[np.bool_], mask: Picture, width: int
) -> None:
    """Draw, into the mask, the stretches of a line whose points are wanted."""
    ends = np.flatnonzero(np.diff(wanted)) + 1
    for stretch, shown in zip(np.split(points, ends), np.split(wanted, ends), strict=True):
        if shown[0]:
            line = np.rint(stretch * 16).astype(np.int32)
            cv2.polylines(mask, [line], False, 255, width, cv2.LINE_AA, 4)


def _tube(mask: Picture, width: int, pixels: float) -> Field:
    """Return the height of a round wire, from how deep each pixel lies inside its outline."""
    _, solid = cv2.threshold(mask, 127, 255, cv2.THRESH_BINARY)
    from_axis = np.maximum(width / 2 - field(cv2.distanceTransform(solid, cv2.DIST_L2, 3)), 0)
    return soften(np.sqrt(np.maximum((width / 2) ** 2 - from_axis**2, 0)) / pixels, 0.8)


def _shape_spring(random: Random, pixels: float) -> Relief:
    radius, wire = pick(random, 0.13, 0.2), pick(random, 0.032, 0.046)
    line, front = _coil(random, radius)
    x, y = _grid(radius + wire, pixels)
    points = line * pixels + np.array([x.shape[1] - 1, x.shape[0] - 1]) / 2
    width = max(2, round(wire * pixels))
    near, far = np.zeros(x.shape, dtype=np.uint8), np.zeros(x.shape, dtype=np.uint8)
    _draw_wire(points, front, near, width)
    _draw_wire(points, ~front, far, width)
    in_front = field(near) / 255
    far_bulge = _tube(far, width, pixels)
    height = far_bulge + (_tube(near, width, pixels) - far_bulge) * in_front
    # The far half of each turn lies in the shade of the near half.
    shade = 0.75 - 0.4 * np.sqrt(np.maximum(1 - (y / radius) ** 2, 0))
    coverage = np.maximum(in_front, field(far) / 255)
    tone = in_front + (1 - in_front) * shade
    return Relief(height, coverage, tone, reach=float(np.hypot(0.5, radius + wire)))


SHAPES: dict[str, Callable[[Random, float], Relief]] = {
    "bolt": _shape_bolt,
    "gear": _shape_gear,
    "nut": _shape_nut,
    "screw": _shape_screw,
    "spring": _shape_spring,
    "washer": _shape_washer,
}
