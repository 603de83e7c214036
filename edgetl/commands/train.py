"""`edgetl train`: fit a classifier to photos, or go on with a training that was interrupted."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgetl.console import FOLDER, load_tensorflow, print_json, print_metrics, track

if TYPE_CHECKING:
    from edgetl.options import Options
    from edgetl.run import Run

Function = Callable[..., Any]
EXIT_INTERRUPTED = 130
# Flag, place in the options, kind, help. Words are checked where the TOML file's are.
_FLAGS: tuple[tuple[str, str, Any, str], ...] = (
    ("--backbone", "backbone", str, "`edgetl backbones` lists them.  [mobilenet_v2_0.35]"),
    ("--size", "size_px", int, "Side of the input, px.  [the backbone's own]"),
    ("--weights", "weights", str, "imagenet, none (train all from scratch) or FILE.  [imagenet]"),
    ("--fit", "fit", str, "How a photo becomes a square: stretch, crop, pad.  [stretch]"),
    ("--seed", "seed", int, "Of split, views, order and initial weights.  [0]"),
    ("--finetune", "finetune", str, "none: head alone; N: top N blocks, too; all; auto.  [auto]"),
    ("--augment", "augment", str, "none, light, camera, heavy or rotation=15,blur=1.  [light]"),
    ("--views", "views", int, "Augmented views to keep of each photo.  [head: 1, blocks: 8]"),
    ("--val-fraction", "split.val_fraction", float, "Share of photos for validation.  [0.2]"),
    ("--test-fraction", "split.test_fraction", float, "Share of photos for testing.  [0]"),
    ("--head", "head.kind", str, "linear or mlp.  [linear]"),
    ("--hidden", "head.hidden", str, "Units of an mlp's layers, such as 256,64.  [128]"),
    ("--activation", "head.activation", str, "relu, tanh, gelu, swish, sigmoid.  [relu]"),
    ("--dropout", "head.dropout", float, "Share of features and hidden units left out.  [0]"),
    ("--output", "head.output", str, "softmax, or sigmoid for two classes.  [softmax]"),
    ("--epochs", "training.epochs", int, "Of the head, or from scratch.  [until done, 20]"),
    ("--finetune-epochs", "training.finetune_epochs", int, "Of the second stage.  [12]"),
    ("--batch", "training.batch", int, "Photos a step.  [head: 256, else 32]"),
    ("--optimizer", "training.optimizer", str, "adam, adamw, sgd, rmsprop.  [adam]"),
    ("--learning-rate", "training.learning_rate", float, "Highest, of the first stage."),
    (
        "--finetune-learning-rate",
        "training.finetune_learning_rate",
        float,
        "Highest, of the second stage.",
    ),
    ("--momentum", "training.momentum", float, "Of sgd and rmsprop.  [0.9]"),
    ("--schedule", "training.schedule", str, "cosine, step, constant.  [cosine]"),
    ("--warmup", "training.warmup", float, "Share of the steps with a growing rate."),
    ("--weight-decay", "training.weight_decay", float, "Decoupled, of adamw and sgd."),
    ("--l1", "training.l1", float, "L1 penalty on the head.  [0]"),
    ("--l2", "training.l2", float, "L2 penalty on the head.  [by cross-validation]"),
    ("--label-smoothing", "training.label_smoothing", float, "Share of the target spread out."),
    ("--class-weights", "training.class_weights", str, "none, or balanced for rare ones.  [none]"),
    ("--patience", "training.patience", int, "Stop after so many epochs without gain.  [off]"),
    ("--monitor", "training.monitor", str, "What counts as gain: loss, accuracy.  [loss]"),
)


def _flags(function: Function) -> Function:
    for flag, place, kind, text in reversed(_FLAGS):
        name = place.replace(".", "__")
        function = click.option(flag, name, type=kind, default=None, help=text)(function)
    return function


@click.command()
@click.argument("data", type=FOLDER, required=False)
@click.option("--out", type=FOLDER, help="Folder to write the run to.")
@click.option("--config", type=FOLDER, help="TOML file of options; flags win over it.")
@click.option("--resume", type=FOLDER, help="Go on with the interrupted training of this run.")
@_flags
@click.option("--batch-norm", "head__batch_norm", is_flag=True, default=None, help="In an mlp.")
@click.option("--tensorboard", is_flag=True, help="Write event files for TensorBoard, too.")
@click.option("--overwrite", is_flag=True, help="Replace an existing run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def train(
    data: Path | None,
    out: Path | None,
    config: Path | None,
    resume: Path | None,
    *,
    tensorboard: bool,
    overwrite: bool,
    as_json: bool,
    **flags: object,
) -> None:
    """Train a classifier on the photos in DATA.

    DATA is a folder, CLASS/photo.jpg or {train,val,test}/CLASS/photo.jpg, or a CSV or JSONL
    file of path,label. Go on after an interruption: edgetl train --resume RUN

    Example: edgetl train photos --out runs/parts
    """
    given = {name: value for name, value in flags.items() if value is not None}
    switches = {"--out": out, "--overwrite": overwrite, "--tensorboard": tensorboard}
    try:
        if resume is not None:
            run = _resume(resume, data, config, given, switches)
        else:
            run = _train(data, out, config, given, overwrite=overwrite, tensorboard=tensorboard)
    except KeyboardInterrupt:
        _explain_interruption(resume or out)
        sys.exit(EXIT_INTERRUPTED)
    if as_json:
        print_json(_record(run))
    else:
        _report(run)


def _train(
    data: Path | None,
    out: Path | None,
    config: Path | None,
    given: dict[str, object],
    *,
    overwrite: bool,
    tensorboard: bool,
) -> "Run":
    if data is None or out is None:
        missing = "DATA" if data is None else "--out RUN"
        raise click.UsageError(
            f"{missing} is missing; give DATA --out RUN, or --resume RUN to go on with a training"
        )
    options = _make_options(config, given)
    load_tensorflow()
    from edgetl.train import train as run_training

    return run_training(
        data, out, options, overwrite=overwrite, tensorboard=tensorboard, track=track
    )


def _resume(
    out: Path,
    data: Path | None,
    config: Path | None,
    given: dict[str, object],
    switches: Mapping[str, object],
) -> "Run":
    if contradicting := [name for name, value in switches.items() if value]:
        raise click.UsageError(
            f"{contradicting[0]} contradicts --resume RUN, which goes on as it began; leave it out"
        )
    load_tensorflow()
    from edgetl.train import resume as resume_training

    def choose(before: "Options") -> "Options":
        return _make_options(config, given, before) if config or given else before

    return resume_training(out, data=data, choose=choose, track=track)


def _make_options(
    config: Path | None, given: dict[str, object], before: "Options | None" = None
) -> "Options":
    """Flags over the file over what was before over the defaults."""
    import msgspec

    from edgetl.options import make_options, read_config

    content: dict[str, Any] = msgspec.to_builtins(before) if before else {}
    if config:
        content = read_config(config)
    for name, value in given.items():
        section, _, field = name.rpartition("__")
        target = content.setdefault(section, {}) if section else content
        target[field] = _plain(name, value)
    return make_options(content, source="options")


def _plain(name: str, value: Any) -> Any:
    """What a TOML file would hold: numbers where a flag is one word."""
    if name == "finetune" and value.lstrip("-").isdigit():
        return int(value)
    if name == "head__hidden":
        parts = [part.strip() for part in value.split(",")]
        return [int(part) if part.isdigit() else part for part in parts]
    return value


def _explain_interruption(out: Path | None) -> None:
    from edgetl.workspace import is_resumable

    if out is not None and is_resumable(out):
        click.echo(f"edgetl: interrupted; go on with: edgetl train --resume {out}", err=True)
    else:
        click.echo(
            "edgetl: interrupted before the first epoch; finished features stay in the cache: "
            "give the same command again",
            err=True,
        )


def _record(run: "Run") -> dict[str, object]:
    from edgetl.findings import estimate_top1

    return {
        "run": str(run.path),
        "backbone": run.spec.backbone,
        "cut": run.spec.cut,
        "blocks": run.spec.blocks,
        "val_top1": run.metrics.top1,
        "val_top1_interval": estimate_top1(run.metrics),
        "test_top1": _measure_test(run),
        "seconds": run.file.seconds,
        "cached": run.file.cached,
        "computed": run.file.computed,
        "skipped": run.manifest.skipped,
        "report": str(run.report),
    }


def _measure_test(run: "Run") -> float | None:
    test = next((one for one in run.predictions if one.split == "test"), None)
    return test.top1 if test else None


def _report(run: "Run") -> None:
    print_metrics(run.metrics)
    test = _measure_test(run)
    figures = [f"validation top-1 {run.metrics.top1:.1%} on {run.metrics.examples} photos"]
    if test is not None:
        figures.append(f"test top-1 {test:.1%}")
    figures.append(f"trained: {run.spec.describe_cut()}")
    figures.append(f"{run.file.computed} photos computed, {run.file.cached} from the cache")
    figures.append(f"{run.file.seconds['total']:.1f} s")
    click.echo("; ".join(figures))
    _note_skipped(run)
    click.echo(f"look at: {run.report}")
    click.echo(f"next: edgetl export {run.path} --out {run.path.name}.bundle")


def _note_skipped(run: "Run") -> None:
    skipped = run.manifest.skipped
    for one in skipped[:5]:
        click.echo(f"edgetl: skipped {one.path}: {one.reason}", err=True)
    if len(skipped) > 5:
        click.echo(f"edgetl: {len(skipped) - 5} more skipped; see manifest.json", err=True)
