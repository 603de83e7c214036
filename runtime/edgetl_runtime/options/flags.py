"""Flags of argparse, one for each option of a root struct."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import msgspec.inspect as kinds

from edgetl_runtime.errors import OptionsError
from edgetl_runtime.options.option import Option, list_options


def add_arguments(
    parser: argparse.ArgumentParser,
    root: type[msgspec.Struct],
    sections: Sequence[str],
    positional: Mapping[str, str],
) -> None:
    """Adds a flag for each option of some tables.

    A flag that is not given leaves no value: only what was given is a choice.

    Args:
        parser: What gets them.
        root: The root struct.
        sections: Names of tables.
        positional: Options that are an argument instead, and its name in the help.
    """
    for section in sections:
        group = parser.add_argument_group(section)
        for option in list_options(root).values():
            if option.section != section:
                continue
            if option.path in positional:
                metavar = positional[option.path]
                parser.add_argument(option.path, nargs="?", metavar=metavar, help=_help(option))
            else:
                _add_flag(group, option)


def collect_flags(namespace: argparse.Namespace) -> dict[str, dict[str, object]]:
    """What the flags say, by table and field."""
    found: dict[str, dict[str, object]] = {}
    for path, value in vars(namespace).items():
        section, dot, name = path.partition(".")
        if dot and value is not None:
            found.setdefault(section, {})[name] = value
    return found


def make_metavar(option: Option) -> str:
    """What stands for the value in the help: `N`, `PATH`, `{adam,sgd}`, or the option's name."""
    if option.is_path:
        return "PATH"
    match option.kind:
        case kinds.VarTupleType() if option.words:
            return "|".join(option.words)
        case kinds.LiteralType():
            return "{" + ",".join(option.words) + "}"
        case kinds.UnionType() if option.words:
            return "{N," + ",".join(option.words) + "}"
        case kinds.IntType() | kinds.FloatType():
            return "N"
        case kinds.VarTupleType(item_type=kinds.StrType()):
            return option.flag[2:].upper()
        case kinds.VarTupleType():
            return "N,N"
    return option.name.upper().replace("_", "-")


def _add_flag(group: "argparse._ArgumentGroup", option: Option) -> None:
    arguments: dict[str, Any] = {"dest": option.path, "help": _help(option)}
    if option.is_switch:
        arguments["action"] = argparse.BooleanOptionalAction
    else:
        arguments |= {"type": _converter(option), "metavar": make_metavar(option)}
        arguments |= {"action": "extend"} if option.is_list else {}
    group.add_argument(option.flag, **arguments)


def _converter(option: Option) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            return option.convert(text, text=True)
        except OptionsError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return convert


def _help(option: Option) -> str:
    return option.help.replace("%", "%%").replace("`", "")
