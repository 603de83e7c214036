"""Golden frames: the images whose scores travel in the bundle, for a device to check itself."""

import cv2
import msgspec
import numpy as np

from edgetl_export.trained import ScoredPhotos
from edgetl_runtime.image.decoding import decode_picture, read_picture
from edgetl_runtime.image.preprocessing import Frame, Preprocessing, resize

FRAMES = 5
_SIDE_PX = 320


class Golden(msgspec.Struct, frozen=True, eq=False):
    """One golden frame.

    Attributes:
        png: The image's file.
        pixels: What preprocessing makes of it: uint8 (height, width, 3) RGB.
    """

    png: bytes
    pixels: Frame


def choose_golden(part: ScoredPhotos, preprocessing: Preprocessing) -> list[Golden]:
    """Takes photos from unsure to sure, so that the scores reach over the whole range.

    Args:
        part: Photos that were scored.
        preprocessing: From image to input.

    Raises:
        FrameError: If a photo cannot be read any more.
    """
    order = np.argsort(part.scores.max(axis=1), kind="stable")
    positions = np.linspace(0.1, 0.9, min(FRAMES, len(order))) * (len(order) - 1)
    chosen = dict.fromkeys(int(order[round(position)]) for position in positions)
    pictures = [_encode_png(read_picture(part.photos[index].file)) for index in chosen]
    return [Golden(png, preprocessing.apply(decode_picture(png))) for png in pictures]


def _encode_png(photo: Frame) -> bytes:
    height, width = photo.shape[:2]
    factor = min(1.0, _SIDE_PX / max(height, width))
    small = resize(photo, max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.imencode(".png", small)[1].tobytes()
