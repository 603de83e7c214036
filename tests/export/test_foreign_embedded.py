"""Labels that a model brings along, and models that lie in a zip with theirs."""

import io
import shutil
import zipfile
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from edgetl_export.load.archive import unpacked
from edgetl_export.load.embedded import Embedded, find_beside, find_embedded
from edgetl_export.load.kinds import find_kind
from edgetl_export.package.metadata import ModelInfo, add_onnx_metadata, add_tflite_metadata
from edgetl_runtime.errors import ExportError

LABELS = ("washer", "bolt", "gear")
INFO = ModelInfo("parts", "", "", "", "", LABELS, 32, 32)
TEXT = "washer\nbolt\ngear\n"


def find(path: Path) -> Embedded | None:
    with unpacked(path) as model:
        return find_embedded(model, find_kind(model, trust=True), path)


def add_files(model: bytes, target: Path, **texts: str) -> Path:
    """A .tflite with files behind it, as metadata writers put them there."""
    target.write_bytes(model)
    with zipfile.ZipFile(target, "a") as archive:
        for name, text in texts.items():
            archive.writestr(name.replace("__", "."), text)
    return target


def zip_files(target: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "."), data)
    return target


@pytest.fixture(scope="module")
def float_tflite(foreign_folder: Path) -> bytes:
    return (foreign_folder / "float.tflite").read_bytes()


@pytest.fixture
def proto(foreign_folder: Path) -> onnx.ModelProto:
    return onnx.load(foreign_folder / "model.onnx")


def test_labels_of_the_metadata_of_a_tflite_are_found(float_tflite: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(add_tflite_metadata(float_tflite, INFO))
    assert find(tmp_path / "m.tflite") == Embedded(LABELS, f"labels.txt in {tmp_path / 'm.tflite'}")


def test_of_several_languages_the_shortest_name_counts(float_tflite: bytes, tmp_path: Path) -> None:
    german = "Scheibe\nSchraube\nZahnrad\n"
    path = add_files(float_tflite, tmp_path / "m.tflite", labels_de__txt=german, labels__txt=TEXT)
    assert find(path) == Embedded(LABELS, f"labels.txt in {tmp_path / 'm.tflite'}")


@pytest.mark.parametrize("name", ["metadata.json", "temp_meta.txt"])
def test_names_that_ultralytics_puts_into_a_tflite_are_found(
    float_tflite: bytes, tmp_path: Path, name: str
) -> None:
    names = dict(enumerate(LABELS))
    text = str({"task": "classify", "names": names})
    if name.endswith(".json"):
        text = '{"task": "classify", "names": {"0": "washer", "1": "bolt", "2": "gear"}}'
    path = add_files(float_tflite, tmp_path / "m.tflite", **{name.replace(".", "__"): text})
    assert find(path) == Embedded(LABELS, f"the labels of {name} in {path}")


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("names", "{0: 'washer', 1: 'bolt', 2: 'gear'}"),
        ("names", "['washer', 'bolt', 'gear']"),
        ("id2label", '{"0": "washer", "1": "bolt", "2": "gear"}'),
        ("labels", '["washer", "bolt", "gear"]'),
        ("labels", '{"washer": 0, "gear": 2, "bolt": 1}'),
        ("labels", '{"id2label": {"0": "washer", "1": "bolt", "2": "gear"}}'),
        ("label_names", '{"0": ["n1", "washer"], "1": ["n2", "bolt"], "2": ["n3", "gear"]}'),
        ("classes", "washer,bolt, gear"),
        ("class_names", "washer\nbolt\ngear\n"),
        ("model_info labels", "washer bolt gear"),
    ],
)
def test_labels_in_a_property_of_an_onnx_are_found(
    proto: onnx.ModelProto, tmp_path: Path, key: str, text: str
) -> None:
    helper.set_model_props(proto, {"author": "somebody", key: text})
    onnx.save(proto, tmp_path / "m.onnx")
    assert find(tmp_path / "m.onnx") == Embedded(
        LABELS, f"the property {key} of {tmp_path / 'm.onnx'}"
    )


