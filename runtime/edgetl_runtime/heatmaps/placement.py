"""From the model's input back to the frame: which part of the frame the input shows."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.heatmaps.heat_map import Cells
from edgetl_runtime.image.preprocessing import Preprocessing


class Window(msgspec.Struct, frozen=True):
    """The rectangle of a frame that the model's input shows, in px of the frame.

    With `pad` it is larger than the frame, and begins outside; with `crop` it is smaller.
    """

    left: float
    top: float
    width: float
    height: float

    def find(self, place: tuple[float, float]) -> tuple[float, float]:
        """A place (x, y) in fractions of the input, 0..1, in px of the frame."""
        return self.left + place[0] * self.width, self.top + place[1] * self.height


def find_window(preprocessing: Preprocessing, width_px: int, height_px: int) -> Window:
    """The part of a frame that the model's input shows.

    Args:
        preprocessing: From frame to input.
        width_px: Of the frame.
        height_px: Of the frame.
    """
    aspect = preprocessing.width_px / preprocessing.height_px
    width, height = float(width_px), float(height_px)
    # Both keep the middle: crop takes the largest part of the input's aspect ratio that the frame
    # has, pad the smallest that has the frame.
    if preprocessing.fit == "crop":
        width, height = min(width, height * aspect), min(height, width / aspect)
    elif preprocessing.fit == "pad":
        width, height = max(width, height * aspect), max(height, width / aspect)
    return Window((width_px - width) / 2, (height_px - height) / 2, width, height)


def spread(cells: Cells, window: Window, width_px: int, height_px: int) -> Cells:
    """Brings cells over the frame.

    Args:
        cells: float32 (rows, columns), over the input.
        window: The part of the frame that the input shows.
        width_px: Of the frame.
        height_px: Of the frame.

    Returns:
        float32 (height_px, width_px), linear between the middles of cells; 0 where the model does
        not see.
    """
    rows, columns = cells.shape
    down = _weigh(height_px, window.top, window.height, rows)
    across = _weigh(width_px, window.left, window.width, columns)
    return np.asarray(down @ cells @ across.T, np.float32)


def _weigh(length_px: int, start: float, extent: float, count: int) -> NDArray[np.float32]:
    """Linear weights of cells in each pixel, (length_px, count)."""
    share = (np.arange(length_px) + 0.5 - start) / extent
    place = np.clip(share * count - 0.5, 0, count - 1)
    weights = np.maximum(0, 1 - np.abs(place[:, np.newaxis] - np.arange(count)))
    seen = (share >= 0) & (share <= 1)
    return np.asarray(weights * seen[:, np.newaxis], np.float32)
