"""Small text files of /proc and /sys, which may be missing, unreadable or of another format."""

import re
from collections.abc import Iterator
from pathlib import Path

_NUMBER = re.compile(r"[+-]?\d+")


def read_text(file: Path) -> str | None:
    """A file's text without the end of the line; None where there is none, or it is not for us."""
    try:
        return file.read_text(errors="replace").strip("\x00\n ") or None
    except OSError:
        return None


def read_number(file: Path) -> int | None:
    """A file that holds a decimal integer; None for anything else."""
    text = read_text(file)
    return int(text) if text and _NUMBER.fullmatch(text) else None


def list_numbered(folder: Path, name: str) -> Iterator[Path]:
    """What `folder` has of the names `name` and a number, such as cpu0 to cpu11, in order."""
    numbered = re.compile(re.escape(name) + r"(\d+)")
    try:
        names = [match for entry in folder.iterdir() if (match := numbered.fullmatch(entry.name))]
    except OSError:
        return
    yield from (folder / match[0] for match in sorted(names, key=lambda match: int(match[1])))
