"""Settings of commands that run a camera: a file, and flags over it."""

import argparse
import os
import re
import shlex
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgetl_runtime.commands.printing import warn

if TYPE_CHECKING:
    from edgetl_runtime.settings.sections import Settings

# A password before the host, or a value of the query or path that is named like one.
_PASSWORD = re.compile(
    r"\w+://([^@\s]*:[^@\s]+@|\S*(pass|pwd|token|key|secret|auth)\w*=)", re.IGNORECASE
)


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
    parser.usage = f"{parser.prog} {parser.get_default('usage_line') or '[OPTIONS] [BUNDLE]'}"
    add_arguments(parser, Settings, sections, {"model.bundle": "BUNDLE"})


def warn_of_readers(file: "Path | int", settings: "Settings") -> None:
    """Warns where everybody may read a file that holds a password or a token.

    Args:
        file: Its path, or an open descriptor.
        settings: What is in it.
    """
    if _holds_secret(settings) and _is_open_to_others(file):
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
    check_bundle(settings)
    return settings


def check_bundle(settings: "Settings") -> None:
    """Refuses settings without a bundle.

    Raises:
        OptionsError: If none is named.
    """
    from edgetl_runtime.errors import OptionsError

    if not settings.model.bundle:
        raise OptionsError(
            "no bundle given; give the folder or .zip that `edgetl export` wrote, or a "
            "settings file with: --config FILE"
        )


def _holds_secret(settings: "Settings") -> bool:
    """Whether there is a token, or an address with what is likely a password."""
    from edgetl_runtime.options.option import list_options

    for option in list_options(type(settings)).values():
        value = option.read(settings)
        if isinstance(value, str) and (option.is_secret or _PASSWORD.match(value)):
            return True
    return False


def _is_open_to_others(file: "str | os.PathLike[str] | int") -> bool:
    """Whether everybody may read a regular file, given by path or descriptor."""
    try:
        about = os.stat(file)
    except OSError:
        return False
    return stat.S_ISREG(about.st_mode) and bool(about.st_mode & stat.S_IROTH)
