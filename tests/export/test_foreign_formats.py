"""What the tools of other people write: taken as it is, or refused by its name."""

import io
import os
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgetl_export.evaluate.tensors import describe_onnx, describe_tflite
from edgetl_export.load import open_model
from edgetl_export.load.output_activation import (
    NOTHING,
    PAIR,
    PAIR_OF_LOGITS,
    SOFTMAX,
    choose_activation,
)
from edgetl_export.load.scaling import find_scaling
from edgetl_export.load.source import SourceModel
from edgetl_export.trained import ModelFormat
from edgetl_runtime.engines.engine import open_engine
from edgetl_runtime.errors import ExportError

SCALING = find_scaling("-1..1")


def run(source: SourceModel, pictures: list[np.ndarray]) -> np.ndarray:
    litert = source.form.engine == "litert"
    tensors = describe_tflite(source.data, any_step=True) if litert else describe_onnx(source.data)
    engine = open_engine(source.form.engine, source.data, tensors, 1)
    return np.stack([engine.run(picture) for picture in pictures])


def take(path: Path, pictures: list[np.ndarray], *, trust: bool = False) -> tuple[Any, SourceModel]:
    """Opens and finishes a model as `edgetl export --model` does."""
    foreign = open_model(path, SCALING, trust=trust)
    added = choose_activation(
        foreign.run(pictures), foreign.activation, quantized=foreign.is_coarse
    )
    return added, foreign.finish(added)


@pytest.fixture(scope="module")
def expected(foreign_folder: Path, drawn: list[np.ndarray]) -> np.ndarray:
    """Probabilities of the network that was never touched."""
    return run(take(foreign_folder / "model.onnx", drawn)[1], drawn)


@pytest.fixture(scope="module")
def float_onnx(foreign_folder: Path) -> onnx.ModelProto:
    return onnx.load(foreign_folder / "model.onnx")


def append(proto: onnx.ModelProto, *nodes: onnx.NodeProto, **outputs: int) -> onnx.ModelProto:
    """A copy with more operators, whose first one reads `last`, and other outputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    for node in nodes:
        node.input[:] = [copy.graph.output[0].name if one == "last" else one for one in node.input]
    copy.graph.node.extend(nodes)
    if outputs:
        del copy.graph.output[:]
        copy.graph.output.extend(
            helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()
        )
    return copy


def test_a_dynamic_onnx_ships_as_it_is(
    foreign_folder: Path, drawn: list[np.ndarray], expected: np.ndarray, tmp_path: Path
) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    target = tmp_path / "dynamic.onnx"
    quantize_dynamic(foreign_folder / "model.onnx", target, weight_type=QuantType.QUInt8)
    added, source = take(target, drawn)
    assert (added, source.form) == (SOFTMAX, ModelFormat("onnx", "dynamic"))
    np.testing.assert_allclose(run(source, drawn), expected, atol=0.15)


@pytest.mark.parametrize("ends", ["logits", "softmax"])
def test_a_static_onnx_with_float_ends_ships_as_it_is(
    float_onnx: onnx.ModelProto,
    drawn: list[np.ndarray],
    expected: np.ndarray,
    calibrating: Callable[..., Any],
    tmp_path: Path,
    ends: str,
) -> None:
    from onnxruntime.quantization import quantize_static

    softmax = helper.make_node("Softmax", ["last"], ["shares"], axis=1)
    proto = (
        append(float_onnx, softmax, shares=TensorProto.FLOAT) if ends == "softmax" else float_onnx
    )
    source_file, target = tmp_path / "a.onnx", tmp_path / "b.onnx"
    onnx.save(proto, source_file)
    quantize_static(source_file, target, calibrating(proto.graph.input[0].name, drawn))
    added, source = take(target, drawn)
    assert source.form == ModelFormat("onnx", "int8")
    assert added == (NOTHING if ends == "softmax" else SOFTMAX)
    assert np.abs(run(source, drawn) - expected).mean() < 0.1


def test_a_tflite_of_8_bits_inside_that_ends_in_a_softmax_needs_none(
    drawn: list[np.ndarray], tmp_path: Path
) -> None:
    """As TensorFlow's own tutorial makes it: 8 bits inside, floats outside, and a softmax."""
    import keras
    import tensorflow as tf

    from edgetl_export.graph.conversion import convert_to_tflite
    from edgetl_export.quiet_stderr import divert_stderr

    keras.utils.set_random_seed(1)
    image = keras.Input((32, 32, 3))
    maps = keras.layers.Conv2D(8, 3, strides=4, activation="relu")(image)
    scores = keras.layers.Dense(40, "softmax")(keras.layers.Flatten()(maps))
    with divert_stderr():
        converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(image, scores))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    inputs = [(one[np.newaxis] / 127.5 - 1).astype(np.float32) for one in drawn]
    converter.representative_dataset = lambda: ([one] for one in inputs)
    (tmp_path / "inside.tflite").write_bytes(convert_to_tflite(converter))
    foreign = open_model(tmp_path / "inside.tflite", SCALING)
    raw = foreign.run(drawn)
    # 40 shares in steps of 1/256 each: their sum says nothing.
    assert np.abs(raw.sum(axis=1) - 1).max() > 0.002
    assert foreign.activation == "softmax"
    assert choose_activation(raw, foreign.activation) == NOTHING


