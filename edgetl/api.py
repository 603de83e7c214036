"""The public functions; the commands call them.

Arguments are checked before anything heavy is imported.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from edgetl.progress import Progress, follow
from edgetl.run import RUN_FILE, Run
from edgetl_runtime.errors import OptionsError

if TYPE_CHECKING:
    from edgetl.evaluation import Evaluation
    from edgetl.options import TrainOptions
    from edgetl.reporting.comparison import Comparison
    from edgetl_export.load.source import Size
    from edgetl_export.options import ExportOptions
    from edgetl_export.package.bundling import Exported
    from edgetl_runtime.image.preprocessing import Fit

StrPath: TypeAlias = str | os.PathLike[str]


def train(
    data: StrPath,
    out: StrPath,
    options: "TrainOptions | None" = None,
    *,
    overwrite: bool = False,
    tensorboard: bool = False,
    progress: Progress = False,
    **keywords: Any,
) -> Run:
    """Trains a classifier on photos.

        run = edgetl.train("photos", out="runs/parts", backbone="mobilenet_v2_1.0", epochs=20)

    After an interruption, `resume` continues from the last finished epoch.

    Args:
        data: A folder, CLASS/photo.jpg or {train,val,test}/CLASS/photo.jpg, or a .csv or .jsonl
            table of path and label. Photos in `_unknown_` are of no class.
        out: Folder for the run.
        options: What to train, and how. Keywords win over it.
        overwrite: Replace a run, or an interrupted training, of that name.
        tensorboard: Write event files for TensorBoard as well.
        progress: True for a bar on a terminal, or a function; see `edgetl.progress.follow`.
        **keywords: Options by the names of the flags of `edgetl train`: `size=160`,
            `head="mlp"`, `hidden=(128,)`, `val_fraction=0.1`.

    Returns:
        The finished run.

    Raises:
        DatasetError: If the photos cannot be used.
        OptionsError: If an option is unknown or out of range, or two contradict each other.
        WeightsError: If the weights are not available or do not fit.
        TrainingError: If the loss is no longer finite.
        StorageError: If `out` exists or cannot be written.
    """
    from edgetl.options import choose_options
    from edgetl.training.train import train as run_training

    chosen = choose_options(options, keywords)
    with follow(progress):
        return run_training(
            Path(data), Path(out), chosen, overwrite=overwrite, tensorboard=tensorboard
        )


def resume(
    run: StrPath,
    options: "TrainOptions | None" = None,
    *,
    data: StrPath | None = None,
    progress: Progress = False,
    **keywords: Any,
) -> Run:
    """Resumes an interrupted training, with the same result as an uninterrupted one.

    Args:
        run: The folder given to `train` as `out`.
        options: The previous options (default: read from the interrupted training).
        data: The photos, if they have moved.
        progress: As for `train`.
        **keywords: As for `train`; they must match the previous options.

    Raises:
        RunError: If there is no interrupted training, or if the photos, options, weights or
            versions have changed.
    """
    from edgetl.options import choose_options
    from edgetl.training.train import resume as go_on

    with follow(progress):
        return go_on(
            Path(run),
            data=None if data is None else Path(data),
            choose=lambda before: choose_options(options or before, keywords),
        )


def evaluate(
    model: "Run | StrPath",
    data: StrPath,
    *,
    variant: str | None = None,
    unseen: bool = False,
    lessons: bool = False,
    progress: Progress = False,
) -> "Evaluation":
    """Scores a run or a bundle on labelled photos.

        result = edgetl.evaluate("parts.bundle", "photos-of-tomorrow")
        print(result.top1, result.answers.accuracy, result.answers.false_accept_rate)

    `top1` takes the best class of each photo. `answers`, of a bundle, has what a device would say
    instead: how many photos get a label, and how many in `_unknown_` do.

    Args:
        model: A run, its folder, or a bundle (folder or .zip).
        data: As for `train`; a split `train` is left out.
        variant: Variant of a bundle, such as `litert-int8` (default: its first).
        unseen: Leave out the photos that the run was trained on.
        lessons: Apply the lessons beside the bundle, as a device does; `data` may then have the
            classes that they taught.
        progress: As for `train`.

    Raises:
        RunError: If the run cannot be opened, `unseen` is set for a bundle, or `lessons` for a run.
        BundleError: If the bundle cannot be opened.
        LessonError: If `lessons` is set, and there are none or they cannot be applied.
        OptionsError: If `variant` is set for a run.
        DatasetError: If the data has other classes, or no photos are left.
    """
    from edgetl.evaluation import evaluate as run_evaluation

    chosen = model if isinstance(model, Run) else Path(model)
    with follow(progress):
        return run_evaluation(chosen, Path(data), variant=variant, unseen=unseen, lessons=lessons)


def export(
    model: "Run | StrPath",
    out: StrPath,
    options: "ExportOptions | None" = None,
    *,
    data: StrPath | None = None,
    labels: StrPath | None = None,
    scaling: str | None = None,
    fit: "Fit | None" = None,
    size: "Size | None" = None,
    trust: bool = False,
    allow_doubt: bool = False,
    overwrite: bool = False,
    progress: Progress = False,
    **keywords: Any,
) -> "Exported":
    """Converts a model to LiteRT and ONNX files, evaluates them and repairs where needed.

        bundle = edgetl.export("runs/parts", "parts.bundle", max_drop=0.5).bundle
        edgetl.export("model.tflite", "b.bundle", data="photos", scaling="-1..1").bundle

    Args:
        model: A run or its folder; or a model trained elsewhere: a .tflite, .onnx, .keras
            or .h5 file, the folder of a SavedModel, or a zip with one of these.
        out: Folder for the bundle, or NAME.zip.
        options: Which files to write, and how good they must be. Keywords win over it.
        data: For a model trained elsewhere: labelled photos, as for `train`.
        labels: For such a model: text file, one label per line (default: the labels in the model).
        scaling: For such a model: the pixel values that it expects, such as `0..1` or `imagenet`.
        fit: For such a model: `stretch`, `crop` or `pad` (default: `stretch`).
        size: For such a model, if it does not fix it: side of the input, or (width, height), in
            pixels.
        trust: Open such a model even if it can run code: .keras, .h5, SavedModel.
        allow_doubt: Export such a model even if the photos, or the file itself, contradict
            labels or scaling.
        overwrite: Replace an existing bundle.
        progress: As for `train`.
        **keywords: Fields of `ExportOptions`, such as `max_drop=0.5`, `recipes=("int8",)`.

    Returns:
        The bundle, and the attempts that led to it.

    Raises:
        ExportError: If photos are missing, or the model cannot be converted.
        GateError: If a file is worse than allowed, or the photos contradict labels or scaling.
        OptionsError: If an option is unknown, out of range or not for this model.
        RunError: If the run cannot be opened.
        DatasetError: If `data` cannot be used.
        StorageError: If `out` exists or cannot be written.
    """
    chosen = _choose_export(options, keywords)
    with follow(progress):
        if isinstance(model, Run) or (Path(model) / RUN_FILE).is_file():
            given = (data, labels, scaling, fit, size, trust or None, allow_doubt or None)
            _refuse_for_runs(given)
            from edgetl.exporting.runs import export_run

            run = model if isinstance(model, Run) else Run.open(Path(model))
            return export_run(run, Path(out), chosen, overwrite=overwrite)
        from edgetl.exporting.foreign import ForeignOptions, export_foreign

        missing = [name for name, one in (("data", data), ("scaling", scaling)) if one is None]
        if data is None or scaling is None:
            raise OptionsError(
                f"{model} is not a run; for a model trained elsewhere, also give "
                f"{' and '.join(missing)}"
            )
        foreign = ForeignOptions(
            *(Path(model), None if labels is None else Path(labels), Path(data), scaling),
            fit=fit or "stretch",
            size_px=size,
            trust=trust,
            allow_doubt=allow_doubt,
        )
        return export_foreign(foreign, Path(out), chosen, overwrite=overwrite)


def compare(runs: "Sequence[Run | StrPath]") -> "Comparison":
    """Compares runs, and tests whether they differ by more than chance.

    Args:
        runs: At least two different ones, or their folders.

    Raises:
        OptionsError: If there are fewer than two.
        RunError: If one cannot be opened.
    """
    from edgetl.reporting.comparison import compare as compare_described
    from edgetl.reporting.comparison import describe_run

    opened = [one if isinstance(one, Run) else Run.open(Path(one)) for one in runs]
    if len({one.path.resolve() for one in opened}) < 2:
        raise OptionsError("give at least two different runs")
    return compare_described([describe_run(one, str(one.path)) for one in opened])


def _choose_export(options: "ExportOptions | None", keywords: dict[str, Any]) -> "ExportOptions":
    from edgetl_export.options import ExportOptions, make_options
    from edgetl_runtime.options.choices import Choices

    choices = Choices(ExportOptions, style="keyword")
    if options is not None:
        choices.add_tables(msgspec.to_builtins(options), style="keyword")
    choices.add_keywords(keywords)
    return make_options(choices)


def _refuse_for_runs(given: Sequence[object]) -> None:
    names = ("data", "labels", "scaling", "fit", "size", "trust", "allow_doubt")
    wrong = [name for name, one in zip(names, given, strict=True) if one is not None]
    if wrong:
        raise OptionsError(f"{wrong[0]} is for a model trained elsewhere; leave it out for a run")
