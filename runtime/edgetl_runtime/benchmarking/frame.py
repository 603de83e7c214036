"""The frame that a benchmark classifies again and again."""

import numpy as np

from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.image.decoding import decode_picture
from edgetl_runtime.image.preprocessing import Frame, resize


def make_frame(bundle: Bundle, frame_px: tuple[int, int]) -> Frame:
    """A golden frame of that size, or noise where there is none; uint8 (height, width, 3) BGR."""
    if not bundle.manifest.golden:
        return np.random.default_rng(0).integers(0, 256, (*frame_px[::-1], 3), dtype=np.uint8)
    picture = decode_picture(bundle.read(bundle.manifest.golden[0]))
    return resize(picture, *frame_px)
