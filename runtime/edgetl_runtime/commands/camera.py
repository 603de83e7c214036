"""`edgetl-run camera`: name what a camera sees."""

import argparse

from edgetl_runtime.commands.arguments import Subparsers, add_command, add_json
from edgetl_runtime.commands.printing import tell, warn
from edgetl_runtime.commands.settings import read_settings, take_settings

_SECTIONS = ("model", "source", "view", "pace", "smoothing", "output", "collect")


def add(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    parser = add_command(
        commands, "camera", classify_camera, "classify a camera's frames", bundle=False
    )
    parser.epilog = (
        "Ctrl-C ends a camera normally (exit code 0); before the end of a video or folder it is an "
        "interruption (130)."
    )
    take_settings(parser, _SECTIONS)
    add_json(parser)


def classify_camera(options: argparse.Namespace) -> int:
    """Runs the command."""
    from edgetl_runtime.device import Device

    return Device(read_settings(options, terminal="line"), warn=warn, tell=tell).run()
