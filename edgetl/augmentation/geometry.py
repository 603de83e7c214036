"""Turning, shifting, zooming, shearing and mirroring, all in one warp.

A matrix is float64 (3, 3) and maps homogeneous pixel coordinates (x, y, 1) of the photo to those
of the view, with the origin in the centre of both.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edgetl.augmentation.draws import Draws
from edgetl_runtime.image.preprocessing import Frame

Matrix = NDArray[np.float64]


def draw_geometry(draws: Draws, width: int, height: int) -> Matrix:
    """Draws a view's geometry: mirrored, zoomed, sheared, turned, then shifted."""
    across, down = draws.pair("shift")
    along, aside = (math.tan(math.radians(angle)) for angle in draws.pair("shear"))
    scale = draws.factor("zoom")
    mirror_x = -1.0 if draws.happens("horizontal_flip") else 1.0
    mirror_y = -1.0 if draws.happens("vertical_flip") else 1.0
    zoom = np.diag([scale * mirror_x, scale * mirror_y, 1.0])
    moved = shift(across * width, down * height) @ rotate(draws.spread("rotation"))
    matrix: Matrix = moved @ shear(along, aside) @ zoom
    return matrix


def warp(photo: Frame, matrix: Matrix) -> Frame:
    """Maps a photo with one bilinear interpolation; what lies beyond its edge is mirrored.

    Args:
        photo: uint8 (height, width, 3).
        matrix: float64 (3, 3), affine; the identity returns the photo itself.

    Returns:
        uint8 (height, width, 3).
    """
    if np.array_equal(matrix, np.eye(3)):
        return photo
    height, width = photo.shape[:2]
    centre = (width - 1) / 2, (height - 1) / 2
    around = shift(*centre) @ matrix @ shift(-centre[0], -centre[1])
    return cv2.warpAffine(  # type: ignore[return-value]
        photo, around[:2], (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )


def shift(x_px: float, y_px: float) -> Matrix:
    """Moves the image right and down."""
    return np.array([[1, 0, x_px], [0, 1, y_px], [0, 0, 1]], np.float64)


def rotate(degrees: float) -> Matrix:
    """Turns the image clockwise (y points down)."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]], np.float64)


def shear(along: float, aside: float) -> Matrix:
    """Slants the image; each is the tangent of its angle. The area stays as it is."""
    first = np.array([[1, along, 0], [0, 1, 0], [0, 0, 1]], np.float64)
    second = np.array([[1, 0, 0], [aside, 1, 0], [0, 0, 1]], np.float64)
    matrix: Matrix = first @ second
    return matrix
