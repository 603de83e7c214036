"""Fields of numbers over an image, and small random draws; all float32."""

import math
from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


# Every field is computed in float32; the type is wider because NumPy's stubs lose the precision.
Field = NDArray[np.floating]


Random = np.random.Generator


Size = tuple[int, int]


FULL_TURN = 2 * math.pi


def field(values: object) -> Field:
    """Numbers as float32."""
    return np.asarray(values, dtype=np.float32)


def pick(random: Random, low: float, high: float) -> float:
    """Draws one number, evenly."""
    return float(random.uniform(low, high))


def ramp(low: float, high: float, count: int) -> Field:
    """Even steps, float32 (count,)."""
    return np.linspace(low, high, count, dtype=np.float32)


def noise(random: Random, columns: int, rows: int, width: int, height: int) -> Field:
    """Enlarge a coarse random grid to smooth noise of the wanted size."""
    coarse = random.standard_normal((rows, columns), dtype=np.float32)
    return field(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR))


def soften(values: Field, sigma: float) -> Field:
    """Blurs; sigma in pixels."""
    return values if sigma < 0.15 else field(cv2.GaussianBlur(values, (0, 0), sigma))


def cover(depth: Field, pixels: float) -> Field:
    """Turn a depth inside an outline into an antialiased coverage between 0 and 1."""
    return field(np.clip(depth * pixels + 0.5, 0, 1))


def tinted(values: Field, colour: Iterable[float]) -> Field:
    """Colour a field, (rows, columns, 3); a merge is several times faster than broadcasting."""
    return field(cv2.merge([values * float(channel) for channel in colour]))


def step(values: Field, edge: float, width: float) -> Field:
    """Rise from 0 to 1 as the values pass the edge, over the given width."""
    return field(np.clip((values - edge) / width + 0.5, 0, 1))
