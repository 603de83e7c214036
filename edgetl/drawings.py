"""Camera-like drawings of hardware parts, so that the demo needs no network and no download.

A picture is made the way a photograph is: a textured bench, a part with a height profile, a lamp
that shades the part and throws its shadow, and a cheap camera that blurs and adds noise.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["PARTS", "draw_part", "draw_video"]

PARTS: tuple[str, ...] = ("bolt", "gear", "nut", "screw", "spring", "washer")

Picture = NDArray[np.uint8]
# Every field is computed in float32; the type is wider because NumPy's stubs lose the precision.
Field = NDArray[np.floating]
Random = np.random.Generator
Size = tuple[int, int]

FULL_TURN = 2 * math.pi
OVERSAMPLING = 2
FRAMES_PER_SECOND = 30
# Blue, green, red of steel, zinc, yellow zinc, brass and black oxide.
TINTS = ((170, 172, 172), (205, 198, 190), (120, 185, 200), (85, 160, 200), (68, 64, 64))


@dataclass(frozen=True)
class Relief:
    """A part's shape, one value per pixel; heights and lengths are fractions of its length."""

    height: Field
    coverage: Field
    tone: Field
    thickness: float = 0.01
    reach: float = 0.5


@dataclass(frozen=True)
class Part:
    """One specimen: its relief, the length in pixels it was drawn at, and its metal."""

    relief: Relief
    drawn_length: float
    tint: Field
    gloss: float
    banding: float
    sweep: float
    phase: float


@dataclass(frozen=True)
class Lamp:
    """The light on the bench; angles in radians, the azimuth in the picture's own axes."""

    azimuth: float
    slant: float
    brightness: float
    warmth: float


@dataclass(frozen=True)
class Pose:
    """Where a part lies: centre and length in frame pixels; how far it leans from the camera."""

    x: float
    y: float
    angle: float
    length: float
    lean: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Lens:
    """What a cheap camera does; blurs are fractions of the frame's height."""

    defocus: float
    smear: float
    smear_angle: float
    noise: float
    vignette: float
    jpeg_quality: int


def _field(values: object) -> Field:
    return np.asarray(values, dtype=np.float32)


def _pick(random: Random, low: float, high: float) -> float:
    return float(random.uniform(low, high))


def _ramp(low: float, high: float, count: int) -> Field:
    return np.linspace(low, high, count, dtype=np.float32)


def _noise(random: Random, columns: int, rows: int, width: int, height: int) -> Field:
    """Enlarge a coarse random grid to smooth noise of the wanted size."""
    coarse = random.standard_normal((rows, columns), dtype=np.float32)
    return _field(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR))


def _soften(values: Field, sigma: float) -> Field:
    return values if sigma < 0.15 else _field(cv2.GaussianBlur(values, (0, 0), sigma))


def _grid(half_height: float, pixels: float) -> tuple[Field, Field]:
    """Return x and y in part lengths, zero at the part's centre; parts are 1 long."""
    columns, rows = int(np.ceil(0.5 * pixels)) + 2, int(np.ceil(half_height * pixels)) + 2
    x, y = np.meshgrid(_ramp(-columns, columns, 2 * columns + 1), _ramp(-rows, rows, 2 * rows + 1))
    return x / pixels, y / pixels


def _cover(depth: Field, pixels: float) -> Field:
    """Turn a depth inside an outline into an antialiased coverage between 0 and 1."""
    return _field(np.clip(depth * pixels + 0.5, 0, 1))


def _tinted(values: Field, colour: Iterable[float]) -> Field:
    """Colour a field, (rows, columns, 3); a merge is several times faster than broadcasting."""
    return _field(cv2.merge([values * float(channel) for channel in colour]))


def _step(values: Field, edge: float, width: float) -> Field:
    """Rise from 0 to 1 as the values pass the edge, over the given width."""
    return _field(np.clip((values - edge) / width + 0.5, 0, 1))


