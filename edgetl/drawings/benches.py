"""What lies under the parts: a textured bench with paper, pencil strokes and crumbs."""

import cv2
import numpy as np
from numpy.typing import NDArray

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
    tinted,
)
from edgetl.drawings.parts import PARTS, Lamp, Pose, make_part, place


def _grain_wood(random: Random, side: int) -> Field:
    drift = noise(random, 4, 7, side, side) * pick(random, 0.15, 0.5)
    rings = np.sin((ramp(0, pick(random, 5, 14), side)[:, None] + drift) * FULL_TURN)
    return 1 + pick(random, 0.04, 0.1) * rings + 0.04 * noise(random, 9, 110, side, side)


def _weave_cloth(random: Random, side: int) -> Field:
    threads = field(np.sin(ramp(0, 230, side) * pick(random, 1.3, 2.2)))
    folds = noise(random, 5, 5, side, side) + noise(random, 110, 110, side, side)
    return 1 + 0.07 * threads[:, None] * threads + 0.04 * folds


def _press_paper(random: Random, side: int) -> Field:
    fibres = noise(random, 75, 75, side, side)
    tone = 1 + 0.012 * fibres + 0.025 * noise(random, 4, 4, side, side)
    if random.integers(2):
        tone[:: max(6, side // int(random.integers(10, 20)))] *= 0.87
    return tone


def _rule_mat(random: Random, side: int) -> Field:
    tone = 1 + 0.03 * noise(random, 75, 75, side, side)
    pitch, shine = max(5, round(side * pick(random, 0.06, 0.11))), pick(random, 1.15, 1.4)
    for first, step in ((0, pitch), (1, pitch * 5)):
        tone[first::step] = shine
        tone[:, first::step] = shine
    return tone


def _brush_steel(random: Random, side: int) -> Field:
    sheen = noise(random, 2, 5, side, side)
    return 1 + 0.04 * noise(random, 5, 230, side, side) + 0.08 * sheen


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
    return np.asarray(np.clip(tinted(field(tone), colour), 0, 255), dtype=np.uint8)


def _near_edge(random: Random, frame: Picture, inset: float) -> NDArray[np.float64]:
    """Choose a point (x, y) near the frame's edge; a negative inset lies outside the frame."""
    half = np.array([frame.shape[1], frame.shape[0]]) / 2
    toward = random.uniform(-1, 1, 2)
    edge = toward / np.max(np.abs(toward))
    return np.asarray(half + edge * (half - inset * min(frame.shape[:2])))


def _lay_paper(random: Random, frame: Picture) -> None:
    """Let a sheet reach in from the side, with the thin shadow of its rim."""
    near = _near_edge(random, frame, pick(random, 0.06, 0.25))
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
    length = frame.shape[0] * pick(random, 0.25, 0.45)
    x, y = _near_edge(random, frame, -0.08)
    part = make_part(PARTS[random.integers(len(PARTS))], random, length)
    return place(field(frame), part, Pose(x, y, pick(random, 0, FULL_TURN), length), lamp)


def set_scene(random: Random, size: Size, lamp: Lamp) -> Field:
    """Draw the bench and what lies about on it: (height, width, 3), 0..255."""
    bench = _draw_bench(random, size)
    for chance, lay in ((0.25, _lay_paper), (0.35, _stroke_pencil), (0.5, _scatter_crumbs)):
        if random.random() < chance:
            lay(random, bench)
    return _add_fragment(random, bench, lamp) if random.random() < 0.15 else field(bench)
