"""How long the rows of a raw frame are, by what is in them.

Nothing in raw pixels tells where a row ends, and cameras often pad them: with a wrong length, a
frame is a slanted smear that a model names at random. But a pixel is much like the one below it.
"""

import numpy as np
from numpy.typing import NDArray

# What libcamera, drivers and decoders align rows to, in bytes.
_ALIGNMENTS = (16, 32, 64, 128, 256)
# Of usual video modes and of the Raspberry Pi's sensors.
_WIDTHS_PX = (
    *(160, 176, 320, 352, 416, 640, 704, 720, 768, 800, 848, 960, 1024, 1152, 1280, 1296, 1332),
    *(1456, 1536, 1600, 1640, 1920, 2028, 2048, 2304, 2560, 2592, 3280, 3840, 4056, 4608),
)
_MOST_BYTES = 300_000
# Of 315 photos and frames, rows of the told length differed by at most 0.75 times as much from one
# another as those of any other length here; of padded ones, by 4 to 13 times as much.
_RATIO = 2.0
# Less than this is noise or one colour, in which no rows can be seen.
_LEAST_DIFFERENCE = 4.0
_NEAREST_PX = 8


def find_row_bytes(pixels: NDArray[np.uint8], told: int, pixel_bytes: int) -> int | None:
    """The length that the rows of a frame look to have.

    Args:
        pixels: uint8 (any shape), as they came.
        told: Bytes from one row to the next, as somebody believes.
        pixel_bytes: Of a pixel.

    Returns:
        Bytes; another length than the told one only where that is plainly wrong. None where nothing
        can be seen.
    """
    flat = pixels.reshape(-1)
    difference = _measure(flat, told)
    if difference < _LEAST_DIFFERENCE:
        return None
    others = {-(-told // step) * step for step in _ALIGNMENTS}
    others |= {width * pixel_bytes for width in _WIDTHS_PX}
    # Of neighbouring lengths, a slanted edge could suit a wrong one as well.
    known = [one for one in others if abs(one - told) >= _NEAREST_PX * pixel_bytes]
    found = [(_measure(flat, one), one) for one in known if 4 * one <= flat.size]
    least, best = min(found, default=(difference, told))
    return best if difference > _RATIO * least else told


def _measure(flat: NDArray[np.uint8], length: int) -> float:
    """Mean difference between values and those a number of bytes later."""
    part = flat[: _MOST_BYTES + length]
    return float(np.abs(np.subtract(part[length:], part[:-length], dtype=np.int16)).mean())
