"""Training: photos in, a run folder out.

First the head is fitted on cached features; then, where asked or where it helps, head and top
blocks on cached maps, or head and whole network on the photos themselves.
"""

import hashlib
import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from edgetl.dataset.manifest import DatasetManifest, scan
from edgetl.dataset.tables import list_data
from edgetl.dataset.unlabelled import list_unlabelled
from edgetl.explaining.keras_models import explain_classifier
from edgetl.learning_curve.record import PhotoCurve
from edgetl.metrics import measure
from edgetl.networks.arrays import encode_weights
from edgetl.networks.backbones import BACKBONES, find_backbone
from edgetl.networks.framework import load_tensorflow
from edgetl.networks.model import ModelSpec
from edgetl.networks.weights import Weights, find_weights
from edgetl.options import TrainOptions, check_options, encode_toml
from edgetl.reporting.report import ReportInput, render_report
from edgetl.run import (
    CONFIG_FILE,
    CURVE_FILE,
    FORMAT_VERSION,
    HISTORY_FILE,
    MANIFEST_FILE,
    METRICS_FILE,
    PREDICTIONS_FILE,
    REPORT_FILE,
    RUN_FILE,
    WEIGHTS_FILE,
    Run,
    RunFile,
    describe_versions,
    encode,
)
from edgetl.training.devices import one_device, training_devices
from edgetl.training.fitting import Fitter
from edgetl.training.photo_curve import find_curve_hindrance, measure_curve, select_rows
from edgetl.training.stages import FitResult, Learner
from edgetl.training.teacher import Teaching, check_labels, open_teacher, warn_of_leaks
from edgetl.training.tensorboard import write_event
from edgetl.training.workspace import (
    Unfinished,
    Workspace,
    check_apart,
    check_same,
    is_resumable,
    reopen_workspace,
    start_workspace,
    tidy_finished,
)
from edgetl_runtime.errors import OptionsError
from edgetl_runtime.image.preprocessing import Preprocessing

_log = logging.getLogger(__name__)


def train(
    data: Path,
    out: Path,
    options: TrainOptions | None = None,
    *,
    overwrite: bool = False,
    tensorboard: bool = False,
) -> Run:
    """Trains a classifier on photos and writes a run folder.

    After an interruption `resume` goes on from the last epoch that was finished.

    Args:
        data: A folder of photos or a table of them; see `edgetl.dataset.manifest.scan`.
        out: The run folder.
        options: What is trained, and how.
        overwrite: Replace a finished run, or an interrupted training, of that name.
        tensorboard: Write event files, too.

    Raises:
        DatasetError: If the photos cannot be used.
        OptionsError: If the options contradict one another or do not suit the photos.
        WeightsError: If the weights cannot be had or do not fit.
        TrainingError: If the loss is no longer finite.
        StorageError: If `out` exists or cannot be written.
    """
    options = options or TrainOptions()
    check_options(options)
    options = _anchor_paths(options)
    check_apart(out, data)
    start = time.monotonic()
    with start_workspace(out, overwrite=overwrite) as workspace:
        list_data(data)  # What is wrong with the folders is said before any other work.
        weights = find_start(options)
        manifest = scan_data(data, options)
        teaching = find_teaching(options, manifest, data, out, overwrite=overwrite)
        unfinished = Unfinished(
            format_version=FORMAT_VERSION,
            data=str(data.resolve()),
            options=options,
            overwrite=overwrite,
            tensorboard=tensorboard,
            manifest=manifest,
            weights_digest=weights.digest,
            versions=describe_versions(),
            teaching_digest=teaching.digest if teaching else "",
        )
        workspace.begin(unfinished)
        _finish(workspace, unfinished, weights, teaching, start)
        workspace.finish(overwrite=overwrite)
    return Run.open(out)


def resume(
    out: Path,
    *,
    data: Path | None = None,
    choose: Callable[[TrainOptions], TrainOptions] = lambda before: before,
) -> Run:
    """Goes on with an interrupted training; the result is that of an uninterrupted one.

    Args:
        out: The run folder that `train` was given.
        data: The photos, if they lie elsewhere now.
        choose: Turns the options of the interrupted training into those asked for now, which
            must be the same.

    Raises:
        RunError: If nothing was interrupted there, or photos, options, weights or versions are
            others.
    """
    start = time.monotonic()
    if tidy_finished(out):
        return Run.open(out)
    with reopen_workspace(out) as (workspace, before):
        photos = data or Path(before.data)
        manifest = scan_data(photos, before.options)
        weights = find_start(before.options)
        teaching = find_teaching(before.options, manifest, photos, out, overwrite=before.overwrite)
        digest = teaching.digest if teaching else ""
        check_same(before, _anchor_paths(choose(before.options)), manifest, weights, digest)
        unfinished = msgspec.structs.replace(before, manifest=manifest)
        _finish(workspace, unfinished, weights, teaching, start)
        workspace.finish(overwrite=before.overwrite)
    return Run.open(out)


