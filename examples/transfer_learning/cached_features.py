"""Features of photos from a frozen backbone, computed once and kept in edgetl's cache."""

import argparse
import time

import msgspec
import numpy as np

from edgetl.dataset.manifest import DatasetManifest
from edgetl.networks.backbones import find_backbone
from edgetl.networks.features import Extractor, FeatureRequest
from edgetl.networks.weights import find_weights
from edgetl.training.sources import CachedRows
from edgetl_runtime.image.preprocessing import Preprocessing


class Rows(msgspec.Struct, frozen=True, eq=False):
    """Cached features of each part, and the seconds that computing or reading them took."""

    train: CachedRows
    val: CachedRows
    test: CachedRows
    computed: int
    seconds: float


def extract(manifest: DatasetManifest, chosen: argparse.Namespace) -> Rows:
    """Runs the frozen backbone over every photo, and over one view of each training photo."""
    start = time.monotonic()
    backbone = find_backbone(chosen.backbone)
    weights = find_weights(chosen.weights, backbone, chosen.size)
    extractor = Extractor(backbone, weights, Preprocessing(chosen.size, chosen.size))
    examples = manifest.examples
    wanted = [
        FeatureRequest(manifest.file(one), one.sha256, 1 if one.split == "train" else 0)
        for one in examples
    ]
    extracted = extractor.extract(wanted)
    classes = np.array([manifest.index(one) for one in examples])
    parts = []
    for part in ("train", "val", "test"):
        own = np.array([one.split == part for one in examples])
        at = np.flatnonzero(own[extracted.owner])
        owner = (np.cumsum(own) - 1)[extracted.owner[at]]
        parts.append(CachedRows([extracted.rows[row] for row in at], owner, classes[own]))
    return Rows(*parts, extracted.computed, time.monotonic() - start)
