"""Images and videos of parts, as a cheap camera takes them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from edgetl.drawings.benches import set_scene
from edgetl.drawings.fields import (
    FULL_TURN,
    Field,
    Picture,
    Random,
    Size,
    field,
    pick,
    ramp,
    soften,
    tinted,
)
from edgetl.drawings.parts import PARTS, Lamp, Part, Pose, choose_lamp, make_part, place, room_light

FRAMES_PER_SECOND = 30


@dataclass(frozen=True)
class Lens:
    """What a cheap camera does; blurs are fractions of the frame's height."""

    defocus: float
    smear: float
    smear_angle: float
    noise: float
    vignette: float
    jpeg_quality: int


def _choose_lens(random: Random) -> Lens:
    return Lens(
        defocus=float(random.beta(1.2, 3)) * 0.008,
        smear=pick(random, 0.01, 0.025) if random.random() < 0.2 else 0.0,
        smear_angle=pick(random, 0, FULL_TURN),
        noise=pick(random, 1.5, 5),
        vignette=pick(random, 0.1, 0.5),
        jpeg_quality=int(random.integers(60, 96)),
    )


def _smear(frame: Field, reach: float, angle: float) -> Field:
    """Average along a short line, as a camera that moves during the exposure does."""
    half = round(reach / 2)
    path = np.zeros((2 * half + 1, 2 * half + 1), dtype=np.float32)
    x, y = round(half * math.cos(angle)), round(half * math.sin(angle))
    cv2.line(path, (half - x, half - y), (half + x, half + y), 1)
    return field(cv2.filter2D(frame, -1, path / path.sum())) if half else frame


def _photograph(random: Random, scene: Field, lens: Lens) -> Picture:
    """Blur, darken the corners, add noise and compress: uint8 (height, width, 3).

    The grain is stronger in a larger frame, because reducing a frame for a model averages it away.
    """
    height, width = scene.shape[:2]
    smeared = _smear(scene, lens.smear * height, lens.smear_angle)
    x, y = ramp(-0.7, 0.7, width), ramp(-0.7, 0.7, height)[:, None]
    dimmed = tinted(1 - lens.vignette * (x * x + y * y), (1, 1, 1))
    grains = random.standard_normal(scene.shape, dtype=np.float32) * (lens.noise * height / 160)
    seen = np.clip(soften(smeared, lens.defocus * height) * dimmed + grains, 0, 255)
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
    length = pick(random, low, high) * min(size)
    part = make_part(label, random, length)
    lean = pick(random, -0.7, 0.7), pick(random, -0.7, 0.7)
    pose = Pose(size[0] / 2, size[1] / 2, pick(random, 0, FULL_TURN), length, lean)
    # A thick part that leans shows its side beside its face, and that must stay in view too.
    reach = part.relief.reach + 0.7 * part.relief.thickness
    return part, pose, max(0.0, 0.48 * min(size) - reach * length)


def draw_part(label: str, seed: int, size_px: int = 160) -> Picture:
    """Draw one camera-like image of a part on a bench.

    Args:
        label: One of PARTS.
        seed: Zero or more; the same label and seed always give the same image.
        size_px: Width and height of the image.

    Returns:
        uint8 array of shape (size_px, size_px, 3): rows, columns, then blue, green, red; 0..255.

    Raises:
        ValueError: If the label is not one of PARTS.

    """
    _check_label(label)
    # Python's own hash is salted per process, so the seed is built from plain numbers only.
    random = np.random.default_rng([PARTS.index(label), seed])
    size = (size_px, size_px)
    lamp = choose_lamp(random)
    bench = set_scene(random, size, lamp)
    part, middle, room = _choose_part(label, random, size)
    x, y = random.uniform(-room, room, 2)
    scene = place(bench, part, replace(middle, x=middle.x + x, y=middle.y + y), lamp)
    return _photograph(random, scene * room_light(size, lamp), _choose_lens(random))


def draw_part_at(
    label: str, seed: int, place_share: tuple[float, float], length_share: float, size_px: int
) -> tuple[Picture, float]:
    """Draw one camera-like image of a part that lies in a known place.

    Args:
        label: One of PARTS.
        seed: Zero or more; equal arguments always give the same image.
        place_share: The part's centre, (x, y) as fractions of the image.
        length_share: Its length, as a fraction of the image.
        size_px: Width and height of the image.

    Returns:
        The image as of `draw_part`, and the radius around the centre that holds the part, as a
        fraction of the image.

    Raises:
        ValueError: If the label is not one of PARTS.

    """
    _check_label(label)
    # The first number is neither the index of a part nor that of a video.
    random = np.random.default_rng([len(PARTS) + 1, PARTS.index(label), seed])
    size = (size_px, size_px)
    lamp = choose_lamp(random)
    bench = set_scene(random, size, lamp)
    part = make_part(label, random, length_share * size_px)
    x, y = (share * size_px for share in place_share)
    pose = Pose(x, y, pick(random, 0, FULL_TURN), length_share * size_px)
    scene = place(bench, part, pose, lamp) * room_light(size, lamp)
    return _photograph(random, scene, _choose_lens(random)), part.relief.reach * length_share


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
    # The first number is not the index of a part, so a video repeats no image's choices.
    random = np.random.default_rng([len(PARTS), seed])
    first_lamp, lens = choose_lamp(random), replace(_choose_lens(random), smear=0.0)
    bench = set_scene(random, size, first_lamp)
    for turn, label in enumerate(labels):
        part, start, room = _choose_part(label, random, size)
        loop = room * pick(random, 0.4, 1), room * pick(random, 0.4, 1), pick(random, -0.9, 0.9)
        for frame in range(frames_per_part):
            lamp = _lamp_after((turn * frames_per_part + frame) / FRAMES_PER_SECOND, first_lamp)
            pose = _pose_after(frame / FRAMES_PER_SECOND, start, loop)
            scene = place(bench, part, pose, lamp) * room_light(size, lamp)
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
