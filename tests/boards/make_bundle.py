"""Writes an int8 bundle of real size, MobileNetV2 0.35 at 224 px, without a download.

    .venv/bin/python tests/boards/make_bundle.py OUT.bundle

A head is trained on drawn parts. The network's weights are those of ImageNet where
`EDGETL_TEST_DATA` has them. Else they are random, and the bundle holds LiteRT's file only: a random
network quantizes so badly that ONNX Runtime's rounding alone, which is another one on ARM, moves
its scores by more than golden frames allow (0.22 to 0.65; 0.03 with the weights of ImageNet).
"""

import os
import sys
import tempfile
from pathlib import Path

import cv2
import keras
import numpy as np

from edgetl.drawings import draw_part
from edgetl.exporting.runs import export_run
from edgetl.networks.backbones import build, find_backbone
from edgetl.options import FittingOptions, TrainOptions
from edgetl.training.train import train
from edgetl_export.options import ExportOptions
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.image.preprocessing import Preprocessing

BACKBONE = "mobilenet_v2_0.35"
SIZE_PX = 224
PARTS = ("bolt", "gear", "washer")
A_PART = 16


def main() -> None:
    out = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        photos = Path(name) / "photos"
        draw(photos)
        if data := os.environ.get("EDGETL_TEST_DATA"):
            os.environ["EDGETL_WEIGHTS_DIR"] = str(Path(data) / "weights")
            weights, recipes = "imagenet", ["int8"]
        else:
            weights, recipes = str(Path(name) / "random.weights.h5"), ["litert-int8"]
            write_weights(photos, Path(weights))
        training = FittingOptions(epochs=8)
        options = TrainOptions(BACKBONE, weights=weights, finetune="none", training=training)
        run = train(photos, Path(name) / "run", options)
        settings = ExportOptions(recipes=tuple(recipes), allow_drop=True, repair="none")
        export_run(run, out, settings, overwrite=True)


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
