"""One option: its path, flag, meaning, and the values it may have."""

import difflib
import inspect
import math
import os
import re
from collections.abc import Callable, Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec
import msgspec.inspect as kinds

from edgetl_runtime.errors import OptionsError
from edgetl_runtime.text.masking import mask
from edgetl_runtime.text.printable import holds_control
from edgetl_runtime.text.showing import show
from edgetl_runtime.text.wording import count_noun

_ATTRIBUTE: Final = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)


class Option(msgspec.Struct, frozen=True):
    """One field of a struct of options.

    Attributes:
        section: The table that it is in, such as `source`; empty at the top.
        name: The field's, such as `fps`.
        type: What `msgspec.convert` takes.
        default: Its value unless it is chosen.
        meaning: From the struct's docstring.
        flag: Such as `--max-fps`.
        example: What a file of defaults shows in place of None; None: nothing else.
        check: Says what is wrong with a value that has the right type; empty text: nothing.
    """

    section: str
    name: str
    type: Any
    default: Any
    meaning: str
    flag: str
    example: Any = None
    check: Callable[[Any], str] | None = None

    @property
    def path(self) -> str:
        """Such as `source.fps`, or `seed` at the top."""
        return f"{self.section}.{self.name}" if self.section else self.name

    @property
    def keyword(self) -> str:
        """Such as `max_fps`, as a keyword in Python; of a list the field's name, a plural."""
        return self.name if self.is_list else self.flag[2:].replace("-", "_")

    @property
    def kind(self) -> kinds.Type:
        """The type without `None` and without what is written beside it."""
        members = [one for one in _members(self.type) if not isinstance(one, kinds.NoneType)]
        return members[0] if len(members) == 1 else kinds.UnionType(tuple(members))

    @property
    def table(self) -> type[msgspec.Struct] | None:
        """The struct that the value may be, too: `augment = "light"`, or a table [augment]."""
        return next(filter(_is_struct, get_args(self.type)), None)

    @property
    def is_list(self) -> bool:
        """Whether several values may be given."""
        return isinstance(self.kind, kinds.VarTupleType)

    @property
    def is_switch(self) -> bool:
        """Whether it is on or off."""
        return isinstance(self.kind, kinds.BoolType)

    @property
    def is_path(self) -> bool:
        """Whether the value is the path of a file or folder."""
        return self._find_note("path") is True

    @property
    def is_written(self) -> bool:
        """Whether the value is the path of a file or folder that is written."""
        return bool(self._find_note("written"))

    @property
    def is_secret(self) -> bool:
        """Whether no message may quote the value."""
        return bool(self._find_note("secret"))

    @property
    def allowed(self) -> str:
        """The values that it may have, to be read after "expected"."""
        for note in self._notes():
            if note.extra_json_schema and "description" in note.extra_json_schema:
                return str(note.extra_json_schema["description"])
        return _describe(self.kind, self.words)

    @property
    def words(self) -> list[str]:
        """The words that it may be, if it is one of a few."""
        return list(_list_words(self.type))

    @property
    def help(self) -> str:
        """The meaning, with the default where it is a value."""
        default = self.default
        if default is None or default is False or default in ((), ""):
            return self.meaning.rstrip(".")
        shown = f"{default:g}" if isinstance(default, float) else default
        shown = "on" if default is True else shown
        return f"{self.meaning.rstrip('.')} (default: {shown})"

    def read(self, options: msgspec.Struct) -> Any:
        """Its value in a root struct."""
        holder = getattr(options, self.section) if self.section else options
        return getattr(holder, self.name)

    def locate(self, value: Any, folder: Path) -> Any:
        """A value of a file: a relative path becomes one relative to the file's folder."""
        is_path = self._find_note("path")
        if not isinstance(value, str) or not (is_path(value) if callable(is_path) else is_path):
            return value
        return str(folder / os.path.expanduser(value))

    def convert(self, value: object, *, text: bool = False) -> Any:
        """The value, checked.

        Args:
            value: As a file, the command line or Python has it.
            text: Take `"5"` for 5 and `"a,b"` for a list, as the command line must.

        Raises:
            OptionsError: With what is allowed and what was found; without the option's name.
        """
        if text and self.is_list:
            texts = value if isinstance(value, list | tuple) else [value]
            value = [one.strip() for some in texts for one in str(some).split(",")]
        try:
            converted = msgspec.convert(value, self.type, strict=not text)
            _check_plain(converted)
        except (msgspec.ValidationError, UnicodeEncodeError) as error:
            raise OptionsError(self._complain(value, error)) from error
        if self.check and (fault := self.check(converted)):
            raise OptionsError(fault)
        return converted

    def _complain(self, value: object, error: Exception) -> str:
        found = _describe_secret(value) if self.is_secret else show(_mask(value))
        plain = ""
        if isinstance(self.kind, kinds.StrType) and _has_control(value):
            plain = ", without control characters"
        if isinstance(error, UnicodeEncodeError):
            plain = " in UTF-8 (of a file with another name: rename it, or give its folder)"
        meant = suggest(value.lower(), self.words) if isinstance(value, str) else ""
        return f"expected {self.allowed}{plain}, found {found}{meant}"

    def _find_note(self, name: str) -> Any:
        found = ((note.extra or {}).get(name) for note in self._notes())
        return next(filter(None, found), None)

    def _notes(self) -> Iterator[kinds.Metadata]:
        """What is written beside the type, or beside a member of its union."""
        info = kinds.type_info(self.type)
        while isinstance(info, kinds.Metadata):
            yield info
            info = info.type
        members = info.types if isinstance(info, kinds.UnionType) else ()
        yield from (member for member in members if isinstance(member, kinds.Metadata))