def test_labels_that_edgetl_itself_wrote_are_found(foreign_folder: Path, tmp_path: Path) -> None:
    proto = onnx.load(foreign_folder / "model.onnx")
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    proto.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    data = add_onnx_metadata(proto.SerializeToString(), INFO)
    (tmp_path / "m.onnx").write_bytes(data)
    assert find(tmp_path / "m.onnx") == Embedded(
        LABELS, f"the property names of {tmp_path / 'm.onnx'}"
    )


def test_labels_of_a_dictionary_of_scores_are_found(proto: onnx.ModelProto, tmp_path: Path) -> None:
    scores = proto.graph.output[0].name
    node = helper.make_node(
        "ZipMap", [scores], ["loss"], domain="ai.onnx.ml", classlabels_strings=LABELS
    )
    proto.graph.node.append(node)
    onnx.save(proto, tmp_path / "m.onnx")
    assert find(tmp_path / "m.onnx") == Embedded(LABELS, f"the graph of {tmp_path / 'm.onnx'}")


def test_labels_that_a_graph_picks_one_of_are_found(proto: onnx.ModelProto, tmp_path: Path) -> None:
    """As scikit-learn's converter writes them without a dictionary."""
    strings = [one.encode() for one in LABELS]
    proto.graph.initializer.append(helper.make_tensor("names", TensorProto.STRING, [3], strings))
    scores = proto.graph.output[0].name
    proto.graph.node.append(helper.make_node("ArgMax", [scores], ["best"], axis=1))
    pick = helper.make_node("ArrayFeatureExtractor", ["names", "best"], ["l"], domain="ai.onnx.ml")
    proto.graph.node.append(pick)
    onnx.save(proto, tmp_path / "m.onnx")
    assert find(tmp_path / "m.onnx") == Embedded(LABELS, f"the graph of {tmp_path / 'm.onnx'}")


def test_a_model_without_labels_brings_none(foreign_folder: Path) -> None:
    for name in ("float.tflite", "model.onnx", "model.keras", "saved"):
        assert find(foreign_folder / name) is None
    assert find_beside(foreign_folder / "model.onnx") == foreign_folder / "labels.txt"


def test_labels_that_cannot_be_used_are_refused_with_their_place(
    proto: onnx.ModelProto, float_tflite: bytes, tmp_path: Path, wording: list[str]
) -> None:
    helper.set_model_props(proto, {"names": "['bolt']"})
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(ExportError, match=wording[0]):
        find(tmp_path / "m.onnx")
    helper.set_model_props(proto, {"names": r"['bolt', 'a\nb']"})
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(ExportError, match=wording[1]):
        find(tmp_path / "m.onnx")
    path = add_files(float_tflite, tmp_path / "m.tflite", labels__txt="bolt\n\ngear\n")
    with pytest.raises(ExportError, match=wording[2]):
        find(path)


def test_numbers_that_are_no_outputs_are_told_and_no_hindrance_to_better_ones(
    proto: onnx.ModelProto, tmp_path: Path, wording: str
) -> None:
    path, half = tmp_path / "m.onnx", "{1: 'washer', 2: 'bolt', 3: 'gear'}"
    helper.set_model_props(proto, {"names": half})
    onnx.save(proto, path)
    with pytest.raises(ExportError, match=wording):
        find(path)
    helper.set_model_props(proto, {"names": half, "classes": "washer,bolt,gear"})
    onnx.save(proto, path)
    assert find(path) == Embedded(LABELS, f"the property classes of {path}")


@pytest.mark.parametrize("name", ["model_unquant.tflite", "model.onnx", "model.keras"])
def test_a_model_and_its_labels_come_out_of_a_zip(
    foreign_folder: Path, tmp_path: Path, name: str
) -> None:
    stored = {"model_unquant.tflite": "float.tflite"}.get(name, name)
    data = (foreign_folder / stored).read_bytes()
    path = tmp_path / "converted.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"out/{name}", data)
        archive.writestr("out/labels.txt", "0 washer\n1 bolt\n2 gear\n")
        archive.writestr(f"__MACOSX/out/._{name}", b"x")
    assert find(path) == Embedded(LABELS, f"labels.txt in {path}")
    with unpacked(path) as model:
        assert (model.name, model.read_bytes()) == (name, data)
    assert not model.exists()


