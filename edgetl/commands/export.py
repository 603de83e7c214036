"""`edgetl export` and `edgetl recipes`."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgetl.commands.inspect import print_scores
from edgetl.console import FOLDER, load_tensorflow, print_json, print_table, track

if TYPE_CHECKING:
    from edgetl.foreign import Checked, ForeignOptions
    from edgetl.run import Run
    from edgetl_export.bundling import Exported
    from edgetl_export.foreign.source import Size
    from edgetl_export.recipes import Recipe
    from edgetl_export.repair import Repair
    from edgetl_runtime.preprocessing import Fit

_POINTS = click.FloatRange(0, 100)
_MOST_PX = 4096


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


def read_recipes(names: tuple[str, ...]) -> "tuple[Recipe, ...]":
    """Recipes by what `--recipe` says; see `edgetl_export.recipes.find_recipes`.

    Raises:
        UsageError: If a name is unknown.
    """
    from edgetl_export.recipes import find_recipes
    from edgetl_runtime.errors import OptionsError

    try:
        return find_recipes(names)
    except OptionsError as error:
        raise click.UsageError(str(error)) from error


@click.command()
@click.argument("run", type=FOLDER, required=False)
@click.option("--out", required=True, type=FOLDER, help="Folder for the bundle, or NAME.zip.")
@click.option(
    "--recipe",
    "names",
    multiple=True,
    metavar="NAME",
    help="A file to write, such as litert-int8, or int8 for both engines; may be repeated. "
    "`edgetl recipes` lists them.  [int8 and float32 of both]",
)
@click.option(
    "--max-drop",
    default=1.0,
    show_default=True,
    type=_POINTS,
    help="Points of top-1 that a file may lose; chance excuses more, up to --max-class-drop.",
)
@click.option(
    "--max-class-drop",
    default=5.0,
    show_default=True,
    type=_POINTS,
    help="Points of recall that one class may lose; chance excuses more.",
)
@click.option("--max-bytes", type=click.IntRange(1), help="Size that no file may exceed.  [any]")
@click.option(
    "--repair",
    default="quick",
    show_default=True,
    type=click.Choice(["none", "quick", "thorough"]),
    help="How much to try for files that lose by quantization: none measures only; quick fits the "
    "head again, and keeps layers in float only where that can help; thorough tries all.",
)
@click.option(
    "--strict",
    is_flag=True,
    help="Write no bundle if one file stays worse than allowed, as if --recipe named all.",
)
@click.option("--allow-drop", is_flag=True, help="Write the bundle whatever was lost, and mark it.")
@click.option(
    "--false-accepts",
    default=10.0,
    show_default=True,
    type=_POINTS,
    help="Percentage of frames of unknown things that may get a label; what is aimed at.",
)
@click.option(
    "--max-false-rejects",
    type=_POINTS,
    help="Percentage of correctly named photos that may be rejected for that; takes precedence.  "
    "[10 with photos in _unknown_, else 2]",
)
@click.option("--name", default="", help="Model name, for the card and the metadata.")
@click.option("--model-version", default="", help="Model version.  [a digest of the trained model]")
@click.option("--author", default="", help="Author of the model.")
@click.option("--license", "license_", default="", help="License of the model, such as CC-BY-4.0.")
@click.option("--description", default="", help="What the model is for, in one sentence.")
@click.option("--overwrite", is_flag=True, help="Replace an existing bundle.")
@click.option(
    "--model",
    type=FOLDER,
    help="Instead of RUN: a model trained elsewhere, a .tflite, .onnx or .keras file or the folder "
    "of a SavedModel.",
)
@click.option(
    "--labels",
    type=FOLDER,
    help="Of --model: text file, one label a line; needless where the model brings its own.",
)
@click.option(
    "--data", type=FOLDER, help="Of --model: labelled photos, to calibrate with and to measure by."
)
@click.option(
    "--scaling",
    metavar="NAME",
    help="Of --model, what it expects of a pixel: 0..255 as it is; 0..1: level / 255; -1..1: "
    "level / 127.5 - 1; imagenet: (level / 255 - mean) / deviation, as torchvision has it; caffe: "
    'level - mean, blue first; "mean=0.5,0.4,0.3 std=0.25,0.25,0.2" of levels 0..1, or of 0..255 '
    'where one is above 1. "bgr NAME" if it takes blue first.',
)
@click.option(
    "--fit",
    type=click.Choice(["stretch", "crop", "pad"]),
    help="Of --model: how a photo of another aspect ratio becomes its input.  [stretch]",
)
@click.option(
    "--size",
    "size_px",
    type=_SizeType(),
    metavar="PX",
    help="Of --model: side of its input, or WIDTHxHEIGHT, where it leaves that free.",
)
@click.option("--trust", is_flag=True, help="Open a --model that can run code: .keras, SavedModel.")
@click.option(
    "--allow-doubt",
    is_flag=True,
    help="Of --model: write the bundle though the photos, or the file itself, speak against "
    "--labels or --scaling.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def export(
    run: Path | None,
    out: Path,
    names: tuple[str, ...],
    *,
    model: Path | None,
    labels: Path | None,
    data: Path | None,
    scaling: str | None,
    fit: "Fit | None",
    size_px: "Size | None",
    trust: bool,
    allow_doubt: bool,
    max_drop: float,
    max_class_drop: float,
    max_bytes: int | None,
    repair: "Repair",
    strict: bool,
    allow_drop: bool,
    false_accepts: float,
    max_false_rejects: float | None,
    name: str,
    model_version: str,
    author: str,
    license_: str,
    description: str,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Convert a trained RUN to LiteRT and ONNX files, measure them, and repair what got worse.

    Instead of RUN, --model takes a classifier that was trained elsewhere, with --data, --scaling
    and, where it brings none along, --labels. A file that stays worse than allowed is left out,
    with a warning; exit code 3 and no bundle if --recipe named it, with --strict, or if none is
    left. The best attempts are then kept in OUT.rejected.

    Example: edgetl export runs/parts --out parts.bundle
    """
    recipes = read_recipes(names)
    _check_strictness(strict=strict, allow_drop=allow_drop)
    given = {"--data": data, "--scaling": scaling}
    possible = {"--labels": labels, "--fit": fit, "--size": size_px, "--trust": trust}
    _check_combination(run, model, given, possible | {"--allow-doubt": allow_doubt})
    # Whatever can be refused at once is, before imports that take seconds.
    with ExitStack() as stack:
        checked, opened = None, None
        if model and data and scaling:
            from edgetl.foreign import ForeignOptions

            options = ForeignOptions(
                *(model, labels, data, scaling, fit or "stretch"),
                size_px=size_px,
                trust=trust,
                allow_doubt=allow_doubt,
            )
            checked = stack.enter_context(_check_foreign(options, out, overwrite=overwrite))
        elif run:
            opened = _open_run(run, out, overwrite=overwrite)
        load_tensorflow()
        from edgetl_export.bundling import Settings
        from edgetl_export.finishing import Acceptance
        from edgetl_export.gate import Gate
        from edgetl_export.trained import About

        settings = Settings(
            recipes=recipes,
            gate=Gate(max_drop, max_class_drop, max_bytes),
            repair=repair,
            # What somebody asks for by name is not left out.
            strict=strict or bool(names),
            allow_drop=allow_drop,
            acceptance=Acceptance(
                false_accepts / 100,
                None if max_false_rejects is None else max_false_rejects / 100,
            ),
        )
        about = About(name, model_version, author, license_, description)
        if checked:
            from edgetl.foreign import export_checked

            exported = export_checked(
                checked, out, settings, about, names=names, overwrite=overwrite, track=track
            )
        elif opened:
            from edgetl.export import export as run_export

            exported = run_export(opened, out, settings, about, overwrite=overwrite, track=track)
    _print(exported, out, as_json=as_json)


