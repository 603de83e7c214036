"""Inputs and scores of photos on the machine that this runs on; needs the device's package only.

    python benchmarks/scoring.py prepare OUT.npz PHOTOS.txt BUNDLE...
    python benchmarks/scoring.py score OUT.npz INPUTS.npz BUNDLE... [--float-count N]

`prepare` makes each bundle's input of each photo (one path a line): uint8 (photos, height, width,
3) RGB under the bundle's name. `score` runs every variant on them: float32 (photos, classes),
before temperature, under BUNDLE/VARIANT.
"""

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.bundle.manifest import Variant
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.image.preprocessing import Frame


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=["prepare", "score"])
    parser.add_argument("out", type=Path)
    parser.add_argument("source", type=Path)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument(
        "--float-count",
        type=int,
        help="photos for variants in float, which are slow under emulation",
    )
    options = parser.parse_args()
    bundles = {path.name: Bundle.open(path) for path in options.bundles}
    found: dict[str, NDArray[np.generic]] = {}
    for name, bundle in bundles.items():
        if options.step == "prepare":
            photos = map(Path, options.source.read_text().splitlines())
            found[name] = prepare(bundle, photos)
            continue
        with np.load(options.source) as inputs:
            pixels = inputs[name]
        for variant in bundle.manifest.variants:
            count = limit(variant, options.float_count)
            found[f"{name}/{variant.name}"] = score(bundle, variant, pixels[:count])
            # Each at once: emulated, the next may take minutes.
            np.savez(options.out, **found)
    np.savez(options.out, **found)


def limit(variant: Variant, float_count: int | None) -> int | None:
    return float_count if variant.precision.startswith("float") else None


def prepare(bundle: Bundle, photos: Iterable[Path]) -> Frame:
    apply = bundle.manifest.preprocessing.apply
    return np.stack([apply(read_picture(photo)) for photo in photos])


def score(bundle: Bundle, variant: Variant, inputs: Frame) -> NDArray[np.float32]:
    start = time.monotonic()
    engine = Classifier.open(bundle, variant=variant.name, threads=1).engine
    scores = np.stack([engine.run(np.ascontiguousarray(pixels)) for pixels in inputs])
    seconds = time.monotonic() - start
    print(f"{variant.name}: {len(inputs)} photos in {seconds:.0f} s", file=sys.stderr)
    return scores


if __name__ == "__main__":
    main()
