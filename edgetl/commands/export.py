"""`edgetl export` and `edgetl recipes`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgetl.commands.inspect import print_scores
from edgetl.console import FOLDER, load_tensorflow, print_json, print_table, track

if TYPE_CHECKING:
    from edgetl_export.bundling import Exported
    from edgetl_export.recipes import Recipe

_POINTS = click.FloatRange(0, 100)


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
@click.argument("run", type=FOLDER)
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
    help="Points of top-1 that a file may lose.",
)
@click.option(
    "--max-class-drop",
    default=5.0,
    show_default=True,
    type=_POINTS,
    help="Points of recall that one class may lose.",
)
@click.option("--max-bytes", type=click.IntRange(1), help="Size that no file may exceed.  [any]")
@click.option("--no-repair", is_flag=True, help="Do not try to bring back what quantization lost.")
@click.option("--allow-drop", is_flag=True, help="Write the bundle whatever was lost, and mark it.")
@click.option(
    "--false-accepts",
    default=10.0,
    show_default=True,
    type=_POINTS,
    help="Percent of frames of nothing known that may get a label all the same.",
)
@click.option(
    "--max-false-rejects",
    type=_POINTS,
    help="Percent of known things that may get no label for it; goes before --false-accepts.  "
    "[10 with photos in _unknown_, else 2]",
)
@click.option("--name", default="", help="Of the model, for its card and metadata.")
@click.option("--model-version", default="", help="The same.  [a digest of the trained model]")
@click.option("--author", default="", help="The same.")
@click.option("--license", "license_", default="", help="The same, such as CC-BY-4.0.")
@click.option("--description", default="", help="The same: one sentence.")
@click.option("--overwrite", is_flag=True, help="Replace an existing bundle.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def export(
    run: Path,
    out: Path,
    names: tuple[str, ...],
    *,
    max_drop: float,
    max_class_drop: float,
    max_bytes: int | None,
    no_repair: bool,
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

    Exit code 3 and no bundle if a file stays worse than allowed.

    Example: edgetl export runs/parts --out parts.bundle
    """
    from edgetl_export.gate import Gate

    recipes = read_recipes(names)
    load_tensorflow()
    from edgetl.export import export as run_export
    from edgetl.run import Run
    from edgetl_export.bundling import Settings
    from edgetl_export.finishing import Acceptance
    from edgetl_export.trained import About

    settings = Settings(
        recipes=recipes,
        gate=Gate(max_drop, max_class_drop, max_bytes),
        repair=not no_repair,
        allow_drop=allow_drop,
        acceptance=Acceptance(
            false_accepts / 100,
            None if max_false_rejects is None else max_false_rejects / 100,
        ),
    )
    about = About(name, model_version, author, license_, description)
    exported = run_export(Run.open(run), out, settings, about, overwrite=overwrite, track=track)
    if as_json:
        print_json(_record(exported))
        return
    _print_attempts(exported)
    click.echo(f"next: edgetl-run classify {out} PHOTO")


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
                "test": msgspec.to_builtins(variant.test_metrics),
                "calibration": msgspec.to_builtins(variant.calibration),
            }
            for variant in bundle.manifest.variants
        ],
        "attempts": describe_attempts(exported.attempts),
    }


def _print_attempts(exported: "Exported") -> None:
    from edgetl_export.attempts import find_best

    rows = [
        (
            one.file.plan.recipe.file,
            one.file.plan.repair or "-",
            f"{len(one.file.data):,}",
            f"{one.metrics.top1:.1%}",
            f"{100 * one.metrics.drop:+.1f}",
            f"{one.metrics.agreement:.1%}",
            "passed" if one.verdict.passed else "refused",
        )
        for tried in exported.attempts.values()
        for one in tried
    ]
    header = ("file", "repair", "bytes", "top-1", "drop (points)", "agreement", "gate")
    print_table(header, rows)
    for tried in exported.attempts.values():
        best = find_best(tried)
        for sentence in (*best.verdict.failures, *best.verdict.unsure):
            click.echo(f"{best.file.plan.recipe.name}: {sentence}", err=True)
    print_scores(exported.bundle.manifest)