@pytest.mark.parametrize(
    ("kind", "end"),
    [
        ("Softmax", "softmax"),
        ("LogSoftmax", "log_softmax"),
        ("Sigmoid", "sigmoid"),
        ("Relu", "other"),
    ],
)
def test_the_end_of_an_onnx_is_read_through_what_only_carries_it(
    float_onnx: onnx.ModelProto, tmp_path: Path, kind: str, end: str
) -> None:
    axis = {"axis": 1} if "Softmax" in kind else {}
    proto = append(
        float_onnx,
        helper.make_node(kind, ["last"], ["ended"], **axis),
        helper.make_node("Identity", ["ended"], ["carried"]),
        helper.make_node("Flatten", ["carried"], ["flat"], axis=1),
        flat=TensorProto.FLOAT,
    )
    onnx.save(proto, tmp_path / "m.onnx")
    assert open_model(tmp_path / "m.onnx", SCALING).activation == end


def test_log_probabilities_become_the_probabilities(
    float_onnx: onnx.ModelProto, drawn: list[np.ndarray], expected: np.ndarray, tmp_path: Path
) -> None:
    node = helper.make_node("LogSoftmax", ["last"], ["logs"], axis=1)
    onnx.save(append(float_onnx, node, logs=TensorProto.FLOAT), tmp_path / "m.onnx")
    np.testing.assert_allclose(run(take(tmp_path / "m.onnx", drawn)[1], drawn), expected, atol=1e-4)


def test_logits_between_0_and_1_are_no_shares(
    float_onnx: onnx.ModelProto, drawn: list[np.ndarray], tmp_path: Path, wording: list[str]
) -> None:
    small = np.array([0.4, 0.3, 0.3], np.float32)
    assert choose_activation(small[np.newaxis], "linear") == SOFTMAX
    assert choose_activation(np.array([[0.4]], np.float32), "linear") == PAIR_OF_LOGITS
    assert choose_activation(np.array([[0.4]], np.float32), "sigmoid") == PAIR
    with pytest.raises(ExportError, match=wording[0]):
        choose_activation(np.array([[0.4, 0.6]], np.float32), "sigmoid")
    with pytest.raises(ExportError, match=wording[1]):
        choose_activation(np.array([[1.0]], np.float32), "softmax")
    assert open_model_end(float_onnx, tmp_path) == "linear"


def open_model_end(proto: onnx.ModelProto, folder: Path) -> str:
    onnx.save(proto, folder / "m.onnx")
    return str(open_model(folder / "m.onnx", SCALING).activation)