@cache
def list_options(root: type[msgspec.Struct]) -> dict[str, Option]:
    """Every option of a root struct by its path, in the order of the fields."""
    found = {option.path: option for option in _list_fields(root, "", root)}
    for section, struct in list_sections(root).items():
        found |= {option.path: option for option in _list_fields(struct, section, root)}
    return found


@cache
def list_sections(root: type[msgspec.Struct]) -> dict[str, type[msgspec.Struct]]:
    """The struct of each table of a root struct, by the table's name."""
    hints = get_type_hints(root)
    return {name: hints[name] for name in root.__struct_fields__ if _is_struct(hints[name])}


def list_table(option: Option) -> dict[str, Option]:
    """What may be in the table that an option may be, by name."""
    assert option.table is not None
    return {one.name: one for one in _list_fields(option.table, option.path, option.table)}


def suggest(name: str, known: Collection[str], form: str = "{}") -> str:
    """`; did you mean X?`, if something that is known is near to a name, else nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {form.format(near[0])}?" if near else ""


def _list_fields(
    struct: type[msgspec.Struct], section: str, root: type[msgspec.Struct]
) -> Iterator[Option]:
    text = inspect.cleandoc(struct.__doc__ or "")
    meanings = {name: " ".join(lines.split()) for name, lines in _ATTRIBUTE.findall(text)}
    types = get_type_hints(struct, include_extras=True)
    flags, examples, checks = (getattr(root, name, {}) for name in ("FLAGS", "EXAMPLES", "CHECKS"))
    for field in msgspec.structs.fields(struct):
        name = field.name
        if _is_struct(types[name]):
            continue
        path = f"{section}.{name}" if section else name
        yield Option(
            *(section, name, types[name], field.default, meanings.get(name, "")),
            flag="--" + flags.get(path, name.replace("_", "-")),
            example=examples.get(path),
            check=checks.get(path),
        )


def _is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def _members(hint: Any) -> list[kinds.Type]:
    """The types of a union, each without what is written beside it."""
    info = _bare(kinds.type_info(hint))
    return [_bare(one) for one in info.types] if isinstance(info, kinds.UnionType) else [info]


def _bare(info: kinds.Type) -> kinds.Type:
    return _bare(info.type) if isinstance(info, kinds.Metadata) else info


def _is_literal(info: kinds.Type) -> bool:
    return isinstance(_bare(info), kinds.LiteralType)


def _describe_secret(value: object) -> str:
    if not isinstance(value, str):
        return "not text; put it in quotes"
    plain = all("!" <= one <= "~" for one in value)
    return count_noun(len(value), "character") if plain else "with other characters among them"


def _mask(value: object) -> object:
    return mask(value) if isinstance(value, str) else value


def _has_control(value: object) -> bool:
    return isinstance(value, str) and holds_control(value)


def _check_plain(value: object) -> None:
    """Refuses control characters, since text goes on into files, headers and terminals; and inf."""
    if isinstance(value, str):
        value.encode()
        if holds_control(value):
            raise msgspec.ValidationError("text contains a control character")
    elif isinstance(value, float) and not math.isfinite(value):
        raise msgspec.ValidationError("not finite")
    elif isinstance(value, tuple):
        for one in value:
            _check_plain(one)


def _list_words(hint: Any) -> Iterator[str]:
    """The values of a `Literal` anywhere in a type, in the order in which they are written."""
    if get_origin(hint) is Literal:
        yield from map(str, get_args(hint))
    elif get_origin(hint) is Annotated:
        yield from _list_words(get_args(hint)[0])
    else:
        for one in get_args(hint):
            yield from _list_words(one)


def _describe(kind: kinds.Type, words: list[str]) -> str:
    match _bare(kind):
        case kinds.UnionType(types=members):
            # "A number or one of: a, b", since the words go on to the end.
            members = tuple(sorted(members, key=_is_literal))
            return " or ".join(_describe(one, words) for one in members)
        case kinds.LiteralType():
            return "one of: " + ", ".join(words)
        case kinds.VarTupleType(item_type=item):
            return f"a list, each {_describe(item, words)}"
        case kinds.BoolType():
            return "true or false"
        case (kinds.IntType() | kinds.FloatType()) as number:
            whole = "whole " if isinstance(number, kinds.IntType) else ""
            return f"a {whole}number{_bounds(number)}"
        case kinds.StructType():
            return "a table"
        case _:
            return "text"


def _bounds(number: kinds.IntType | kinds.FloatType) -> str:
    low = high = ""
    if number.gt is not None:
        low = f" above {number.gt:g}"
    elif number.ge is not None:
        low = f" from {number.ge:g}"
    if number.lt is not None:
        high = f" to below {number.lt:g}" if number.gt is None else f" and below {number.lt:g}"
    elif number.le is not None:
        high = f" to {number.le:,.0f}" if number.le >= 1 else f" to {number.le:g}"
    return low + high
