"""Training: photos in, a run folder out."""

import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl.backbones import Backbone, build, find_backbone
from edgetl.features import Extracted, Extractor, Wanted
from edgetl.head import TrainingRows, fit_head
from edgetl.manifest import DatasetManifest, scan
from edgetl.metrics import Metrics, measure
from edgetl.model import ModelSpec, build_classifier, build_extractor
from edgetl.run import (
    FORMAT_VERSION,
    HISTORY_FILE,
    MANIFEST_FILE,
    METRICS_FILE,
    MODEL_FILE,
    RUN_FILE,
    Run,
    RunFile,
    Seconds,
    describe_versions,
    encode,
)
from edgetl.scratch import load_pixels, train_all
from edgetl.weights import Weights, find_weights, load_weights
from edgetl_export.progress import Track, silent
from edgetl_runtime.errors import EdgetlError
from edgetl_runtime.preprocessing import Preprocessing
from edgetl_runtime.storage import check_replaceable, staged_folder

if TYPE_CHECKING:
    import keras

SCRATCH_EPOCHS = 20
VIEWS = 1


class Options(msgspec.Struct, frozen=True):
    """What `edgetl train` lets the user choose.

    Attributes:
        backbone: A name of the table.
        size_px: Side of the input; None: the backbone's own.
        weights: `imagenet`, `none` or a file.
        epochs: None: enough to converge for a head, 20 for a whole network.
        seed: Of split, folds, order and initial weights.
        val_fraction: Share of photos for validation.
        test_fraction: Share of photos for testing.
        fit: How a photo of another aspect ratio becomes a square.
        views: Augmented views of each training photo that the head sees beside it.
    """

    backbone: str = "mobilenet_v2_0.35"
    size_px: int | None = None
    weights: str = "imagenet"
    epochs: int | None = None
    seed: int = 0
    val_fraction: float = 0.2
    test_fraction: float = 0.0
    fit: str = "stretch"
    views: int = VIEWS


class _Trained(msgspec.Struct, frozen=True, eq=False):
    model: "keras.Model"
    spec: ModelSpec
    history: dict[str, list[float]]
    metrics: Metrics
    features_s: float
    head_s: float
    cached: int
    computed: int


def train(
    data: Path,
    out: Path,
    options: Options | None = None,
    *,
    overwrite: bool = False,
    track: Track = silent,
) -> Run:
    """Trains a classifier on a folder of photos and writes a run folder.

    With weights, the backbone stays as it is and a head is fitted on its cached features;
    with `weights="none"` the whole network is trained.

    Raises:
        DatasetError: If the photos cannot be used.
        WeightsError: If the weights cannot be had or do not fit.
        StorageError: If `out` exists or cannot be written.
        EdgetlError: If the backbone is unknown.
    """
    options = options or Options()
    start = time.monotonic()
    check_replaceable(out, marker=RUN_FILE, overwrite=overwrite)
    backbone = find_backbone(options.backbone)
    size_px = options.size_px or backbone.size_px
    weights = find_weights(options.weights, backbone, size_px)
    manifest = scan(
        data,
        val_fraction=options.val_fraction,
        test_fraction=options.test_fraction,
        seed=options.seed,
        track=track,
    )
    preprocessing = _preprocessing(size_px, options.fit)
    learn = _train_network if weights.path is None else _train_head
    trained = learn(manifest, backbone, weights, preprocessing, options, track)
    _save(out, manifest, trained, start, overwrite=overwrite)
    return Run.open(out)


def _preprocessing(size_px: int, fit: str) -> Preprocessing:
    try:
        return msgspec.convert(
            {"width_px": size_px, "height_px": size_px, "fit": fit}, Preprocessing
        )
    except msgspec.ValidationError as error:
        raise EdgetlError(f"--size or --fit cannot be used: {error}") from error