def _shape_washer(random: Random, pixels: float) -> Relief:
    radius = np.hypot(*_grid(0.5, pixels))
    coverage = _cover(np.minimum(0.495 - radius, radius - _pick(random, 0.23, 0.33)), pixels)
    rounded = _soften(coverage, pixels * _pick(random, 0.008, 0.02)) * 0.03
    # A pressed washer is slightly dished, which is what sweeps the light around it.
    height = rounded - radius * _pick(random, -0.12, 0.2)
    turned = 1 + 0.03 * np.sin(radius * _pick(random, 150, 260))
    return Relief(height, coverage, turned, _pick(random, 0.01, 0.04))


def _shape_nut(random: Random, pixels: float) -> Relief:
    x, y = _grid(0.5, pixels)
    radius = np.hypot(x, y)
    folded = np.maximum(np.abs(y), 0.866 * np.abs(x) + 0.5 * np.abs(y))
    hole = _pick(random, 0.2, 0.26)
    bore = hole * _pick(random, 0.74, 0.84)
    coverage = _cover(np.minimum(0.428 - folded, radius - bore), pixels)
    # The corners of a real nut are turned down to a circle, so they catch the light apart.
    chamfer = np.maximum(radius - _pick(random, 0.385, 0.42), 0) * 0.6
    top = _step(radius, hole, 0.02)
    thread = 0.25 + 0.65 * _step(np.cos((radius - hole) * 260), 0, 2)
    height = top * 0.035 - chamfer + _soften(coverage, pixels * 0.008) * 0.015
    dished = height - radius * _pick(random, -0.06, 0.1)
    return Relief(dished, coverage, top + (1 - top) * thread, _pick(random, 0.06, 0.16))


def _tooth_depth(random: Random, radius: Field, angle: Field) -> Field:
    """Return the depth inside a rim whose outline swings between a root and a tip radius."""
    teeth = int(random.integers(8, 17))
    tooth = _pick(random, 0.085, 0.11) * (11 / teeth) ** 0.5
    wave = np.clip(0.5 + _pick(random, 0.8, 1.3) * np.cos(angle * teeth), 0, 1)
    return _field(0.495 - tooth * (1 - wave) - radius)


def _window_depth(random: Random, radius: Field, angle: Field, hub: float) -> Field:
    """Return the depth inside the metal around the openings of a gear; some gears have none."""
    count, middle, half = int(random.integers(4, 7)), (hub + 0.355) / 2, (0.335 - hub) / 2
    turn = _field(np.abs((angle * count / FULL_TURN) % 1 - 0.5) * FULL_TURN / count * middle)
    beside = np.abs(radius - middle)
    opening = 0.5 * FULL_TURN / count * middle - _pick(random, 0.025, 0.04)
    style = random.integers(3)
    if style == 0:
        return np.ones_like(radius)
    if style == 1:
        return _field(np.maximum(turn - opening, beside - half))
    return _field(np.hypot(turn, beside) - min(half, opening))


def _shape_gear(random: Random, pixels: float) -> Relief:
    x, y = _grid(0.5, pixels)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    hole = _pick(random, 0.055, 0.1)
    hub = hole + _pick(random, 0.05, 0.08)
    rim = np.minimum(_tooth_depth(random, radius, angle), radius - hole)
    coverage = _cover(np.minimum(rim, _window_depth(random, radius, angle, hub)), pixels)
    recess = _step(radius, hub, 0.015) * (1 - _step(radius, 0.345, 0.015))
    height = _soften(coverage, pixels * 0.008) * 0.035 - recess * 0.012
    dished = height - radius * _pick(random, -0.06, 0.12)
    tone = 1 - _pick(random, 0.1, 0.35) * recess
    return Relief(dished, coverage, tone, _pick(random, 0.03, 0.09))


