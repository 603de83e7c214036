"""Each option of `sections.py` by itself: its path, flag, meaning and what values it may have.

The command line, the settings file and the example file are all made out of this list.
"""

import datetime
import inspect
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final, get_type_hints

import msgspec
import msgspec.inspect as kinds

from edgetl_runtime.errors import OptionsError
from edgetl_runtime.masking import mask
from edgetl_runtime.printable import holds_control
from edgetl_runtime.settings.sections import TOKEN_LENGTH, Settings
from edgetl_runtime.wording import count_noun

# Where a field's name alone would say too little beside the flags of other sections.
_FLAGS: Final = {
    "source.address": "source",
    "source.required": "require-camera",
    "source.ca": "source-ca",
    "source.cert": "source-cert",
    "source.key": "source-key",
    "smoothing.method": "smoothing",
    "smoothing.frames": "smoothing-frames",
    "output.callback": "callback",
    "collect.what": "collect",
    "collect.folder": "collect-folder",
    "collect.quota_mb": "collect-quota-mb",
    "collect.every_s": "collect-every-s",
}
_ATTRIBUTE: Final = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)
_SHOWN: Final = 80
# How Python writes a byte of a name that is no UTF-8.
_BYTE = re.compile(r"\\udc([89a-f][0-9a-f])")


class Option(msgspec.Struct, frozen=True):
    """One field of one section.

    Attributes:
        section: Such as `source`.
        name: Such as `fps`.
        type: What `msgspec.convert` takes.
        default: Its value where nobody says otherwise.
        meaning: From the section's docstring.
    """

    section: str
    name: str
    type: Any
    default: Any
    meaning: str

    @property
    def path(self) -> str:
        """Such as `source.fps`."""
        return f"{self.section}.{self.name}"

    @property
    def flag(self) -> str:
        """Such as `--max-fps`."""
        return "--" + _FLAGS.get(self.path, self.name.replace("_", "-"))

    @property
    def kind(self) -> kinds.Type:
        """The type without `None` and without what is written beside it."""
        return _bare(kinds.type_info(self.type))

    @property
    def is_path(self) -> bool:
        """Whether the value is the path of a file or folder."""
        return any((note.extra or {}).get("path") for note in self._notes())

    @property
    def is_secret(self) -> bool:
        """Whether no message may quote the value."""
        return any((note.extra or {}).get("secret") for note in self._notes())

    @property
    def allowed(self) -> str:
        """What values it may have, to be read after "expected"."""
        for note in self._notes():
            if note.extra_json_schema and "description" in note.extra_json_schema:
                return str(note.extra_json_schema["description"])
        return _describe(self.kind)

    def convert(self, value: object, *, text: bool = False) -> Any:
        """The value, checked.

        Args:
            value: As the file or the command line has it.
            text: Take `"5"` for 5, as the command line must.

        Raises:
            OptionsError: With what is allowed and what was found; without the option's name.
        """
        try:
            converted = msgspec.convert(value, self.type, strict=not text)
            _check_text(converted)
        except (msgspec.ValidationError, UnicodeEncodeError) as error:
            found = _describe_secret(value) if self.is_secret else show(_mask(value))
            is_text = isinstance(self.kind, kinds.StrType)
            plain = ", without control characters" if is_text and _has_control(value) else ""
            if isinstance(error, UnicodeEncodeError):
                plain = " in UTF-8 (of a file with another name: rename it, or give its folder)"
            raise OptionsError(f"expected {self.allowed}{plain}, found {found}") from error
        return converted

    def _notes(self) -> Iterator[kinds.Metadata]:
        """What is written beside the type, or beside a member of its union."""
        info = kinds.type_info(self.type)
        members = info.types if isinstance(info, kinds.UnionType) else (info,)
        return (member for member in members if isinstance(member, kinds.Metadata))


@cache
def list_options() -> dict[str, Option]:
    """Every option by its path, in the order of the structs."""
    found: dict[str, Option] = {}
    for section, struct in list_sections().items():
        meanings = _meanings(struct)
        types = get_type_hints(struct, include_extras=True)
        for field in msgspec.structs.fields(struct):
            meaning = meanings.get(field.name, "")
            option = Option(section, field.name, types[field.name], field.default, meaning)
            found[option.path] = option
    return found


def list_sections() -> dict[str, type[msgspec.Struct]]:
    """The struct of each section, by the section's name."""
    return {field.name: field.type for field in msgspec.structs.fields(Settings)}


def show(value: object) -> str:
    """A value as an error shows it: on one line, and not for ever."""
    text = _BYTE.sub(r"\\x\1", ascii(value)) if _is_odd(value) else _spell(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _spell(value: object) -> str:
    """As TOML does; text as in Python, whose quotes say where it ends."""
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return "a table"
        case list() if any(isinstance(one, dict) for one in value):
            return "a list of tables"
        case list():
            return f"[{', '.join(map(_spell, value))}]"
        case datetime.date() | datetime.time():
            return value.isoformat()
        case _:
            return repr(value)


def _describe_secret(value: object) -> str:
    if not isinstance(value, str):
        return "no text; put it in quotes"
    short = len(value) < TOKEN_LENGTH
    return count_noun(len(value), "character") if short else "others among them"


def _mask(value: object) -> object:
    return mask(value) if isinstance(value, str) else value


def _is_odd(value: object) -> bool:
    return isinstance(value, str) and not value.isprintable()


def _has_control(value: object) -> bool:
    return isinstance(value, str) and holds_control(value)


def _check_text(value: object) -> None:
    """Refuses control characters: text goes on into unit files, headers, topics and terminals."""
    if isinstance(value, str):
        value.encode()
        if _has_control(value):
            raise msgspec.ValidationError("text holds a control character")


def _meanings(struct: type[msgspec.Struct]) -> dict[str, str]:
    text = inspect.cleandoc(struct.__doc__ or "")
    return {name: " ".join(lines.split()) for name, lines in _ATTRIBUTE.findall(text)}


def _bare(info: kinds.Type) -> kinds.Type:
    if isinstance(info, kinds.Metadata):
        return _bare(info.type)
    if isinstance(info, kinds.UnionType):
        (member,) = [one for one in info.types if not isinstance(one, kinds.NoneType)]
        return _bare(member)
    return info


def _describe(kind: kinds.Type) -> str:
    match kind:
        case kinds.LiteralType(values=values):
            return "one of: " + ", ".join(map(str, values))
        case kinds.VarTupleType(item_type=item):
            return f"a list, each {_describe(item)}"
        case kinds.BoolType():
            return "true or false"
        case kinds.IntType() | kinds.FloatType():
            noun = "a whole number" if isinstance(kind, kinds.IntType) else "a number"
            return f"{noun}{_bounds(kind)}"
        case kinds.StrType(min_length=int(length)) if length > 1:
            return f"text of {length} characters or more"
        case _:
            return "text"


def _bounds(kind: kinds.IntType | kinds.FloatType) -> str:
    above, most = (kind.gt, kind.le)
    low = f" above {above:g}" if above is not None else f" from {kind.ge:g}"
    return f"{low} to {most:,.0f}" if most is not None else low
