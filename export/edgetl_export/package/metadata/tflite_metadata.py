"""Metadata of a .tflite, for MediaPipe Tasks, ML Kit and other readers.

The layout is that of TensorFlow Lite's `metadata_schema.fbs` 1.5 (file identifier M001); the
numbers below are the slots of its tables and the values of its enumerations. The published
writers do not install beside a current TensorFlow, so the few tables are built here with
`flatbuffers`; the labels are appended as a zip, which readers of the model ignore.
"""

import io
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgetl_export.graph.flatbuffer import Builder, read_tree, write_tree
from edgetl_export.package.metadata.info import OURS, ModelInfo, check_ends, encode_labels
from edgetl_runtime.bundle.manifest import LABELS

METADATA_NAME = "TFLITE_METADATA"
METADATA_IDENTIFIER = b"M001"
# The first that knows custom metadata.
_PARSER_VERSION = "1.5.0"
_RGB = 1
_FEATURE_PROPERTIES, _IMAGE_PROPERTIES = 1, 2
_NORMALIZATION_OPTIONS, _SCORE_THRESHOLDING_OPTIONS = 1, 3
_TENSOR_AXIS_LABELS = 2
# Of a table: slot -> (kind, value).
_Fields = dict[int, tuple[str, Any]]


def add_tflite_metadata(model: bytes, info: ModelInfo) -> bytes:
    """Writes metadata and labels into a .tflite; what it said before is replaced.

    A quantized input is described like a float one: the metadata's convention is that both
    have the normalization of the float model, and ours take the levels 0..255 as they are.

    MediaPipe Tasks leaves out every label whose score is below the threshold, so that a
    rejected image has no label at all.

    Args:
        model: A .tflite with one image input and one score output.
        info: What to write.

    Raises:
        ExportError: If the model has another size or another number of outputs than `info`, or
            a label is not one line.
    """
    from ai_edge_litert import schema_py_generated as schema

    tree = read_tree(model)
    graph = tree.subgraphs[0]
    ends = (graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]])
    check_ends(info, *(tuple(map(int, tensor.shape)) for tensor in ends))
    _put(tree, schema, np.frombuffer(_encode(info), np.uint8))
    return _append_labels(write_tree(tree), info.labels)


def _put(tree: Any, schema: Any, data: Any) -> None:
    """Sets the model's metadata buffer, the one that it has or a new one."""
    for entry in tree.metadata or []:
        if entry.name == METADATA_NAME.encode():
            tree.buffers[entry.buffer].data = data
            return
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = data
    entry.name, entry.buffer = METADATA_NAME, len(tree.buffers)
    tree.buffers.append(buffer)
    tree.metadata = [*(tree.metadata or []), entry]


def _append_labels(model: bytes, labels: Sequence[str]) -> bytes:
    file = io.BytesIO(model)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        # A fixed date, so that equal content gives equal bytes.
        entry = zipfile.ZipInfo(LABELS, (1980, 1, 1, 0, 0, 0))
        archive.writestr(entry, encode_labels(labels))
    return file.getvalue()


def _encode(info: ModelInfo) -> bytes:
    build = Builder(1024)
    texts = {0: info.name, 1: info.description, 2: info.version, 4: info.author, 5: info.license}
    fields: _Fields = {slot: ("text", text) for slot, text in texts.items() if text}
    fields |= {3: ("tables", [_subgraph(build, info)]), 7: ("text", _PARSER_VERSION)}
    build.Finish(_table(build, fields), METADATA_IDENTIFIER)
    return bytes(build.Output())


def _subgraph(build: Any, info: ModelInfo) -> int:
    ours = _table(build, {0: ("text", OURS), 1: ("bytes", info.encode())})
    return _table(
        build,
        {
            2: ("tables", [_input(build, info)]),
            3: ("tables", [_output(build, info)]),
            9: ("tables", [ours]),
        },
    )


def _input(build: Any, info: ModelInfo) -> int:
    size = _table(build, {0: ("uint32", info.width_px), 1: ("uint32", info.height_px)})
    image = _table(build, {0: ("int8", _RGB), 1: ("table", size)})
    content = _table(build, {0: ("uint8", _IMAGE_PROPERTIES), 1: ("table", image)})
    # The model takes plain levels: (x - 0) / 1.
    normalization = {0: ("floats", [0.0]), 1: ("floats", [1.0])}
    stats = _table(build, {0: ("floats", [255.0]), 1: ("floats", [0.0])})
    return _table(
        build,
        {
            0: ("text", "image"),
            1: ("text", "RGB image, values 0..255"),
            3: ("table", content),
            4: ("tables", [_unit(build, _NORMALIZATION_OPTIONS, normalization)]),
            5: ("table", stats),
        },
    )


def _output(build: Any, info: ModelInfo) -> int:
    labels = _table(
        build,
        {
            0: ("text", LABELS),
            1: ("text", "Labels in the order of the scores"),
            2: ("int8", _TENSOR_AXIS_LABELS),
        },
    )
    features = _table(build, {})
    content = _table(build, {0: ("uint8", _FEATURE_PROPERTIES), 1: ("table", features)})
    stats = _table(build, {0: ("floats", [1.0]), 1: ("floats", [0.0])})
    fields: _Fields = {
        0: ("text", "probability"),
        1: ("text", "Probability of each label"),
        3: ("table", content),
        5: ("table", stats),
        6: ("tables", [labels]),
    }
    if info.reject_threshold > 0:
        threshold: _Fields = {0: ("float", info.reject_threshold)}
        fields[4] = ("tables", [_unit(build, _SCORE_THRESHOLDING_OPTIONS, threshold)])
    return _table(build, fields)


def _unit(build: Any, kind: int, options: _Fields) -> int:
    return _table(build, {0: ("uint8", kind), 1: ("table", _table(build, options))})


def _table(build: Any, fields: _Fields) -> int:
    """Builds one table from slot -> (kind, value); children must be built before."""
    ready = {slot: (kind, _child(build, kind, value)) for slot, (kind, value) in fields.items()}
    build.StartObject(max(fields, default=-1) + 1)
    for slot, (kind, value) in ready.items():
        _WRITERS.get(kind, _offset)(build, slot, value)
    return int(build.EndObject())


def _child(build: Any, kind: str, value: Any) -> Any:
    if kind == "text":
        return build.CreateString(value)
    if kind == "floats":
        return build.CreateNumpyVector(np.asarray(value, np.float32))
    if kind == "bytes":
        return build.CreateNumpyVector(np.frombuffer(value, np.uint8))
    if kind == "tables":
        build.StartVector(4, len(value), 4)
        for offset in reversed(value):
            build.PrependUOffsetTRelative(offset)
        return build.EndVector()
    return value


def _offset(build: Any, slot: int, value: Any) -> None:
    build.PrependUOffsetTRelativeSlot(slot, value, 0)


# The defaults are values that never occur here: every field given is written.
_WRITERS: dict[str, Callable[[Any, int, Any], None]] = {
    "uint8": lambda build, slot, value: build.PrependUint8Slot(slot, value, 0),
    "int8": lambda build, slot, value: build.PrependInt8Slot(slot, value, 0),
    "float": lambda build, slot, value: build.PrependFloat32Slot(slot, value, 0.0),
    "uint32": lambda build, slot, value: build.PrependUint32Slot(slot, value, 0),
}
