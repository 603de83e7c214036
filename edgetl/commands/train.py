"""`edgetl train`: fit a classifier to photos, or go on with a training that was interrupted."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgetl.commands.backbones import BOARD_NAMES
from edgetl.commands.flags import OptionsCommand, collect_flags
from edgetl.console import FOLDER, print_json, print_metrics
from edgetl_export.wording import percent
from edgetl_runtime.errors import OptionsError
from edgetl_runtime.system.interruption import EXIT_INTERRUPTED
from edgetl_runtime.text.printable import make_printable
from edgetl_runtime.text.wording import count_noun

if TYPE_CHECKING:
    from edgetl.options import TrainOptions
    from edgetl.run import Run


def _import_options() -> "type[TrainOptions]":
    from edgetl.options import TrainOptions

    return TrainOptions


@click.command(cls=OptionsCommand, root=_import_options, title="Network and photos")
@click.argument("data", type=FOLDER, required=False)
@click.option("--out", type=FOLDER, help="Folder to write the run to.")
@click.option("--config", type=FOLDER, help="TOML file of options; flags win over it.")
@click.option(
    "--for",
    "board",
    type=click.Choice(BOARD_NAMES),
    help="Choose backbone and size for a board: of four networks that were measured, the most "
    "accurate within --budget-ms.",
)
@click.option(
    "--budget-ms",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MS",
    help="With --for: largest estimated inference time of a frame in int8, on all cores.  [40]",
)
@click.option("--resume", type=FOLDER, help="Resume the interrupted training of this run.")
@click.option(
    "--find-lr",
    is_flag=True,
    help="Suggest learning rates by a range test (Smith 2017) instead of training; --out may name "
    "an .html page for its picture.",
)
@click.option("--tensorboard", is_flag=True, help="Write event files for TensorBoard, too.")
@click.option("--overwrite", is_flag=True, help="Replace an existing run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def train(
    data: Path | None,
    out: Path | None,
    config: Path | None,
    board: str | None,
    budget_ms: float | None,
    resume: Path | None,
    *,
    find_lr: bool,
    tensorboard: bool,
    overwrite: bool,
    as_json: bool,
    **parameters: object,
) -> None:
    """Train a classifier on the photos in DATA.

    DATA is a folder, CLASS/photo.jpg or {train,val,test}/CLASS/photo.jpg, or a CSV or JSONL
    file of path,label. A folder _unknown_ beside the classes holds unknown photos, which are
    not trained on. To resume an interrupted training: edgetl train --resume RUN

    Example: edgetl train photos --out runs/parts
    """
    flags = collect_flags(parameters) | _choose_for(board, budget_ms, parameters, config)
    if find_lr:
        others = {"--resume": resume, "--tensorboard": tensorboard}
        _find_lr(data, out, config, flags, others, overwrite=overwrite, as_json=as_json)
        return
    switches = {"--out": out, "--overwrite": overwrite, "--tensorboard": tensorboard}
    try:
        if resume is not None:
            resume = _name_run(resume)
            run = _resume(resume, data, config, flags, switches)
        else:
            run = _train(data, out, config, flags, overwrite=overwrite, tensorboard=tensorboard)
    except KeyboardInterrupt:
        _explain_interruption(resume or out)
        sys.exit(EXIT_INTERRUPTED)
    if as_json:
        print_json(_record(run))
    else:
        _report(run)


def _choose_for(
    board: str | None,
    budget_ms: float | None,
    parameters: Mapping[str, object],
    config: Path | None,
) -> dict[str, Any]:
    """Backbone and size as flags, if they are to be chosen."""
    if board is None:
        if budget_ms is not None:
            raise _misuse("--budget-ms means nothing without --for BOARD")
        return {}
    chosen = {"backbone": "--backbone", "size_px": "--size"}
    if given := [flag for name, flag in chosen.items() if parameters.get(name)]:
        raise _misuse(f"{given[0]} contradicts --for, which chooses it; leave one out")
    from edgetl.estimation.choosing import BUDGET_MS, choose_network
    from edgetl.options import TrainOptions, read_config

    said = read_config(config) if config else TrainOptions()
    if given := [name for name in chosen if getattr(said, name) != getattr(TrainOptions(), name)]:
        raise _misuse(f"{config} sets {given[0]}, which --for chooses; leave one out")
    try:
        choice = choose_network(board, BUDGET_MS if budget_ms is None else budget_ms)
    except OptionsError as error:
        raise _misuse(str(error)) from error
    latency = choice.latency
    click.echo(
        f"edgetl: for {choice.board}: {choice.backbone} at {choice.size_px} px, estimated "
        f"{latency.ms:.0f} ms a frame in int8 ({latency.low_ms:.0f} to {latency.high_ms:.0f}; "
        f"allowed {choice.budget_ms:g})",
        err=True,
    )
    return {"backbone": choice.backbone, "size_px": str(choice.size_px)}


def _train(
    data: Path | None,
    out: Path | None,
    config: Path | None,
    flags: dict[str, Any],
    *,
    overwrite: bool,
    tensorboard: bool,
) -> "Run":
    if data is None or out is None:
        missing = "DATA" if data is None else "--out RUN"
        raise _misuse(
            f"{missing} is missing; give DATA --out RUN, or --resume RUN to resume a training"
        )
    options = choose_options(config, flags)
    from edgetl.api import train as run_training

    return run_training(data, out, options, overwrite=overwrite, tensorboard=tensorboard)


def _find_lr(
    data: Path | None,
    out: Path | None,
    config: Path | None,
    flags: dict[str, Any],
    others: Mapping[str, object],
    *,
    overwrite: bool,
    as_json: bool,
) -> None:
    from edgetl.commands.find_lr import check_find_lr, find_lr

    if given := [name for name, value in others.items() if value]:
        raise _misuse(f"{given[0]} contradicts --find-lr, which trains no run; leave one out")
    data = check_find_lr(data, out, overwrite=overwrite)
    find_lr(data, out, choose_options(config, flags), config, flags, as_json=as_json)


def _name_run(resume: Path) -> Path:
    """The run that is meant, also where the folder of its unfinished training is given."""
    from edgetl.run import UNFINISHED

    if not resume.name.endswith(UNFINISHED):
        return resume
    return resume.with_name(resume.name.removesuffix(UNFINISHED))


def _resume(
    out: Path,
    data: Path | None,
    config: Path | None,
    flags: dict[str, Any],
    switches: Mapping[str, object],
) -> "Run":
    if contradicting := [name for name, value in switches.items() if value]:
        raise _misuse(
            f"{contradicting[0]} contradicts --resume RUN, which keeps its options; leave it out"
        )
    from edgetl.training.train import resume as resume_training

    def choose(before: "TrainOptions") -> "TrainOptions":
        return choose_options(config, flags, before) if config or flags else before

    return resume_training(out, data=data, choose=choose)


def choose_options(
    config: Path | None, flags: dict[str, Any], before: "TrainOptions | None" = None
) -> "TrainOptions":
    """Flags over the file over what was before over the defaults."""
    from edgetl.options import make_options
    from edgetl_runtime.options.choices import Choices

    choices = Choices(_import_options(), before, style="flag")
    if config:
        choices.add_file(config)
    try:
        choices.add_tables(flags, style="flag", text=True)
        return make_options(choices)
    except OptionsError as error:
        # Each value of a file was checked when it was read, so what is wrong now is a flag.
        if flags:
            raise _misuse(str(error)) from error
        raise


def _misuse(message: str) -> click.UsageError:
    return click.UsageError(message, click.get_current_context(silent=True))


def _explain_interruption(out: Path | None) -> None:
    from edgetl.training.workspace import is_resumable

    if out is not None and is_resumable(out):
        click.echo(f"edgetl: interrupted; resume with: edgetl train --resume {out}", err=True)
    else:
        click.echo(
            "edgetl: interrupted before the first epoch; computed features stay in the cache: run "
            "the same command again",
            err=True,
        )


def _record(run: "Run") -> dict[str, object]:
    from edgetl.reporting.findings import estimate_top1

    scenes = run.manifest.count_scenes(one.path for one in run.manifest.select("val"))
    return {
        "run": str(run.path),
        "backbone": run.spec.backbone,
        "cut": run.spec.cut,
        "blocks": run.spec.blocks,
        "val_top1": run.metrics.top1,
        "val_top1_interval": estimate_top1(run.metrics, scenes),
        "test_top1": _measure_test(run),
        "seconds": run.file.seconds,
        "cached": run.file.cached,
        "computed": run.file.computed,
        "skipped": run.manifest.skipped,
        "unknown": len(run.manifest.unknown),
        "report": str(run.report),
    }


def _measure_test(run: "Run") -> float | None:
    test = next((one for one in run.predictions if one.split == "test"), None)
    return test.top1 if test else None


def _report(run: "Run") -> None:
    from edgetl.reporting.findings import count_photos

    print_metrics(run.metrics)
    test = _measure_test(run)
    scenes = run.manifest.count_scenes(one.path for one in run.manifest.select("val"))
    photos = count_photos(run.metrics.examples, scenes, "photo")
    figures = [f"validation top-1 {percent(run.metrics.top1)} on {photos}"]
    if test is not None:
        figures.append(f"test top-1 {percent(test)}")
    figures.append(f"trained: {run.spec.describe_cut()}")
    computed = count_noun(run.file.computed, "photo")
    figures.append(f"{computed} computed, {run.file.cached} from the cache")
    if unknown := len(run.manifest.unknown):
        others = count_noun(unknown, "unknown photo")
        figures.append(f"{others} used for the reject threshold")
    figures.append(f"{run.file.seconds['total']:.1f} s")
    click.echo("; ".join(figures))
    _note_futile(run)
    _note_skipped(run)
    click.echo(f"report: {run.report}")
    click.echo(f"next: edgetl export {run.path} --out {run.path.name}.bundle")


def _note_futile(run: "Run") -> None:
    for stage in run.histories:
        if not stage.best_epoch:
            best = max(stage.curves["val_accuracy"])
            click.echo(
                f"edgetl: fitting {stage.name} did not improve validation (top-1 "
                f"{percent(best)} at best); the previous weights were kept. If its loss in the "
                "report jumps, lower --finetune-learning-rate",
                err=True,
            )


def _note_skipped(run: "Run") -> None:
    # What is left out for its name must not hide what is broken.
    unusable = set(run.manifest.unusable)
    skipped = sorted(run.manifest.skipped, key=lambda one: one not in unusable)
    for one in skipped[:5]:
        click.echo(make_printable(f"edgetl: skipped {one.path}: {one.reason}"), err=True)
    if len(skipped) > 5:
        click.echo(f"edgetl: {len(skipped) - 5} more skipped; see manifest.json", err=True)
