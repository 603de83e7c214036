"""`edgetl-run config`: print a settings file with every option."""

import argparse

from edgetl_runtime.commands.arguments import Subparsers, add_command
from edgetl_runtime.commands.printing import print_file
from edgetl_runtime.commands.settings import take_settings, warn_of_readers

_SECTIONS = (
    *("model", "source", "view", "pace", "smoothing", "output", "collect", "serve", "service"),
)


def add(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    summary = "print a settings file with every option, its meaning and its value"
    parser = add_command(commands, "config", print_config, summary, bundle=False)
    take_settings(parser, _SECTIONS)


def print_config(options: argparse.Namespace) -> int:
    """Runs the command."""
    from edgetl_runtime.options.flags import collect_flags
    from edgetl_runtime.settings.file import describe_settings, load_settings

    settings = load_settings(options.config, collect_flags(options))
    print_file(describe_settings(settings))
    warn_of_readers(1, settings)
    return 0