def _thread(x: Field, y: Field, half_shank: float, pitch: float, bare_until: float) -> Field:
    """Return a ridge from 0 to 1 that leans over the shank like a helix; 1 where it is bare."""
    leaning = _field((x / pitch + 0.5 * y / half_shank) % 1)
    return np.maximum(np.abs(leaning * 2 - 1), 1 - _step(x, bare_until, 0.02))


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
    start, half_head = _pick(random, -0.32, -0.26), _pick(random, 0.19, 0.24)
    half_shank = half_head * _pick(random, 0.52, 0.6)
    x, y = _grid(half_head, pixels)
    ridge = _thread(x, y, half_shank, _pick(random, 0.035, 0.05), start + _pick(random, 0, 0.25))
    radius = np.minimum(half_shank, 0.495 - x + half_shank * 0.7) - half_shank * 0.2 * (1 - ridge)
    shank, shank_depth = _round_bar(y, radius)
    head, head_depth = _hexagonal_head(x, y, start, half_head)
    coverage = _cover(np.maximum(np.minimum(shank_depth, 0.495 - x), head_depth), pixels)
    in_head = _cover(head_depth, pixels)
    # The head shades the first part of the shank where the two meet.
    corner = 1 - 0.5 * _step(-np.abs(x - start), -0.008, 0.012)
    tone = (1 - 0.5 * (1 - ridge) * (1 - in_head)) * corner
    height = shank + (head - shank) * in_head
    return Relief(height, coverage, tone, reach=float(np.hypot(0.5, half_head)))


def _screw_head(random: Random, along: Field, half: float) -> Field:
    """Return the radius of a head along its axis, a cone or a dome; negative outside it."""
    head = _pick(random, 0.09, 0.13)
    cone = half - np.maximum(along - head * 0.2, 0) * (half / (head * 1.1))
    dome = half * np.sqrt(np.clip(1 - (1 - along / head) ** 2, 0, 1))
    profile = cone if random.integers(2) else dome
    return _field(np.where((along < 0) | (along > head), -1, profile))


def _shape_screw(random: Random, pixels: float) -> Relief:
    half_head, half_shank = _pick(random, 0.1, 0.135), _pick(random, 0.042, 0.058)
    x, y = _grid(half_head, pixels)
    point = np.clip((0.495 - x) / _pick(random, 0.16, 0.28), 0, 1)
    ridge = _thread(x, y, half_shank, _pick(random, 0.04, 0.058), _pick(random, -0.38, -0.2))
    shank, shank_depth = _round_bar(y, half_shank * (point - 0.45 * (1 - ridge)))
    head, head_depth = _round_bar(y, _screw_head(random, x + 0.495, half_head))
    in_head = _cover(head_depth, pixels)
    coverage = _cover(np.maximum(shank_depth, head_depth), pixels)
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
    from_axis = np.maximum(width / 2 - _field(cv2.distanceTransform(solid, cv2.DIST_L2, 3)), 0)
    return _soften(np.sqrt(np.maximum((width / 2) ** 2 - from_axis**2, 0)) / pixels, 0.8)


def _shape_spring(random: Random, pixels: float) -> Relief:
    radius, wire = _pick(random, 0.13, 0.2), _pick(random, 0.032, 0.046)
    line, front = _coil(random, radius)
    x, y = _grid(radius + wire, pixels)
    points = line * pixels + np.array([x.shape[1] - 1, x.shape[0] - 1]) / 2
    width = max(2, round(wire * pixels))
    near, far = np.zeros(x.shape, dtype=np.uint8), np.zeros(x.shape, dtype=np.uint8)
    _draw_wire(points, front, near, width)
    _draw_wire(points, ~front, far, width)
    in_front = _field(near) / 255
    far_bulge = _tube(far, width, pixels)
    height = far_bulge + (_tube(near, width, pixels) - far_bulge) * in_front
    # The far half of each turn lies in the shade of the near half.
    shade = 0.75 - 0.4 * np.sqrt(np.maximum(1 - (y / radius) ** 2, 0))
    coverage = np.maximum(in_front, _field(far) / 255)
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


