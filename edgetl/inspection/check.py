"""The check of a data set before training on it; nothing of the data is changed."""

import time
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np

from edgetl.dataset.manifest import (
    DatasetManifest,
    Skipped,
    check_fractions,
    check_trainable,
    split_photos,
)
from edgetl.dataset.scanning import Scanned, scan_photos
from edgetl.inspection.labels import find_feature_issues
from edgetl.inspection.photos import Issue, Kind, Sure, inspect
from edgetl.networks.backbones import DEFAULT_BACKBONE, find_backbone
from edgetl.networks.features import Extractor, FeatureRequest
from edgetl.networks.framework import load_tensorflow
from edgetl.networks.weights import find_weights
from edgetl_runtime.errors import DatasetError, WeightsError
from edgetl_runtime.image.preprocessing import Preprocessing

# The worst for a model first.
KINDS: tuple[Kind, ...] = (
    "layout",
    "contradiction",
    "leak",
    "wrong_label",
    "unreadable",
    "outlier",
    "near_duplicate",
    "exact_duplicate",
    "few_photos",
    "imbalance",
    "odd_size",
    "animation",
)
SURE: tuple[Sure, ...] = ("certain", "likely", "possible")
_FEATURES = "wrong labels, outliers and photos of the same object"


class CheckOptions(msgspec.Struct, frozen=True):
    """The options of `edgetl data check`; as for training.

    Attributes:
        backbone: A name of the table, whose features compare photos.
        weights: `imagenet`, a file, or `none` for a check without features.
        size_px: Side of the input; None: the backbone's own.
        val_fraction: Share for validation.
        test_fraction: Share for testing.
        seed: Of split and folds.
    """

    backbone: str = DEFAULT_BACKBONE
    weights: str = "imagenet"
    size_px: int | None = None
    val_fraction: float = 0.2
    test_fraction: float = 0.0
    seed: int = 0


class ClassCount(msgspec.Struct, frozen=True):
    """Usable photos of a class, by part."""

    label: str
    train: int
    val: int
    test: int

    @property
    def photos(self) -> int:
        """In all parts."""
        return self.train + self.val + self.test


class DataReport(msgspec.Struct, frozen=True):
    """The findings of a check; the keys of `--json`, besides `page`.

    Attributes:
        data: What was checked.
        root: The folder that paths are relative to.
        photos: Usable ones of a class.
        unknown: Usable ones of other things, from `_unknown_`.
        skipped: Files that training would leave out.
        classes: Sorted by label.
        issues: The worst kind first; see `inspection.Issue`.
        left_out: What was not looked for, with reason and remedy.
        passed_over: What is not a photo by its name or place, such as hidden folders, and why.
        hindrance: Why training would refuse the data; empty if it would not.
        backbone: Whose features were compared; None without.
        size_px: Side of the model's input.
        seconds: All of it.
    """

    data: str
    root: str
    photos: int
    unknown: int
    skipped: int
    classes: tuple[ClassCount, ...]
    issues: tuple[Issue, ...]
    left_out: tuple[str, ...]
    passed_over: tuple[Skipped, ...]
    hindrance: str
    backbone: str | None
    size_px: int
    seconds: float

    def of_kind(self, kind: Kind) -> tuple[Issue, ...]:
        """The issues of one kind, in order."""
        return tuple(issue for issue in self.issues if issue.kind == kind)


def check_data(data: Path, options: CheckOptions | None = None) -> DataReport:
    """Looks for all that makes photos worse to learn from.

    Where the backbone's weights cannot be had, what needs features is left out and said so.

    Raises:
        DatasetError: If `data` cannot be read, or holds no usable photo.
        OptionsError: If the backbone is unknown.
    """
    options = options or CheckOptions()
    start = time.monotonic()
    check_fractions(options.val_fraction, options.test_fraction)
    backbone = find_backbone(options.backbone)
    size_px = options.size_px or backbone.size_px
    scanned = scan_photos(data)
    if not scanned.usable:
        raise DatasetError(_explain_nothing(data, scanned))
    manifest = split_photos(scanned, options.val_fraction, options.test_fraction, options.seed)
    issues = inspect(scanned, manifest, size_px)
    left_out: list[str] = []
    try:
        features = _extract(manifest, options, size_px)
    except WeightsError as error:
        features, left_out = None, [f"{_FEATURES}: {error}"]
    if features is not None:
        more, left_out = find_feature_issues(manifest, features, seed=options.seed)
        issues += more
    return DataReport(
        data=str(data),
        root=manifest.root,
        photos=len(manifest.examples),
        unknown=len(manifest.unknown),
        skipped=len(manifest.skipped),
        classes=_count_classes(manifest),
        issues=tuple(sorted(issues, key=_rank)),
        left_out=tuple(left_out),
        passed_over=tuple(Skipped(path, why) for path, why in scanned.left_out),
        hindrance=_find_hindrance(scanned, manifest),
        backbone=None if features is None else backbone.name,
        size_px=size_px,
        seconds=round(time.monotonic() - start, 2),
    )


def _find_hindrance(scanned: Scanned, manifest: DatasetManifest) -> str:
    try:
        check_trainable(scanned, manifest)
    except DatasetError as error:
        return str(error)
    return ""


def _explain_nothing(data: Path, scanned: Scanned) -> str:
    bad = scanned.faulty[0] if scanned.faulty else None
    why = f" ({bad.path}: {bad.verdict.reason})" if bad else ""
    return f"{data} holds no usable photo{why}; put photos into its class folders"


def _extract(
    manifest: DatasetManifest, options: CheckOptions, size_px: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    backbone = find_backbone(options.backbone)
    weights = find_weights(options.weights, backbone, size_px)
    if weights.path is None:
        raise WeightsError("disabled by --weights none; give --weights imagenet or a file")
    load_tensorflow()
    extractor = Extractor(backbone, weights, Preprocessing(size_px, size_px))
    wanted = [FeatureRequest(manifest.file(one), one.sha256) for one in manifest.examples]
    return np.asarray(extractor.extract(wanted).rows, np.float32)


def _count_classes(manifest: DatasetManifest) -> tuple[ClassCount, ...]:
    counts = Counter((one.label, one.split) for one in manifest.examples)
    return tuple(
        ClassCount(label, counts[label, "train"], counts[label, "val"], counts[label, "test"])
        for label in manifest.labels
    )


def _rank(issue: Issue) -> tuple[int, int, float, tuple[str, ...]]:
    score = -1.0 if issue.score is None else issue.score
    return KINDS.index(issue.kind), SURE.index(issue.sure), -score, issue.paths
