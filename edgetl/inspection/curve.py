"""The learning curve of a data set: do more photos help? Nothing of the data is changed."""

import time
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl.dataset.manifest import DatasetManifest, scan
from edgetl.learning_curve.draws import find_hindrance
from edgetl.learning_curve.record import PhotoCurve
from edgetl.networks.backbones import DEFAULT_BACKBONE, find_backbone
from edgetl.networks.features import Extractor, FeatureRequest
from edgetl.networks.framework import load_tensorflow
from edgetl.networks.weights import Weights, find_weights
from edgetl.training.photo_curve import measure_curve, select_rows
from edgetl_runtime.errors import DatasetError, WeightsError
from edgetl_runtime.image.preprocessing import Preprocessing


class CurveOptions(msgspec.Struct, frozen=True):
    """The options of `edgetl data curve`; as for training.

    Attributes:
        backbone: A name of the table; heads learn from its features.
        weights: `imagenet` or a file.
        size_px: Side of the input; None: the backbone's own.
        val_fraction: Share for validation.
        test_fraction: Share for testing, which the curve leaves alone.
        seed: Of split and draws.
    """

    backbone: str = DEFAULT_BACKBONE
    weights: str = "imagenet"
    size_px: int | None = None
    val_fraction: float = 0.2
    test_fraction: float = 0.0
    seed: int = 0


class DataCurve(msgspec.Struct, frozen=True, eq=False):
    """A curve and the photos that it is of.

    Attributes:
        manifest: The photos.
        backbone: Whose features the heads learned from.
        curve: The record.
        features: float32 (photos, features), in the order of the manifest.
        predicted: Path of each validation photo -> the label that the head which learned from all
            training photos gives it.
        seconds: All of it.
    """

    manifest: DatasetManifest
    backbone: str
    curve: PhotoCurve
    features: NDArray[np.float32]
    predicted: dict[str, str]
    seconds: float


def draw_curve(data: Path, options: CurveOptions | None = None) -> DataCurve:
    """Measures the curve of a data set; features that are not in the cache are computed.

    Raises:
        DatasetError: If `data` cannot be trained on, or is too small for a curve.
        OptionsError: If the backbone is unknown.
        WeightsError: If its weights cannot be had.
    """
    options = options or CurveOptions()
    start = time.monotonic()
    backbone = find_backbone(options.backbone)
    size_px = options.size_px or backbone.size_px
    manifest = scan(
        data,
        val_fraction=options.val_fraction,
        test_fraction=options.test_fraction,
        seed=options.seed,
    )
    if reason := find_hindrance(manifest):
        raise DatasetError(f"{data}: {reason}")
    weights = find_weights(options.weights, backbone, size_px)
    if weights.path is None:
        raise WeightsError(
            "a curve is of heads on trained features, --weights none has none; give --weights "
            "imagenet or a file"
        )
    features = _extract(manifest, options.backbone, weights, size_px)
    train, val = (select_rows(manifest, features, split) for split in ("train", "val"))
    measured = measure_curve(manifest.labels, train, val, seed=options.seed)
    named = [manifest.labels[index] for index in measured.predicted]
    paths = [one.path for one in manifest.select("val")]
    return DataCurve(
        manifest=manifest,
        backbone=backbone.name,
        curve=measured.curve,
        features=features,
        predicted=dict(zip(paths, named, strict=True)),
        seconds=round(time.monotonic() - start, 2),
    )


def _extract(
    manifest: DatasetManifest, backbone: str, weights: Weights, size_px: int
) -> NDArray[np.float32]:
    load_tensorflow()
    extractor = Extractor(find_backbone(backbone), weights, Preprocessing(size_px, size_px))
    wanted = [FeatureRequest(manifest.file(one), one.sha256) for one in manifest.examples]
    return np.asarray(extractor.extract(wanted).rows, np.float32)
