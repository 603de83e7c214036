"""`edgetl-run verify`: check hashes, then replay the golden frames."""

import argparse
from pathlib import Path

from edgetl_runtime.commands.arguments import Subparsers, add_command, add_json
from edgetl_runtime.commands.exits import EXIT_ERROR, EXIT_GATE
from edgetl_runtime.commands.printing import print_json, say, warn
from edgetl_runtime.errors import BundleError
from edgetl_runtime.text.masking import mask_text
from edgetl_runtime.text.printable import show_path


def add(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    summary = "check a bundle: its hashes, and its scores on this machine"
    add_json(add_command(commands, "verify", verify_bundle, summary))


def verify_bundle(options: argparse.Namespace) -> int:
    """Runs the command."""
    from edgetl_runtime.bundle.golden_frames import Verification, verify
    from edgetl_runtime.bundle.reader import Bundle

    try:
        result = verify(Bundle.open(options.bundle))
        code = 0 if result.ok else EXIT_GATE
    except BundleError as error:
        # What is not there, or may not be read, was not checked.
        code = EXIT_ERROR if isinstance(error.__cause__, OSError) else EXIT_GATE
        result = Verification(False, [], [mask_text(show_path(error))], [])
    if options.json:
        print_json(result)
    else:
        checks = f", {len(result.checked)} checks" if result.checked else ""
        bundle = mask_text(str(options.bundle))
        say(f"{bundle}: {'ok' if result.ok else 'FAILED'}{checks}")
        _tell_of_lessons(options.bundle)
    for line in result.failures:
        warn(line)
    for line in result.skipped:
        warn(f"not checked: {line}")
    return code


def _tell_of_lessons(bundle: Path) -> None:
    from edgetl_runtime.learning.overlay import find_overlay

    if find_overlay(bundle).exists():
        say("without the lessons beside it, which `edgetl-run learned` lists and checks")
