"""`edgetl bench-report`: benchmarks of boards and phones side by side."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgetl.console import FOLDER, check_page, print_json, print_table

if TYPE_CHECKING:
    from edgetl.reporting.benchmarks import Measured


@click.command("bench-report")
@click.argument("files", type=FOLDER, nargs=-1, required=True, metavar="FILE...")
@click.option("--out", type=FOLDER, help="An .html file to write table and chart to.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bench_report(
    files: tuple[Path, ...], out: Path | None, *, overwrite: bool, as_json: bool
) -> None:
    """Compare benchmarks of boards and phones.

    A FILE is a report of `edgetl-run bench --out`, of `edgetl-run bench --all --out` (its
    recommended variant stands for it), or of the phone's page. A report of `bench --source`, which
    is of a whole path, cannot be compared.

    Example: edgetl bench-report pi4.json pixel8.json --out report.html
    """
    if out is not None:
        check_page(out, overwrite=overwrite)
    from edgetl.reporting.benchmarks import judge, read_all, record_benchmarks, render_benchmarks
    from edgetl_runtime.system.storage import write_file

    reports = read_all(files)
    if out is not None:
        write_file(out, render_benchmarks(reports).encode())
    if as_json:
        print_json({"page": str(out) if out else None, **record_benchmarks(reports)})
        return
    _print_reports(reports)
    for finding in judge(reports):
        click.echo(f"{finding.kind}: {finding.headline}: {finding.detail}")
    if out is not None:
        click.echo(f"page: {out}")
    else:
        named = shlex.join(map(str, files))
        click.echo(f"next: edgetl bench-report {named} --out report.html  (with a chart)")


def _print_reports(reports: "list[Measured]") -> None:
    """A column for each report."""
    from edgetl.reporting.benchmarks import list_facts

    facts = [list_facts(one) for one in reports]
    rows = [(name, *(one[name] for one in facts)) for name in facts[0]]
    print_table(("ms", *(one.file for one in reports)), rows)