def _open_run(run: Path, out: Path, *, overwrite: bool) -> "Run":
    from edgetl.export import check_photos
    from edgetl.run import Run
    from edgetl_export.packing import check_target

    check_target(out, overwrite=overwrite)
    opened = Run.open(run)
    opened.read_weights()
    check_photos(opened)
    return opened


def _check_strictness(*, strict: bool, allow_drop: bool) -> None:
    if strict and allow_drop:
        raise click.UsageError("--strict and --allow-drop contradict one another; leave one out")


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
                raise click.UsageError(f"{name} is for --model; a RUN knows it, so leave it out")
        return
    missing = [name for name, value in needed.items() if value is None]
    if missing:
        raise click.UsageError(
            f"--model needs {', '.join(missing)}, too; see: edgetl export --help"
        )


def _check_foreign(
    options: "ForeignOptions", out: Path, *, overwrite: bool
) -> AbstractContextManager["Checked"]:
    from edgetl.foreign import check_foreign
    from edgetl_export.foreign.scaling import find_scaling
    from edgetl_runtime.errors import OptionsError

    try:
        find_scaling(options.scaling)
    except OptionsError as error:
        raise click.UsageError(str(error)) from error
    return check_foreign(options, out, overwrite=overwrite)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def recipes(*, as_json: bool) -> None:
    """List the recipes: the ways to turn a trained model into a file.

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
    print_table(("recipe", "does", "use it for"), rows)
    click.echo("* written unless --recipe says otherwise")


def _record(exported: "Exported") -> dict[str, object]:
    import msgspec

    from edgetl_export.bundling import describe_attempts

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
    click.echo(f"next: edgetl-run classify {out} PHOTO")


def _print_attempts(exported: "Exported") -> None:
    rows = [
        (
            one.file.plan.recipe.file,
            one.file.plan.repair or "-",
            f"{len(one.file.data):,}",
            f"{one.metrics.top1:.1%}",
            f"{100 * one.metrics.drop:+.1f}",
            f"{one.metrics.agreement:.1%}",
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
                f"{variant.name}: {sentence}; agreement {variant.metrics.agreement:.1%}", err=True
            )
    print_scores(exported.bundle.manifest)
    if exported.examination is not None and not exported.examination.doubts:
        click.echo(exported.examination.summary)
