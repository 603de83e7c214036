"""The settings file (TOML), and how it and the command line become one `Settings`."""

import difflib
import json
import os
import re
import select
import shlex
import stat
import sys
import textwrap
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final

from edgetl_runtime.errors import OptionsError
from edgetl_runtime.settings.options import Option, list_options, list_sections, show
from edgetl_runtime.settings.sections import Settings, SourceSettings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_LIMIT_BYTES: Final = 1_000_000
_WIDTH: Final = 96
_PIPE_S: Final = 3
# What a line of the example file holds where the default is nothing.
_EXAMPLES: Final = {
    "model.bundle": "parts.bundle",
    "model.engine": "litert",
    "model.variant": "litert-int8",
    "model.threads": 2,
    "source.size": "1280x720",
    "source.fps": 30.0,
    "source.ca": "ca.pem",
    "source.cert": "board.pem",
    "source.key": "board.key",
    "source.stride": 1344,
    "view.region": "0.25,0,0.5,1",
    "pace.max_fps": 5.0,
    "pace.max_frames": 1000,
    "output.terminal": "event",
    "output.jsonl": "answers.jsonl",
    "output.csv": "answers.csv",
    "output.video": "answers.avi",
    "output.pictures": "events",
    "output.name": "door",
    "output.mqtt": "mqtt://user@broker:1883",
    "output.mqtt_ca": "ca.pem",
    "output.mqtt_cert": "board.pem",
    "output.mqtt_key": "board.key",
    "output.post_ca": "ca.pem",
    "output.post_cert": "board.pem",
    "output.post_key": "board.key",
    "output.post": "http://collector:8000/events",
    "output.command": 'logger "$EDGETL_LABEL"',
    "output.callback": "actions:react",
    "serve.token": "at-least-16-characters",
    "service.state_dir": "/var/lib/edgetl",
    "service.lock": "/run/edgetl/lock",
}

Tables = Mapping[str, Mapping[str, object]]


def load_settings(file: Path | None, overrides: Tables | None = None) -> Settings:
    """Reads the settings file, lays the command line's options over it and checks the whole.

    Args:
        file: TOML, or None for the defaults. Relative paths in it are relative to its folder.
        overrides: Values by section and field; text such as `"5"` counts as 5.

    Raises:
        OptionsError: With file, path, the value found and what is allowed.
    """
    values: dict[str, dict[str, object]] = {}
    if file is not None:
        text, tables = _read_toml(file)

        def where(section: str, name: str = "") -> str:
            number = _find_line(text, section, name)
            return f"{file}, line {number}: " if number else f"{file}: "

        for option, value in _find_options(tables, where):
            place = where(option.section, option.name) + option.path
            checked = _convert(option, value, place)
            values.setdefault(option.section, {})[option.name] = _locate(
                option, checked, file.parent
            )
    for option, value in _find_options(overrides or {}, lambda *_: ""):
        checked = _convert(option, value, option.flag, text=True)
        values.setdefault(option.section, {})[option.name] = checked
    sections: dict[str, Any] = {**list_sections()}
    return Settings(**{name: sections[name](**fields) for name, fields in values.items()})


def describe_settings(settings: Settings | None = None) -> str:
    """A settings file with every option and its meaning.

    What differs from the default is set; everything else is a comment that shows the default, or
    an example where the default is nothing.
    """
    settings = settings or Settings()
    parts = ["# Settings of edgetl-run. A line that begins with # shows the default or an example."]
    for section, struct in list_sections().items():
        summary = (struct.__doc__ or "").partition("\n")[0].partition(": ")[2]
        parts.append(f"\n# {summary.capitalize()}\n[{section}]")
        for option in list_options().values():
            if option.section == section:
                value = getattr(getattr(settings, section), option.name)
                parts.append(_describe_option(option, value))
    return "\n".join(parts) + "\n"


def _describe_option(option: Option, value: object) -> str:
    line = f"{option.name} = {_encode(value)}"
    if value == option.default:
        shown = _EXAMPLES.get(option.path, value)
        line = f"# {option.name} = {_encode(shown)}"
        line += "  # for example" if option.path in _EXAMPLES else ""
    text = f"{option.meaning} {option.allowed[:1].upper()}{option.allowed[1:]}."
    comment = textwrap.wrap(text, _WIDTH, initial_indent="#   ", subsequent_indent="#   ")
    return "\n".join([*comment, line])


