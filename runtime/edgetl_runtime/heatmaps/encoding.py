"""A heat map for the wire: small enough to travel with each answer."""

import cv2
import msgspec
import numpy as np

from edgetl_runtime.heatmaps.drawing import OPAQUE, PALETTE
from edgetl_runtime.heatmaps.heat_map import HeatMap
from edgetl_runtime.heatmaps.placement import find_window
from edgetl_runtime.image.preprocessing import Preprocessing


class HeatMapRecord(msgspec.Struct, frozen=True):
    """A heat map as JSON. All places are fractions of the frame, 0..1.

    Attributes:
        label: The class.
        score: Its probability, 0..1.
        hottest: Middle of the hottest cell: (x, y).
        window: The part of the frame that the model sees: (left, top, width, height); with `pad` it
            reaches beyond the frame.
        png: A PNG with a pixel for each cell, to be stretched over the window: colour, and how
            opaque it is. In JSON it is base64.
        is_unknown: The frame shows none of the classes. The map is then of the class that was asked
            for, or of the one that the frame looks most like.
    """

    label: str
    score: float
    hottest: tuple[float, float]
    window: tuple[float, float, float, float]
    png: bytes
    is_unknown: bool = False


def record_heat_map(
    heat: HeatMap, preprocessing: Preprocessing, width_px: int, height_px: int
) -> HeatMapRecord:
    """Describes a heat map for a page that draws it over the frame.

    Args:
        heat: The heat map.
        preprocessing: Of the model.
        width_px: Of the frame.
        height_px: Of the frame.
    """
    window = find_window(preprocessing, width_px, height_px)
    x, y = window.find(heat.hottest)
    return HeatMapRecord(
        label=heat.label,
        score=heat.score,
        hottest=(x / width_px, y / height_px),
        window=(
            window.left / width_px,
            window.top / height_px,
            window.width / width_px,
            window.height / height_px,
        ),
        png=encode_png(heat),
        is_unknown=heat.is_unknown,
    )


def encode_png(heat: HeatMap) -> bytes:
    """A PNG with a pixel for each cell, which is transparent where nothing speaks for the class."""
    levels = np.rint(heat.levels * 255).astype(np.uint8)
    colors = cv2.applyColorMap(levels, PALETTE)
    alpha = cv2.convertScaleAbs(levels, alpha=OPAQUE)
    _, data = cv2.imencode(".png", np.dstack([colors, alpha]))
    return data.tobytes()
