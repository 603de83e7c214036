"""The standard metadata of both formats, read back slot by slot and key by key."""

import ast
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import flatbuffers
import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from flatbuffers import number_types as types
from flatbuffers.table import Table

from edgetl_export.package.metadata import (
    ModelInfo,
    add_onnx_metadata,
    add_tflite_metadata,
    encode_labels,
)
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.errors import ExportError

TINY = Path(__file__).resolve().parent.parent / "data" / "tiny.bundle"
INFO = ModelInfo(
    name="parts",
    description="Names a part.",
    version="7",
    author="Ada",
    license="CC0-1.0",
    labels=("gear", "spring", "washer"),
    width_px=32,
    height_px=32,
    reject_threshold=0.625,
    record={"edgetl_version": "0.1.0", "backbone": "tiny"},
)
ODD = ("Schraube groß", "螺母, M5", 'it\'s a "nut"\\')


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


def number(table: Table, slot: int, kind: type) -> Any:
    return table.Get(kind, field(table, slot) + table.Pos)


def read(name: str) -> bytes:
    return (TINY / name).read_bytes()


def subgraph_of(model: bytes) -> Table:
    (subgraph,) = children(root(metadata_of(model)), 3)
    return subgraph


def labels_in(model: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(model)) as archive:
        return archive.read("labels.txt").decode().split("\n")[:-1]


def threshold_in(model: bytes) -> float:
    (scores,) = children(subgraph_of(model), 3)
    if not field(scores, 4):
        return 0.0
    (unit,) = children(scores, 4)
    assert number(unit, 0, types.Uint8Flags) == 3
    return float(number(child(unit, 1), 0, types.Float32Flags))


def size_in(model: bytes) -> list[int]:
    """[height, width]"""
    (image,) = children(subgraph_of(model), 2)
    size = child(child(child(image, 3), 1), 1)
    return [number(size, slot, types.Uint32Flags) for slot in (1, 0)]


def custom_in(model: bytes) -> tuple[str, bytes]:
    (custom,) = children(subgraph_of(model), 9)
    start = custom.Vector(field(custom, 1))
    assert start % 16 == 0
    return text(custom, 0), bytes(custom.Bytes[start : start + custom.VectorLen(field(custom, 1))])


def properties_in(model: bytes) -> dict[str, str]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return dict(session.get_modelmeta().custom_metadata_map)


@pytest.fixture(scope="module", params=["int8", "float32"])
def model(request: pytest.FixtureRequest) -> bytes:
    return add_tflite_metadata(read(f"litert-{request.param}.tflite"), INFO)


@pytest.fixture(scope="module", params=["int8", "float32"])
def properties(request: pytest.FixtureRequest) -> dict[str, str]:
    return properties_in(add_onnx_metadata(read(f"onnx-{request.param}.onnx"), INFO))


def test_identifiers_are_those_of_the_formats(model: bytes) -> None:
    assert model[4:8] == b"TFL3"
    assert metadata_of(model)[4:8] == b"M001"


def test_the_tflite_says_whose_it_is(model: bytes) -> None:
    table = root(metadata_of(model))
    assert [text(table, slot) for slot in (0, 1, 2, 4, 5)] == [
        "parts",
        "Names a part.",
        "7",
        "Ada",
        "CC0-1.0",
    ]
    assert text(table, 7) == "1.5.0"


def test_what_is_not_known_is_left_out() -> None:
    unknown = msgspec.structs.replace(INFO, author="", license="")
    table = root(metadata_of(add_tflite_metadata(read("litert-int8.tflite"), unknown)))
    assert [field(table, slot) for slot in (4, 5)] == [0, 0]
    assert "author" not in properties_in(add_onnx_metadata(read("onnx-int8.onnx"), unknown))


def test_the_input_is_an_rgb_picture_of_plain_levels(model: bytes) -> None:
    (image,) = children(subgraph_of(model), 2)
    assert text(image, 0) == "image"
    assert number(child(child(image, 3), 1), 0, types.Int8Flags) == 1
    assert size_in(model) == [32, 32]
    (unit,) = children(image, 4)
    assert number(unit, 0, types.Uint8Flags) == 1
    normalization, stats = child(unit, 1), child(image, 5)
    assert (floats(normalization, 0), floats(normalization, 1)) == ([0], [1])
    assert (floats(stats, 0), floats(stats, 1)) == ([255], [0])


