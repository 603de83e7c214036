"""`edgetl-run bench --all`: which file, with how many threads, on this machine."""

import argparse
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgetl_runtime.benchmarking.machine_wording import describe_machine
from edgetl_runtime.commands.arguments import minutes, path
from edgetl_runtime.commands.exits import EXIT_GATE
from edgetl_runtime.commands.printing import print_json, say, warn
from edgetl_runtime.commands.progress import ProgressLine
from edgetl_runtime.commands.report_files import check_writable, write_report

if TYPE_CHECKING:
    from edgetl_runtime.benchmarking.survey_record import Survey, SurveyRow

_COLUMNS: Final = (
    *("", "file", "engine", "threads", "p50 ms", "range", "p90", "p99", "top-1", "MiB", "remark"),
)
# Of one variant only, so that they make no sense with --all.
_ALONE: Final = ("runs", "seconds", "raw", "against", "engine", "variant")
_SECONDS_PER_MINUTE: Final = 60.0


def add_survey_options(parser: argparse.ArgumentParser) -> None:
    """Adds `--all` and what belongs to it."""
    parser.add_argument(
        "--all",
        action="store_true",
        help="Measure each variant with 1 to --threads threads, and recommend one",
    )
    add_budget(parser)
    parser.add_argument(
        "--page", type=path, metavar="FILE.html", help="Write what --all found, as a web page"
    )


def add_budget(parser: argparse.ArgumentParser) -> None:
    """Adds `--budget`."""
    parser.add_argument(
        "--budget",
        type=minutes,
        metavar="MINUTES",
        help="Time for all variants, in minutes (default: 5, with --quick 1)",
    )


def check_usage(options: argparse.Namespace) -> None:
    """Ends with 2 where flags contradict one another."""
    parser: argparse.ArgumentParser = options.parser
    if not options.all:
        for name in ("budget", "page"):
            if getattr(options, name) is not None:
                parser.error(f"--{name} belongs to --all")
        return
    for name in _ALONE:
        if getattr(options, name) not in (None, False):
            parser.error(f"--all measures every variant by rules of its own; leave out --{name}")
    if options.out is not None and options.out.suffix.lower() in (".html", ".htm"):
        parser.error(f"--out writes JSON; for the web page: --page {shlex.quote(str(options.out))}")
    if options.page is not None and options.page.suffix.lower() not in (".html", ".htm"):
        parser.error(f"--page: expected a name that ends in .html, found {options.page}")


def survey_bundle(options: argparse.Namespace) -> int:
    """Runs `bench --all`."""
    from edgetl_runtime.benchmarking.survey_page import render_survey
    from edgetl_runtime.system.storage import write_file

    check_writable(options.out, options.page)
    found = take_survey(options, frame_px=options.frame_size)
    write_report(options.out, found)
    if options.page is not None:
        write_file(options.page, render_survey(found))
    if options.json:
        print_json(found)
    else:
        for line in describe(found):
            say(line)
        for file in filter(None, (options.out, options.page)):
            say(f"wrote {file}")
        if found.recommendation is not None:
            say(suggest(options, found))
    tell_warnings(found)
    return EXIT_GATE if found.recommendation is None else 0


def take_survey(options: argparse.Namespace, *, frame_px: tuple[int, int] = (640, 480)) -> "Survey":
    """Measures within `--budget`, or what `--quick` says."""
    import msgspec

    from edgetl_runtime.benchmarking.survey import DEFAULT, QUICK, survey

    rules = QUICK if options.quick else DEFAULT
    if options.budget is not None:
        budget_s = options.budget * _SECONDS_PER_MINUTE
        rules = msgspec.structs.replace(rules, budget_s=budget_s)
    with ProgressLine() as line:

        def interject(sentence: str) -> None:
            line.clear()
            warn(sentence)

        return survey(
            options.bundle,
            threads=options.threads,
            frame_px=frame_px,
            rules=rules,
            tell=line.tell,
            warn=interject,
        )


def tell_warnings(found: "Survey") -> None:
    """Says why the figures should be taken with care."""
    from edgetl_runtime.benchmarking.survey_wording import list_warnings, tell_headline

    for sentence in list_warnings(found):
        warn(sentence)
    if found.recommendation is None:
        warn(tell_headline(found))


def describe(found: "Survey") -> Iterator[str]:
    """The survey in lines for people: machine, table, recommendation."""
    from edgetl_runtime.benchmarking.survey_wording import list_failures

    yield from describe_machine(found.board)
    rows = sorted(found.rows, key=lambda row: row.p50_ms)
    yield from _lay_out([_COLUMNS, *(_list_cells(found, row) for row in rows)])
    yield from list_failures(found)
    yield from describe_recommendation(found)


def describe_recommendation(found: "Survey") -> Iterator[str]:
    """What to use, how sure that is, and the settings; nothing if there is none."""
    from edgetl_runtime.benchmarking.survey_wording import (
        list_flags,
        list_grounds,
        list_settings,
        tell_doubt,
        tell_headline,
    )

    best = found.recommendation
    if best is None:
        return
    verdict = "recommended, but not certain" if tell_doubt(found) else "recommended"
    yield f"{verdict}: {tell_headline(found)}"
    yield from list_grounds(found)
    yield f"use: {shlex.join(list_flags(best))}, or in the settings file:"
    yield from (f"  {line}" for line in list_settings(best))


def _list_cells(found: "Survey", row: "SurveyRow") -> tuple[str, ...]:
    from edgetl_runtime.benchmarking.survey_wording import remark, tell_ms, tell_range

    file, report, best = found.find_file(row.variant), row.report, found.recommendation
    is_best = best is not None and (best.variant, best.threads) == (row.variant, row.threads)
    times = ("",) * 4
    if report is not None:
        p50, p90, p99 = (getattr(report.total_ms, name) for name in ("p50", "p90", "p99"))
        times = (tell_ms(p50), tell_range(row), tell_ms(p90), tell_ms(p99))
    return (
        ">" if is_best else "",
        row.variant,
        file.engine if report is None else report.engine,
        str(row.threads),
        *times,
        f"{file.top1:.1%}",
        f"{file.bytes / 2**20:.2f}",
        remark(found, row),
    )


def _lay_out(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Columns as wide as they need to be; the last one as it is."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        yield "  ".join([*cells, row[-1]]).rstrip()


def suggest(options: argparse.Namespace, found: "Survey") -> str:
    """The last line: what to do next."""
    from edgetl_runtime.benchmarking.survey_wording import tell_doubt

    if tell_doubt(found):
        return "next: run the same command again when nothing else runs"
    words = ["edgetl-run", "tune", str(options.bundle), "--config", "edgetl.toml"]
    kept: Path | None = options.out
    return f"next: {shlex.join([*words, *(['--from', str(kept)] if kept else [])])}"
