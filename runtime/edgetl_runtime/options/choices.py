"""Values chosen for options, from a file, flags or Python; a later choice wins."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import msgspec

from edgetl_runtime.errors import OptionsError
from edgetl_runtime.options.option import (
    Option,
    list_options,
    list_sections,
    list_table,
    suggest,
)
from edgetl_runtime.options.toml_file import TomlFile
from edgetl_runtime.text.showing import show

Root = TypeVar("Root", bound=msgspec.Struct)
Style = Literal["flag", "keyword", "path"]
Tables = Mapping[str, object]


class _Place(msgspec.Struct, frozen=True):
    """How and where the user wrote a value.

    Attributes:
        style: A flag, a keyword, or a path such as `head.dropout`.
        where: Such as `my.toml, line 3`; empty: not in a file.
    """

    style: Style
    where: str = ""

    def name(self, option: Option) -> str:
        """An option as an error begins with it."""
        names = {"flag": option.flag, "keyword": option.keyword, "path": option.path}
        return f"{self.where}: {names[self.style]}" if self.where else names[self.style]

    def spell(self, option: Option, value: object) -> str:
        """An option and its value within a sentence."""
        match self.style:
            case "flag" if isinstance(value, bool):
                return option.flag if value else f"--no-{option.flag[2:]}"
            case "flag":
                return f"{option.flag} {_spell_words(value)}"
            case "keyword":
                return f"{option.keyword}={show(value)}"
        text = f"{option.path} = {show(value)}"
        return f"{text} ({self.where})" if self.where else text


class Choices(Generic[Root]):
    """What was chosen so far."""

    def __init__(
        self, kind: type[Root], base: Root | None = None, *, style: Style = "path"
    ) -> None:
        """Begins.

        Args:
            kind: The root struct.
            base: What holds unless it is chosen otherwise; None: the defaults.
            style: How an unset option is spelled.
        """
        self._kind = kind
        self._base = base or kind()
        self._style: Style = style
        self._chosen: dict[str, tuple[Any, _Place]] = {}

    def add_file(self, file: Path, *, absent: str = "") -> None:
        """Adds what a TOML file says; its relative paths are relative to its folder.

        Args:
            file: Its path.
            absent: What to do if there is none.

        Raises:
            OptionsError: With file, line, option, the value found and what is allowed.
        """
        opened = TomlFile.read(file, absent=absent)
        for option, value, place in self._find(opened.content, "path", opened.locate):
            self._choose(option, value, place, folder=file.parent)

    def add_tables(self, tables: Tables, *, style: Style = "path", text: bool = False) -> None:
        """Adds nested plain values.

        Args:
            tables: As a TOML file has them.
            style: How errors name an option.
            text: Take `"5"` for 5, as the command line must.

        Raises:
            OptionsError: With option, the value found and what is allowed.
        """
        for option, value, place in self._find(tables, style, lambda *_: ""):
            self._choose(option, value, place, text=text)

    def add_keywords(self, values: Mapping[str, object]) -> None:
        """Adds what Python says, each option by its keyword, or a whole table as a struct.

        Raises:
            OptionsError: With keyword, the value found and what is allowed.
        """
        known = {option.keyword: option for option in list_options(self._kind).values()}
        sections = list_sections(self._kind)
        for name, value in values.items():
            if name in sections and isinstance(value, sections[name]):
                self.add_tables({name: msgspec.to_builtins(value)})
            elif name not in known:
                hint = suggest(name, known) or f"; expected one of: {', '.join(known)}"
                raise OptionsError(f"{name} is unknown{hint}")
            else:
                plain = msgspec.to_builtins(value) if isinstance(value, msgspec.Struct) else value
                self._choose(known[name], plain, _Place("keyword"))

    def make(self) -> Root:
        """The root struct, with what was chosen."""
        changes: dict[str, dict[str, Any]] = {}
        for path, (value, _) in self._chosen.items():
            section, _, name = path.rpartition(".")
            changes.setdefault(section, {})[name] = value
        top = changes.pop("", {})
        for section, fields in changes.items():
            top[section] = msgspec.structs.replace(getattr(self._base, section), **fields)
        return msgspec.structs.replace(self._base, **top)

    def spell(self, path: str, *, value: object = None) -> str:
        """An option and its value as the user wrote them.

        Args:
            path: Of the option.
            value: A value to show in place of the option's.
        """
        option = list_options(self._kind)[path]
        if path in self._chosen:
            chosen, place = self._chosen[path]
            return place.spell(option, chosen if value is None else value)
        held = option.read(self._base)
        said = _Place(self._style).spell(option, held if value is None else value)
        return f"{said} (the default)" if held == option.default else said

    def _choose(
        self,
        option: Option,
        value: object,
        place: _Place,
        *,
        text: bool = False,
        folder: Path | None = None,
    ) -> None:
        if option.table is not None and isinstance(value, Mapping):
            converted = _convert_table(option, value, place)
        else:
            converted = _convert(option, value, place.name(option), text=text)
        if folder is not None:
            converted = option.locate(converted, folder)
        self._chosen[option.path] = (converted, place)

    def _find(
        self, tables: Tables, style: Style, locate: Callable[..., str]
    ) -> Iterator[tuple[Option, object, _Place]]:
        """Each value with its option.

        Raises:
            OptionsError: If a name is unknown.
        """
        options, sections = list_options(self._kind), list_sections(self._kind)
        for name, value in tables.items():
            place = _Place(style, locate(name))
            if name in sections:
                yield from self._find_in_table(name, value, style, locate)
            elif name in options:
                yield options[name], value, place
            else:
                shown = f"[{_plain(name)}]" if isinstance(value, Mapping) else _plain(name)
                raise OptionsError(_join(place.where, f"{shown} is unknown{self._guide(name)}"))

    def _find_in_table(
        self, section: str, fields: object, style: Style, locate: Callable[..., str]
    ) -> Iterator[tuple[Option, object, _Place]]:
        known = list_options(self._kind)
        if not isinstance(fields, Mapping):
            message = f"{section}: expected a table [{section}], found {show(fields)}"
            raise OptionsError(_join(locate(section), message))
        for name, value in fields.items():
            place = _Place(style, locate(section, name))
            path = f"{section}.{name}"
            if path not in known:
                hint = self._guide_in_table(section, name)
                raise OptionsError(_join(place.where, f"{_plain(path)} is unknown{hint}"))
            yield known[path], value, place

    def _guide(self, name: str) -> str:
        """A suggestion for an unknown name at the top."""
        options = list_options(self._kind).values()
        meant = name.replace("-", "_")
        for option in options:
            if meant in (option.name, option.keyword):
                return f"; did you mean {option.name}{_say_where(option)}?"
        tables = [f"[{one}]" for one in list_sections(self._kind)]
        top = [option.name for option in options if not option.section]
        near = suggest(name, list_sections(self._kind), "[{}]") or suggest(meant, top)
        return near or f"; expected one of: {', '.join(top + tables)}"

    def _guide_in_table(self, section: str, name: str) -> str:
        options = list_options(self._kind).values()
        meant = name.replace("-", "_")
        for option in options:
            if option.name == meant and option.section != section:
                where = f"[{option.section}]" if option.section else "the top of the file"
                return f"; {option.name} belongs to {where}"
        return _list_near(meant, [one.name for one in options if one.section == section], section)


def _convert_table(option: Option, fields: Mapping[str, object], place: _Place) -> Any:
    """A table in place of a value, such as [augment]."""
    known = list_table(option)
    values = {}
    for name, value in fields.items():
        if name not in known:
            shown = _plain(f"{option.path}.{name}")
            near = _list_near(name.replace("-", "_"), known, option.path)
            raise OptionsError(_join(place.where, f"{shown} is unknown{near}"))
        values[name] = _convert(known[name], value, place.name(known[name]))
    assert option.table is not None
    return option.table(**values)


def _convert(option: Option, value: object, name: str, *, text: bool = False) -> Any:
    try:
        return option.convert(value, text=text)
    except OptionsError as error:
        raise OptionsError(f"{name}: {error}") from error


def _list_near(name: str, names: Collection[str], section: str) -> str:
    near = suggest(name, names, f"{section}.{{}}")
    return near or "; expected one of: " + ", ".join(f"{section}.{one}" for one in names)


def _say_where(option: Option) -> str:
    return f" in [{option.section}]" if option.section else ""


def _join(where: str, message: str) -> str:
    return f"{where}: {message}" if where else message


def _spell_words(value: object) -> str:
    words = value if isinstance(value, list | tuple) else [value]
    text = ",".join(f"{word:g}" if isinstance(word, float) else str(word) for word in words)
    return text or repr(text)


def _plain(name: str) -> str:
    """A key as an error shows it."""
    return name if re.fullmatch(r"[\w.-]{1,80}", name) else show(name)
