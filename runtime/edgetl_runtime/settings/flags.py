"""The command line's flags, one for each field of `sections.py`."""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import msgspec.inspect as kinds

from edgetl_runtime.errors import OptionsError
from edgetl_runtime.settings.options import Option, list_options


def add_arguments(parser: argparse.ArgumentParser, sections: Sequence[str]) -> None:
    """Adds a flag for each field of the sections, and BUNDLE for `model.bundle`.

    A flag that is not given leaves no value: only what was given overrides the settings file.
    """
    for section in sections:
        group = parser.add_argument_group(section)
        for option in list_options().values():
            if option.section != section:
                continue
            if option.path == "model.bundle":
                parser.add_argument(option.path, nargs="?", metavar="BUNDLE", help=_help(option))
            else:
                _add_flag(group, option)


def collect_overrides(namespace: argparse.Namespace) -> dict[str, dict[str, object]]:
    """What the flags say, by section and field, for `load_settings`."""
    found: dict[str, dict[str, object]] = {}
    for path, value in vars(namespace).items():
        section, dot, name = path.partition(".")
        if dot and value is not None:
            found.setdefault(section, {})[name] = value
    return found


def _add_flag(group: "argparse._ArgumentGroup", option: Option) -> None:
    arguments: dict[str, Any] = {"dest": option.path, "help": _help(option)}
    match option.kind:
        case kinds.BoolType():
            arguments["action"] = argparse.BooleanOptionalAction
        case kinds.VarTupleType(item_type=kinds.LiteralType(values=values)):
            arguments |= {
                "action": "extend",
                "type": _converter(option, split=True),
                "metavar": "|".join(map(str, values)),
            }
        case kinds.LiteralType(values=values):
            choices = "{" + ",".join(map(str, values)) + "}"
            arguments |= {"type": _converter(option), "metavar": choices}
        case _:
            arguments |= {"type": _converter(option), "metavar": _metavar(option)}
    group.add_argument(option.flag, **arguments)


def _converter(option: Option, *, split: bool = False) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            return option.convert(text.split(",") if split else text, text=True)
        except OptionsError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return convert


def _metavar(option: Option) -> str:
    if option.is_path:
        return "PATH"
    match option.kind:
        case kinds.IntType() | kinds.FloatType():
            return "N"
        case _:
            return option.name.upper().replace("_", "-")


def _help(option: Option) -> str:
    default = option.default
    known = default is not None and default != () and default != ""
    shown = f" (default: {str(default).lower()})" if isinstance(default, bool) else ""
    if known and not isinstance(default, bool):
        shown = f" (default: {default})"
    return f"{option.meaning.rstrip('.')}{shown}".replace("%", "%%").replace("`", "")
