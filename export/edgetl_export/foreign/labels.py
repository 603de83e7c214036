"""Labels from a text file, one a line, in the order of the model's outputs."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from edgetl_runtime.errors import ExportError

_LIMIT_BYTES = 2**24
_NUMBERED = re.compile(r"(\d+)[:\s]\s*(.*)")


def read_labels(file: Path) -> tuple[str, ...]:
    """Reads a `labels.txt`; a number before each label, as Coral's files have it, is dropped.

    Raises:
        ExportError: If it is unreadable, not UTF-8, or a label is empty, there twice, or no plain
            line of text; it names file and line.
    """
    lines = _read_lines(file)
    for number, line in enumerate(lines, 1):
        if not line:
            raise ExportError(f"{file}, line {number} is empty; expected one label a line")
    labels = _drop_numbers(file, lines)
    seen: dict[str, int] = {}
    for number, label in enumerate(labels, 1):
        if not label.isprintable():
            raise ExportError(
                f"{file}, line {number}: the label {label!r} has unprintable characters; rename it"
            )
        if label in seen:
            raise ExportError(
                f"{file}, line {number}: the label {label} is in line {seen[label]}, too; "
                "each may be there once"
            )
        seen[label] = number
    if len(labels) < 2:
        raise ExportError(f"{file} has {len(labels)} labels; a classifier has at least two")
    return tuple(labels)


def check_count(file: Path, labels: Sequence[str], outputs: int) -> None:
    """Refuses labels that are not as many as the outputs; one output stands for two labels.

    Raises:
        ExportError: With both numbers.
    """
    expected = max(2, outputs)
    if len(labels) != expected:
        last = min(len(labels), expected)
        raise ExportError(
            f"{file} has {len(labels)} labels (line {last}: {labels[last - 1]}), the model has "
            f"{outputs} outputs; expected {expected} lines, in the order of the outputs"
        )


def _read_lines(file: Path) -> list[str]:
    try:
        if file.stat().st_size > _LIMIT_BYTES:
            raise ExportError(f"{file} is larger than any list of labels; expected one a line")
        data = file.read_bytes()
    except OSError as error:
        raise ExportError(
            f"{file} cannot be read ({error.strerror}); expected a text file, one label a line"
        ) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ExportError(f"{file}, line {line} is not UTF-8; save the file as UTF-8") from error
    # Composed, as the labels of photos are: an ä may be one character or two.
    text = unicodedata.normalize("NFC", text)
    lines = [line.strip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _drop_numbers(file: Path, lines: list[str]) -> list[str]:
    """Labels without the numbers 0, 1, 2 ..., where all lines have theirs."""
    found = [_NUMBERED.fullmatch(line) for line in lines]
    numbered = [one for one in found if one]
    if len(numbered) < len(lines) or any(int(one[1]) != n for n, one in enumerate(numbered)):
        return lines
    for number, one in enumerate(numbered, 1):
        if not one[2]:
            raise ExportError(f"{file}, line {number} has a number but no label")
    return [one[2] for one in numbered]
