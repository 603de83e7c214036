"""Other views of a photo, for training only: turned, shifted, mirrored, lit otherwise.

A view follows from the photo's bytes and the view's number alone, so that a run repeats, and
so that views can be cached like the photo itself.
"""

import cv2
import numpy as np

from edgetl_runtime.preprocessing import Frame, resize

# Part of the cache key: raise it when a view changes.
VERSION = "light-1"
_ROTATION_DEG = 15.0
_ZOOM = (0.8, 1.05)
_SHIFT = 0.08
_CONTRAST = (0.8, 1.2)
_BRIGHTNESS = 15.0
# Twice what most backbones take: a larger photo would only cost time.
_WORKING_PX = 512


def make_view(photo: Frame, sha256: str, number: int) -> Frame:
    """Makes one light view of a photo.

    Args:
        photo: uint8 (height, width, 3) BGR.
        sha256: Hash of the photo's bytes, hexadecimal.
        number: Which view, from 1.

    Returns:
        uint8 (height, width, 3) BGR, at most 512 px on the shorter side.
    """
    random = np.random.default_rng([int(sha256[:16], 16), number])
    photo = _reduce(photo)
    height, width = photo.shape[:2]
    turn = cv2.getRotationMatrix2D(
        (width / 2, height / 2),
        random.uniform(-_ROTATION_DEG, _ROTATION_DEG),
        1.0 / random.uniform(*_ZOOM),
    )
    shift = random.uniform(-_SHIFT, _SHIFT, 2) * (width, height)
    turn = np.column_stack([turn[:, :2], turn[:, 2] + shift])
    view = cv2.warpAffine(photo, turn, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    if random.random() < 0.5:
        view = cv2.flip(view, 1)
    contrast, brightness = random.uniform(*_CONTRAST), random.uniform(-_BRIGHTNESS, _BRIGHTNESS)
    levels = np.arange(256) * contrast + brightness
    return cv2.LUT(view, np.clip(np.rint(levels), 0, 255).astype(np.uint8))  # type: ignore[return-value]


def _reduce(photo: Frame) -> Frame:
    height, width = photo.shape[:2]
    factor = _WORKING_PX / min(height, width)
    if factor >= 1:
        return photo
    return resize(photo, max(1, round(width * factor)), max(1, round(height * factor)))
