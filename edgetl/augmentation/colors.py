"""Light and colour: all changes of one view in one product with a matrix, rounded once.

A matrix is float64 (3, 4): `new = matrix[:, :3] @ bgr + matrix[:, 3]`, in levels 0..255.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edgetl.augmentation.draws import Draws
from edgetl_runtime.image.preprocessing import Frame

Matrix = NDArray[np.float64]

MID_GREY = 127.5
# Brightness as the eye weighs blue, green and red, ITU-R BT.601.
LUMA_BGR = np.array([0.114, 0.587, 0.299])
# Levels are stored with about this exponent (sRGB), the sensor counts light without it.
_GAMMA = 2.2
# From blue, green, red to luma and the two colour axes I and Q of NTSC television (FCC 1953): a
# turn in their plane changes the hue and leaves the luma as it is.
_TO_YIQ = np.array([LUMA_BGR, [-0.3213, -0.2744, 0.5957], [0.3111, -0.5226, 0.2115]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)


def draw_colors(draws: Draws) -> Matrix:
    """Draws a view's light and colour: as the sensor, then the camera's processor makes it."""
    light = 2 ** (draws.spread("exposure") / _GAMMA)
    red = draws.factor("white_balance")
    gains = np.diag([light / red, light, light * red])
    colors = turn_hue(draws.spread("hue")) @ saturate(1 + draws.spread("saturation")) @ gains
    contrast = 1 + draws.spread("contrast")
    return add_contrast(contrast, MID_GREY, draws.spread("brightness")) @ extend(colors)


def change_colors(photo: Frame, matrix: Matrix) -> Frame:
    """Applies a matrix to each pixel; levels beyond 0..255 are cut off.

    Args:
        photo: uint8 (height, width, 3) BGR.
        matrix: float64 (3, 4) or (4, 4); the identity returns the photo itself.

    Returns:
        uint8 (height, width, 3) BGR.
    """
    if np.array_equal(matrix[:3], np.eye(3, 4)):
        return photo
    return cv2.transform(photo, matrix[:3])  # type: ignore[return-value]


def saturate(factor: float) -> Matrix:
    """float64 (3, 3) that moves colours from (above 1) or to (below 1) their grey."""
    grey = np.tile(LUMA_BGR, (3, 1))
    matrix: Matrix = factor * np.eye(3) + (1 - factor) * grey
    return matrix


def turn_hue(degrees: float) -> Matrix:
    """float64 (3, 3) that turns all colours around the grey axis."""
    if not degrees:
        return np.eye(3)
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    turn = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    matrix: Matrix = _FROM_YIQ @ turn @ _TO_YIQ
    return matrix


def add_contrast(factor: float, pivot: float, offset: float = 0.0) -> Matrix:
    """float64 (4, 4) that moves levels from or to a pivot, and then adds an offset."""
    matrix = np.diag([factor, factor, factor, 1.0])
    matrix[:3, 3] = pivot * (1 - factor) + offset
    return matrix


def extend(colors: Matrix) -> Matrix:
    """float64 (4, 4) that acts on the colours and adds nothing."""
    matrix = np.eye(4)
    matrix[:3, :3] = colors
    return matrix
