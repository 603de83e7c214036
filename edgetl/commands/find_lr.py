"""`edgetl train --find-lr`: range tests of the learning rates, and no run."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgetl.console import check_page, print_json, print_table

if TYPE_CHECKING:
    from edgetl.learning_rates import RateTest
    from edgetl.options import TrainOptions

_RATES = ("training.learning_rate", "training.finetune_learning_rate")


def check_find_lr(data: Path | None, out: Path | None, *, overwrite: bool) -> Path:
    """Refuses what a search for rates has no use for, before any work is done; returns DATA.

    Raises:
        StorageError: If the page exists, or may not be written.
        UsageError: If DATA is missing, or `out` is no page.
    """
    from edgetl.targets import check_outside

    context = click.get_current_context(silent=True)
    if data is None:
        raise click.UsageError("DATA is missing; give DATA --find-lr", context)
    if out is not None:
        if not out.suffix:
            raise click.UsageError(
                f"--find-lr makes no run; --out {out} must be the page to write, such as "
                f"{out.name}.html; or leave it out",
                context,
            )
        check_outside(data, out)
        check_page(out, overwrite=overwrite)
    return data


def find_lr(
    data: Path,
    out: Path | None,
    options: "TrainOptions",
    config: Path | None,
    flags: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    """Tests the rates, prints them, and writes the page where `out` names one."""
    from edgetl.training.rate_finder import find_rates

    tests = find_rates(data, options)
    command = shlex.join(_next(data, tests, config, flags))
    if out is not None:
        from edgetl.reporting.pages import save_page
        from edgetl.reporting.rates import render_rates

        title = f"Learning rates for {data.resolve().stem}"
        save_page(render_rates(tests, title=title, command=command), out)
    if as_json:
        print_json({"page": out and str(out), "stages": list(map(_record, tests)), "next": command})
    else:
        _print(tests, out, command)


def _print(tests: Sequence["RateTest"], out: Path | None, command: str) -> None:
    from edgetl.learning_rates import RULE

    header = ("stage", "suggested", "loss rises after", "current", "steps", "flag")
    rows = [
        (
            one.stage,
            _tell(one.suggested),
            _tell(None if one.edge is None else one.rates[one.edge]),
            _tell(one.before),
            str(len(one.losses)),
            one.flag,
        )
        for one in tests
    ]
    print_table(header, rows)
    click.echo(f"suggested: {RULE} (Smith 2017)")
    for one in tests:
        if one.reason:
            click.echo(f"{one.stage}: keep the current rate; {one.reason}")
    if out is not None:
        click.echo(f"page: {out}")
    click.echo(f"next: {command}")


def _tell(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.2g}"


def _record(test: "RateTest") -> dict[str, object]:
    return {
        "stage": test.stage,
        "flag": test.flag,
        "suggested": test.suggested,
        "reason": test.reason,
        "rises_after": None if test.edge is None else test.rates[test.edge],
        "current": test.before,
        "rates": test.rates,
        "losses": test.losses,
    }


def _next(
    data: Path, tests: Sequence["RateTest"], config: Path | None, flags: dict[str, Any]
) -> Iterator[str]:
    """The words of the command that trains with the suggested rates and all that was given."""
    yield from ("edgetl", "train", str(data), "--out", f"runs/{data.resolve().stem}")
    if config:
        yield from ("--config", str(config))
    yield from _repeat(flags)
    for one in tests:
        if one.suggested is not None:
            yield from (one.flag, f"{one.suggested:g}")


def _repeat(flags: dict[str, Any]) -> Iterator[str]:
    """The given flags, without those of rates."""
    from edgetl.options import TrainOptions
    from edgetl_runtime.options.option import list_options

    for option in list_options(TrainOptions).values():
        section = flags.get(option.section, {}) if option.section else flags
        value = section.get(option.name)
        if value is None or option.path in _RATES:
            continue
        if option.is_switch:
            yield option.flag if value else f"--no-{option.flag[2:]}"
            continue
        for one in value if option.is_list else (value,):
            yield from (option.flag, str(one))
