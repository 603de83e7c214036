"""Labels that a model brings along, in its file or beside it in a zip."""

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from edgetl_export.load.archive import UNREADABLE
from edgetl_export.load.kinds import Kind
from edgetl_export.load.label_records import (
    KEYS,
    find_labels,
    order_labels,
    parse_notation,
    read_record,
)
from edgetl_export.load.labels import parse_labels
from edgetl_runtime.errors import ExportError

_LIMIT_BYTES: Final = 2**20
_LARGEST_BYTES: Final = 2**31 - 1
# A property of OpenVINO's Model API, which splits it at blanks.
_AT_BLANKS: Final = "model_info labels"
# Where Ultralytics puts its dictionary in a .tflite.
_RECORDS: Final = ("metadata.json", "temp_meta.txt")
_OR: Final = "; or give your own labels: --labels FILE"
_LABELLING: Final = ("label", "class", "names")


class Embedded(msgspec.Struct, frozen=True):
    """Labels and where they were.

    Attributes:
        labels: In the order of the outputs.
        source: Such as `labels.txt in net.tflite`.
    """

    labels: tuple[str, ...]
    source: str


def find_embedded(model: Path, kind: Kind, shown: Path) -> Embedded | None:
    """Labels that a model brings along.

    Args:
        model: File or folder.
        kind: What it is.
        shown: What was given as the model: a zip that `model` was unpacked from, or the same.

    Returns:
        None if there are none.

    Raises:
        ExportError: If what is there is no good list of labels, or the model is damaged.
    """
    found: Embedded | None = None
    if kind == "tflite":
        found = _look_behind(model, shown)
    elif kind == "onnx":
        found = _look_at_graph(model, shown)
    elif kind == "saved_model":
        found = _look_into(model, shown) or _look_into(model / "assets", shown)
    if found is None and shown != model:
        found = _look_into(model.parent, shown)
    return found


def find_beside(model: Path) -> Path | None:
    """A file beside a model that is called like a list of labels."""
    return next(iter(_list_labelling(model.parent)), None)


def _look_behind(model: Path, shown: Path) -> Embedded | None:
    """The files of a .tflite's metadata, which follow it as a zip."""
    try:
        with zipfile.ZipFile(model) as archive:
            small = [one for one in archive.infolist() if one.file_size <= _LIMIT_BYTES]
            texts = {one.filename: archive.read(one) for one in small}
    except UNREADABLE:
        return None
    for name in _RECORDS:
        record = parse_notation(texts.get(name, b"").decode("utf-8", "replace"))
        source = f"the labels of {name} in {shown}"
        if found := find_labels(record):
            with _own_labels_as_remedy():
                labels = order_labels(source, found)
            return _check(labels, source)
    lists = [name for name in texts if name.endswith(".txt") and name not in _RECORDS]
    if not lists:
        return None
    # Translations have longer names.
    name = min(lists, key=lambda one: (not _is_labelling(one), len(one), one))
    return _read(f"{name} in {shown}", texts[name])


def _look_at_graph(model: Path, shown: Path) -> Embedded | None:
    import onnx
    from google.protobuf.message import DecodeError

    if model.stat().st_size > _LARGEST_BYTES:
        # Who opens it refuses it.
        return None
    try:
        proto = onnx.load_model(model, load_external_data=False)
        said = ((one.key, one.value) for one in proto.metadata_props)
        # Text that is none is bytes.
        properties = {key: value for key, value in said if isinstance(value, str)}
        inside = _read_nodes(proto)
    except (DecodeError, OSError, UnicodeDecodeError) as error:
        raise ExportError(
            f"{shown} is not an .onnx, or a damaged one; copy or download it again"
        ) from error
    found, refused = _read_properties(properties, shown)
    if found is None and inside:
        found = _check(inside, f"the graph of {shown}")
    if found is None and refused is not None:
        raise refused
    return found


def _read_properties(
    properties: Mapping[str, str], shown: Path
) -> tuple[Embedded | None, ExportError | None]:
    """Labels of the first property that has some; and what is wrong with one that has others."""
    refused: ExportError | None = None
    for key in KEYS:
        source = f"the property {key} of {shown}"
        try:
            with _own_labels_as_remedy():
                labels = _parse(source, properties.get(key, ""))
        except ExportError as error:
            refused = refused or error
            continue
        if labels:
            return _check(labels, source), None
    parts = properties.get(_AT_BLANKS, "").split()
    if parts:
        return _check(parts, f"the property {_AT_BLANKS} of {shown}"), None
    return None, refused


def _read_nodes(proto: Any) -> list[str]:
    """Labels from the converters of scikit-learn and Azure: dictionary keys, or a list."""
    texts = {one.name: one.string_data for one in proto.graph.initializer if one.string_data}
    for node in proto.graph.node:
        keys = [one.strings for one in node.attribute if one.name == "classlabels_strings"]
        if node.op_type == "ArrayFeatureExtractor":
            keys = [texts[one] for one in node.input[:1] if one in texts]
        if keys and keys[0]:
            return [one.decode("utf-8", "replace") for one in keys[0]]
    return []


def _look_into(folder: Path, shown: Path) -> Embedded | None:
    files = _list_labelling(folder)
    return _read(f"{files[0].name} in {shown}", files[0].read_bytes()) if files else None


def _list_labelling(folder: Path) -> list[Path]:
    """Texts in a folder that are called like labels, the shortest name first."""
    if not folder.is_dir():
        return []
    texts = [one for one in folder.iterdir() if one.suffix.lower() == ".txt" and one.is_file()]
    called = [one for one in texts if _is_labelling(one.name)]
    return sorted(called, key=lambda one: (len(one.name), one.name))


def _is_labelling(name: str) -> bool:
    return any(word in name.lower() for word in _LABELLING)


def _parse(source: str, text: str) -> list[str]:
    """Labels in whatever notation; empty if there are none."""
    if len(text) > _LIMIT_BYTES:
        return []
    record = read_record(source, text)
    return _split(text) if record is None else record


def _split(text: str) -> list[str]:
    lines = text.splitlines() if "\n" in text.strip() else text.split(",")
    labels = [one.strip() for one in lines]
    return labels if len(labels) > 1 and all(labels) and not text.startswith(("{", "[")) else []


def _check(labels: list[str], source: str) -> Embedded:
    """Holds labels to the same rules as a file of labels."""
    for label in labels:
        if label.splitlines() != [label]:
            raise ExportError(f"{source}: the label {label!r} is not one line of text{_OR}")
    return _read(source, "\n".join(labels).encode())


def _read(source: str, data: bytes) -> Embedded:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ExportError(f"{source} is not UTF-8{_OR}") from error
    with _own_labels_as_remedy():
        return Embedded(parse_labels(source, text), source)


@contextmanager
def _own_labels_as_remedy() -> Iterator[None]:
    try:
        yield
    except ExportError as error:
        raise ExportError(f"{error}{_OR}") from error
