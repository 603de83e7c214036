"""The standard metadata of a .tflite, read back slot by slot as other readers do."""

import io
import zipfile

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from flatbuffers import number_types as types
from flatbuffers.table import Table

from edgetl_export.metadata import add_tflite_metadata, encode_labels
from edgetl_runtime.bundle import Bundle


def metadata_of(model: bytes) -> bytes:
    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    (entry,) = [one for one in tree.metadata if one.name == b"TFLITE_METADATA"]
    return bytes(tree.buffers[entry.buffer].data)


def root(data: bytes) -> Table:
    return Table(data, flatbuffers.encode.Get(types.UOffsetTFlags.packer_type, data, 0))


def field(table: Table, slot: int) -> int:
    """Where a field of a table lies; 0 if it is absent."""
    return int(table.Offset(4 + 2 * slot))


def text(table: Table, slot: int) -> str:
    return table.String(field(table, slot) + table.Pos).decode()


def child(table: Table, slot: int) -> Table:
    return Table(table.Bytes, table.Indirect(field(table, slot) + table.Pos))


def children(table: Table, slot: int) -> list[Table]:
    offset = field(table, slot)
    start = table.Vector(offset)
    return [
        Table(table.Bytes, table.Indirect(start + 4 * n)) for n in range(table.VectorLen(offset))
    ]


def floats(table: Table, slot: int) -> list[float]:
    offset = field(table, slot)
    start = table.Vector(offset)
    return [table.Get(types.Float32Flags, start + 4 * n) for n in range(table.VectorLen(offset))]


def number(table: Table, slot: int, kind: type) -> int:
    return int(table.Get(kind, field(table, slot) + table.Pos))


@pytest.fixture(params=["litert-int8", "litert-float32"])
def model(bundle: Bundle, request: pytest.FixtureRequest) -> bytes:
    return bundle.read(bundle.variant(request.param))


def test_identifiers_are_those_of_the_formats(model: bytes) -> None:
    assert model[4:8] == b"TFL3"
    assert metadata_of(model)[4:8] == b"M001"


def test_the_model_is_named(model: bytes) -> None:
    table = root(metadata_of(model))
    assert text(table, 0) == "edgetl mobilenet_v2_0.35"
    assert "3 labels" in text(table, 1)


def test_the_input_is_an_rgb_picture_of_plain_levels(model: bytes) -> None:
    (subgraph,) = children(root(metadata_of(model)), 3)
    (image,) = children(subgraph, 2)
    assert text(image, 0) == "image"
    properties = child(child(image, 3), 1)
    assert number(properties, 0, types.Int8Flags) == 1
    size = child(properties, 1)
    assert [number(size, slot, types.Uint32Flags) for slot in (0, 1)] == [64, 64]
    (unit,) = children(image, 4)
    normalization = child(unit, 1)
    assert (floats(normalization, 0), floats(normalization, 1)) == ([0], [1])


def test_the_output_points_to_the_labels_file(model: bytes) -> None:
    (subgraph,) = children(root(metadata_of(model)), 3)
    (scores,) = children(subgraph, 3)
    (labels,) = children(scores, 6)
    assert text(labels, 0) == "labels.txt"
    assert number(labels, 2, types.Int8Flags) == 2


def test_the_tail_is_a_zip_that_holds_the_labels(model: bytes, bundle: Bundle) -> None:
    with zipfile.ZipFile(io.BytesIO(model)) as archive:
        assert archive.namelist() == ["labels.txt"]
        assert archive.read("labels.txt").decode().splitlines() == list(bundle.labels)


def test_the_interpreter_still_loads_it(model: bytes) -> None:
    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    interpreter.invoke()


def test_labels_of_any_script_survive(bundle: Bundle) -> None:
    labels = ("Schraube groß", "螺母", "a,b")
    plain = bundle.read(bundle.variant("litert-int8"))
    model = add_tflite_metadata(plain, name="n", description="d", labels=labels, size_px=(64, 64))
    with zipfile.ZipFile(io.BytesIO(model)) as archive:
        assert archive.read("labels.txt") == encode_labels(labels)
    assert encode_labels(labels).decode().splitlines() == list(labels)


def test_equal_input_gives_equal_bytes(bundle: Bundle) -> None:
    plain = bundle.read(bundle.variant("litert-int8"))
    once, twice = (
        add_tflite_metadata(plain, name="n", description="d", labels="ab", size_px=(64, 64))
        for _ in "12"
    )
    assert once == twice
