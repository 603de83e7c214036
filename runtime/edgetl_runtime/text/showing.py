"""A value as an error shows it: on one line, and not for ever."""

import datetime
import re
from typing import Final

_LONGEST: Final = 80
# How Python writes a byte of a name that is not UTF-8.
_BYTE: Final = re.compile(r"\\udc([89a-f][0-9a-f])")


def show(value: object) -> str:
    """A value as TOML spells it; text as Python does, whose quotes say where it ends."""
    odd = isinstance(value, str) and not value.isprintable()
    text = _BYTE.sub(r"\\x\1", ascii(value)) if odd else _spell(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _spell(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return "a table"
        case list() | tuple() if any(isinstance(one, dict) for one in value):
            return "a list of tables"
        case list() | tuple():
            return f"[{', '.join(map(_spell, value))}]"
        case datetime.date() | datetime.time():
            return value.isoformat()
        case _:
            return repr(value)