def _make_part(label: str, random: Random, length: float) -> Part:
    """Make one specimen, drawn for a part of this length in frame pixels."""
    drawn_length = length * OVERSAMPLING
    relief = SHAPES[label](random, drawn_length)
    rows, columns = relief.tone.shape
    wear = _noise(random, columns // 6 + 1, rows // 6 + 1, columns, rows)
    return Part(
        relief=replace(relief, tone=relief.tone * (1 + 0.05 * wear)),
        drawn_length=drawn_length,
        tint=_field(TINTS[random.integers(len(TINTS))] * random.uniform(0.96, 1.04, 3)),
        gloss=_pick(random, 30, 100),
        banding=_pick(random, 0.12, 0.3),
        sweep=_pick(random, -1.5, 1.5),
        phase=_pick(random, 0, FULL_TURN),
    )


def _slopes(relief: Relief, pixels: float, azimuth: float) -> tuple[Field, Field, Field]:
    """Return the surface's unit normal: its share towards the lamp, across that, and upright."""
    x = _field(cv2.Sobel(relief.height, cv2.CV_32F, 1, 0, ksize=3, scale=pixels / 8))
    y = _field(cv2.Sobel(relief.height, cv2.CV_32F, 0, 1, ksize=3, scale=pixels / 8))
    upright = 1 / np.sqrt(1 + x * x + y * y)
    cosine, sine = math.cos(azimuth), math.sin(azimuth)
    return (x * cosine + y * sine) * -upright, (x * sine - y * cosine) * upright, upright


def _shade(part: Part, lamp: Lamp, angle: float) -> Picture:
    """Light a part: uint8 (rows, columns, 4), BGR times coverage, then coverage.

    The lamp turns against the part's angle, because shading happens before the part is turned.
    """
    relief = part.relief
    toward, across, upright = _slopes(relief, part.drawn_length, lamp.azimuth - angle)

    def facing(slant: float) -> Field:
        return np.maximum(toward * math.sin(slant) + upright * math.cos(slant), 0)

    # Bare metal mirrors the room: bands that follow the tilt and, over a flat face, the place.
    rows, columns = toward.shape
    place = _ramp(-1, 1, columns) + _ramp(-part.sweep, part.sweep, rows)[:, None]
    room = np.sin(toward * 5 + across * 3 + place + part.phase)
    visible = relief.tone * relief.coverage
    metal = (0.2 + 0.7 * facing(lamp.slant) + part.banding * room) * visible
    shine = _field(cv2.pow(facing(lamp.slant / 2), 16)) * part.gloss * visible
    lit = cv2.merge([*(metal * tint + shine for tint in part.tint), relief.coverage * 255])
    return np.asarray(np.clip(lit, 0, 255), dtype=np.uint8)


def _turn_into_frame(lit: Picture, scale: float, pose: Pose, size: Size) -> Field:
    """Rotate and move a lit part into the frame: (height, width, 4), drawn larger, reduced."""
    centre = np.array([lit.shape[1] - 1, lit.shape[0] - 1]) / 2
    cosine, sine = scale * math.cos(pose.angle), scale * math.sin(pose.angle)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    move = np.array([pose.x, pose.y]) * OVERSAMPLING - turn @ centre
    large = (size[0] * OVERSAMPLING, size[1] * OVERSAMPLING)
    turned = cv2.warpAffine(lit, np.column_stack([turn, move]), large)
    return _field(cv2.resize(turned, size, interpolation=cv2.INTER_AREA))


def _sweep(coverage: Field, x: float, y: float) -> Field:
    """Return everything the coverage passes over while it slides by (x, y) pixels."""
    reach = int(np.ceil(max(abs(x), abs(y))))
    path = np.zeros((2 * reach + 1, 2 * reach + 1), dtype=np.uint8)
    # Dilation looks backwards along the path, so the path is drawn towards the opposite side.
    cv2.line(path, (reach, reach), (round(reach - x), round(reach - y)), 1)
    return _field(cv2.dilate(coverage, path))


def _shadow(body: Field, pose: Pose, lamp: Lamp) -> Field:
    """Return how dark the bench is under the part (sharp) and beside it (soft)."""
    reach = pose.length * 0.07 * math.tan(lamp.slant)
    away = [[1, 0, -reach * math.cos(lamp.azimuth)], [0, 1, -reach * math.sin(lamp.azimuth)]]
    moved = _field(cv2.warpAffine(body, np.array(away), body.shape[::-1]))
    soft = _soften(moved, pose.length * 0.035)
    return 0.35 * _soften(body, pose.length * 0.015) + 0.4 * soft


def _place(frame: Field, part: Part, pose: Pose, lamp: Lamp) -> Field:
    """Lay a part on the bench: shadow first, then its sides, then its lit face."""
    lit = _shade(part, lamp, pose.angle)
    scale = pose.length * OVERSAMPLING / part.drawn_length
    turned = _turn_into_frame(lit, scale, pose, (frame.shape[1], frame.shape[0]))
    cover = turned[:, :, 3] / 255
    rise = part.relief.thickness * pose.length
    body = _sweep(cover, pose.lean[0] * rise, pose.lean[1] * rise)
    seen = (1 - _shadow(body, pose, lamp)) * (1 - body)
    side = _tinted(body - cover, part.tint * 0.4)
    return frame * _tinted(seen, (1, 1, 1)) + side + turned[:, :, :3]


def _room_light(size: Size, lamp: Lamp) -> Field:
    """Return each pixel's brightness, (height, width, 3): brighter towards the lamp."""
    x, y = _ramp(-0.5, 0.5, size[0]), _ramp(-0.5, 0.5, size[1])[:, None]
    slope = x * math.cos(lamp.azimuth) + y * math.sin(lamp.azimuth)
    level = lamp.brightness * (1 + 0.35 * slope)
    return _tinted(level, (1 - lamp.warmth, 1, 1 + lamp.warmth))


def _choose_lamp(random: Random) -> Lamp:
    return Lamp(
        azimuth=_pick(random, 0, FULL_TURN),
        slant=_pick(random, 0.4, 0.95),
        brightness=_pick(random, 0.75, 1.25),
        warmth=_pick(random, -0.08, 0.12),
    )


def _grain_wood(random: Random, side: int) -> Field:
    drift = _noise(random, 4, 7, side, side) * _pick(random, 0.15, 0.5)
    rings = np.sin((_ramp(0, _pick(random, 5, 14), side)[:, None] + drift) * FULL_TURN)
    return 1 + _pick(random, 0.04, 0.1) * rings + 0.04 * _noise(random, 9, 110, side, side)


def _weave_cloth(random: Random, side: int) -> Field:
    threads = _field(np.sin(_ramp(0, 230, side) * _pick(random, 1.3, 2.2)))
    folds = _noise(random, 5, 5, side, side) + _noise(random, 110, 110, side, side)
    return 1 + 0.07 * threads[:, None] * threads + 0.04 * folds


def _press_paper(random: Random, side: int) -> Field:
    fibres = _noise(random, 75, 75, side, side)
    tone = 1 + 0.012 * fibres + 0.025 * _noise(random, 4, 4, side, side)
    if random.integers(2):
        tone[:: max(6, side // int(random.integers(10, 20)))] *= 0.87
    return tone


def _rule_mat(random: Random, side: int) -> Field:
    tone = 1 + 0.03 * _noise(random, 75, 75, side, side)
    pitch, shine = max(5, round(side * _pick(random, 0.06, 0.11))), _pick(random, 1.15, 1.4)
    for first, step in ((0, pitch), (1, pitch * 5)):
        tone[first::step] = shine
        tone[:, first::step] = shine
    return tone


def _brush_steel(random: Random, side: int) -> Field:
    sheen = _noise(random, 2, 5, side, side)
    return 1 + 0.04 * _noise(random, 5, 230, side, side) + 0.08 * sheen


# Each bench has a texture and a range of colours in blue, green, red.
BENCHES = (
    (_grain_wood, (60, 95, 140), (130, 175, 215)),
    (_weave_cloth, (85, 85, 85), (140, 135, 130)),
    (_press_paper, (195, 205, 205), (228, 232, 232)),
    (_rule_mat, (70, 90, 25), (105, 125, 55)),
    (_brush_steel, (125, 125, 120), (175, 170, 165)),
)


def _draw_bench(random: Random, size: Size) -> Picture:
    """Draw a textured bench, turned by any angle."""
    texture, low, high = BENCHES[random.integers(len(BENCHES))]
    side = int(np.ceil(np.hypot(*size))) + 2
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), random.uniform(0, 360), 1)
    move = np.array([[0, 0, size[0] - side], [0, 0, size[1] - side]]) / 2
    tone = cv2.warpAffine(texture(random, side), turn + move, size, borderMode=cv2.BORDER_REFLECT)
    colour = np.array(low) + random.random() * (np.array(high) - np.array(low))
    return np.asarray(np.clip(_tinted(_field(tone), colour), 0, 255), dtype=np.uint8)


def _near_edge(random: Random, frame: Picture, inset: float) -> NDArray[np.float64]:
    """Choose a point (x, y) near the frame's edge; a negative inset lies outside the frame."""
    half = np.array([frame.shape[1], frame.shape[0]]) / 2
    toward = random.uniform(-1, 1, 2)
    edge = toward / np.max(np.abs(toward))
    return np.asarray(half + edge * (half - inset * min(frame.shape[:2])))


def _lay_paper(random: Random, frame: Picture) -> None:
    """Let a sheet reach in from the side, with the thin shadow of its rim."""
    near = _near_edge(random, frame, _pick(random, 0.06, 0.25))
    outward = (near - np.array([frame.shape[1], frame.shape[0]]) / 2) * 9
    beside = np.array([-outward[1], outward[0]])
    corners = near + np.array([-beside, beside, beside + outward, outward - beside])
    for shift, level in ((np.sign(outward) * -1.5, 90), (0, int(random.integers(190, 245)))):
        points = np.rint((corners + shift) * 16).astype(np.int32)
        cv2.fillPoly(frame, [points], (level, level, level), cv2.LINE_AA, 4)


def _stroke_pencil(random: Random, frame: Picture) -> None:
    """Draw a thin curved pencil mark on the bench."""
    bends = np.cumsum(random.normal(0, 0.012, (12, 2)), axis=0) + random.normal(0, 0.03, 2)
    points = np.cumsum(bends, axis=0) * frame.shape[0] + _near_edge(random, frame, 0.1)
    layer = frame.copy()
    line = np.rint(points * 16).astype(np.int32)
    cv2.polylines(layer, [line], False, (50, 45, 45), 1, cv2.LINE_AA, 4)
    cv2.addWeighted(layer, 0.6, frame, 0.4, 0, frame)


def _scatter_crumbs(random: Random, frame: Picture) -> None:
    """Scatter filings and dust: dots of a few pixels, each with a dark lower side."""
    unit = frame.shape[0] / 10
    for _ in range(int(random.integers(2, 9))):
        x, y = (int(extent * random.uniform(0, 16)) for extent in frame.shape[1::-1])
        radius, level = int(unit * random.uniform(0.4, 1.5)), int(random.integers(40, 230))
        cv2.circle(frame, (x + int(unit), y + int(unit)), radius, (40, 40, 40), -1, cv2.LINE_AA, 4)
        cv2.circle(frame, (x, y), radius, (level, level, level), -1, cv2.LINE_AA, 4)


def _add_fragment(random: Random, frame: Picture, lamp: Lamp) -> Field:
    """Let a piece of some part reach in over the edge; most of it stays outside."""
    length = frame.shape[0] * _pick(random, 0.25, 0.45)
    x, y = _near_edge(random, frame, -0.08)
    part = _make_part(PARTS[random.integers(len(PARTS))], random, length)
    return _place(_field(frame), part, Pose(x, y, _pick(random, 0, FULL_TURN), length), lamp)


def _set_scene(random: Random, size: Size, lamp: Lamp) -> Field:
    """Draw the bench and what lies about on it: (height, width, 3), 0..255."""
    bench = _draw_bench(random, size)
    for chance, lay in ((0.25, _lay_paper), (0.35, _stroke_pencil), (0.5, _scatter_crumbs)):
        if random.random() < chance:
            lay(random, bench)
    return _add_fragment(random, bench, lamp) if random.random() < 0.15 else _field(bench)


def _choose_lens(random: Random) -> Lens:
    return Lens(
        defocus=float(random.beta(1.2, 3)) * 0.008,
        smear=_pick(random, 0.01, 0.025) if random.random() < 0.2 else 0.0,
        smear_angle=_pick(random, 0, FULL_TURN),
        noise=_pick(random, 1.5, 5),
        vignette=_pick(random, 0.1, 0.5),
        jpeg_quality=int(random.integers(60, 96)),
    )


def _smear(frame: Field, reach: float, angle: float) -> Field:
    """Average along a short line, as a camera that moves during the exposure does."""
    half = round(reach / 2)
    path = np.zeros((2 * half + 1, 2 * half + 1), dtype=np.float32)
    x, y = round(half * math.cos(angle)), round(half * math.sin(angle))
    cv2.line(path, (half - x, half - y), (half + x, half + y), 1)
    return _field(cv2.filter2D(frame, -1, path / path.sum())) if half else frame


def _photograph(random: Random, scene: Field, lens: Lens) -> Picture:
    """Blur, darken the corners, add noise and compress: uint8 (height, width, 3).

    The grain is stronger in a larger frame, because reducing a frame for a model averages it away.
    """
    height, width = scene.shape[:2]
    smeared = _smear(scene, lens.smear * height, lens.smear_angle)
    x, y = _ramp(-0.7, 0.7, width), _ramp(-0.7, 0.7, height)[:, None]
    dimmed = _tinted(1 - lens.vignette * (x * x + y * y), (1, 1, 1))
    grains = random.standard_normal(scene.shape, dtype=np.float32) * (lens.noise * height / 160)
    seen = np.clip(_soften(smeared, lens.defocus * height) * dimmed + grains, 0, 255)
    quality = [cv2.IMWRITE_JPEG_QUALITY, lens.jpeg_quality]
    _, code = cv2.imencode(".jpg", np.asarray(seen, dtype=np.uint8), quality)
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), dtype=np.uint8)


