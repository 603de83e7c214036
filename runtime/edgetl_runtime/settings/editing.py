"""Changes in the `[model]` table of a settings file that leave every other line as it is."""

import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from edgetl_runtime.errors import OptionsError
from edgetl_runtime.options.toml_file import encode_value
from edgetl_runtime.settings.file import describe_settings, load_settings
from edgetl_runtime.settings.sections import ModelSettings, Settings
from edgetl_runtime.system.storage import staged_file

_SECTION: Final = "model"
_HEADER: Final = re.compile(r"\ufeff?\s*\[\s*(?:model|\"model\"|'model')\s*\]\s*(?:#.*)?")
_ANY_HEADER: Final = re.compile(r"\s*\[")
# A key, and a value on one line: text in either kind of quotes, or a number.
_LINE: Final = (
    r"(?P<before>\s*(?:{0}|\"{0}\"|'{0}')\s*=\s*)"
    r"(?:\"(?:[^\"\\]|\\.)*\"|'[^']*'|[\w.+-]+)(?P<after>\s*(?:#.*)?)"
)
# As `edgetl-run config` shows what is not set.
_SHOWN: Final = r"\s*#\s*{0}\s*=.*"

Changes = Mapping[str, str | int]


def change_model(path: Path, changes: Changes) -> None:
    """Sets options of `[model]`; a file that is not there is made, with every option explained.

    It is written aside and read again before it takes the file's place, so that what was there
    stays as it was on any failure. Mode and owner stay.

    Args:
        path: The settings file.
        changes: Values by option, such as `{"variant": "litert-int8", "threads": 2}`.

    Raises:
        OptionsError: If the file is wrong, or its table is written so that a line cannot be
            changed; with the lines to put in by hand.
        StorageError: If it cannot be written.
    """
    # Through a link, so that the link stays.
    target = Path(os.path.realpath(path))
    if not os.path.lexists(target):
        made = Settings(model=msgspec.structs.replace(ModelSettings(), **changes))
        _write(target, describe_settings(made), made, None)
        return
    about = target.stat()
    if not stat.S_ISREG(about.st_mode):
        raise OptionsError(f"{path} is not a file; give a settings file: --config FILE")
    old = load_settings(target)
    wanted = msgspec.structs.replace(old, model=msgspec.structs.replace(old.model, **changes))
    if wanted != old:
        with target.open(encoding="utf-8", newline="") as file:
            text = edit_model(file.read(), changes)
        if text is None:
            raise _refuse(path, changes)
        try:
            _write(target, text, wanted, about)
        except OptionsError as error:
            raise _refuse(path, changes) from error


def edit_model(text: str, changes: Changes) -> str | None:
    """The text of a settings file with other values in its table `[model]`.

    A value takes the place of the old one; what comes before and after it on its line stays. What
    is not set yet comes below the line that shows it as a comment, or else below the table's name.
    Without a table, one is added at the end.

    Args:
        text: TOML.
        changes: Values by option.

    Returns:
        None where a value's line cannot be told.
    """
    end = "\r\n" if "\r\n" in text else "\n"
    lines = text.split("\n")
    header = next((n for n, line in enumerate(lines) if _HEADER.fullmatch(_bare(line))), None)
    if header is None:
        return _append(text, changes, end)
    for name, value in changes.items():
        stop = _find_stop(lines, header)
        number = _find(lines, header, stop, rf"\s*[\"']?{name}[\"']?\s*=.*")
        if number is not None:
            match = re.fullmatch(_LINE.format(name), _bare(lines[number]))
            if match is None:
                return None
            changed = f"{match['before']}{encode_value(value)}{match['after']}"
            lines[number] = changed + lines[number][len(_bare(lines[number])) :]
        else:
            shown = _find(lines, header, stop, _SHOWN.format(name))
            above = _find_above(lines, header, stop, name) if shown is None else shown
            _insert(lines, above + 1, f"{name} = {encode_value(value)}", end)
    return "\n".join(lines)


def _bare(line: str) -> str:
    return line.removesuffix("\r")


def _find_stop(lines: list[str], header: int) -> int:
    """The number of the line at which the next table begins, or of the end."""
    rest = range(header + 1, len(lines))
    return next((n for n in rest if _ANY_HEADER.match(lines[n])), len(lines))


def _find(lines: list[str], header: int, stop: int, pattern: str) -> int | None:
    wanted = re.compile(pattern)
    inside = range(header + 1, stop)
    return next((n for n in inside if wanted.fullmatch(_bare(lines[n]))), None)


def _find_above(lines: list[str], header: int, stop: int, name: str) -> int:
    """The line of the last option that comes before this one in `ModelSettings`; or the header."""
    fields = ModelSettings.__struct_fields__
    earlier = "|".join(fields[: fields.index(name)])
    numbers = [
        number
        for number in range(header + 1, stop)
        if earlier and re.match(rf"\s*(?:{earlier})\s*=", lines[number])
    ]
    return max(numbers, default=header)


def _insert(lines: list[str], number: int, line: str, end: str) -> None:
    if number == len(lines):
        # The line above is the last, and has no end.
        lines[-1] += end.removesuffix("\n")
        lines.append(line)
    else:
        lines.insert(number, line + end.removesuffix("\n"))


def _append(text: str, changes: Changes, end: str) -> str:
    gap = "" if not text.strip("\ufeff") else end if text.endswith("\n") else end * 2
    return text + gap + "".join(f"{line}{end}" for line in list_lines(changes))


def list_lines(changes: Changes) -> list[str]:
    """The table as lines of TOML."""
    return [f"[{_SECTION}]", *(f"{name} = {encode_value(one)}" for name, one in changes.items())]


def _write(target: Path, text: str, wanted: Settings, about: os.stat_result | None) -> None:
    """Writes aside, and has it take the place only if it says what it should."""
    mode = 0o644 if about is None else stat.S_IMODE(about.st_mode)
    with staged_file(target, mode=mode & 0o777) as aside:
        aside.write_bytes(text.encode())
        if about is not None:
            os.chmod(aside, mode)
            with suppress(PermissionError):
                os.chown(aside, about.st_uid, about.st_gid)
        if load_settings(aside) != wanted:
            raise OptionsError(f"{target} would not say what it should")


def _refuse(path: Path, changes: Changes) -> OptionsError:
    lines = "; ".join(f"{name} = {encode_value(one)}" for name, one in changes.items())
    return OptionsError(
        f"{path} has its model written in a way that cannot be changed line by line; nothing was "
        f"written; put this into its table [{_SECTION}] by hand: {lines}"
    )
