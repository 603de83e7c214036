"""`edgetl export` and `edgetl recipes`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgetl.commands.flags import OptionsCommand, collect_flags
from edgetl.commands.inspect import print_scores
from edgetl.console import FOLDER, print_json, print_table
from edgetl_export.wording import percent, signed_points

if TYPE_CHECKING:
    from edgetl_export.load.source import Size
    from edgetl_export.options import ExportOptions
    from edgetl_export.package.bundling import Exported
    from edgetl_runtime.image.preprocessing import Fit

_MOST_PX = 4096


def _import_options() -> "type[ExportOptions]":
    from edgetl_export.options import ExportOptions

    return ExportOptions


class _SizeType(click.ParamType):  # type: ignore[type-arg]
    """Side of a square, or (width, height), px; each 1..4096."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> "Size":
        width, cross, height = str(value).lower().partition("x")
        sides = [width, height] if cross else [width]
        if not all(one.isdecimal() and 1 <= int(one) <= _MOST_PX for one in sides):
            self.fail(
                f"expected a side such as 224, or WIDTHxHEIGHT such as 160x120, each 1..{_MOST_PX}"
                f" px; got {value}",
                param,
                ctx,
            )
        return (int(width), int(height)) if cross else int(width)


@click.command(cls=OptionsCommand, root=_import_options, title="Bundle")
@click.argument("run", type=FOLDER, required=False)
@click.option("--out", required=True, type=FOLDER, help="Folder for the bundle, or NAME.zip.")
@click.option("--overwrite", is_flag=True, help="Replace an existing bundle.")
@click.option(
    "--model",
    type=FOLDER,
    help="Model trained elsewhere, instead of RUN: a .tflite, .onnx, .keras or .h5 file, the "
    "folder of a SavedModel, or a zip.",
)
@click.option(
    "--labels",
    type=FOLDER,
    help="With --model: text file with one label per line.  [the labels in the model file]",
)
@click.option(
    "--data", type=FOLDER, help="With --model: labelled photos for calibration and evaluation."
)
@click.option(
    "--scaling",
    metavar="NAME",
    help="With --model: pixel values that it expects. 0..255: unscaled; 0..1: x / 255; -1..1: "
    "x / 127.5 - 1; imagenet: (x / 255 - mean) / std, as in torchvision; caffe: x - mean, BGR; "
    '"mean=0.5,0.4,0.3 std=0.25,0.25,0.2": for pixels in 0..1, or in 0..255 where a value is '
    'above 1. Prefix "bgr " for BGR channel order.',
)
@click.option(
    "--fit",
    type=click.Choice(["stretch", "crop", "pad"]),
    help="With --model: how a photo is fitted to the input's aspect ratio.  [stretch]",
)
@click.option(
    "--size",
    "size_px",
    type=_SizeType(),
    metavar="PX",
    help="With --model: input size, a side or WIDTHxHEIGHT, if the model does not fix it.",
)
@click.option(
    "--trust", is_flag=True, help="Open a --model that can run code: .keras, .h5, SavedModel."
)
@click.option(
    "--allow-doubt",
    is_flag=True,
    help="With --model: export even if the photos, or the file itself, contradict --labels or "
    "--scaling.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def export(
    run: Path | None,
    out: Path,
    *,
    model: Path | None,
    labels: Path | None,
    data: Path | None,
    scaling: str | None,
    fit: "Fit | None",
    size_px: "Size | None",
    trust: bool,
    allow_doubt: bool,
    overwrite: bool,
    as_json: bool,
    **parameters: object,
) -> None:
    """Convert a trained RUN to LiteRT and ONNX files, evaluate them, and repair where needed.

    Instead of RUN, --model takes a classifier trained elsewhere, with --data, --scaling and, if it
    contains no labels, --labels. A file that stays worse than allowed is left out, with a warning.
    If --recipe named it, with --strict, or if no file is left, no bundle is written, the exit code
    is 3, and the best attempts are kept in OUT.rejected.

    Example: edgetl export runs/parts --out parts.bundle
    """
    given = {"--data": data, "--scaling": scaling}
    possible = {"--labels": labels, "--fit": fit, "--size": size_px, "--trust": trust}
    _check_combination(run, model, given, possible | {"--allow-doubt": allow_doubt})
    from edgetl.api import export as run_export
    from edgetl.run import Run
    from edgetl_export.package.packing import check_bundle_target
    from edgetl_runtime.errors import OptionsError

    check_bundle_target(out, overwrite=overwrite)
    options = _choose_options(parameters)
    try:
        exported = run_export(
            *(model or Run.open(run or Path()), out, options),
            data=data,
            labels=labels,
            scaling=scaling,
            fit=fit,
            size=size_px,
            trust=trust,
            allow_doubt=allow_doubt,
            overwrite=overwrite,
        )
    except OptionsError as error:
        raise click.UsageError(str(error)) from error
    _print(exported, out, as_json=as_json)


