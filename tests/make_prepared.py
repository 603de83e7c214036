"""Writes tests/data/prepared.json: what preprocessing makes of pictures that anybody can compute.

The pixel of column x, row y and channel c (0 blue, 1 green, 2 red) of a picture is
((3 x x + 5 y y + 7 x y) >> 5) + 85 c, modulo 256. Each entry says its size, the model's input, how
it was fitted, and the SHA-256 of the input: uint8 (height, width, 3) RGB, row by row. Every
processor, and the phone's page, must come to the same.

    .venv/bin/python tests/make_prepared.py
"""

import hashlib
import json
from pathlib import Path

import numpy as np

from edgetl_runtime.image.preprocessing import Preprocessing

TARGET = Path(__file__).parent / "data" / "prepared.json"
SIZES_PX = (
    *((640, 480), (1280, 720), (1920, 1080), (4032, 3024), (512, 384), (800, 600), (320, 240)),
    *((447, 449), (224, 224), (160, 120), (100, 80), (32, 32), (1, 1)),
    # Odd, a panorama, and one axis that grows while the other shrinks.
    *((1921, 1081), (4095, 2701), (9001, 40), (40, 9001), (300, 50)),
)
INPUTS_PX = ((224, 224), (96, 96), (240, 180))


def draw(width_px: int, height_px: int) -> np.ndarray:
    """The picture, uint8 (height, width, 3) BGR."""
    y, x, c = np.ogrid[:height_px, :width_px, :3]
    return (((3 * x * x + 5 * y * y + 7 * x * y) >> 5) + 85 * c).astype(np.uint8)


def prepare() -> list[dict[str, object]]:
    entries = []
    for size in SIZES_PX:
        picture = draw(*size)
        for target in INPUTS_PX:
            for fit in ("stretch", "crop", "pad"):
                pixels = Preprocessing(*target, fit=fit).apply(picture)
                digest = hashlib.sha256(pixels.tobytes()).hexdigest()
                entries.append(
                    {"picture_px": size, "input_px": target, "fit": fit, "sha256": digest}
                )
    return entries


if __name__ == "__main__":
    TARGET.write_text("[\n" + ",\n".join(map(json.dumps, prepare())) + "\n]\n")