def test_the_output_is_probabilities_with_the_labels_file(model: bytes) -> None:
    (scores,) = children(subgraph_of(model), 3)
    (labels,) = children(scores, 6)
    assert text(scores, 0) == "probability"
    assert text(labels, 0) == "labels.txt"
    assert number(labels, 2, types.Int8Flags) == 2
    stats = child(scores, 5)
    assert (floats(stats, 0), floats(stats, 1)) == ([1], [0])


def test_the_threshold_is_a_process_unit_only_if_it_rejects_anything(model: bytes) -> None:
    assert threshold_in(model) == 0.625
    keen = msgspec.structs.replace(INFO, reject_threshold=0.0)
    (scores,) = children(subgraph_of(add_tflite_metadata(model, keen)), 3)
    assert field(scores, 4) == 0


def test_our_json_is_custom_metadata(model: bytes) -> None:
    name, data = custom_in(model)
    assert name == "edgetl"
    assert msgspec.json.decode(data, type=ModelInfo) == INFO


def test_the_tail_is_a_zip_that_holds_the_labels(model: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(model)) as archive:
        assert archive.namelist() == ["labels.txt"]
    assert tuple(labels_in(model)) == INFO.labels


def test_constants_stay_aligned_as_the_schema_demands(model: bytes) -> None:
    table = schema.Model.GetRootAs(model, 0)
    buffers = [table.Buffers(n) for n in range(table.BuffersLength())]
    filled = [one for one in buffers if not one.DataIsNone()]
    assert len(filled) > 5
    assert {one._tab.Vector(one._tab.Offset(4)) % 16 for one in filled} == {0}


@pytest.mark.parametrize("name", ["litert-int8.tflite", "litert-float32.tflite"])
def test_the_interpreter_gives_the_same_scores_with_it(name: str) -> None:
    plain, told = (scores_of(one) for one in (read(name), add_tflite_metadata(read(name), INFO)))
    assert plain.tolist() == told.tolist()
    assert np.ptp(plain) > 0


def scores_of(model: bytes) -> np.ndarray:
    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    image = interpreter.get_input_details()[0]
    levels = np.arange(np.prod(image["shape"])).reshape(image["shape"]) % 256
    interpreter.set_tensor(image["index"], levels.astype(image["dtype"]))
    interpreter.invoke()
    return np.array(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))


def test_the_onnx_tells_what_ultralytics_tells(properties: dict[str, str]) -> None:
    assert ast.literal_eval(properties["names"]) == dict(enumerate(INFO.labels))
    assert ast.literal_eval(properties["imgsz"]) == [32, 32]
    told = [properties[key] for key in ("task", "description", "version", "author", "license")]
    assert told == ["classify", "Names a part.", "7", "Ada", "CC0-1.0"]
    assert "date" not in properties


def test_the_onnx_tells_openvino_how_to_feed_it(properties: dict[str, str]) -> None:
    told = {key.split()[1]: one for key, one in properties.items() if key.startswith("model_info")}
    assert told == {
        "model_type": "Classification",
        "labels": "gear spring washer",
        "mean_values": "0 0 0",
        "scale_values": "1 1 1",
        "reverse_input_channels": "False",
        "resize_type": "standard",
        "pad_value": "128",
        "embedded_processing": "False",
        "confidence_threshold": "0.625",
        "topk": "1",
    }


@pytest.mark.parametrize(
    ("fit", "kind"),
    [("stretch", "standard"), ("crop", "crop"), ("pad", "fit_to_window_letterbox")],
)
def test_each_fit_has_openvinos_word(fit: Any, kind: str) -> None:
    info = msgspec.structs.replace(INFO, fit=fit)
    found = properties_in(add_onnx_metadata(read("onnx-float32.onnx"), info))
    assert found["model_info resize_type"] == kind


def test_the_onnx_says_that_its_input_is_a_picture() -> None:
    proto = onnx.load_from_string(add_onnx_metadata(read("onnx-float32.onnx"), INFO))
    assert proto.graph.input[0].type.denotation == "IMAGE"
    assert (proto.producer_name, proto.producer_version) == ("edgetl", "0.1.0")
    assert proto.doc_string == "Names a part."
    onnx.checker.check_model(proto, full_check=True)


