"""Whether an image shows nothing."""

from typing import Final

import cv2
import numpy as np

from edgetl_runtime.image.preprocessing import Frame

_LOW_INFORMATION_LEVELS: Final = 3.0


def is_of_one_colour(pixels: Frame) -> bool:
    """Whether a model's input is black, covered or saturated: hardly any level differs."""
    _, deviation = cv2.meanStdDev(np.ascontiguousarray(pixels[::4, ::4]))
    return bool(deviation.max() < _LOW_INFORMATION_LEVELS)