def _check_label(label: str) -> None:
    if label not in PARTS:
        raise ValueError(f"Unknown part {label!r}; the parts are {', '.join(PARTS)}.")


def _choose_part(label: str, random: Random, size: Size) -> tuple[Part, Pose, float]:
    """Choose a part, a pose in the frame's middle, and how far it may move from there."""
    # Round parts fill a frame sooner than long ones do.
    low, high = (0.5, 0.7) if label in ("gear", "nut", "washer") else (0.62, 0.75)
    length = _pick(random, low, high) * min(size)
    part = _make_part(label, random, length)
    lean = _pick(random, -0.7, 0.7), _pick(random, -0.7, 0.7)
    pose = Pose(size[0] / 2, size[1] / 2, _pick(random, 0, FULL_TURN), length, lean)
    # A thick part that leans shows its side beside its face, and that must stay in view too.
    reach = part.relief.reach + 0.7 * part.relief.thickness
    return part, pose, max(0.0, 0.48 * min(size) - reach * length)


def draw_part(label: str, seed: int, size_px: int = 160) -> Picture:
    """Draw one camera-like picture of a part on a bench.

    Args:
        label: One of PARTS.
        seed: Zero or more; the same label and seed always give the same picture.
        size_px: Width and height of the picture.

    Returns:
        uint8 array of shape (size_px, size_px, 3): rows, columns, then blue, green, red; 0..255.

    Raises:
        ValueError: If the label is not one of PARTS.

    """
    _check_label(label)
    # Python's own hash is salted per process, so the seed is built from plain numbers only.
    random = np.random.default_rng([PARTS.index(label), seed])
    size = (size_px, size_px)
    lamp = _choose_lamp(random)
    bench = _set_scene(random, size, lamp)
    part, middle, room = _choose_part(label, random, size)
    x, y = random.uniform(-room, room, 2)
    scene = _place(bench, part, replace(middle, x=middle.x + x, y=middle.y + y), lamp)
    return _photograph(random, scene * _room_light(size, lamp), _choose_lens(random))