def scan_data(data: Path, options: TrainOptions) -> DatasetManifest:
    """Reads the photos and divides them; warns of leaks.

    Raises:
        DatasetError: If they cannot be used.
        OptionsError: If the options do not suit them.
    """
    manifest = scan(
        data,
        val_fraction=options.split.val_fraction,
        test_fraction=options.split.test_fraction,
        seed=options.seed,
    )
    if options.head.output == "sigmoid" and len(manifest.labels) != 2:
        raise OptionsError(
            f"a sigmoid head is for two classes, {data} has {len(manifest.labels)}; leave --output "
            "(in a file head.output) at softmax"
        )
    if leaks := manifest.leaks():
        _log.warning(
            "%d photos of val or test are near-duplicates of photos in train, such as %s, so "
            "accuracy is overstated; `edgetl data check %s` lists them",
            len(leaks),
            leaks[0].path,
            data,
        )
    return manifest


def _anchor_paths(options: TrainOptions) -> TrainOptions:
    """With absolute paths, so that a training can be resumed, and repeated, from any folder."""
    paths = {"teacher": options.teacher, "unlabelled": options.unlabelled}
    if options.teacher in BACKBONES:
        del paths["teacher"]
    if options.weights not in ("imagenet", "none"):
        paths["weights"] = options.weights
    anchored = {name: str(Path(path).resolve()) for name, path in paths.items() if path}
    return msgspec.structs.replace(options, **anchored)


def find_start(options: TrainOptions) -> Weights:
    """The weights that a training begins with.

    Raises:
        WeightsError: If they cannot be had.
    """
    backbone = find_backbone(options.backbone)
    return find_weights(options.weights, backbone, options.size_px or backbone.size_px)


def find_teaching(
    options: TrainOptions, manifest: DatasetManifest, data: Path, out: Path, *, overwrite: bool
) -> Teaching | None:
    """The teacher that the options name, trained first if it is a backbone; None without one.

    A backbone becomes a run of its own beside `out`, `NAME.teacher`, with the same photos, split
    and augmentation. A later training with the same options takes it as it is, and goes on with an
    interrupted one unless it is to be overwritten.

    Raises:
        EdgetlError: As `train`, for the teacher; OptionsError if its labels are others.
        DatasetError: If the photos without labels cannot be used.
    """
    if not options.teacher:
        return None
    if options.teacher in BACKBONES:
        run = _train_teacher(options, manifest, data, out, overwrite=overwrite)
    else:
        run = open_teacher(Path(options.teacher))
    check_labels(run, manifest.labels)
    warn_of_leaks(run, manifest)
    if not options.unlabelled:
        return Teaching(run)
    return Teaching(run, list_unlabelled(Path(options.unlabelled), manifest))


def _train_teacher(
    options: TrainOptions, manifest: DatasetManifest, data: Path, out: Path, *, overwrite: bool
) -> Run:
    """The run of a backbone that is to teach; an interrupted one is resumed."""
    wanted = TrainOptions(
        backbone=options.teacher,
        fit=options.fit,
        seed=options.seed,
        augment=options.augment,
        split=options.split,
    )
    place = out.with_name(f"{out.name}.teacher")
    if is_resumable(place) and not overwrite:
        return resume(place, data=data, choose=lambda _: wanted)
    if (place / RUN_FILE).is_file():
        run = Run.open(place)
        if run.file.options == wanted and run.file.dataset_digest == manifest.digest:
            return run
    _log.info("training the teacher, %s, in %s", options.teacher, place)
    return train(data, place, wanted, overwrite=overwrite)


def make_learner(
    manifest: DatasetManifest,
    options: TrainOptions,
    weights: Weights,
    fitter: Fitter,
    teaching: Teaching | None = None,
) -> Learner:
    """What takes the training through its stages."""
    backbone = find_backbone(options.backbone)
    return Learner(
        manifest=manifest,
        options=options,
        backbone=backbone,
        weights=weights,
        preprocessing=_make_preprocessing(options),
        fitter=fitter,
        teaching=teaching,
    )


