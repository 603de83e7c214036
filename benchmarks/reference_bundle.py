"""The bundle that machines are compared by: a standard network, its weights drawn at random.

    .venv/bin/python benchmarks/reference_bundle.py reference.bundle

MobileNetV2 1.0 at 224 px, for LiteRT and ONNX Runtime, as int8 and float32. It is trained for an
epoch on some drawn photos, since the time that a network takes depends on its shape and not on
what its weights are. So anybody can make it, without photos, weights or a network, in minutes.

Its labels mean nothing. Two of them may differ in every byte and take the same time: reports are
compared by network, input size and variant.
"""

import argparse
import tempfile
from pathlib import Path

import cv2

from edgetl.drawings import PARTS, draw_part
from edgetl.exporting.runs import export_run
from edgetl.options import FittingOptions, SplitOptions, TrainOptions
from edgetl.training.train import train
from edgetl_export.options import ExportOptions

BACKBONE = "mobilenet_v2_1.0"
PHOTOS_A_CLASS = 12
DESCRIPTION = "Random weights, to measure times with; its labels mean nothing."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the bundle's folder")
    parser.add_argument("--backbone", default=BACKBONE)
    parser.add_argument("--overwrite", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), options.out, options.backbone, overwrite=options.overwrite)
    print(f"bundle: {options.out}")
    print(f"next: edgetl-run bench {options.out} --variant litert-int8 --out my-board.json")


def make(folder: Path, out: Path, backbone: str, *, overwrite: bool) -> None:
    draw_photos(folder / "photos")
    fitting = FittingOptions(epochs=1, batch=16)
    split = SplitOptions(val_fraction=0.5)
    chosen = TrainOptions(
        backbone=backbone, weights="none", augment="none", training=fitting, split=split
    )
    run = train(folder / "photos", folder / "run", chosen)
    # No file can lose an accuracy that there is not.
    export = ExportOptions(
        allow_drop=True,
        repair="none",
        name=f"reference {backbone}",
        license="CC0-1.0",
        description=DESCRIPTION,
    )
    export_run(run, out, export, overwrite=overwrite)


def draw_photos(folder: Path) -> None:
    for part in PARTS:
        (folder / part).mkdir(parents=True)
        for seed in range(PHOTOS_A_CLASS):
            cv2.imwrite(str(folder / part / f"{seed:03d}.png"), draw_part(part, seed))


if __name__ == "__main__":
    main()
