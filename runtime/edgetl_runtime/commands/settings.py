"""Settings of commands that run a camera: a file, and flags over it."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgetl_runtime.commands.printing import warn

if TYPE_CHECKING:
    from edgetl_runtime.settings.sections import Settings


def take_settings(parser: argparse.ArgumentParser, sections: Sequence[str]) -> None:
    """Says that a command takes settings: BUNDLE, `--config`, and a flag for each field."""
    parser.set_defaults(sections=tuple(sections))


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Adds what `take_settings` promised; for the command in use only, since it takes a while."""
    sections = parser.get_default("sections")
    if sections is None:
        return
    from edgetl_runtime.options.flags import add_arguments
    from edgetl_runtime.settings.sections import Settings

    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="TOML file of settings (`edgetl-run config` prints one); flags win over it",
    )
    # Python's own list of all flags would hide what is asked of the user.
    parser.usage = f"{parser.prog} [OPTIONS] [BUNDLE]"
    add_arguments(parser, Settings, sections, {"model.bundle": "BUNDLE"})


def warn_of_readers(file: "Path | int", settings: "Settings") -> None:
    """Warns where everybody may read a file that holds a password or a token.

    Args:
        file: Its path, or an open descriptor.
        settings: What is in it.
    """
    from edgetl_runtime.settings.secrecy import holds_secret, is_open_to_others

    if holds_secret(settings) and is_open_to_others(file):
        name = "the new file" if isinstance(file, int) else str(file)
        named = "" if isinstance(file, int) else f" {shlex.quote(name)}"
        warn(
            f"every user can read {name}, which holds a password or a token; remedy: "
            f"chmod 600{named}"
        )


def read_settings(options: argparse.Namespace, *, terminal: str) -> "Settings":
    """The settings that file and flags give together.

    Args:
        options: What `add_settings` added.
        terminal: What the terminal shows unless file or flags say so.

    Raises:
        OptionsError: If the file cannot be read, anything in it is wrong, or no bundle is named.
    """
    import msgspec

    from edgetl_runtime.errors import OptionsError
    from edgetl_runtime.options.flags import collect_flags
    from edgetl_runtime.settings.file import load_settings

    overrides = collect_flags(options)
    if getattr(options, "json", False):
        overrides.setdefault("output", {})["terminal"] = "json"
    settings = load_settings(options.config, overrides)
    if options.config is not None:
        warn_of_readers(options.config, load_settings(options.config))
    if settings.output.terminal is None:
        output = msgspec.structs.replace(settings.output, terminal=terminal)
        settings = msgspec.structs.replace(settings, output=output)
    if not settings.model.bundle:
        raise OptionsError(
            "no bundle given; give the folder or .zip that `edgetl export` wrote, or a "
            "settings file with: --config FILE"
        )
    return settings
