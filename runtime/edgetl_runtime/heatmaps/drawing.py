"""A heat map drawn over its frame."""

import cv2
import numpy as np

from edgetl_runtime.heatmaps.heat_map import Cells, HeatMap
from edgetl_runtime.heatmaps.placement import Window, find_window, spread
from edgetl_runtime.image.preprocessing import Frame, Preprocessing
from edgetl_runtime.outputs.phrases import show_label
from edgetl_runtime.outputs.text_overlay import Color, Pen

# From black over red to light yellow, lighter with each level: people who see no red or no green
# can read it, and so can a printer without colours (TURBO and JET are not like that).
PALETTE = cv2.COLORMAP_INFERNO
# Share of the colour where the map is hottest.
OPAQUE = 0.75
_WHITE: Color = (255, 255, 255)
_BLACK: Color = (0, 0, 0)
_RING_SHARE, _LEAST_RING_PX = 1 / 28, 3
_TEXT_SHARE, _LEAST_TEXT_PX = 1 / 20, 11
_LEAST_SIDE_PX = 64


def draw_heat_map(
    picture: Frame, heat: HeatMap, preprocessing: Preprocessing, *, caption: bool = True
) -> Frame:
    """Draws a heat map, a ring around its hottest cell, and the label with its score.

    The frame stays as it is where nothing speaks for the class, and where `crop` keeps the model
    from seeing it.

    Args:
        picture: uint8 (height, width, 3) BGR, the frame that was classified; is not changed.
        heat: Its heat map.
        preprocessing: Of the model, which says what part of the frame it sees.
        caption: Whether label and score are written at the top left; never on a picture of less
            than 64 px a side.

    Returns:
        uint8 (height, width, 3) BGR, a new array.
    """
    height, width = picture.shape[:2]
    window = find_window(preprocessing, width, height)
    drawn = _tint(picture, spread(heat.levels, window, width, height))
    if min(height, width) >= _LEAST_SIDE_PX:
        _draw_ring(drawn, heat, window)
        if caption:
            _draw_caption(drawn, heat)
    return drawn


def _tint(picture: Frame, levels: Cells) -> Frame:
    colors = cv2.applyColorMap(np.rint(levels * 255).astype(np.uint8), PALETTE)
    share = cv2.merge([levels * OPAQUE] * 3)
    tint = cv2.multiply(colors, share, dtype=cv2.CV_32F)
    rest = cv2.multiply(picture, 1 - share, dtype=cv2.CV_32F)
    return cv2.convertScaleAbs(cv2.add(tint, rest))  # type: ignore[return-value]


def _draw_ring(drawn: Frame, heat: HeatMap, window: Window) -> None:
    height, width = drawn.shape[:2]
    x, y = window.find(heat.hottest)
    # Of a padded input the hottest cell may lie beside the frame.
    place = (min(width - 1, max(0, round(x))), min(height - 1, max(0, round(y))))
    radius = max(_LEAST_RING_PX, round(min(height, width) * _RING_SHARE))
    thick = max(1, radius // 4)
    cv2.circle(drawn, place, radius, _BLACK, thick + 2, cv2.LINE_AA)
    cv2.circle(drawn, place, radius, _WHITE, thick, cv2.LINE_AA)


def _draw_caption(drawn: Frame, heat: HeatMap) -> None:
    height, width = drawn.shape[:2]
    pen = Pen(max(_LEAST_TEXT_PX, round(min(height, width) * _TEXT_SHARE)), bold=True)
    margin = pen.size_px // 2
    score = f" {heat.score:.0%}"
    text = pen.fit(show_label(heat.label), width - 4 * margin - pen.measure(score)) + score
    right, bottom = pen.measure(text) + 3 * margin, round(1.5 * pen.size_px) + margin
    panel = drawn[margin:bottom, margin:right]
    panel[:] = cv2.convertScaleAbs(panel, alpha=0.3)
    pen.draw(drawn, text, (2 * margin, margin + round(1.05 * pen.size_px)), _WHITE)