def _make_preprocessing(options: TrainOptions) -> Preprocessing:
    size_px = options.size_px or find_backbone(options.backbone).size_px
    return Preprocessing(width_px=size_px, height_px=size_px, fit=options.fit)


def _finish(
    workspace: Workspace,
    unfinished: Unfinished,
    weights: Weights,
    teaching: Teaching | None,
    start: float,
) -> None:
    """Learns, and writes all that a run holds into the workspace; `run.json` comes last."""
    scanned_s = time.monotonic() - start
    manifest, options = unfinished.manifest, unfinished.options
    backbone = find_backbone(options.backbone)
    observe = partial(write_event, workspace.folder) if unfinished.tensorboard else None
    load_tensorflow()
    with training_devices() as device:
        fitter = Fitter(workspace.checkpoints, seed=options.seed, observe=observe)
        learned = make_learner(manifest, options, weights, fitter, teaching).learn()
    spec = ModelSpec(
        backbone=backbone.name,
        weights_digest=weights.digest,
        cut=learned.cut.layer(backbone),
        blocks=learned.cut.blocks,
        labels=manifest.labels,
        preprocessing=_make_preprocessing(options),
        head=options.head.kind,
        l2=learned.l2,
        temperature=learned.temperature,
        seed=options.seed,
        teacher=teaching.model_sha256 if teaching else "",
    )
    seconds = {"reading photos": scanned_s, **learned.seconds}
    began = time.monotonic()
    curve, reason = _measure_curve(manifest, options, learned)
    if curve:
        seconds["curve over photos"] = time.monotonic() - began
    lost = sum(learned.seconds.values()) - (time.monotonic() - start - scanned_s)
    seconds["total"] = time.monotonic() - start + max(0.0, lost)
    _write(workspace, manifest, options, spec, learned, seconds, device, curve, reason)


def _measure_curve(
    manifest: DatasetManifest, options: TrainOptions, learned: FitResult
) -> tuple[PhotoCurve | None, str]:
    """The learning curve over photos, or why it is left out."""
    features = learned.features
    reason = find_curve_hindrance(manifest, features)
    if reason or features is None:
        return None, reason
    train, val = (select_rows(manifest, features, split) for split in ("train", "val"))
    # The strength that suits an mlp says nothing of a linear head.
    l2 = learned.l2 if options.head.kind == "linear" else None
    with one_device():
        measured = measure_curve(manifest.labels, train, val, l2=l2, seed=options.seed)
    return measured.curve, ""


def _write(
    workspace: Workspace,
    manifest: DatasetManifest,
    options: TrainOptions,
    spec: ModelSpec,
    learned: FitResult,
    seconds: dict[str, float],
    device: str,
    curve: PhotoCurve | None,
    no_curve: str,
) -> None:
    folder = workspace.folder
    validation = learned.predictions[0]
    metrics = measure(manifest.labels, validation.classes, validation.probabilities.argmax(axis=1))
    weights = encode_weights(learned.model)
    contents = {
        WEIGHTS_FILE: weights,
        MANIFEST_FILE: encode(manifest),
        METRICS_FILE: encode(metrics),
        HISTORY_FILE: encode(learned.histories),
        PREDICTIONS_FILE: encode(learned.predictions),
        CONFIG_FILE: encode_toml(options),
    }
    report = ReportInput(
        title=workspace.out.name,
        manifest=manifest,
        metrics=metrics,
        histories=learned.histories,
        predictions=validation,
        test=learned.predictions[1] if len(learned.predictions) > 1 else None,
        seconds=seconds,
        settings=msgspec.to_builtins(options),
        facts={"backbone": spec.backbone, "device": device, **describe_versions()},
        curve=curve,
        no_curve=no_curve,
        features=learned.features,
        explainer=explain_classifier(learned.model, manifest.labels, spec.preprocessing),
    )
    if curve:
        contents[CURVE_FILE] = encode(curve)
    contents[REPORT_FILE] = render_report(report).encode()
    file = RunFile(
        format_version=FORMAT_VERSION,
        spec=spec,
        options=options,
        model_sha256=hashlib.sha256(weights).hexdigest(),
        dataset_digest=manifest.digest,
        seconds=seconds,
        cached=learned.cached,
        computed=learned.computed,
        versions=describe_versions(),
    )
    for name, content in {**contents, RUN_FILE: encode(file)}.items():
        (folder / name).write_bytes(content)
