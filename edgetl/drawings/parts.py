"""Parts under a lamp: metal, shading, shadow, and their place in the frame."""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from edgetl.drawings.fields import (
    FULL_TURN,
    Field,
    Picture,
    Random,
    Size,
    field,
    noise,
    pick,
    ramp,
    soften,
    tinted,
)
from edgetl.drawings.shapes import SHAPES, Relief

PARTS: tuple[str, ...] = ("bolt", "gear", "nut", "screw", "spring", "washer")


OVERSAMPLING = 2


# Blue, green, red of steel, zinc, yellow zinc, brass and black oxide.
TINTS = ((170, 172, 172), (205, 198, 190), (120, 185, 200), (85, 160, 200), (68, 64, 64))


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
    """The light on the bench; angles in radians, the azimuth in the image's own axes."""

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


def make_part(label: str, random: Random, length: float) -> Part:
    """Make one specimen, drawn for a part of this length in frame pixels."""
    drawn_length = length * OVERSAMPLING
    relief = SHAPES[label](random, drawn_length)
    rows, columns = relief.tone.shape
    wear = noise(random, columns // 6 + 1, rows // 6 + 1, columns, rows)
    return Part(
        relief=replace(relief, tone=relief.tone * (1 + 0.05 * wear)),
        drawn_length=drawn_length,
        tint=field(TINTS[random.integers(len(TINTS))] * random.uniform(0.96, 1.04, 3)),
        gloss=pick(random, 30, 100),
        banding=pick(random, 0.12, 0.3),
        sweep=pick(random, -1.5, 1.5),
        phase=pick(random, 0, FULL_TURN),
    )


def _slopes(relief: Relief, pixels: float, azimuth: float) -> tuple[Field, Field, Field]:
    """Return the surface's unit normal: its share towards the lamp, across that, and upright."""
    x = field(cv2.Sobel(relief.height, cv2.CV_32F, 1, 0, ksize=3, scale=pixels / 8))
    y = field(cv2.Sobel(relief.height, cv2.CV_32F, 0, 1, ksize=3, scale=pixels / 8))
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
    place = ramp(-1, 1, columns) + ramp(-part.sweep, part.sweep, rows)[:, None]
    room = np.sin(toward * 5 + across * 3 + place + part.phase)
    visible = relief.tone * relief.coverage
    metal = (0.2 + 0.7 * facing(lamp.slant) + part.banding * room) * visible
    shine = field(cv2.pow(facing(lamp.slant / 2), 16)) * part.gloss * visible
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
    return field(cv2.resize(turned, size, interpolation=cv2.INTER_AREA))


def _sweep(coverage: Field, x: float, y: float) -> Field:
    """Return everything the coverage passes over while it slides by (x, y) pixels."""
    reach = int(np.ceil(max(abs(x), abs(y))))
    path = np.zeros((2 * reach + 1, 2 * reach + 1), dtype=np.uint8)
    # Dilation looks backwards along the path, so the path is drawn towards the opposite side.
    cv2.line(path, (reach, reach), (round(reach - x), round(reach - y)), 1)
    return field(cv2.dilate(coverage, path))


def _shadow(body: Field, pose: Pose, lamp: Lamp) -> Field:
    """Return how dark the bench is under the part (sharp) and beside it (soft)."""
    reach = pose.length * 0.07 * math.tan(lamp.slant)
    away = [[1, 0, -reach * math.cos(lamp.azimuth)], [0, 1, -reach * math.sin(lamp.azimuth)]]
    moved = field(cv2.warpAffine(body, np.array(away), body.shape[::-1]))
    soft = soften(moved, pose.length * 0.035)
    return 0.35 * soften(body, pose.length * 0.015) + 0.4 * soft


def place(frame: Field, part: Part, pose: Pose, lamp: Lamp) -> Field:
    """Lay a part on the bench: shadow first, then its sides, then its lit face."""
    lit = _shade(part, lamp, pose.angle)
    scale = pose.length * OVERSAMPLING / part.drawn_length
    turned = _turn_into_frame(lit, scale, pose, (frame.shape[1], frame.shape[0]))
    cover = turned[:, :, 3] / 255
    rise = part.relief.thickness * pose.length
    body = _sweep(cover, pose.lean[0] * rise, pose.lean[1] * rise)
    seen = (1 - _shadow(body, pose, lamp)) * (1 - body)
    side = tinted(body - cover, part.tint * 0.4)
    return frame * tinted(seen, (1, 1, 1)) + side + turned[:, :, :3]


def room_light(size: Size, lamp: Lamp) -> Field:
    """Return each pixel's brightness, (height, width, 3): brighter towards the lamp."""
    x, y = ramp(-0.5, 0.5, size[0]), ramp(-0.5, 0.5, size[1])[:, None]
    slope = x * math.cos(lamp.azimuth) + y * math.sin(lamp.azimuth)
    level = lamp.brightness * (1 + 0.35 * slope)
    return tinted(level, (1 - lamp.warmth, 1, 1 + lamp.warmth))


def choose_lamp(random: Random) -> Lamp:
    """Draws the light of one image."""
    return Lamp(
        azimuth=pick(random, 0, FULL_TURN),
        slant=pick(random, 0.4, 0.95),
        brightness=pick(random, 0.75, 1.25),
        warmth=pick(random, -0.08, 0.12),
    )