@pytest.mark.parametrize("keeps", [True, False])
def test_a_float16_onnx_of_microsofts_converter_is_taken(
    float_onnx: onnx.ModelProto,
    drawn: list[np.ndarray],
    expected: np.ndarray,
    tmp_path: Path,
    keeps: bool,
) -> None:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    copy = append(float_onnx)
    onnx.save(convert_float_to_float16(copy, keep_io_types=keeps), tmp_path / "half.onnx")
    _, source = take(tmp_path / "half.onnx", drawn)
    assert source.form == ModelFormat("onnx", "float16")
    np.testing.assert_allclose(run(source, drawn), expected, atol=0.02)


def test_a_dictionary_of_azure_custom_vision_is_the_scores_inside_it(
    float_onnx: onnx.ModelProto, drawn: list[np.ndarray], expected: np.ndarray, tmp_path: Path
) -> None:
    labels = ["washer", "bolt", "gear"]
    strings = helper.make_tensor(
        "labels", TensorProto.STRING, [3], [one.encode() for one in labels]
    )
    proto = append(
        float_onnx,
        helper.make_node("Softmax", ["last"], ["shares"], axis=1),
        helper.make_node(
            "ZipMap", ["shares"], ["loss"], domain="ai.onnx.ml", classlabels_strings=labels
        ),
        helper.make_node("ArgMax", ["shares"], ["best"], axis=1, keepdims=0),
        helper.make_node(
            "ArrayFeatureExtractor", ["names", "best"], ["classLabel"], domain="ai.onnx.ml"
        ),
    )
    strings.name = "names"
    proto.graph.initializer.append(strings)
    proto.opset_import.append(helper.make_opsetid("ai.onnx.ml", 2))
    del proto.graph.output[:]
    proto.graph.output.append(helper.make_tensor_value_info("classLabel", TensorProto.STRING, None))
    pairs = helper.make_map_type_proto(
        TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    )
    proto.graph.output.append(
        helper.make_value_info("loss", helper.make_sequence_type_proto(pairs))
    )
    onnx.save(proto, tmp_path / "azure.onnx")
    foreign = open_model(tmp_path / "azure.onnx", SCALING)
    assert foreign.words == ""
    added, source = take(tmp_path / "azure.onnx", drawn)
    assert added == NOTHING
    np.testing.assert_allclose(run(source, drawn), expected, atol=1e-4)


def test_a_label_beside_the_scores_is_left_out_and_two_lists_are_refused(
    float_onnx: onnx.ModelProto,
    drawn: list[np.ndarray],
    expected: np.ndarray,
    tmp_path: Path,
    wording: str,
) -> None:
    best = helper.make_node("ArgMax", ["last"], ["best"], axis=1)
    name = float_onnx.graph.output[0].name
    proto = append(float_onnx, best, **{"best": TensorProto.INT64, name: TensorProto.FLOAT})
    onnx.save(proto, tmp_path / "m.onnx")
    np.testing.assert_allclose(run(take(tmp_path / "m.onnx", drawn)[1], drawn), expected, atol=1e-5)
    double = helper.make_node("Add", ["last", name], ["double"])
    heads = [
        helper.make_node("Softmax", [source], [target], axis=1)
        for source, target in ((name, "one"), ("double", "two"))
    ]
    proto = append(float_onnx, double, *heads, two=TensorProto.FLOAT, one=TensorProto.FLOAT)
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(ExportError, match=wording):
        open_model(tmp_path / "m.onnx", SCALING)


