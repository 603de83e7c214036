"""Arguments that commands share, and how a mistake in them is told."""

import argparse
import difflib
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from edgetl_runtime.text.masking import mask_text
from edgetl_runtime.text.printable import make_printable

Subparsers = argparse._SubParsersAction
_MAX_THREADS = 1024
_MAX_SECONDS = 86_400


class Parser(argparse.ArgumentParser):
    """Tells a mistake in one line, and where help is in another; all flags would hide both."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """As `ArgumentParser`."""
        super().__init__(*arguments, **options)
        self.register("action", None, _StoreOnce)
        self.register("action", "store", _StoreOnce)
        # So that a flag that nobody knows is told by the command that it was given to.
        self.set_defaults(parser=self)

    def error(self, message: str) -> NoReturn:
        """Ends with 2."""
        said = make_printable(mask_text(message))
        self.exit(2, f"{self.prog}: {said}\ntry: {self.prog} --help\n")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As `ArgumentParser`; an unknown flag gets the known one that is nearest."""
        # A command is needed, but it is not what is wrong with `--verison`.
        if args and args[0].startswith("-") and not self._knows(args[0]):
            self._refuse(args[:1])
        found, others = self.parse_known_args(args, namespace)
        if others := found.parser._take_late_files(found, others):
            found.parser._refuse(others)
        return found

    def _take_late_files(self, found: argparse.Namespace, others: list[str]) -> list[str]:
        """Files after a flag: argparse fills a list that may be empty before it sees them."""
        lists = [one for one in self._actions if one.nargs == "*" and not one.option_strings]
        if not lists or getattr(found, lists[0].dest) or any(one[:1] == "-" for one in others):
            return others
        setattr(found, lists[0].dest, self._get_values(lists[0], others))
        return []

    def _print_message(self, message: str, file: Any = None) -> None:
        # The base drops what cannot be written.
        if file is sys.stdout:
            file.write(message)
        else:
            super()._print_message(message, file)

    def _knows(self, text: str) -> bool:
        """Whether a flag begins so; the first letters are enough where no other has them."""
        return any(one.startswith(text.partition("=")[0]) for one in self._option_string_actions)

    def _refuse(self, others: Sequence[str]) -> NoReturn:
        flag = next((one for one in others if one.startswith("-") and len(one) > 1), None)
        if flag is None:
            takes_source = "--source" in self._option_string_actions and len(others) == 1
            meant = f"; did you mean --source {others[0]}?" if takes_source else ""
            self.error(f"unrecognized arguments: {' '.join(others)}{meant}")
        name = flag.partition("=")[0]
        elsewhere = self.get_default("find_elsewhere")
        hint = elsewhere and elsewhere(name)
        self.error(f"unknown flag {name}{hint or suggest(name, self._option_string_actions)}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = [str(one) for one in action.choices]
            expected = f"expected one of: {', '.join(known)}"
            message = f"{expected}, found {value!r}{suggest(str(value), known)}"
            raise argparse.ArgumentError(action, message)


class _StoreOnce(argparse._StoreAction):
    """A flag with one value; what is given twice would else be dropped in silence."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        given = vars(namespace).setdefault("flags_given", {})
        if option_string and given.setdefault(self.dest, values) != values:
            # Without the values: one may be a secret.
            message = "it takes one value, but is given twice with different ones"
            hint = "; run edgetl-run once for each" if self.dest == "source.address" else ""
            raise argparse.ArgumentError(self, message + hint)
        super().__call__(parser, namespace, values, option_string)


def suggest(name: str, known: Iterable[str]) -> str:
    """`; did you mean X?`, if something that is known is near to a name, else nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def add_command(
    commands: "Subparsers[argparse.ArgumentParser]",
    name: str,
    function: Callable[[argparse.Namespace], int],
    summary: str,
    *,
    bundle: bool = True,
) -> argparse.ArgumentParser:
    """Adds a command; `function` gets the parsed options and returns the exit code."""
    parser = commands.add_parser(name, help=summary, description=summary.capitalize() + ".")
    parser.set_defaults(command=function)
    if bundle:
        parser.add_argument("bundle", type=path, help="Folder or .zip that `edgetl export` wrote")
    return parser


def add_json(parser: argparse.ArgumentParser) -> None:
    """Adds `--json`."""
    parser.add_argument("--json", action="store_true", help="Print JSON.")


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Adds what chooses engine and variant, and `--json`."""
    parser.add_argument(
        "--engine",
        choices=("litert", "onnx"),
        help="Engine (default: that of the bundle's first variant)",
    )
    parser.add_argument(
        "--variant", help="Variant, such as litert-int8 (default: the bundle's first)"
    )
    parser.add_argument(
        "--threads",
        type=threads,
        help="Number of threads of the engine (default: the processors, at most 4)",
    )
    add_json(parser)


def path(text: str) -> Path:
    """A path; an empty one, such as of a variable that is not set, would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got nothing; is a variable not set?")
    return Path(text)


def positive(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def seconds(text: str) -> float:
    """Seconds, above 0 and at most a day."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= _MAX_SECONDS:
        raise argparse.ArgumentTypeError(
            f"expected seconds above 0 and at most {_MAX_SECONDS}, got {text!r}"
        )
    return value


def minutes(text: str) -> float:
    """Minutes, above 0 and at most a day."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value * 60 <= _MAX_SECONDS:
        raise argparse.ArgumentTypeError(
            f"expected minutes above 0 and at most {_MAX_SECONDS // 60}, got {text!r}"
        )
    return value


def threads(text: str) -> int:
    """A number of threads."""
    if positive(text) > _MAX_THREADS:
        raise argparse.ArgumentTypeError(f"expected at most {_MAX_THREADS} threads, got {text}")
    return int(text)


def size(text: str) -> tuple[int, int]:
    """WIDTHxHEIGHT in pixels."""
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and 1 <= int(width) * int(height) <= 10**8):
        raise argparse.ArgumentTypeError(
            f"expected WIDTHxHEIGHT such as 640x480, at most 100 megapixels, got {text!r}"
        )
    return int(width), int(height)