def _pose_after(seconds: float, start: Pose, loop: tuple[float, float, float]) -> Pose:
    """Move a part along its loop (half width, half height, turn a second) over the bench."""
    return replace(
        start,
        x=start.x + loop[0] * math.sin(1.2 * seconds),
        y=start.y + loop[1] * math.sin(1.6 * seconds + 1),
        angle=start.angle + loop[2] * seconds,
        length=start.length * (0.94 + 0.06 * math.cos(0.8 * seconds)),
    )


def _lamp_after(seconds: float, lamp: Lamp) -> Lamp:
    """Change the light slowly, as passing clouds do."""
    return replace(
        lamp,
        azimuth=lamp.azimuth + 0.3 * math.sin(seconds / 3),
        brightness=lamp.brightness * (1 + 0.12 * math.sin(seconds / 1.7)),
        warmth=lamp.warmth + 0.03 * math.sin(seconds / 4),
    )


def _film(
    labels: Sequence[str], frames_per_part: int, seed: int, size: Size
) -> Iterator[tuple[Picture, str]]:
    # The first number is no part's index, so a video repeats no picture's choices.
    random = np.random.default_rng([len(PARTS), seed])
    first_lamp, lens = _choose_lamp(random), replace(_choose_lens(random), smear=0.0)
    bench = _set_scene(random, size, first_lamp)
    for place, label in enumerate(labels):
        part, start, room = _choose_part(label, random, size)
        loop = room * _pick(random, 0.4, 1), room * _pick(random, 0.4, 1), _pick(random, -0.9, 0.9)
        for frame in range(frames_per_part):
            lamp = _lamp_after((place * frames_per_part + frame) / FRAMES_PER_SECOND, first_lamp)
            pose = _pose_after(frame / FRAMES_PER_SECOND, start, loop)
            scene = _place(bench, part, pose, lamp) * _room_light(size, lamp)
            yield _photograph(random, scene, lens), label


def draw_video(
    labels: Sequence[str], frames_per_part: int, seed: int, size_px: Size = (320, 240)
) -> Iterator[tuple[Picture, str]]:
    """Draw what a camera sees while each part in turn moves over one bench.

    Args:
        labels: The parts in the order they appear, each one of PARTS.
        frames_per_part: How many frames show each part, at 30 frames a second.
        seed: Zero or more; the same arguments and seed always give the same frames.
        size_px: Width and height of a frame.

    Returns:
        An iterator over pairs of a frame and the label of the part in it. The frame is a uint8
        array of shape (height, width, 3): rows, columns, then blue, green, red; 0..255.

    Raises:
        ValueError: If a label is not one of PARTS.

    """
    # The check runs here, not in the generator, so that a wrong label fails at the call.
    for label in labels:
        _check_label(label)
    return _film(tuple(labels), frames_per_part, seed, size_px)