@pytest.fixture(scope="module")
def channels_first(
    foreign_folder: Path, tiny_inputs: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Writes the network as litert-torch would: (1, 3, height, width)."""

    def write(*, quantized: bool) -> Path:
        import keras
        import tensorflow as tf

        from edgetl_export.graph.conversion import convert_to_tflite
        from edgetl_export.quiet_stderr import divert_stderr

        inner = keras.models.load_model(foreign_folder / "model.keras", compile=False)
        image = keras.Input((3, 32, 32))
        model = keras.Model(image, inner(keras.layers.Permute((2, 3, 1))(image)))
        with divert_stderr():
            converter = tf.lite.TFLiteConverter.from_keras_model(model)
        if quantized:
            planes = np.stack(tiny_inputs).transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([one[np.newaxis]] for one in planes)
            converter.inference_input_type = converter.inference_output_type = tf.int8
        path = tmp_path_factory.mktemp("first") / "first.tflite"
        path.write_bytes(convert_to_tflite(converter))
        return path

    return write


@pytest.mark.parametrize(("quantized", "tolerance"), [(False, 1e-3), (True, 0.3)])
def test_a_tflite_with_channels_first_is_taken(
    channels_first: Callable[..., Path],
    drawn: list[np.ndarray],
    expected: np.ndarray,
    quantized: bool,
    tolerance: float,
) -> None:
    _, source = take(channels_first(quantized=quantized), drawn)
    assert describe_tflite(source.data, any_step=True)[0].shape == (1, 32, 32, 3)
    assert np.abs(run(source, drawn) - expected).max() < tolerance


@pytest.fixture(scope="module")
def h5_of_keras_2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As Teachable Machine writes it: a model in a model, a DepthwiseConv2D, by Keras 2."""
    keras = pytest.importorskip("tf_keras")
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3))
    maps = keras.layers.DepthwiseConv2D(3, strides=2)(keras.layers.Conv2D(8, 3, strides=2)(image))
    inner = keras.Model(image, keras.layers.GlobalAveragePooling2D()(maps))
    model = keras.Sequential([inner, keras.layers.Dense(3, "softmax", use_bias=False)])
    path = tmp_path_factory.mktemp("h5") / "keras_model.h5"
    with warnings.catch_warnings(action="ignore"):
        model.save(path)
    return path


@pytest.mark.parametrize("name", ["keras_model.h5", "renamed.keras", "no_suffix"])
def test_an_h5_of_keras_2_is_taken_with_trust_whatever_its_name(
    h5_of_keras_2: Path, drawn: list[np.ndarray], tmp_path: Path, name: str, wording: str
) -> None:
    path = tmp_path / name
    path.write_bytes(h5_of_keras_2.read_bytes())
    with pytest.raises(ExportError, match=wording):
        open_model(path, SCALING)
    added, source = take(path, drawn, trust=True)
    assert (added, source.form) == (NOTHING, ModelFormat("litert", "float32"))
    assert run(source, drawn).shape == (len(drawn), 3)


