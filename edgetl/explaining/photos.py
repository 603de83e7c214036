"""Photos beside their heat maps."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import msgspec
import numpy as np

from edgetl.reporting.thumbnails import shrink
from edgetl_export.progress import track
from edgetl_runtime.heatmaps.drawing import draw_heat_map
from edgetl_runtime.heatmaps.explainer import Explainer
from edgetl_runtime.heatmaps.heat_map import HeatMap
from edgetl_runtime.heatmaps.placement import find_window
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.image.preprocessing import Frame

_LONGEST_PX = 480
_GAP_PX = 8
_GROUND = 255
_QUALITY = 90
# Characters of a photo's name in the name of its picture: a file system takes 255 bytes.
_NAMED = 50


class ExplainedPhoto(msgspec.Struct, frozen=True):
    """One photo.

    Attributes:
        path: As given.
        predicted: The class with the highest score.
        predicted_score: Its probability, 0..1.
        is_unknown: The photo shows none of the classes: `predicted` is what it looks most like.
        label: The class that is explained.
        score: Its probability, 0..1.
        hottest_px: Middle of the hottest cell, (x, y) in px of the photo.
        picture: Name of the image in the folder: photo and heat map side by side.
    """

    path: str
    predicted: str
    predicted_score: float
    is_unknown: bool
    label: str
    score: float
    hottest_px: tuple[float, float]
    picture: str


def explain_photos(
    explainer: Explainer, photos: Sequence[Path], label: str | None
) -> Iterator[tuple[ExplainedPhoto, bytes]]:
    """Explains photos one after the other.

    Args:
        explainer: Of the model.
        photos: Image files.
        label: The class (default: of each photo the one with the highest score).

    Yields:
        What was found, and a JPEG with photo and heat map side by side.

    Raises:
        FrameError: If a photo cannot be read.
        OptionsError: If the model has no such class.
    """
    for number, path in enumerate(track(photos, "explaining", len(photos)), start=1):
        photo = read_picture(path)
        best, chosen = explainer.explain_several(photo, [None, label])
        height, width = photo.shape[:2]
        window = find_window(explainer.preprocessing, width, height)
        found = ExplainedPhoto(
            path=str(path),
            predicted=best.label,
            predicted_score=best.score,
            is_unknown=best.is_unknown,
            label=chosen.label,
            score=chosen.score,
            hottest_px=window.find(chosen.hottest),
            picture=f"{number:03}-{path.stem[:_NAMED]}.jpg",
        )
        yield found, encode_pair(photo, chosen, explainer)


def encode_pair(photo: Frame, heat: HeatMap, explainer: Explainer) -> bytes:
    """A JPEG with a photo, and beside it its heat map drawn over it."""
    small = shrink(photo, _LONGEST_PX)
    drawn = draw_heat_map(small, heat, explainer.preprocessing)
    gap = np.full((small.shape[0], _GAP_PX, 3), _GROUND, np.uint8)
    options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    _, jpeg = cv2.imencode(".jpg", np.hstack([small, gap, drawn]), options)
    return jpeg.tobytes()