def _encode(value: object) -> str:
    """A value in TOML, whose text is JSON's but for DEL."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_encode, value))}]"
    return "".join(map(_escape, json.dumps(value, ensure_ascii=False)))


def _escape(character: str) -> str:
    """As TOML spells what a terminal would not show, or would be commanded by."""
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _read_toml(file: Path) -> tuple[str, dict[str, Any]]:
    """Text and content of a file."""
    try:
        with open(file, "rb", opener=_open_soon) as opened:
            data = opened.read(_LIMIT_BYTES + 1)
    except FileNotFoundError as error:
        raise OptionsError(
            f"{file} cannot be read, since there is none; `edgetl-run config > "
            f"{shlex.quote(str(file))}` makes one"
        ) from error
    except OSError as error:
        raise OptionsError(f"{file} cannot be read ({error.strerror or error})") from error
    if len(data) > _LIMIT_BYTES:
        raise OptionsError(f"{file} is larger than {_LIMIT_BYTES:,} bytes: is it a settings file?")
    try:
        # Editors on Windows begin a file with a byte order mark.
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise OptionsError(f"{file}, line {line} is not UTF-8; save the file as UTF-8") from error
    try:
        return text, tomllib.loads(text)
    except RecursionError as error:
        raise OptionsError(f"{file} is no TOML: too many brackets within one another") from error
    except ValueError as error:
        raise OptionsError(f"{file} is no TOML: {error}{_advise(text, str(error))}") from error


def _open_soon(path: str, flags: int) -> int:
    """Waits for the writer of a pipe, such as a shell's `<(...)`, but not for ever."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    try:
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            waiting = select.poll()
            waiting.register(descriptor, select.POLLIN)
            if not waiting.poll(_PIPE_S * 1000):
                raise OSError(f"nobody writes into this pipe within {_PIPE_S} s")
        os.set_blocking(descriptor, True)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _advise(text: str, error: str) -> str:
    """What people who write TOML for the first time do, if that is in the line of an error."""
    found = re.search(r"at line (\d+)", error)
    line = text.split("\n")[int(found[1]) - 1] if found else ""
    if re.search(r"=\s*\".*\\", line):
        return "; text with a \\ needs single quotes, such as 'C:\\parts.bundle'"
    if re.search(r"=\s*(True|False)\b", line):
        return "; write true or false, in small letters"
    if re.search(r"=\s*[^\s\"'\[{\d.+-]", line):
        return '; text needs quotes, such as "/dev/video0"'
    return ""


def _find_line(text: str, section: str, name: str) -> int | None:
    """The line of a table, or of a name in it; None where it is written in an unusual way."""
    table = ""
    here = rf"\s*{re.escape(name)}\s*=" if name else None
    above = rf"\s*{re.escape(section)}\s*(=|\.\s*{re.escape(name)}\b)"
    for number, line in enumerate(text.split("\n"), 1):
        if header := re.match(r"\s*\[+\s*([^\]]*?)\s*\]", line):
            table = header[1]
            if table == section and not name:
                return number
            continue
        wanted = here if table == section else None if table else above
        if wanted and re.match(wanted, line):
            return number
    return None


def _find_options(tables: Tables, where: Callable[..., str]) -> list[tuple[Option, object]]:
    known = list_options()
    found: list[tuple[Option, object]] = []
    for section, fields in tables.items():
        if section not in list_sections():
            shown = f"[{_plain(section)}]" if isinstance(fields, Mapping) else _plain(section)
            raise OptionsError(f"{where(section)}{shown} is unknown; {_suggest_section(section)}")
        if not isinstance(fields, Mapping):
            raise OptionsError(
                f"{where(section)}{section}: expected a table [{section}], found {show(fields)}"
            )
        for name, value in fields.items():
            path = f"{section}.{name}"
            if path not in known:
                raise OptionsError(
                    f"{where(section, name)}{_plain(path)} is unknown; {_suggest(section, name)}"
                )
            found.append((known[path], value))
    return found


def _convert(option: Option, value: object, where: str, *, text: bool = False) -> object:
    try:
        return option.convert(value, text=text)
    except OptionsError as error:
        raise OptionsError(f"{where}: {error}") from error


def _locate(option: Option, value: object, folder: Path) -> object:
    is_path = option.is_path or (option.path == "source.address" and names_file(str(value)))
    if not is_path or not isinstance(value, str):
        return value
    return str(folder / os.path.expanduser(value))


def names_file(address: str) -> bool:
    """Whether a source's address can only be the path of a file, a folder or a device."""
    return not re.fullmatch(r"\d+|.*://.*|-|picamera(:\d)?|pattern", address, re.DOTALL)


def reads_to_an_end(source: SourceSettings) -> bool:
    """Whether frames come from a file or folder that is read once."""
    device = source.address.startswith("/dev/")
    return names_file(source.address) and not device and not source.loop


def _suggest_section(name: str) -> str:
    for option in list_options().values():
        if option.name == name:
            return f"did you mean {name} in [{option.section}]?"
    return _nearest(name, list_sections(), "[{}]")


def _suggest(section: str, name: str) -> str:
    options = list_options().values()
    others = [option.section for option in options if option.name == name]
    if others:
        return f"{name} belongs to [{others[0]}]"
    names = [option.name for option in options if option.section == section]
    return _nearest(name, names, f"{section}.{{}}")


def _nearest(name: str, known: Collection[str], form: str) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"did you mean {form.format(near[0])}?"
    return "known are: " + ", ".join(form.format(one) for one in known)


def _plain(name: str) -> str:
    """A key as an error shows it."""
    return name if re.fullmatch(r"[\w.-]{1,80}", name) else show(name)