def test_the_onnx_tells_the_levels_of_its_pixels(properties: dict[str, str]) -> None:
    told = {key: one for key, one in properties.items() if key.startswith("Image.")}
    assert told == {
        "Image.BitmapPixelFormat": "Rgb8",
        "Image.ColorSpaceGamma": "SRGB",
        "Image.NominalPixelRange": "NominalRange_0_255",
    }


def test_both_formats_say_the_same(model: bytes, properties: dict[str, str]) -> None:
    assert custom_in(model)[1] == properties["edgetl"].encode()
    assert labels_in(model) == list(ast.literal_eval(properties["names"]).values())
    assert size_in(model) == ast.literal_eval(properties["imgsz"])
    assert threshold_in(model) == float(properties["model_info confidence_threshold"])


def test_odd_labels_survive_both_formats() -> None:
    info = msgspec.structs.replace(INFO, labels=ODD)
    lite = add_tflite_metadata(read("litert-int8.tflite"), info)
    found = properties_in(add_onnx_metadata(read("onnx-int8.onnx"), info))
    assert tuple(labels_in(lite)) == ODD
    assert tuple(ast.literal_eval(found["names"]).values()) == ODD
    assert tuple(json.loads(found["edgetl"])["labels"]) == ODD
    # Its reader splits at blanks.
    assert found["model_info labels"].split() == ["Schraube_groß", "螺母,_M5", 'it\'s_a_"nut"\\']


@pytest.mark.parametrize("label", ["", "two\nlines", "two\r", "two\u2028lines"])
def test_a_label_that_is_not_one_line_is_refused(label: str, wording: str) -> None:
    with pytest.raises(ExportError, match=wording):
        encode_labels(["fine", label])


def test_metadata_written_before_is_replaced(model: bytes) -> None:
    other = msgspec.structs.replace(INFO, name="other", labels=("a", "b", "c"))
    again = add_tflite_metadata(model, other)
    assert text(root(metadata_of(again)), 0) == "other"
    assert labels_in(again) == ["a", "b", "c"]
    assert add_tflite_metadata(again, INFO) == model


def test_properties_of_others_are_kept() -> None:
    proto = onnx.load_from_string(read("onnx-float32.onnx"))
    onnx.helper.set_model_props(proto, {"olive_version": "1", "task": "detect"})
    found = properties_in(add_onnx_metadata(proto.SerializeToString(), INFO))
    assert (found["olive_version"], found["task"]) == ("1", "classify")


def test_equal_input_gives_equal_bytes() -> None:
    for add, name in (
        (add_tflite_metadata, "litert-int8.tflite"),
        (add_onnx_metadata, "onnx-int8.onnx"),
    ):
        assert add(read(name), INFO) == add(read(name), INFO)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ("a", "b")}, r"outputs \(1, 3\), but there are 2 labels"),
        ({"width_px": 48}, r"state one image of 48x32 px"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(change: dict[str, Any], message: str) -> None:
    info = msgspec.structs.replace(INFO, **change)
    with pytest.raises(ExportError, match=message):
        add_tflite_metadata(read("litert-float32.tflite"), info)
    with pytest.raises(ExportError, match=message):
        add_onnx_metadata(read("onnx-float32.onnx"), info)


def test_export_describes_every_file_alike_but_for_its_scores(bundle: Bundle) -> None:
    said = []
    for variant in bundle.manifest.variants:
        data = bundle.read(variant)
        ours = custom_in(data)[1] if variant.engine == "litert" else properties_in(data)["edgetl"]
        info = msgspec.json.decode(ours, type=ModelInfo)
        assert info.temperature == variant.calibration.temperature
        said.append(msgspec.structs.replace(info, temperature=1.0, reject_threshold=0.0))
    info = said[0]
    assert said == [info] * len(said)
    assert info.name == "edgetl tiny"
    assert info.labels == bundle.manifest.outputs
    assert info.record["preprocessing"]["width_px"] == info.width_px == 32
    assert bundle.manifest.provenance.model_sha256.startswith(info.version)
