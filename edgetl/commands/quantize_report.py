"""`edgetl quantize-report`: what each recipe costs and gains, on one page."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgetl.console import FOLDER, check_page, print_json, print_table
from edgetl.networks.framework import load_tensorflow
from edgetl_export.wording import percent, signed_points

if TYPE_CHECKING:
    from edgetl_export.options import Repair
    from edgetl_export.quantize.tradeoff import Tradeoff
    from edgetl_export.recipes import Recipe

_ENDING = "-quantize.html"


@click.command("quantize-report")
@click.argument("run", type=FOLDER)
@click.option(
    "--out", type=FOLDER, help="An .html file to write.  [RUN-quantize.html, replaced if it exists]"
)
@click.option(
    "--recipe",
    "names",
    multiple=True,
    metavar="NAME",
    help="Recipe, such as litert-int8, or int8 for both engines; may be repeated.  [all]",
)
@click.option(
    "--repair",
    default="quick",
    show_default=True,
    type=click.Choice(["none", "quick", "thorough"]),
    help="How much to try for a file that lost too much accuracy, as in export.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing --out.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def quantize_report(
    run: Path,
    out: Path | None,
    names: tuple[str, ...],
    *,
    repair: "Repair",
    overwrite: bool,
    as_json: bool,
) -> None:
    """Show costs and gains of quantizing a trained RUN, layer by layer, on an HTML page.

    Example: edgetl quantize-report runs/parts
    """
    recipes = _read_recipes(names)
    page = out or _default_page(run)
    check_page(page, overwrite=overwrite or out is None)
    from edgetl.exporting.runs import check_photos, describe_run
    from edgetl.run import Run

    opened = Run.open(run)
    opened.read_weights()
    check_photos(opened)
    load_tensorflow()
    from edgetl.reporting.tradeoff import conclude, record_tradeoff, render_tradeoff
    from edgetl_export.evaluate.gate import make_gate
    from edgetl_export.options import ExportOptions
    from edgetl_export.quantize.tradeoff import measure_tradeoff
    from edgetl_runtime.system.storage import write_file

    trained = describe_run(opened)
    found = measure_tradeoff(trained, recipes, make_gate(ExportOptions()), repair=repair)
    write_file(page, render_tradeoff(found, f"Quantization of {run.resolve().name}").encode())
    if as_json:
        print_json({"page": str(page)} | record_tradeoff(found))
        return
    _print_outcomes(found)
    for finding in conclude(found):
        click.echo(finding.headline)
    click.echo(f"page: {page}")
    click.echo(f"next: {_suggest(run, found, repair)}")


def _read_recipes(names: tuple[str, ...]) -> "tuple[Recipe, ...]":
    from edgetl_export.recipes import RECIPES, find_recipes
    from edgetl_runtime.errors import OptionsError

    try:
        return find_recipes(names) if names else RECIPES
    except OptionsError as error:
        raise click.UsageError(str(error)) from error


def _default_page(run: Path) -> Path:
    """Beside the run, which is complete and stays as training left it."""
    named = run if run.name not in ("", "..") else run.resolve()
    return named.with_name(named.name + _ENDING)


def _print_outcomes(found: "Tradeoff") -> None:
    rows = [
        (
            outcome.recipe,
            outcome.chosen.repair or "-",
            f"{outcome.chosen.bytes:,}",
            percent(outcome.chosen.top1),
            signed_points(outcome.chosen.drop),
            percent(outcome.chosen.agreement),
            f"{outcome.chosen.latency_ratio:.2f}",
            outcome.chosen.word,
        )
        for outcome in found.outcomes
    ]
    header = (
        "recipe",
        "repair",
        "bytes",
        "top-1",
        "drop (points)",
        "agreement",
        "time vs. float32",
        "gate",
    )
    print_table(header, rows)


def _suggest(run: Path, found: "Tradeoff", repair: "Repair") -> str:
    from edgetl.reporting.tradeoff import find_fastest

    fastest = find_fastest(found)
    recipe = "float32" if fastest is None else fastest.recipe
    options = f"--recipe {recipe}" + ("" if repair == "quick" else f" --repair {repair}")
    return f"edgetl export {run} --out {run.resolve().name}.bundle {options}"
