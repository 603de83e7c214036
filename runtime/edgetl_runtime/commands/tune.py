"""`edgetl-run tune`: measure, and write the fastest file that may be used into the settings."""

import argparse
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from edgetl_runtime.commands.arguments import Subparsers, add_command, add_json, path, threads
from edgetl_runtime.commands.exits import EXIT_GATE
from edgetl_runtime.commands.printing import print_json, say, warn
from edgetl_runtime.commands.report_files import check_writable
from edgetl_runtime.commands.survey import (
    add_budget,
    describe_recommendation,
    take_survey,
    tell_warnings,
)

if TYPE_CHECKING:
    from edgetl_runtime.benchmarking.survey_record import Survey
    from edgetl_runtime.bundle.reader import Bundle
    from edgetl_runtime.settings.editing import Changes
    from edgetl_runtime.settings.sections import Settings


def add(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    summary = "measure every variant on this machine, and write the best one into a settings file"
    parser = add_command(commands, "tune", tune, summary)
    parser.add_argument(
        "--config",
        type=path,
        required=True,
        metavar="FILE",
        help="Settings file to change; it is made if it is not there",
    )
    parser.add_argument(
        "--from",
        dest="survey",
        type=path,
        metavar="FILE",
        help="Report that `edgetl-run bench --all --out` wrote here, instead of measuring again",
    )
    parser.add_argument("--quick", action="store_true", help="One minute instead of five")
    add_budget(parser)
    parser.add_argument(
        "--threads",
        type=threads,
        help="Highest number of threads (default: the processors, at most 4)",
    )
    add_json(parser)


def tune(options: argparse.Namespace) -> int:
    """Runs the command."""
    from edgetl_runtime.bundle.reader import Bundle

    _check_usage(options)
    bundle = Bundle.open(options.bundle)
    # What is wrong with the file is told before minutes of measuring.
    check_writable(options.config)
    before = _read_settings(options.config)
    found = _read_survey(options.survey, bundle) if options.survey else take_survey(options)
    tell_warnings(found)
    if found.recommendation is None:
        warn(f"{options.config} is as it was")
        return EXIT_GATE
    changes = _list_changes(found, before, bundle)
    _apply(options, found, before, changes)
    return 0


def _check_usage(options: argparse.Namespace) -> None:
    if options.survey is None:
        return
    for name in ("quick", "budget", "threads"):
        if getattr(options, name) not in (None, False):
            options.parser.error(f"--from measures nothing; leave out --{name}")


def _read_settings(config: Path) -> "Settings | None":
    from edgetl_runtime.settings.file import load_settings

    return load_settings(config) if config.exists() else None


def _read_survey(file: Path, bundle: "Bundle") -> "Survey":
    """A kept survey, if it holds here.

    Raises:
        BenchmarkError: If it is of another bundle or another machine.
    """
    from edgetl_runtime.benchmarking.reading import read_survey
    from edgetl_runtime.errors import BenchmarkError
    from edgetl_runtime.system.board import describe_board

    found, here = read_survey(file), describe_board()
    if found.bundle_sha256 != bundle.sha256:
        raise BenchmarkError(
            f"{file} is of another bundle (SHA-256 {found.bundle_sha256[:8]}, {bundle.path} has "
            f"{bundle.sha256[:8]}); leave out --from to measure"
        )
    machines = [
        f"{one.board or 'unknown board'}, {one.cpu}, {one.cores} cores"
        for one in (found.board, here)
    ]
    if machines[0] != machines[1]:
        raise BenchmarkError(
            f"{file} was taken on another machine ({machines[0]}; this is {machines[1]}); leave "
            "out --from to measure"
        )
    if found.board.processor_limits != here.processor_limits:
        limits = " and ".join(", ".join(one.limits) or "no limits" for one in (found.board, here))
        warn(f"the limits of the processors have changed since {file} was taken: {limits}")
    return found


def _list_changes(found: "Survey", before: "Settings | None", bundle: "Bundle") -> "Changes":
    """What shall be in `[model]`; bundle and engine only where they contradict."""
    best = found.recommendation
    assert best is not None
    changes: dict[str, str | int] = {}
    if before is None or not _is_same(before.model.bundle, bundle.path):
        changes["bundle"] = str(bundle.path.absolute())
    engine = found.find_file(best.variant).engine
    if before is not None and before.model.engine not in (None, engine):
        changes["engine"] = engine
    return {**changes, "variant": best.variant, "threads": best.threads}


def _is_same(location: str, path: Path) -> bool:
    """Whether both lead to one place; what was there once need not be there now."""
    return bool(location) and os.path.realpath(location) == os.path.realpath(path)


def _apply(
    options: argparse.Namespace, found: "Survey", before: "Settings | None", changes: "Changes"
) -> None:
    """Writes the file, and says what changed."""
    from edgetl_runtime.settings.editing import change_model

    change_model(options.config, changes)
    old = {name: before and getattr(before.model, name) for name in changes}
    if options.json:
        changed = {name: {"old": old[name], "new": new} for name, new in changes.items()}
        print_json({"config": str(options.config), "changed": changed, "survey": found})
        return
    for line in describe_recommendation(found):
        say(line)
    if before is not None and all(old[name] == new for name, new in changes.items()):
        say(f"nothing to change in {options.config}")
    else:
        say(f"{'made' if before is None else 'changed'} {options.config}, [model]:")
        for name, new in changes.items():
            was = "(not set)" if old[name] in (None, "") else old[name]
            say(f"  {name}: {was} -> {new}" if was != new else f"  {name}: {new}, as it was")
    say(f"next: edgetl-run serve --config {shlex.quote(str(options.config))}")
