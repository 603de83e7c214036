"""Labels from a file, in the order of the model's outputs."""

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from edgetl_export.load.label_records import read_record
from edgetl_runtime.bundle.manifest import MOST_LABEL_BYTES
from edgetl_runtime.errors import ExportError
from edgetl_runtime.text.printable import is_printable
from edgetl_runtime.text.wording import count_noun

_LIMIT_BYTES = 2**24
_NUMBERED = re.compile(r"(\d+)[:,\s]\s*(.*)")
_NUMBERED_BEHIND = re.compile(r"(?P<label>.*\S)\s*[,\t]\s*(?P<number>\d+)")
# WordNet's number of a noun, as ImageNet's lists have it before each label.
_SYNSET = re.compile(r"n\d{8}\s+(\S.*)")
_REPEATED = re.compile(r"(.*) \((\d+)\)")
_BACKGROUND = ("background", "__background__", "_background_", "dummy", "???", "none", "unknown")
_HEADING = ("label", "labels", "class", "classes", "name", "names", "category", "categories")


def read_labels(file: Path) -> tuple[str, ...]:
    """Reads labels: one a line, or a JSON or Python list, or a table of numbers and labels.

    Numbers 0, 1, 2 ... beside the labels, as Coral and Teachable Machine write them, are dropped,
    and put the labels in order; so are a heading over them and ImageNet's `n01440764`. A label
    that is there twice, as `crane` in ImageNet's, gets the number of its output: `crane (134)`.

    Raises:
        ExportError: If it is unreadable, not UTF-8, or a label is empty or no plain line of text;
            it names file and line.
    """
    return parse_labels(str(file), _read_text(file))


def parse_labels(file: str, text: str) -> tuple[str, ...]:
    """As `read_labels`, of a text from somewhere else.

    Args:
        file: Where it comes from, for errors.
        text: As the file would hold it.

    Raises:
        ExportError: As `read_labels`.
    """
    record = read_record(file, text)
    lines = _split(text) if record is None else [one.strip() for one in record]
    for number, line in enumerate(lines, 1):
        if not line:
            raise ExportError(f"{file}, line {number} is empty; expected one label per line")
    # Composed, as the labels of photos are: an ä may be one character or two.
    lines = [unicodedata.normalize("NFC", line) for line in lines]
    labels = _drop_synsets(_drop_numbers(file, lines))
    for number, label in enumerate(labels, 1):
        if not is_printable(label):
            raise ExportError(
                f"{file}, line {number}: the label {label!r} has unprintable characters; rename it"
            )
    if len(labels) < 2:
        found = count_noun(len(labels), "label")
        raise ExportError(f"{file} has {found}; a classifier needs at least two")
    told = _tell_apart(file, labels)
    for number, label in enumerate(told, 1):
        if (count := len(label.encode())) > MOST_LABEL_BYTES:
            raise ExportError(
                f"{file}, line {number}: the label {label[:20]}... has {count} bytes, allowed are "
                f"{MOST_LABEL_BYTES}; shorten it"
            )
    return told


def check_count(file: str, labels: Sequence[str], outputs: int) -> None:
    """Refuses labels that are not as many as the outputs; one output stands for two labels.

    Raises:
        ExportError: With both numbers, and what is often the reason.
    """
    expected = max(2, outputs)
    if len(labels) != expected:
        last = min(len(labels), expected)
        raise ExportError(
            f"{file} has {count_noun(len(labels), 'label')} (line {last}: {labels[last - 1]}), the "
            f"model has {count_noun(outputs, 'output')}; expected {expected} lines, in the order "
            f"of the outputs{_explain_count(labels, expected)}"
        )


def find_repeated(labels: Sequence[str]) -> dict[str, list[str]]:
    """Labels that were there more than once, and what each of them is called now."""
    found: dict[str, list[str]] = {}
    for number, label in enumerate(labels):
        match = _REPEATED.fullmatch(label)
        if match and int(match[2]) == number:
            found.setdefault(match[1], []).append(label)
    return {name: called for name, called in found.items() if len(called) > 1}


def suggest_label(name: str, labels: Sequence[str]) -> str:
    """Words after `... is not in FILE`: which label may be meant; empty if none is like it."""
    called = find_repeated(labels).get(name)
    if called:
        return f", which has it {len(called)} times, as {' and '.join(called)}"
    near = difflib.get_close_matches(name, labels, n=1)
    return f", which has {near[0]}" if near else ""


def _explain_count(labels: Sequence[str], expected: int) -> str:
    first = labels[0]
    if len(labels) == expected - 1:
        return (
            ". Some models have a first output for the background: if so, add a first line: "
            "background"
        )
    if len(labels) == expected + 1 and first.lower() in _BACKGROUND:
        return f". This model seems to have no output for {first}: remove line 1"
    if len(labels) == expected + 1 and first.lower() in _HEADING:
        return f". Line 1, {first}, looks like a heading: remove it"
    return ""


def _read_text(file: Path) -> str:
    try:
        # A device says that it is empty, and never ends.
        with file.open("rb") as opened:
            data = opened.read(_LIMIT_BYTES + 1)
        if len(data) > _LIMIT_BYTES:
            raise ExportError(f"{file} is too large for a list of labels; expected one per line")
    except OSError as error:
        raise ExportError(
            f"{file} cannot be read ({error.strerror}); expected a text file, one label per line"
        ) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ExportError(f"{file}, line {line} is not UTF-8; save the file as UTF-8") from error


def _split(text: str) -> list[str]:
    lines = [line.strip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _drop_numbers(file: str, lines: list[str]) -> list[str]:
    """Labels in the order of the numbers 0, 1, 2 ..., where all lines have theirs."""
    for skipped in (0, 1):
        # A line without a number over lines with one is a heading.
        found = _read_numbers(lines[skipped:])
        if found is not None:
            break
    else:
        return lines
    for number, label in sorted(found.items()):
        if not label:
            raise ExportError(f"{file}: the number {number} has no label")
    return [found[number] for number in range(len(found))]


def _read_numbers(lines: Sequence[str]) -> dict[int, str] | None:
    """Labels by their numbers; None if the lines have none, or others than 0, 1, 2 ..."""
    pairs = [_NUMBERED.fullmatch(line) for line in lines]
    found = {int(one[1]): one[2] for one in pairs if one}
    if len(found) < len(lines):
        behind = [_NUMBERED_BEHIND.fullmatch(line) for line in lines]
        found = {int(one["number"]): one["label"] for one in behind if one}
    return found if found and found.keys() == set(range(len(lines))) else None


def _drop_synsets(labels: list[str]) -> list[str]:
    found = [_SYNSET.fullmatch(label) for label in labels]
    return [one[1] for one in found if one] if all(found) else labels


def _tell_apart(file: str, labels: Sequence[str]) -> tuple[str, ...]:
    count = Counter(labels)
    told = tuple(
        f"{label} ({number})" if count[label] > 1 else label for number, label in enumerate(labels)
    )
    for number, label in enumerate(told, 1):
        if told.index(label) != number - 1:
            raise ExportError(
                f"{file}, line {number}: the label {label} is also in line "
                f"{told.index(label) + 1}; rename one of them"
            )
    return told
