"""`edgetl-run serve`: name what a camera sees, and show it on a page."""

import argparse
import sys
from functools import partial
from pathlib import Path

from edgetl_runtime.commands.arguments import Subparsers, add_command, add_json
from edgetl_runtime.commands.printing import tell, warn
from edgetl_runtime.commands.settings import read_settings, take_settings

_SECTIONS = (
    *("model", "source", "view", "pace", "smoothing", "output", "collect", "serve", "service"),
)


def add(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    summary = "classify a camera's frames unattended, with a web page"
    parser = add_command(commands, "serve", serve, summary, bundle=False)
    take_settings(parser, _SECTIONS)
    add_json(parser)


def serve(options: argparse.Namespace) -> int:
    """Runs the command."""
    from edgetl_runtime.device import Device
    from edgetl_runtime.serving.codes import show_codes
    from edgetl_runtime.serving.server import PageServer

    settings = read_settings(options, terminal="event")
    state = settings.service.state_dir
    token_file = Path(state) / "page-token" if state else None
    # A service's standard error is a log.
    is_seen = sys.stderr.isatty()
    show = None if settings.output.terminal == "json" else partial(show_codes, stream=sys.stderr)
    page = PageServer(settings.serve, token_file, shows_kept_token=is_seen, show_codes=show)
    return Device(settings, page=page, warn=warn, tell=tell).run()
