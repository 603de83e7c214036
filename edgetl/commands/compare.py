"""`edgetl compare`: runs side by side."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgetl.console import FOLDER, check_page, print_json, print_table
from edgetl_export.wording import percent

if TYPE_CHECKING:
    from edgetl.reporting.comparison import Comparison


@click.command()
@click.argument("runs", type=FOLDER, nargs=-1, required=True, metavar="RUN...")
@click.option("--out", type=FOLDER, help="An .html file to write the table to.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def compare(runs: tuple[Path, ...], out: Path | None, *, overwrite: bool, as_json: bool) -> None:
    """Compare trained runs, and test whether they differ by more than chance.

    Example: edgetl compare runs/a runs/b --out compare.html
    """
    from edgetl.api import compare as compare_runs
    from edgetl.reporting.comparison import conclude, record_comparison, render_comparison
    from edgetl_runtime.system.storage import write_file

    _check(runs)
    if out is not None:
        check_page(out, overwrite=overwrite)
    comparison = compare_runs(runs)
    if out is not None:
        write_file(out, render_comparison(comparison).encode())
    if as_json:
        print_json(record_comparison(comparison))
        return
    _print_runs(comparison)
    for sentence in conclude(comparison):
        click.echo(sentence)
    if out is not None:
        click.echo(f"the table is in {out}")
    if comparison.best is not None:
        best = comparison.runs[comparison.best].name
        click.echo(f"next: edgetl export {best} --out {Path(best).name}.bundle")


def _check(runs: tuple[Path, ...]) -> None:
    if len({path.resolve() for path in runs}) < 2:
        raise click.UsageError("give at least two different runs: edgetl compare runs/a runs/b")


def _print_runs(comparison: "Comparison") -> None:
    from edgetl.reporting.wording import duration, span

    rows = [
        (
            run.name,
            run.backbone,
            run.trained,
            percent(run.top1),
            span(run.interval),
            percent(run.macro_f1),
            f"{run.worst_class} {percent(run.worst_recall, 0)}",
            percent(run.calibration_error),
            duration(run.seconds),
            str(run.photos),
            f"{run.examples}{'' if usable else ' others'}",
        )
        for run, usable in zip(comparison.runs, comparison.comparable, strict=True)
    ]
    header = (
        "run",
        "backbone",
        "trained",
        "top-1",
        "95% interval",
        "macro F1",
        "worst recall",
        "ECE",
        "time",
        "photos",
        "evaluated on",
    )
    print_table(header, rows)
