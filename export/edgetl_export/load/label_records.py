"""Labels as programs write them down: a list or a dictionary, in JSON or in Python's notation."""

import ast
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from edgetl_runtime.errors import ExportError

# Ultralytics' and Hugging Face's keys, and what people choose themselves.
KEYS = ("names", "id2label", "labels", "classes", "class_names", "label_names")
_EXPECTED = (
    'expected one label per line, or a list of labels, or {"0": "label", ...}, or {"label": 0, ...}'
)


def read_record(file: str, text: str) -> list[str] | None:
    """Labels in the order of their numbers; None if the text is no list and no dictionary.

    Takes `["a", "b"]`, `{"0": "a"}`, Keras' `{"a": 0}` and `{"0": ["n01440764", "a"]}`, and all of
    these under one of `KEYS`.

    Args:
        file: Where the text comes from, for errors.
        text: As it stands there.

    Raises:
        ExportError: If it is one, but of something else than labels.
    """
    found = parse_notation(text)
    if found is None and file.lower().endswith(".json"):
        raise ExportError(f"{file} is not JSON; {_EXPECTED}")
    if found is None:
        return None
    inner = find_labels(found)
    return order_labels(file, found if inner is None else inner)


def find_labels(record: Any) -> Any:
    """The first list or dictionary under one of `KEYS`; None if there is none."""
    if not isinstance(record, Mapping):
        return None
    return next((record[key] for key in KEYS if isinstance(record.get(key), dict | list)), None)


def order_labels(file: str, found: Any) -> list[str]:
    """Labels of a list or a dictionary in the order of their numbers.

    Raises:
        ExportError: If it is one of something else than labels; it begins with `file`.
    """
    labels = [_read_label(one) for one in _order(file, found)]
    if not all(labels):
        number = labels.index("")
        raise ExportError(f"{file}: the label of output {number} is not text; {_EXPECTED}")
    return labels


def parse_notation(text: str) -> Any:
    """A list or a dictionary in JSON or in Python's notation; None if it is neither."""
    if not text.lstrip().startswith(("{", "[", "(")):
        return None
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        try:
            found = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
    return list(found) if isinstance(found, tuple) else found


def _order(file: str, found: Any) -> Sequence[Any]:
    if not isinstance(found, Mapping):
        return list(found)
    if all(type(one) is int for one in found.values()):
        pairs = {number: label for label, number in found.items()}
    else:
        pairs = {_read_number(key): value for key, value in found.items()}
    if pairs.keys() != set(range(len(found))):
        raise ExportError(f"{file}: its numbers are not 0, 1, 2, ...; {_EXPECTED}")
    return [pairs[number] for number in range(len(found))]


def _read_number(key: object) -> int | None:
    return int(str(key)) if str(key).isdecimal() else None


def _read_label(value: object) -> str:
    """Text, or the last of ImageNet's pairs of number and text; else nothing."""
    if isinstance(value, list | tuple) and value:
        value = value[-1]
    return value if isinstance(value, str) else ""
