"""Arguments that commands share."""

import argparse
from collections.abc import Callable
from pathlib import Path

Subparsers = argparse._SubParsersAction
_MAX_THREADS = 1024


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
        parser.add_argument(
            "bundle", type=Path, help="the folder or .zip that `edgetl export` wrote"
        )
    return parser


def add_json(parser: argparse.ArgumentParser) -> None:
    """Adds `--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON for machines")


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Adds what chooses engine and variant, and `--json`."""
    parser.add_argument("--engine", choices=("litert", "onnx"), help="default: the bundle's first")
    parser.add_argument("--variant", help="such as litert-int8")
    parser.add_argument("--threads", type=threads, help="of the engine (default: cores, at most 4)")
    add_json(parser)


def positive(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def threads(text: str) -> int:
    """A number of threads."""
    if positive(text) > _MAX_THREADS:
        raise argparse.ArgumentTypeError(f"expected at most {_MAX_THREADS} threads, got {text}")
    return int(text)


def size(text: str) -> tuple[int, int]:
    """WIDTHxHEIGHT in pixels."""
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and 1 <= int(width) * int(height) <= 10**8):
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT such as 640x480, got {text!r}")
    return int(width), int(height)
