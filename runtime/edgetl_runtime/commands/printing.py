"""Printing of the commands."""

import sys

from edgetl_runtime.text.masking import mask_text
from edgetl_runtime.text.printable import make_printable


def print_json(record: object) -> None:
    """Prints one line of JSON, in UTF-8 whatever the locale."""
    import msgspec

    print_file(msgspec.json.encode(record).decode() + "\n")


def print_file(text: str) -> None:
    """Prints what may be kept as a file, in UTF-8 whatever the locale."""
    if reconfigure := getattr(sys.stdout, "reconfigure", None):
        reconfigure(encoding="utf-8", errors="backslashreplace")
    print(text, end="", flush=True)


def warn(sentence: str) -> None:
    """Prints one sentence to standard error, with addresses masked."""
    tell(mask_text(sentence))


def tell(sentence: str) -> None:
    """Tells a person one sentence as it is, but for control characters."""
    print(f"edgetl-run: {make_printable(sentence)}", file=sys.stderr, flush=True)


def say(line: str) -> None:
    """Prints a line of a result for people."""
    print(make_printable(line), flush=True)
