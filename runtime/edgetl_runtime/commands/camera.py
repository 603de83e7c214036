"""`edgetl-run camera`: name what a camera sees."""

import argparse

from edgetl_runtime.commands.arguments import Subparsers, add_command, add_json
from edgetl_runtime.commands.settings import read_settings, take_settings

_SECTIONS = ("model", "source", "view", "pace", "smoothing", "output", "collect")


def add(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    parser = add_command(
        commands, "camera", classify_camera, "name what a camera sees", bundle=False
    )
    parser.epilog = (
        "Ctrl-C is the usual end of a camera (exit code 0); of a film or folder that was not read "
        "to its end it is an interruption (130)."
    )
    take_settings(parser, _SECTIONS)
    add_json(parser)


def classify_camera(options: argparse.Namespace) -> int:
    """Runs the command."""
    from edgetl_runtime.commands.running import run_camera

    return run_camera(read_settings(options, terminal="line"))
