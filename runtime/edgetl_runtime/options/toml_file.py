"""A TOML file of options: read with its lines, and written with every option explained."""

import json
import os
import re
import select
import stat
import sys
import textwrap
from pathlib import Path
from typing import Any, Final

import msgspec

from edgetl_runtime.errors import OptionsError
from edgetl_runtime.options.option import Option, list_options, list_sections

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_LIMIT_BYTES: Final = 1_000_000
_WIDTH: Final = 96
_PIPE_S: Final = 3


class TomlFile(msgspec.Struct, frozen=True):
    """What a file holds, and where.

    Attributes:
        path: Of the file.
        text: As it is.
        content: As TOML.
    """

    path: Path
    text: str
    content: dict[str, Any]

    @classmethod
    def read(cls, path: Path, *, absent: str = "") -> "TomlFile":
        """Reads a file, or a pipe such as a shell's `<(...)`.

        Args:
            path: Of the file.
            absent: What to do if there is none.

        Raises:
            OptionsError: If it cannot be read or is not TOML; it names file and line.
        """
        text = _decode(path, _read(path, absent))
        try:
            return cls(path, text, tomllib.loads(text))
        except RecursionError as error:
            raise OptionsError(f"{path} is not valid TOML: too deeply nested") from error
        except ValueError as error:
            advice = _advise(text, str(error))
            raise OptionsError(f"{path} is not valid TOML: {error}{advice}") from error

    def locate(self, section: str, name: str = "") -> str:
        """Where a table, or a name in it, is: `my.toml, line 3`; in odd spelling without a line."""
        number = _find_line(self.text, section, name)
        return f"{self.path}, line {number}" if number else str(self.path)


def describe(options: msgspec.Struct, title: str, *, complete: bool = False) -> str:
    """A file with every option and its meaning.

    Args:
        options: A root struct.
        title: First line, a comment.
        complete: Set the defaults, too. Otherwise only what differs from the default is set;
            everything else is a comment that shows the default or an example.
    """
    root = type(options)
    parts = [f"# {title}"]
    for section in ("", *list_sections(root)):
        if section:
            parts.append(f"\n# {_summarize(list_sections(root)[section])}\n[{section}]")
        for option in list_options(root).values():
            if option.section == section:
                parts.append(_describe_option(option, option.read(options), complete))
    return "\n".join(parts) + "\n"


def encode_value(value: object) -> str:
    """A value in TOML, whose text is JSON's but for DEL: text, a number, or a tuple of them."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(encode_value, value))}]"
    return "".join(map(_escape, json.dumps(value, ensure_ascii=False)))


def _summarize(struct: type[msgspec.Struct]) -> str:
    """The first sentence of a docstring, without the table's name where that comes first."""
    line = (struct.__doc__ or "").partition("\n")[0]
    before, colon, after = line.partition(": ")
    return after.capitalize() if colon and before.startswith("`[") else line


def _describe_option(option: Option, value: object, complete: bool) -> str:
    line = f"{option.name} = {encode_value(value)}"
    if value is None or (value == option.default and not complete):
        shown = value if option.example is None else option.example
        line = f"# {option.name} = {encode_value('' if shown is None else shown)}"
        line += "  # for example" if option.example is not None else ""
    text = f"{option.meaning} {option.allowed[:1].upper()}{option.allowed[1:]}."
    comment = textwrap.wrap(text, _WIDTH, initial_indent="#   ", subsequent_indent="#   ")
    return "\n".join([*comment, line])


def _escape(character: str) -> str:
    """As TOML spells what a terminal would not show, or would be commanded by."""
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _read(path: Path, absent: str) -> bytes:
    try:
        with open(path, "rb", opener=_open_soon) as opened:
            data = opened.read(_LIMIT_BYTES + 1)
    except FileNotFoundError as error:
        raise OptionsError(f"{path} does not exist{absent}") from error
    except IsADirectoryError as error:
        inside = path / "config.toml"
        hint = f"; did you mean {inside}?" if inside.is_file() else ""
        raise OptionsError(f"{path} cannot be read ({error.strerror}){hint}") from error
    except OSError as error:
        raise OptionsError(f"{path} cannot be read ({error.strerror or error})") from error
    if len(data) > _LIMIT_BYTES:
        raise OptionsError(f"{path} is larger than {_LIMIT_BYTES:,} bytes; is it a settings file?")
    return data


def _decode(path: Path, data: bytes) -> str:
    try:
        # Editors on Windows begin a file with a byte order mark.
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise OptionsError(f"{path}, line {line} is not UTF-8; save the file as UTF-8") from error


def _open_soon(path: str, flags: int) -> int:
    """Waits for the writer of a pipe, such as a shell's `<(...)`, but not for ever."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    try:
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            waiting = select.poll()
            waiting.register(descriptor, select.POLLIN)
            if not waiting.poll(_PIPE_S * 1000):
                raise OSError(f"nothing wrote to this pipe within {_PIPE_S} s")
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
        return "; write true or false in lower case"
    if re.search(r"=\s*[^\s\"'\[{\d.+-]", line):
        return '; text needs quotes, such as "/dev/video0"'
    return ""


def _find_line(text: str, section: str, name: str) -> int | None:
    """The line of a table or of a name at the top, or of a name in a table; None: not found."""
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