def test_a_saved_model_and_its_labels_come_out_of_a_zip(
    foreign_folder: Path, tmp_path: Path
) -> None:
    """As Teachable Machine packs it."""
    shutil.copytree(foreign_folder / "saved", tmp_path / "a" / "model.savedmodel")
    (tmp_path / "a" / "labels.txt").write_text("0 washer\n1 bolt\n2 gear\n")
    path = Path(shutil.make_archive(str(tmp_path / "saved"), "zip", tmp_path / "a"))
    assert find(path) == Embedded(LABELS, f"labels.txt in {path}")


def test_errors_name_the_zip_and_what_is_in_it(tmp_path: Path) -> None:
    path = zip_files(tmp_path / "a.zip", m__keras=b"\x01rubbish")
    with pytest.raises(ExportError) as caught:
        find(path)
    assert str(caught.value).startswith(f"{path}/m.keras is not of the type that its name says")


def test_no_zip_is_unpacked_that_holds_two_models_or_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wording: list[str]
) -> None:
    two = zip_files(tmp_path / "two.zip", a__tflite=b"x", b__onnx=b"x")
    with pytest.raises(ExportError, match=wording[0]):
        find(two)
    bomb = zip_files(tmp_path / "bomb.zip", a__tflite=b"x", zeros=bytes(2**20))
    monkeypatch.setattr("edgetl_export.load.archive.LIMIT_BYTES", 2**19)
    one = zip_files(tmp_path / "one.zip", a__tflite=bytes(2**20))
    with pytest.raises(ExportError, match=wording[1]):
        find(one)
    with pytest.raises(ExportError, match=wording[2]):
        find(bomb)


def test_a_damaged_or_a_locked_zip_is_called_so(tmp_path: Path, wording: list[str]) -> None:
    data = bytearray(zip_files(tmp_path / "a.zip", a__tflite=b"x" * 999).read_bytes())
    (tmp_path / "cut.zip").write_bytes(data[:50])
    with pytest.raises(ExportError, match=wording[0]):
        find(tmp_path / "cut.zip")
    spoilt = bytes(data).replace(b"PK\x03\x04", b"PK\x03\x05", 1)
    (tmp_path / "spoilt.zip").write_bytes(spoilt)
    with pytest.raises(ExportError, match=wording[1]):
        find(tmp_path / "spoilt.zip")
    # The least version of an unpacker, which no one has.
    newer = bytearray(data)
    newer[newer.index(b"PK\x01\x02") + 6] = 99
    (tmp_path / "newer.zip").write_bytes(newer)
    with pytest.raises(ExportError, match=wording[2]):
        find(tmp_path / "newer.zip")
    packed = bytearray(zip_files(tmp_path / "b.zip", a__tflite=bytes(range(256)) * 9).read_bytes())
    packed[45:60] = b"\xff" * 15
    (tmp_path / "packed.zip").write_bytes(packed)
    with pytest.raises(ExportError, match=wording[3]):
        find(tmp_path / "packed.zip")
    # Bit 0 of the flags, which lie 8 bytes into an entry of the zip's list: encrypted.
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(data)
    with pytest.raises(ExportError, match=wording[4]):
        find(tmp_path / "locked.zip")


def test_no_name_in_a_zip_leads_out_of_its_folder(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("../../escaped.txt", b"x")
        archive.writestr("m.tflite", b"\x20\0\0\0TFL3")
    (tmp_path / "a.zip").write_bytes(file.getvalue())
    with unpacked(tmp_path / "a.zip") as model:
        assert model.is_file()
        assert not (model.parent.parent.parent / "escaped.txt").exists()


def test_a_damaged_onnx_is_called_so_before_labels_are_asked_for(
    foreign_folder: Path, tmp_path: Path, wording: str
) -> None:
    (tmp_path / "m.onnx").write_bytes((foreign_folder / "model.onnx").read_bytes()[:-99])
    with pytest.raises(ExportError, match=wording):
        find(tmp_path / "m.onnx")
