"""Writes an int8 bundle of real size, MobileNetV2 0.35 at 224 px, without a download.

    .venv/bin/python tests/boards/make_bundle.py OUT.bundle

The weights are random and a head is trained on drawn parts: what it is worth is not the question.
"""

import sys
import tempfile
from pathlib import Path

import cv2
import keras
import numpy as np

from edgetl.drawings import draw_part
from edgetl.export import export
from edgetl.networks.backbones import build, find_backbone
from edgetl.options import Options, TrainingOptions
from edgetl.training.train import train
from edgetl_export.bundling import Settings
from edgetl_export.recipes import find_recipes
from edgetl_runtime.pictures import read_picture
from edgetl_runtime.preprocessing import Preprocessing

BACKBONE = "mobilenet_v2_0.35"
SIZE_PX = 224
PARTS = ("bolt", "gear", "washer")
A_PART = 16


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        photos, weights = Path(name) / "photos", Path(name) / "random.weights.h5"
        draw(photos)
        write_weights(photos, weights)
        training = TrainingOptions(epochs=8)
        options = Options(BACKBONE, weights=str(weights), finetune="none", training=training)
        run = train(photos, Path(name) / "run", options)
        settings = Settings(recipes=find_recipes(["int8"]), allow_drop=True, repair=False)
        export(run, Path(sys.argv[1]), settings, overwrite=True)


def draw(photos: Path) -> None:
    for part in PARTS:
        (photos / part).mkdir(parents=True)
        for seed in range(A_PART):
            picture = draw_part(part, seed, SIZE_PX + 16)
            cv2.imwrite(str(photos / part / f"{seed:02d}.jpg"), picture)


def write_weights(photos: Path, target: Path) -> None:
    """Random weights with the statistics of these photos: without, features fade to nothing."""
    keras.utils.set_random_seed(0)
    network = build(find_backbone(BACKBONE), SIZE_PX)
    apply = Preprocessing(SIZE_PX, SIZE_PX).apply
    inputs = np.stack([apply(read_picture(file)) for file in sorted(photos.rglob("*.jpg"))])
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network(inputs.astype(np.float32) / 127.5 - 1, training=True)
    network.save_weights(target)


if __name__ == "__main__":
    main()
