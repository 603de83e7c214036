"""Plain values against a Struct: which name or value is wrong, and what is allowed instead."""

import difflib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, get_args, get_type_hints

import msgspec
from msgspec import inspect

from edgetl_runtime.errors import OptionsError

Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]
# From an option's place, such as `head.kind`, and its value to how the user wrote them.
Spell = Callable[..., str]
# By place, for values that annotations do not describe in full: what is wrong, or nothing.
Rules = Mapping[str, Callable[[Any], str]]


def spell_key(place: str, value: Any = None) -> str:
    """Names an option as a line of TOML: `head.dropout = 0.5`."""
    return place if value is None else f"{place} = {show(value)}"


def show(value: Any) -> str:
    """A value as TOML has it, but words without quotes."""
    if isinstance(value, str):
        return value if value and value == value.strip() else repr(value)
    return json.dumps(value, default=str)


def list_places(kind: type[msgspec.Struct], table: str = "") -> Iterator[str]:
    """Where the values of nested Structs lie: `seed`, `head.kind`."""
    for name, hint in get_type_hints(kind).items():
        place = f"{table}.{name}" if table else name
        if _is_table(hint):
            yield from list_places(hint, place)
        else:
            yield place


def check_values(
    content: Mapping[str, Any],
    kind: type[msgspec.Struct],
    *,
    spell: Spell = spell_key,
    rules: Rules | None = None,
) -> None:
    """Refuses the first name or value that a Struct does not take.

    Args:
        content: Nested plain values, as a TOML file has them.
        kind: What they shall become; fields that are Structs themselves are tables.
        spell: Names an option as its user wrote it.
        rules: Of single values.

    Raises:
        OptionsError: With the option, the value found, and what is allowed.
    """
    _Checker(list(list_places(kind)), spell, rules or {}).check_table(content, kind, "")


class _Checker(msgspec.Struct, frozen=True):
    places: list[str]
    spell: Spell
    rules: Rules

    def check_table(
        self, content: Mapping[str, Any], kind: type[msgspec.Struct], table: str
    ) -> None:
        hints = get_type_hints(kind, include_extras=True)
        for name, value in content.items():
            place = f"{table}.{name}" if table else name
            if name not in hints:
                raise OptionsError(f"{self.spell(place)} is unknown; {self._guide(name, kind)}")
            self._check_value(value, hints[name], place)

    def _check_value(self, value: Any, hint: Any, place: str) -> None:
        table = _find_table(hint)
        if table and isinstance(value, Mapping):
            self.check_table(value, table, place)
        elif table and table is hint:
            raise OptionsError(
                f"{self.spell(place, value)} is not allowed; {place} is a table: write [{place}] "
                f"on a line of its own and below it one or more of {', '.join(_names(table))}"
            )
        else:
            rule = self.rules.get(place)
            if fault := (rule and rule(value)) or _find_fault(value, hint):
                raise OptionsError(f"{self.spell(place, value)} is not allowed; {fault}")

    def _guide(self, name: str, kind: type[msgspec.Struct]) -> str:
        """The nearest name, here or in another table, and all names that are allowed here."""
        name = name.replace("-", "_")
        here = {one: one for one in _names(kind)}
        elsewhere = {place.rpartition(".")[2]: place for place in self.places}
        known = elsewhere if name in elsewhere and name not in here else here
        near = _suggest(name, known) or _suggest(name, elsewhere, cutoff=0.8)
        return near + _list_names(kind)


def describe(hint: Any) -> str:
    """What a type takes, in the plural: `whole numbers from 1 to 64`, `adam, sgd`."""
    return _describe(inspect.type_info(hint))


def _find_fault(value: Any, hint: Any) -> str:
    try:
        msgspec.convert(value, hint)
    except msgspec.ValidationError:
        words = _list_words(inspect.type_info(hint))
        near = _suggest(str(value).lower(), dict(zip(words, words, strict=True)))
        return f"{near}allowed are {describe(hint)}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"allowed are {describe(hint)}"
    return ""


def _list_names(kind: type[msgspec.Struct]) -> str:
    hints = get_type_hints(kind)
    plain = [name for name, hint in hints.items() if not _is_table(hint)]
    tables = [f"[{name}]" for name, hint in hints.items() if _is_table(hint)]
    text = f"allowed here are {', '.join(plain)}"
    return f"{text} and the tables {', '.join(tables)}" if tables else text


def _names(kind: type[msgspec.Struct]) -> list[str]:
    return list(kind.__struct_fields__)


def _suggest(word: str, known: Mapping[str, str], cutoff: float = 0.6) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=cutoff)
    return f"did you mean {known[near[0]]}? " if near else ""


def _is_table(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def _find_table(hint: Any) -> type[msgspec.Struct] | None:
    """The Struct that a field is, or may be."""
    return next((one for one in (hint, *get_args(hint)) if _is_table(one)), None)


def _list_words(kind: inspect.Type) -> list[str]:
    match kind:
        case inspect.LiteralType():
            return [str(word) for word in kind.values]
        case inspect.UnionType():
            return [word for one in kind.types for word in _list_words(one)]
    return []


def _describe(kind: inspect.Type) -> str:
    match kind:
        case inspect.Metadata():
            return _describe(kind.type)
        case inspect.UnionType():
            parts = [_describe(one) for one in kind.types if not isinstance(one, inspect.NoneType)]
            return " and ".join(sorted(parts, key=lambda part: "numbers" in part))
        case inspect.LiteralType():
            return ", ".join(str(word) for word in kind.values)
        case inspect.BoolType():
            return "true, false"
        case inspect.IntType():
            return "whole numbers" + _describe_limits(kind.ge, kind.gt, kind.le, kind.lt)
        case inspect.FloatType():
            return "numbers" + _describe_limits(kind.ge, kind.gt, kind.le, kind.lt)
        case inspect.VarTupleType():
            return "lists of " + _describe(kind.item_type)
    return "words"


def _describe_limits(ge: float | None, gt: float | None, le: float | None, lt: float | None) -> str:
    low = "" if ge is None and gt is None else f" from {ge}" if gt is None else f" above {gt}"
    if le is None and lt is None:
        return low + (" up" if ge is not None else "")
    joint = " and" if gt is not None else " to" if ge is not None else ""
    high = f" {le}" if le is not None and joint == " to" else f" at most {le}"
    return low + joint + (high if lt is None else f" below {lt}")