def _train_head(
    manifest: DatasetManifest,
    backbone: Backbone,
    weights: Weights,
    preprocessing: Preprocessing,
    options: Options,
    track: Track,
) -> _Trained:
    start = time.monotonic()
    extractor = Extractor(backbone, weights, preprocessing)
    wanted = [
        Wanted(manifest.file(one), one.sha256, options.views if one.split == "train" else 0)
        for one in manifest.examples
    ]
    extracted = extractor.extract(wanted, track=track)
    extracted_at = time.monotonic()
    rows, validation = _divide(manifest, extracted)
    fitted = fit_head(
        rows,
        validation,
        len(manifest.labels),
        epochs=options.epochs,
        seed=options.seed,
        track=track,
    )
    metrics = measure(
        manifest.labels, validation[1], fitted.head.probabilities(validation[0]).argmax(axis=1)
    )
    network = build(backbone, preprocessing.width_px)
    load_weights(network, weights, backbone)
    model = build_classifier(
        build_extractor(backbone, network, preprocessing.width_px), len(manifest.labels)
    )
    model.get_layer("head").set_weights([fitted.head.kernel, fitted.head.bias])
    return _Trained(
        model=model,
        spec=_spec(manifest, backbone, weights, preprocessing, "head", fitted.head.weight_decay),
        history=fitted.history,
        metrics=metrics,
        features_s=extracted_at - start,
        head_s=time.monotonic() - extracted_at,
        cached=extracted.cached,
        computed=extracted.computed,
    )


def _divide(
    manifest: DatasetManifest, extracted: Extracted
) -> tuple[TrainingRows, tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Training rows, and features and classes of the validation part."""
    classes = np.array([manifest.index(one) for one in manifest.examples], np.int64)
    splits = np.array([one.split for one in manifest.examples])[extracted.owner]
    hashes = [one.sha256 for one in manifest.examples]
    # Photos with the same bytes are one group: they must not be on both sides of a fold.
    group_of = {sha: n for n, sha in enumerate(dict.fromkeys(hashes))}
    groups = np.array([group_of[sha] for sha in hashes], np.int64)[extracted.owner]
    row_classes = classes[extracted.owner]
    learn, watch = splits == "train", splits == "val"
    rows = TrainingRows(
        extracted.rows[learn], row_classes[learn], groups[learn], ~extracted.is_view[learn]
    )
    return rows, (extracted.rows[watch], row_classes[watch])


def _train_network(
    manifest: DatasetManifest,
    backbone: Backbone,
    weights: Weights,
    preprocessing: Preprocessing,
    options: Options,
    track: Track,
) -> _Trained:
    import keras

    start = time.monotonic()
    keras.utils.set_random_seed(options.seed)
    train_part = load_pixels(manifest, preprocessing, "train", track)
    val_part = load_pixels(manifest, preprocessing, "val", track)
    loaded_at = time.monotonic()
    network = build(backbone, preprocessing.width_px)
    extractor = build_extractor(backbone, network, preprocessing.width_px)
    model = build_classifier(extractor, len(manifest.labels))
    epochs = options.epochs or SCRATCH_EPOCHS
    history = train_all(model, train_part, val_part, epochs=epochs, seed=options.seed, track=track)
    scores = model.predict(val_part.images.astype(np.float32), verbose=0)
    return _Trained(
        model=model,
        spec=_spec(manifest, backbone, weights, preprocessing, "none", 0.0),
        history=history,
        metrics=measure(manifest.labels, val_part.classes, scores.argmax(axis=1)),
        features_s=loaded_at - start,
        head_s=time.monotonic() - loaded_at,
        cached=0,
        computed=len(train_part.images) + len(val_part.images),
    )


def _spec(
    manifest: DatasetManifest,
    backbone: Backbone,
    weights: Weights,
    preprocessing: Preprocessing,
    cut: str,
    weight_decay: float,
) -> ModelSpec:
    return ModelSpec(
        backbone=backbone.name,
        weights_digest=weights.digest,
        cut=cut,
        labels=manifest.labels,
        preprocessing=preprocessing,
        head="linear",
        weight_decay=weight_decay,
        seed=manifest.seed,
    )


def _save(
    out: Path, manifest: DatasetManifest, trained: _Trained, start: float, *, overwrite: bool
) -> None:
    with staged_folder(out, marker=RUN_FILE, overwrite=overwrite) as folder:
        trained.model.save(folder / MODEL_FILE)
        (folder / MANIFEST_FILE).write_bytes(encode(manifest))
        (folder / METRICS_FILE).write_bytes(encode(trained.metrics))
        (folder / HISTORY_FILE).write_bytes(encode(trained.history))
        total_s = time.monotonic() - start
        file = RunFile(
            format_version=FORMAT_VERSION,
            spec=trained.spec,
            model_sha256=hashlib.sha256((folder / MODEL_FILE).read_bytes()).hexdigest(),
            dataset_digest=manifest.digest,
            seconds=Seconds(trained.features_s, trained.head_s, total_s),
            cached=trained.cached,
            computed=trained.computed,
            versions=describe_versions(),
        )
        (folder / RUN_FILE).write_bytes(encode(file))
