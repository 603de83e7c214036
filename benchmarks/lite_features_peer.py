"""Runs EfficientNet-Lite in PyTorch; runs in an environment of its own, see lite_features.py.

    .venv-torch/bin/python benchmarks/lite_features_peer.py lite0 WEIGHTS.pth INPUTS.npz OUTPUTS.npz

INPUTS has `inputs`, float32 (photos, height, width, 3); OUTPUTS gets `maps`, the last layer's
(photos, height, width, channels), `features`, their means, and `outputs`, all 1,000.
"""

import sys

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet


def main(version: str, weights: str, source: str, target: str) -> None:
    inputs = torch.from_numpy(np.load(source)["inputs"].transpose(0, 3, 1, 2).copy())
    network = EfficientNet.from_name(f"efficientnet-{version}").eval()
    network.load_state_dict(torch.load(weights, weights_only=True))
    with torch.inference_mode():
        maps = network.extract_features(inputs)
        outputs = network(inputs)
    maps = maps.numpy().transpose(0, 2, 3, 1)
    np.savez(target, maps=maps, features=maps.mean(axis=(1, 2)), outputs=outputs.numpy())


if __name__ == "__main__":
    main(*sys.argv[1:])