def zip_of(*names: str) -> bytes:
    """Without the time of day: tests on several processes are told apart by their data."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), b"x")
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.tflite", b"", "is empty"),
        ("a.onnx", b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "git lfs pull"),
        ("a.tflite", b"<!DOCTYPE html><html>", "is a web page, not a model; did the download"),
        ("a.onnx", b"\n <html>", "is a web page, not a model"),
        ("a.tflite", b"\x1f\x8b\x08\x00", "is a gzip archive, not a model; unpack it"),
        (
            "a.pt",
            zip_of("archive/data.pkl", "archive/version"),
            "is a PyTorch model; export it to .onnx",
        ),
        ("a.onnx", zip_of("archive/data.pkl"), "is a PyTorch model"),
        ("a.pth", b"\x80\x02}q\x00", "is a pickle, such as PyTorch writes"),
        ("a.safetensors", b"\x40\x00\x00\x00\x00\x00\x00\x00{", "weights without their network"),
        ("a.mlmodel", b"\x08\x01\x12\x02", "is a Core ML model"),
        ("graph.pb", b"\x0a\x10\x0a\x05", "a graph of TensorFlow alone"),
        (
            "converted.zip",
            zip_of("model_unquant.tflite", "labels.txt"),
            "is a zip with model_unquant.tflite; unpack it",
        ),
        (
            "converted_keras.zip",
            zip_of("keras_model.h5", "labels.txt"),
            "is a zip with keras_model.h5",
        ),
        ("impulse.zip", zip_of("readme.md"), "a zip without a known model"),
        ("ei.zip", zip_of("edge-impulse-sdk/a.cpp", "tflite-model/b.cpp"), "of Edge Impulse"),
        ("arduino.zip", zip_of("X/src/edge-impulse-sdk/a.cpp"), "from the project's dashboard"),
        (
            "web.zip",
            zip_of("model.json", "weights.bin", "metadata.json"),
            "TensorFlow.js model; export",
        ),
        ("run.zip", zip_of("runs/a/run.json", "runs/a/weights.npz"), "is an edgetl run"),
        ("outer.zip", zip_of("inner.zip"), "holds another zip; unpack it"),
        ("azure.zip", zip_of("model.pb", "labels.txt"), "choose ONNX or TensorFlow Lite"),
        ("weights.npz", zip_of("0.npy"), "arrays without their network"),
        ("a.onnx", b"\xef\xbb\xbf<!DOCTYPE html>", "is a web page, not a model"),
        ("net.xml", b'<?xml version="1.0"?>\n<net name="a">', "if it is from OpenVINO, give"),
        ("a.tflite", b"404: Not Found\n", "is text, not a model; it begins with '404: Not"),
        ("a.onnx", b'{"error": "Repository not found"}', "did the download end on an error"),
        ("labels.txt", "Äpfel\nBirnen\n".encode(), "is text, not a model"),
        ("long.txt", "ä".encode() * 300, "is text, not a model"),
        ("model.json", b'{"format": "layers-model", "modelTopology": {}}', "TensorFlow.js"),
        ("a.onnx", b"\xff\xd8\xff\xe0\x00\x10JFIF", "is a JPEG image, not a model; photos are"),
        ("a.tflite", b"RIFF\x24\0\0\0AVI LIST", "is an AVI video, not a model"),
        ("a.onnx", b"RIFF\x24\0\0\0WAVEfmt ", "is a sound file, not a model"),
        ("a.onnx", b"RIFF\x24\0\0\0WEBPVP8 " + bytes(9), "is a WebP image, not a model"),
        ("a.keras", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is a HEIC image, not a model"),
        ("a.h5", b"\0\0\0\x18ftypisom\0\0\0\0isomavc1", "is an MP4 or QuickTime video"),
        ("a.onnx", b"SQLite format 3\0", "is a database, not a model"),
        ("a.pdf", b"%PDF-1.7", "is a PDF document, not a model"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c\x00", "is a 7z archive, not a model; unpack it"),
        ("a.bz2", b"BZh91AY&SY", "is a bzip2 archive, not a model; unpack it"),
        ("a.xz", b"\xfd7zXZ\0", "is an XZ archive, not a model; unpack it"),
        ("a.zst", b"(\xb5/\xfd", "is a Zstandard archive, not a model; unpack it"),
        ("a.tar", b"net.onnx".ljust(257, b"\0") + b"ustar\x00", "is a tar archive, not a model"),
        # The name of its maker in the place where videos have theirs.
        ("a.onnx", b"\x08\x08\x12\x04free\x3a\x00", "is not an .onnx, or a damaged one"),
        ("a.ort", b"\x20\0\0\0ORTM\0\0", "(.ort); give the .onnx"),
        ("a.pte", b"\x20\0\0\0ET12\0\0", "is an ExecuTorch model; export it to .onnx"),
        ("a.onnx", b"\x40\0\0\0\0\0\0\0{", "weights without their network (safetensors)"),
        ("a.onnx.data", b"\x01\x02\xf0" * 9, "weights of an .onnx; give the .onnx, and leave this"),
        ("net.rknn", b"RKNN\x00\x00\x00\x00", "compiled for one chip"),
        ("net.eim", b"\x7fELF\x02\x01\x01\x00", "if it is an .eim"),
        ("saved_model.pb", b"\x08\x01\x12\x05", "is one file of a SavedModel; give its folder"),
        ("b.zip", zip_of("bundle.json", "litert-int8.tflite"), "is already an edgetl bundle"),
        ("cut.keras", zip_of("config.json", "model.weights.h5")[:40], "is damaged"),
        ("a.tflite", b"\x01rubbish" * 20, "is not of the type that its name says"),
        ("a.dat", b"\x01hello", "is of an unknown type"),
    ],
)
def test_what_is_no_model_is_called_by_its_name(
    tmp_path: Path, name: str, data: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ExportError) as caught:
        open_model(tmp_path / name, SCALING, trust=True)
    assert words in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / name))


@pytest.mark.parametrize("name", ["float.tflite", "uint8.tflite", "model.onnx", "model.keras"])
def test_whatever_is_wrong_with_a_model_its_file_is_named(
    foreign_folder: Path, tmp_path: Path, name: str
) -> None:
    data = (foreign_folder / name).read_bytes()
    path = tmp_path / name
    for end in (len(data) * n // 12 for n in range(1, 12)):
        path.write_bytes(data[:end])
        with pytest.raises(ExportError) as caught:
            open_model(path, SCALING, trust=True)
        assert str(caught.value).startswith(str(path))
    path.write_bytes(data)
    with pytest.raises(ExportError) as caught:
        open_model(path, SCALING, size_px=99, trust=True)
    assert str(caught.value).startswith(f"{path}: the model takes 32x32 px only")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["model.json", "weights.bin"], "is a TensorFlow.js model; export"),
        (["keras_model.h5", "labels.txt"], "it has keras_model.h5; give one of these"),
        (["model.savedmodel/saved_model.pb", "labels.txt"], "it has model.savedmodel; give one"),
        (["bundle.json", "litert-int8.tflite"], "is already an edgetl bundle"),
        (["run.json", "weights.npz"], "is an edgetl run; export it without --model"),
        (["config.json", "model.safetensors"], "holds weights without their network"),
        (["photos/a.jpg"], "is not a SavedModel (no saved_model.pb); expected a .tflite"),
    ],
)
def test_a_folder_that_is_no_model_is_called_by_what_it_holds(
    tmp_path: Path, names: list[str], words: str
) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    with pytest.raises(ExportError) as caught:
        open_model(tmp_path, SCALING)
    assert words in str(caught.value)


def test_a_pipe_is_no_model_and_nobody_waits_for_it(tmp_path: Path, wording: str) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(ExportError, match=wording):
        open_model(tmp_path / "pipe.onnx", SCALING)


def test_a_tflite_or_an_onnx_is_one_whatever_its_name(
    foreign_folder: Path, drawn: list[np.ndarray], tmp_path: Path
) -> None:
    os.symlink(foreign_folder / "float.tflite", tmp_path / "model.bin")
    assert open_model(tmp_path / "model.bin", SCALING).run(drawn).shape == (len(drawn), 3)
    os.symlink(foreign_folder / "model.onnx", tmp_path / "renamed.tflite")
    assert open_model(tmp_path / "renamed.tflite", SCALING).run(drawn).shape == (len(drawn), 3)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_model_that_may_not_be_read_is_called_so(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    (folder / "m.onnx").write_bytes(b"\x08\x08\x12")
    # In a process of its own, since nobody becomes root again.
    code = (
        "import os, sys; from pathlib import Path\n"
        "from edgetl_export.load.archive import unpacked\n"
        "from edgetl_export.load.kinds import find_kind\n"
        "from edgetl_runtime.errors import ExportError\n"
        "os.setuid(65534)\n"
        "for path in map(Path, sys.argv[1:]):\n"
        "    try:\n"
        "        with unpacked(path) as model: find_kind(model, trust=True)\n"
        "    except ExportError as error: print(error)\n"
    )
    paths = [str(folder), str(folder / "m.onnx")]
    command = [sys.executable, "-c", code, *paths]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said == [f"{path} cannot be read (Permission denied)" for path in paths]
