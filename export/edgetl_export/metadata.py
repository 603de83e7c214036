"""Standard metadata, so that MediaPipe Tasks and other readers know input and labels.

The layout is that of TensorFlow Lite's `metadata_schema.fbs` 1.5 (file identifier M001); the
numbers below are the slots of its tables and the values of its enumerations. The published
writers do not install beside a current TensorFlow, so the few tables are built here with
`flatbuffers`; the labels are appended as a zip, which readers of the model ignore.
"""

import io
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import flatbuffers
import numpy as np

METADATA_NAME = "TFLITE_METADATA"
METADATA_IDENTIFIER = b"M001"
MODEL_IDENTIFIER = b"TFL3"
LABELS_FILE = "labels.txt"
_PARSER_VERSION = "1.0.0"
_RGB = 1
_FEATURE_PROPERTIES, _IMAGE_PROPERTIES = 1, 2
_NORMALIZATION_OPTIONS = 1
_TENSOR_AXIS_LABELS = 2


def encode_labels(labels: Sequence[str]) -> bytes:
    """The bytes of `labels.txt`: one label a line, in the order of the output."""
    return "".join(f"{label}\n" for label in labels).encode()


def add_tflite_metadata(
    model: bytes, *, name: str, description: str, labels: Sequence[str], size_px: tuple[int, int]
) -> bytes:
    """Writes metadata and labels into a .tflite.

    Args:
        model: A .tflite with one picture input and one score output.
        name: Of the model.
        description: One sentence.
        labels: In the order of the output.
        size_px: (width, height) of the input.
    """
    from ai_edge_litert import schema_py_generated as schema

    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(_encode(name, description, size_px), np.uint8)
    tree.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = METADATA_NAME, len(tree.buffers) - 1
    tree.metadata = [*(tree.metadata or []), entry]
    builder = flatbuffers.Builder(len(model) + 4096)
    builder.Finish(tree.Pack(builder), MODEL_IDENTIFIER)
    return _append_labels(bytes(builder.Output()), labels)


def _append_labels(model: bytes, labels: Sequence[str]) -> bytes:
    file = io.BytesIO(model)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        # A fixed date, so that equal content gives equal bytes.
        entry = zipfile.ZipInfo(LABELS_FILE, (1980, 1, 1, 0, 0, 0))
        archive.writestr(entry, encode_labels(labels))
    return file.getvalue()


def _encode(name: str, description: str, size_px: tuple[int, int]) -> bytes:
    build = flatbuffers.Builder(1024)
    table = _table(
        build,
        {
            0: ("text", name),
            1: ("text", description),
            3: ("tables", [_subgraph(build, size_px)]),
            7: ("text", _PARSER_VERSION),
        },
    )
    build.Finish(table, METADATA_IDENTIFIER)
    return bytes(build.Output())


def _subgraph(build: Any, size_px: tuple[int, int]) -> int:
    return _table(build, {2: ("tables", [_input(build, size_px)]), 3: ("tables", [_output(build)])})


def _input(build: Any, size_px: tuple[int, int]) -> int:
    size = _table(build, {0: ("uint32", size_px[0]), 1: ("uint32", size_px[1])})
    image = _table(build, {0: ("int8", _RGB), 1: ("table", size)})
    content = _table(build, {0: ("uint8", _IMAGE_PROPERTIES), 1: ("table", image)})
    # The model takes plain levels: (x - 0) / 1.
    normalization = _table(build, {0: ("floats", [0.0]), 1: ("floats", [1.0])})
    unit = _table(build, {0: ("uint8", _NORMALIZATION_OPTIONS), 1: ("table", normalization)})
    stats = _table(build, {0: ("floats", [255.0]), 1: ("floats", [0.0])})
    return _table(
        build,
        {
            0: ("text", "image"),
            1: ("text", "RGB picture, levels 0..255"),
            3: ("table", content),
            4: ("tables", [unit]),
            5: ("table", stats),
        },
    )


def _output(build: Any) -> int:
    labels = _table(
        build,
        {
            0: ("text", LABELS_FILE),
            1: ("text", "Labels in the order of the scores"),
            2: ("int8", _TENSOR_AXIS_LABELS),
        },
    )
    features = _table(build, {})
    content = _table(build, {0: ("uint8", _FEATURE_PROPERTIES), 1: ("table", features)})
    stats = _table(build, {0: ("floats", [1.0]), 1: ("floats", [0.0])})
    return _table(
        build,
        {
            0: ("text", "probability"),
            1: ("text", "Probability of each label"),
            3: ("table", content),
            5: ("table", stats),
            6: ("tables", [labels]),
        },
    )


def _table(build: Any, fields: dict[int, tuple[str, Any]]) -> int:
    """Builds one table from slot -> (kind, value); children must be built before."""
    ready = {slot: (kind, _child(build, kind, value)) for slot, (kind, value) in fields.items()}
    build.StartObject(max(fields, default=-1) + 1)
    for slot, (kind, value) in ready.items():
        _SLOTS.get(kind, _offset)(build, slot, value)
    return int(build.EndObject())


def _child(build: Any, kind: str, value: Any) -> Any:
    if kind == "text":
        return build.CreateString(value)
    if kind == "floats":
        return build.CreateNumpyVector(np.asarray(value, np.float32))
    if kind == "tables":
        build.StartVector(4, len(value), 4)
        for offset in reversed(value):
            build.PrependUOffsetTRelative(offset)
        return build.EndVector()
    return value


def _offset(build: Any, slot: int, value: int) -> None:
    build.PrependUOffsetTRelativeSlot(slot, value, 0)


# The defaults are values that never occur here: every field given is written.
_SLOTS: dict[str, Callable[[Any, int, int], None]] = {
    "uint8": lambda build, slot, value: build.PrependUint8Slot(slot, value, 0),
    "int8": lambda build, slot, value: build.PrependInt8Slot(slot, value, 0),
    "uint32": lambda build, slot, value: build.PrependUint32Slot(slot, value, 0),
}
