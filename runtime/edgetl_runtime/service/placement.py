"""Placement of a service: absolute paths, what it reads and writes, and its groups."""

import grp
import os
import re
import shlex
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Final

import msgspec

from edgetl_runtime.errors import OptionsError
from edgetl_runtime.options.option import list_options
from edgetl_runtime.settings.sections import Settings, names_file

_FOLDERS: Final = ("collect.folder", "service.state_dir")
_VIDEO: Final = "video"


def place(settings: Settings, state: Path) -> Settings:
    """The settings with absolute paths only, since a service begins nowhere.

    Args:
        settings: Relative paths of what is written lead into the state folder, others from here.
        state: The state folder.

    Raises:
        OptionsError: If the current folder does not exist any more.
    """
    try:
        os.getcwd()
    except OSError as error:
        raise OptionsError("the current folder no longer exists; cd to another") from error
    changes: dict[str, dict[str, object]] = {"service": {"state_dir": str(state)}}
    for option in list_options(Settings).values():
        value = option.read(settings)
        if option.is_path and value:
            base = state if option.is_written else Path()
            changes.setdefault(option.section, {})[option.name] = _locate(value, base)
    address = settings.source.address
    if names_file(address) and os.path.exists(address):
        changes.setdefault("source", {})["address"] = os.path.abspath(address)
    sections = {
        name: msgspec.structs.replace(getattr(settings, name), **fields)
        for name, fields in changes.items()
    }
    return msgspec.structs.replace(settings, **sections)


def _locate(path: str, base: Path) -> str:
    return os.path.abspath(base / os.path.expanduser(path))


def find_python() -> tuple[str, ...]:
    """Files and folders of Python and edgetl; Python in a virtual environment is only a link."""
    program, package = find_program()[0], str(Path(__file__).parents[1])
    return tuple(dict.fromkeys((program, os.path.realpath(sys.executable), package)))


def find_read(placed: Settings) -> tuple[str, ...]:
    """Files and folders that the settings name and the service reads."""
    named = [
        option.read(placed)
        for option in list_options(Settings).values()
        if option.is_path and not option.is_written
    ]
    address, program = placed.source.address, find_script(placed)
    is_file = os.path.isabs(address) and not address.startswith("/dev/")
    return tuple(filter(None, [*named, address if is_file else None, program]))


def find_script(settings: Settings) -> str | None:
    """The program of `output.command` where a path names it, absolute; else None."""
    word = find_command(settings)
    return _locate(word, Path()) if word and "/" in word else None


def find_command(settings: Settings) -> str | None:
    """The first word of `output.command`, where that is a plain one."""
    try:
        words = shlex.split(settings.output.command or "")
    except ValueError:
        return None
    return words[0] if words and re.fullmatch(r"[\w./~+-]+", words[0]) else None


def find_working_folder(settings: Settings) -> str | None:
    """The current folder, where a callback or a command lies in it and nowhere else."""
    module = (settings.output.callback or "").partition(":")[0].partition(".")[0]
    command = find_command(settings) or ""
    is_script = "/" in command and not command.startswith(("/", "~"))
    return os.getcwd() if is_script or (module and lies_here(module)) else None


def lies_here(module: str) -> bool:
    """Whether a module would be imported from the current folder.

    A folder that only has its name gives way to a package that is installed.
    """
    found = PathFinder.find_spec(module, [os.getcwd()])
    return found is not None and (found.origin is not None or not PathFinder.find_spec(module))


def find_written(placed: Settings, state: Path) -> tuple[str, ...]:
    """Folders beyond the state folder that the service was told to write to."""
    files = [
        option.read(placed)
        for path, option in list_options(Settings).items()
        if option.is_written and path not in _FOLDERS
    ]
    folders = {os.path.dirname(path) for path in files if path and not path.startswith("/dev/")}
    folders |= {placed.collect.folder} if placed.collect.what else set()
    folders |= {placed.service.state_dir or str(state)}
    return tuple(sorted(one for one in folders if not Path(one).is_relative_to(state)))


def find_groups(placed: Settings) -> tuple[str, ...]:
    """The group of cameras, and that of the source's device where it is another one.

    A group that does not exist would keep the unit from starting.
    """
    device = find_device(placed.source.address)
    found = {_VIDEO, _find_group(device) or _VIDEO if device else _VIDEO}
    known = {one.gr_name for one in grp.getgrall()}
    return tuple(sorted(found & known, key=lambda name: (name != _VIDEO, name)))


def find_device(address: str) -> str | None:
    """The device of a camera; None for another source, and where it is not plugged in."""
    device = f"/dev/video{address}" if address.isdecimal() else address
    return device if device.startswith("/dev/") and os.path.exists(device) else None


def _find_group(device: str) -> str | None:
    """The group that may use a device, unless that is root's."""
    about = os.stat(device)
    if not about.st_gid or about.st_mode & 0o060 != 0o060:
        return None
    try:
        return grp.getgrgid(about.st_gid).gr_name
    except KeyError:
        return None


def find_program() -> list[str]:
    """How to start `edgetl-run` without a shell and a search path."""
    program = Path(sys.executable).with_name("edgetl-run")
    return [str(program)] if program.is_file() else [sys.executable, "-m", "edgetl_runtime"]