def _choose_options(parameters: Mapping[str, object]) -> "ExportOptions":
    from edgetl_export.options import make_options
    from edgetl_runtime.errors import OptionsError
    from edgetl_runtime.options.choices import Choices

    choices = Choices(_import_options(), style="flag")
    try:
        choices.add_tables(collect_flags(parameters), style="flag", text=True)
        return make_options(choices)
    except OptionsError as error:
        raise click.UsageError(str(error)) from error


def _check_combination(
    run: Path | None,
    model: Path | None,
    needed: Mapping[str, object],
    possible: Mapping[str, object],
) -> None:
    """Either a run, or a model with all that must be known of it."""
    if (run is None) == (model is None):
        raise click.UsageError("give either RUN, or --model FILE of a model trained elsewhere")
    if model is None:
        for name, value in (*needed.items(), *possible.items()):
            if value:
                raise click.UsageError(f"{name} is for --model; leave it out for a RUN")
        return
    missing = [name for name, value in needed.items() if value is None]
    if missing:
        raise click.UsageError(
            f"--model also needs {', '.join(missing)}; see: edgetl export --help"
        )


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def recipes(*, as_json: bool) -> None:
    """List the recipes: the formats that a model can be exported to.

    Example: edgetl recipes
    """
    from edgetl_export.recipes import DEFAULT, RECIPES

    if as_json:
        print_json(
            {
                "recipes": [
                    {
                        "name": one.name,
                        "does": one.does,
                        "use_when": one.use_when,
                        "default": one.name in DEFAULT,
                    }
                    for one in RECIPES
                ]
            }
        )
        return
    rows = [
        (one.name + ("*" if one.name in DEFAULT else ""), one.does, one.use_when) for one in RECIPES
    ]
    print_table(("recipe", "does", "use for"), rows)
    click.echo("* written unless --recipe says otherwise")


def _record(exported: "Exported") -> dict[str, object]:
    import msgspec

    from edgetl_export.package.bundling import describe_attempts

    bundle = exported.bundle
    return {
        "bundle": str(bundle.path),
        "variants": [
            {
                "name": variant.name,
                "file": variant.file,
                "engine": variant.engine,
                "precision": variant.precision,
                "bytes": variant.bytes,
                "top1": variant.metrics.top1,
                "drop": variant.metrics.drop,
                "agreement": variant.metrics.agreement,
                "repair": variant.repair,
                "failures": variant.failures,
                "unsure": variant.unsure,
                "test": msgspec.to_builtins(variant.test_metrics),
                "calibration": msgspec.to_builtins(variant.calibration),
            }
            for variant in bundle.manifest.variants
        ],
        "left_out": msgspec.to_builtins(bundle.manifest.provenance.left_out),
        "attempts": describe_attempts(exported.attempts),
        "examination": msgspec.to_builtins(exported.examination),
    }


def _print(exported: "Exported", out: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(_record(exported))
        return
    _print_attempts(exported)
    click.echo(f"next: edgetl-run classify {out} PHOTO  (on a phone: edgetl phone {out} --serve)")


def _print_attempts(exported: "Exported") -> None:
    rows = [
        (
            one.file.plan.recipe.file,
            one.file.plan.repair or "-",
            f"{len(one.file.data):,}",
            percent(one.metrics.top1),
            signed_points(one.metrics.drop),
            percent(one.metrics.agreement),
            one.verdict.word,
        )
        for tried in exported.attempts.values()
        for one in tried
    ]
    header = ("file", "repair", "bytes", "top-1", "drop (points)", "agreement", "gate")
    print_table(header, rows)
    for variant in exported.bundle.manifest.variants:
        for sentence in (*variant.failures, *variant.unsure):
            click.echo(
                f"{variant.name}: {sentence}; agreement {percent(variant.metrics.agreement)}",
                err=True,
            )
    print_scores(exported.bundle.manifest)
    if exported.examination is not None and not exported.examination.doubts:
        click.echo(exported.examination.summary)
