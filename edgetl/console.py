"""Shared output of the commands: pages, tables and JSON."""

import json
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from edgetl_export.wording import percent

if TYPE_CHECKING:
    from edgetl.metrics import Metrics

T = TypeVar("T")
FOLDER = click.Path(path_type=Path)
_WIDE = 1000


def find_command(name: str) -> str:
    """How to call a command of ours: by its name, or in a checkout by its path in .venv/bin."""
    beside = Path(sys.executable).parent / name
    if shutil.which(name) or not beside.is_file():
        return name
    return os.path.relpath(beside)


def check_page(out: Path, *, overwrite: bool, option: str = "--out") -> None:
    """Refuses a page that is not an HTML file or cannot be written, before any work is done.

    Raises:
        StorageError: If it exists, or its folder does not or may not be written.
        UsageError: If it does not end in .html.
    """
    from edgetl.targets import PAGE_SUFFIXES, check_free
    from edgetl_runtime.errors import StorageError

    if out.suffix.lower() not in PAGE_SUFFIXES:
        raise click.UsageError(f"{option} {out} must end in .html")
    check_free(out, overwrite=overwrite, option=option)
    if not out.parent.is_dir():
        raise StorageError(f"the folder {out.parent} does not exist; choose another {option}")
    if not os.access(out.parent, os.W_OK):
        raise StorageError(f"{out.parent} is not writable; choose another {option}")


def print_metrics(metrics: "Metrics") -> None:
    """Prints the figures of each class and the confusion matrix."""
    rows = [
        (
            label,
            percent(one.precision),
            percent(one.recall),
            percent(one.specificity),
            str(one.support),
            " ".join(map(str, metrics.confusion[n])),
        )
        for n, (label, one) in enumerate(metrics.classes.items())
    ]
    header = ("class", "precision", "recall", "specificity", "photos", "predicted (same order)")
    print_table(header, rows)


def print_table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """Prints a plain table on stdout."""
    from rich.console import Console
    from rich.table import Column, Table

    from edgetl_runtime.text.printable import make_printable

    columns = [Column(name, overflow="fold") for name in header]
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(make_printable(cell).replace("[", r"\[") for cell in row))
    # In a file or a pipe a row is a line, however long.
    Console(width=None if sys.stdout.isatty() else _WIDE).print(table)


def print_json(record: object) -> None:
    """Prints one JSON object on stdout, in UTF-8 whatever the locale."""
    import msgspec

    line = json.dumps(msgspec.to_builtins(record), ensure_ascii=False)
    # A path may hold what no encoding has; JSON takes the escape that this puts in its place.
    click.echo(line.encode("utf-8", "backslashreplace"))
