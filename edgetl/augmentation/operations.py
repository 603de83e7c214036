"""The operations of RandAugment (Cubuk et al. 2020, arXiv 1909.13719), two for each view.

Of the 14 operations two are drawn, with repetition, and applied at one magnitude, where 10 is the
maximum that the paper took over from AutoAugment (Cubuk et al. 2019): shear 0.3, shift 150/331 of
the side, 30 degrees, colours 1 +- 0.9, 4 bits fewer, solarized from level 0. Torchvision's scale
ends at 30, so that its usual magnitude 9 is 3 here. The sign of those that have one is drawn.
"""

from collections.abc import Callable

import cv2
import msgspec
import numpy as np

from edgetl.augmentation.colors import LUMA_BGR, add_contrast, change_colors, extend, saturate
from edgetl.augmentation.draws import Draws
from edgetl.augmentation.faults import blur
from edgetl.augmentation.geometry import Matrix, rotate, shear, shift
from edgetl_runtime.image.preprocessing import Frame

_DRAWN = 2
_MAX_MAGNITUDE = 10
_MAX_SHEAR = 0.3
_MAX_SHIFT = 150 / 331
_MAX_ROTATION_DEG = 30
_MAX_COLOR = 0.9
_MAX_BITS_LESS = 4
_SMOOTHING_PX = 0.5
_LEVELS = np.arange(256)


class Operation(msgspec.Struct, frozen=True):
    """One drawn operation: its name, and its level from -1 to 1."""

    name: str
    level: float

    def matrix(self, width: int, height: int) -> Matrix:
        """What it adds to the view's geometry; the identity if it changes levels."""
        bend = _GEOMETRY.get(self.name)
        return bend(self.level, width, height) if bend else np.eye(3)

    def change(self, photo: Frame) -> Frame:
        """Changes the levels of uint8 (height, width, 3) BGR; the photo itself if it bends."""
        change = _LEVELS_CHANGED.get(self.name)
        return change(photo, self.level) if change else photo


def draw_operations(draws: Draws) -> list[Operation]:
    """Draws two operations; none where RandAugment is off."""
    magnitude = draws.strength("randaugment")
    if not magnitude:
        return []
    random = draws.stream("randaugment")
    chosen = random.integers(len(OPERATIONS), size=_DRAWN)
    signs = random.choice((-1.0, 1.0), size=_DRAWN)
    level = magnitude / _MAX_MAGNITUDE
    return [
        Operation(OPERATIONS[index], float(sign) * level)
        for index, sign in zip(chosen, signs, strict=True)
    ]


def _brighten(photo: Frame, level: float) -> Frame:
    return change_colors(photo, extend((1 + _MAX_COLOR * level) * np.eye(3)))


def _saturate(photo: Frame, level: float) -> Frame:
    return change_colors(photo, extend(saturate(1 + _MAX_COLOR * level)))


def _contrast(photo: Frame, level: float) -> Frame:
    grey = float(LUMA_BGR @ cv2.mean(photo)[:3])
    return change_colors(photo, add_contrast(1 + _MAX_COLOR * level, grey))


def _sharpen(photo: Frame, level: float) -> Frame:
    factor = 1 + _MAX_COLOR * level
    return cv2.addWeighted(photo, factor, blur(photo, _SMOOTHING_PX), 1 - factor, 0)  # type: ignore[return-value]


def _posterize(photo: Frame, level: float) -> Frame:
    lost = round(_MAX_BITS_LESS * abs(level))
    return _look_up(photo, _LEVELS >> lost << lost)


def _solarize(photo: Frame, level: float) -> Frame:
    inverted = 255 * (1 - abs(level)) <= _LEVELS
    return _look_up(photo, np.where(inverted, 255 - _LEVELS, _LEVELS))


def _stretch_levels(photo: Frame, _level: float) -> Frame:
    low = photo.min(axis=(0, 1)).astype(np.float64)
    high = photo.max(axis=(0, 1)).astype(np.float64)
    gain = np.where(high > low, 255 / np.maximum(high - low, 1), 1.0)
    offset = np.where(high > low, -low * gain, 0.0)
    return change_colors(photo, np.column_stack([np.diag(gain), offset]))


def _equalize(photo: Frame, _level: float) -> Frame:
    return cv2.merge([cv2.equalizeHist(channel) for channel in cv2.split(photo)])  # type: ignore[return-value]


def _look_up(photo: Frame, levels: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Frame:
    return cv2.LUT(photo, levels.astype(np.uint8))  # type: ignore[return-value]


_GEOMETRY: dict[str, Callable[[float, int, int], Matrix]] = {
    "shear_x": lambda level, _width, _height: shear(_MAX_SHEAR * level, 0),
    "shear_y": lambda level, _width, _height: shear(0, _MAX_SHEAR * level),
    "translate_x": lambda level, width, _height: shift(_MAX_SHIFT * level * width, 0),
    "translate_y": lambda level, _width, height: shift(0, _MAX_SHIFT * level * height),
    "rotate": lambda level, _width, _height: rotate(_MAX_ROTATION_DEG * level),
}
_LEVELS_CHANGED: dict[str, Callable[[Frame, float], Frame]] = {
    "brightness": _brighten,
    "color": _saturate,
    "contrast": _contrast,
    "sharpness": _sharpen,
    "posterize": _posterize,
    "solarize": _solarize,
    "autocontrast": _stretch_levels,
    "equalize": _equalize,
}
OPERATIONS = ("identity", *_GEOMETRY, *_LEVELS_CHANGED)
