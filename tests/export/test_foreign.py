"""Foreign models: wrapped so that levels go in and probabilities come out, or refused in words."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

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
from edgetl_export.recipes import RECIPES, find_recipes
from edgetl_export.trained import ModelFormat
from edgetl_runtime.engines.engine import open_engine
from edgetl_runtime.errors import ExportError, OptionsError
from tests.export.formulas import softmax

# Written out once more: what each framework's own preprocessing does.
FORMULAS = {
    "0..255": lambda x: x,
    "0..1": lambda x: x / 255.0,
    "-1..1": lambda x: x / 127.5 - 1.0,
    "imagenet": lambda x: (x / 255.0 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225],
    "caffe": lambda x: x[..., ::-1] - [103.939, 116.779, 123.68],
    "bgr imagenet": lambda x: (
        (x[..., ::-1] / 255.0 - [0.406, 0.456, 0.485]) / [0.225, 0.224, 0.229]
    ),
    "mean=0.5,0.4,0.3 std=0.25,0.25,0.2": lambda x: (
        (x / 255.0 - [0.5, 0.4, 0.3]) / [0.25, 0.25, 0.2]
    ),
    "bgr mean=[100, 110, 120] std=58": lambda x: (x[..., ::-1] - [100, 110, 120]) / 58,
}
PLAIN = find_scaling("0..255")


def run(source: SourceModel, pictures: list[np.ndarray]) -> np.ndarray:
    if source.form.engine == "litert":
        tensors = describe_tflite(source.data, any_step=True)
    else:
        tensors = describe_onnx(source.data)
    engine = open_engine(source.form.engine, source.data, tensors, 1)
    return np.stack([engine.run(picture) for picture in pictures])


@pytest.fixture(scope="module")
def own(foreign_folder: Path) -> Any:
    """The Keras model itself, from scaled pictures to logits."""
    import keras

    model = keras.models.load_model(foreign_folder / "model.keras", compile=False)
    return lambda scaled: np.asarray(model(np.asarray(scaled, np.float32), training=False))


@pytest.mark.parametrize("scaling", FORMULAS)
@pytest.mark.parametrize("name", ["model.keras", "saved", "float.tflite", "model.onnx"])
def test_levels_give_what_the_model_gives_on_its_own_preprocessing(
    foreign_folder: Path, drawn: list[np.ndarray], own: Any, name: str, scaling: str
) -> None:
    pictures = drawn
    logits = own(FORMULAS[scaling](np.stack(pictures).astype(np.float64)))
    foreign = open_model(foreign_folder / name, find_scaling(scaling), trust=True)
    assert (foreign.size, foreign.outputs) == ((32, 32), 3)
    outputs = foreign.run(pictures)
    np.testing.assert_allclose(outputs, logits, atol=2e-4 * np.abs(logits).max())
    added = choose_activation(outputs)
    assert added == SOFTMAX
    source = foreign.finish(added)
    assert source.form.precision == "float32"
    np.testing.assert_allclose(run(source, pictures), softmax(logits), atol=1e-3)


def invoke(model: bytes, picture: np.ndarray) -> np.ndarray:
    """What a .tflite outputs for one scaled picture, (outputs,), in numbers of its own ends."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    (entry,), (exit_,) = interpreter.get_input_details(), interpreter.get_output_details()
    step, zero = entry["quantization"]
    if step:
        limits = np.iinfo(entry["dtype"])
        picture = np.clip(np.rint(picture / step + zero), limits.min, limits.max)
    interpreter.set_tensor(entry["index"], picture[np.newaxis].astype(entry["dtype"]))
    interpreter.invoke()
    scores = interpreter.get_tensor(exit_["index"])[0].astype(np.float64)
    step, zero = exit_["quantization"]
    return (scores - zero) * step if step else scores


@pytest.mark.parametrize("name", ["float32.tflite", "uint8.tflite", "int8.tflite"])
@pytest.mark.parametrize("scaling", ["-1..1", "imagenet", "bgr mean=[100, 110, 120] std=58"])
def test_a_quantized_tflite_is_wrapped_as_it_is(
    foreign_folder: Path, drawn: list[np.ndarray], name: str, scaling: str
) -> None:
    pictures = drawn
    foreign = open_model(foreign_folder / name, find_scaling(scaling))
    source = foreign.finish(choose_activation(foreign.run(pictures), quantized=foreign.is_coarse))
    assert source.form == ModelFormat("litert", "int8")
    # The file itself, not the network that it was made of: beyond the range that it was
    # calibrated on, which `imagenet` leaves, its layers clip and Keras does not.
    model = (foreign_folder / name).read_bytes()
    scaled = FORMULAS[scaling](np.stack(pictures).astype(np.float64))
    expected = softmax(np.stack([invoke(model, picture) for picture in scaled]))
    np.testing.assert_allclose(run(source, pictures), expected, atol=0.02)
    fits = scaling == "-1..1" and name != "float32.tflite"
    (entry, _) = describe_tflite(source.data, any_step=True)
    assert entry.dtype == ("uint8" if fits else "float32")


def test_a_tflite_with_8_bit_weights_only_is_dynamic(foreign_folder: Path) -> None:
    foreign = open_model(foreign_folder / "dynamic.tflite", find_scaling("-1..1"))
    assert foreign.form == ModelFormat("litert", "dynamic")


def test_one_output_becomes_two_in_both_formats(tmp_path: Path, drawn: list[np.ndarray]) -> None:
    import keras

    from edgetl_export.quantize.tflite_quantizer import convert

    pictures = drawn[::8]
    keras.utils.set_random_seed(1)
    image = keras.Input((32, 32, 3))
    maps = keras.layers.GlobalAveragePooling2D()(image)
    for activation, wanted in (("sigmoid", PAIR), (None, PAIR_OF_LOGITS)):
        dense = keras.layers.Dense(1, activation=activation, bias_initializer="ones")(maps * 0.02)
        model = keras.Model(image, dense)
        exact = np.asarray(model(np.stack(pictures).astype(np.float32)))
        second = exact if activation else 1 / (1 + np.exp(-exact))
        (tmp_path / "one.tflite").write_bytes(convert(model))
        foreign = open_model(tmp_path / "one.tflite", PLAIN)
        # A logit of 1 and above is none of the shares 0..1.
        assert choose_activation(np.abs(foreign.run(pictures)) + (activation is None)) == wanted
        found = run(foreign.finish(wanted), pictures)
        np.testing.assert_allclose(found, np.hstack([1 - second, second]), atol=1e-4)


def make_onnx(
    *,
    shape: tuple[int | str | None, ...] = (1, 3, 32, 32),
    outputs: int = 3,
    opset: int = 17,
    kind: int = TensorProto.FLOAT,
    more: tuple[Any, ...] = (),
    weights: TensorProto | None = None,
    classes_axis: int = 1,
) -> onnx.ModelProto:
    """The mean colour times weights, named `image` and `scores` inside to be in the way."""
    values = np.random.default_rng(0).normal(size=(3, outputs)).astype(np.float32) / 64
    nodes = [
        helper.make_node("GlobalAveragePool", ["picture"], ["image"]),
        helper.make_node("Flatten", ["image"], ["scores"], axis=classes_axis),
        helper.make_node("MatMul", ["scores", "weights"], ["logits"]),
    ]
    graph = helper.make_graph(
        [*nodes, *more],
        "net",
        [helper.make_tensor_value_info("picture", kind, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        [weights if weights is not None else numpy_helper.from_array(values, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    return model


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), ("batch", 3, 32, 32), (None, 3, "h", "w")])
@pytest.mark.parametrize("opset", [9, 11, 17])
def test_channels_first_free_batch_and_old_opsets_are_taken(
    tmp_path: Path, drawn: list[np.ndarray], shape: tuple[Any, ...], opset: int
) -> None:
    onnx.save(make_onnx(shape=shape, opset=opset), tmp_path / "net.onnx")
    size = 32 if shape[3] == "w" else None
    foreign = open_model(tmp_path / "net.onnx", find_scaling("imagenet"), size_px=size)
    pictures = drawn[:4]
    weights = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32) / 64
    means = FORMULAS["imagenet"](np.stack(pictures).astype(np.float64)).mean(axis=(1, 2))
    np.testing.assert_allclose(run(foreign.finish(NOTHING), pictures), means @ weights, atol=1e-4)


def test_branches_keep_reading_what_lies_outside_of_them(
    tmp_path: Path, drawn: list[np.ndarray]
) -> None:
    branches = {
        f"{name}_branch": helper.make_graph(
            [helper.make_node(kind, ["logits"], [name])],
            name,
            [],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)],
        )
        for name, kind in (("then", "Neg"), ("else", "Identity"))
    }
    always = numpy_helper.from_array(np.array(True), "always")
    model = make_onnx(more=(helper.make_node("If", ["always"], ["out"], **branches),))
    model.graph.initializer.append(always)
    model.graph.output[0].name = "out"
    onnx.save(model, tmp_path / "net.onnx")
    weights = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32) / 64
    expected = -np.stack(drawn[:2]).astype(np.float64).mean(axis=(1, 2)) @ weights
    found = run(open_model(tmp_path / "net.onnx", PLAIN).finish(NOTHING), drawn[:2])
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_external_data_in_the_folder_is_taken_in(tmp_path: Path, wording: str) -> None:
    onnx.save(
        make_onnx(), tmp_path / "net.onnx", save_as_external_data=True, size_threshold=0,
        location="net.bin",
    )  # fmt: skip
    assert (tmp_path / "net.bin").is_file()
    source = open_model(tmp_path / "net.onnx", PLAIN).finish(SOFTMAX)
    assert b"net.bin" not in source.data
    with pytest.raises(ExportError, match=wording):
        (tmp_path / "net.bin").unlink()
        open_model(tmp_path / "net.onnx", PLAIN)


def test_external_data_that_is_too_short_is_refused(tmp_path: Path, wording: str) -> None:
    onnx.save(
        make_onnx(), tmp_path / "net.onnx", save_as_external_data=True, size_threshold=0,
        location="net.bin",
    )  # fmt: skip
    (tmp_path / "net.bin").write_bytes(b"1234")
    with pytest.raises(ExportError, match=wording):
        open_model(tmp_path / "net.onnx", PLAIN)


def write_external(home: Path, location: str, **more: str) -> Path:
    weights = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[3, 3])
    weights.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        weights.external_data.add(key=key, value=value)
    (home / "net.onnx").write_bytes(make_onnx(weights=weights).SerializeToString())
    return home / "net.onnx"


@pytest.mark.parametrize(
    "more", [{"offset": "-5"}, {"offset": "x"}, {"length": "-1"}, {"length": "many"}]
)
def test_external_data_at_a_place_that_is_none_is_refused(
    tmp_path: Path, more: dict[str, str], wording: str
) -> None:
    (tmp_path / "net.bin").write_bytes(bytes(36))
    with pytest.raises(ExportError, match=wording):
        open_model(write_external(tmp_path, "net.bin", **more), PLAIN)


@pytest.mark.parametrize("more", [{}, {"offset": "8"}, {"length": "12"}, {"length": "100"}])
def test_external_data_of_less_than_the_weights_take_is_refused(
    tmp_path: Path, more: dict[str, str], wording: str
) -> None:
    (tmp_path / "net.bin").write_bytes(bytes(20))
    with pytest.raises(ExportError, match=wording):
        open_model(write_external(tmp_path, "net.bin", **more), PLAIN)


def test_external_data_in_a_pipe_is_not_waited_for(tmp_path: Path, wording: str) -> None:
    os.mkfifo(tmp_path / "net.bin")
    with pytest.raises(ExportError, match=wording):
        open_model(write_external(tmp_path, "net.bin"), PLAIN)


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "link.bin", "sub/x.bin"])
def test_external_data_elsewhere_is_refused(tmp_path: Path, location: str, wording: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(36))
    os.symlink(tmp_path / "secret.bin", home / "link.bin")
    os.symlink(tmp_path, home / "sub")
    weights = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[3, 3])
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=location)
    (home / "net.onnx").write_bytes(make_onnx(weights=weights).SerializeToString())
    with pytest.raises(ExportError, match=wording):
        open_model(home / "net.onnx", PLAIN)


def two_inputs() -> onnx.ModelProto:
    model = make_onnx()
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, (1,)))
    model.graph.node.append(helper.make_node("Mul", ["logits", "mask"], ["masked"]))
    model.graph.output[0].name = "masked"
    return model


def custom_operator() -> onnx.ModelProto:
    model = make_onnx(more=(helper.make_node("Sharpen", ["logits"], ["out"], domain="acme"),))
    model.graph.output[0].name = "out"
    return model


def unknown_operator() -> onnx.ModelProto:
    model = make_onnx()
    model.graph.node[0].op_type = "GlobalAveragePuddle"
    return model


def new_format() -> onnx.ModelProto:
    model = make_onnx()
    model.ir_version = 99
    return model


def new_opset() -> onnx.ModelProto:
    model = make_onnx()
    model.opset_import[0].version = 99
    return model


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (two_inputs, r"2 inputs \(picture, mask\), expected 1"),
        (custom_operator, "operator Sharpen of acme"),
        (unknown_operator, "GlobalAveragePuddle"),
        (new_opset, "opset 99, this edgetl reads up to"),
        (new_format, "version 99 of the format .* reads up to .* export it again"),
        (lambda: make_onnx(shape=(8, 3, 32, 32)), "8 images at once"),
        (lambda: make_onnx(shape=(1, 3, "h", "w")), "choose the one it was trained on: --size PX"),
        (lambda: make_onnx(shape=(1, 2, 32, 32)), "expected an RGB image"),
        (lambda: make_onnx(shape=(-1, 3, -1, 32)), "32 px wide and of any height; choose"),
        (lambda: make_onnx(kind=TensorProto.INT8), "takes int8, expected float32"),
        (onnx.ModelProto, "is empty"),
        (lambda: onnx.ModelProto(ir_version=8), "it has no operators"),
    ],
)
def test_an_onnx_that_is_no_classifier_is_refused(tmp_path: Path, model: Any, words: str) -> None:
    (tmp_path / "net.onnx").write_bytes(model().SerializeToString() or b"")
    with pytest.raises(ExportError, match=words) as caught:
        open_model(tmp_path / "net.onnx", PLAIN)
    assert "\n" not in str(caught.value)


def test_a_damaged_onnx_is_refused(tmp_path: Path, wording: str) -> None:
    (tmp_path / "net.onnx").write_bytes(make_onnx().SerializeToString()[:-50])
    with pytest.raises(ExportError, match=wording):
        open_model(tmp_path / "net.onnx", PLAIN)


@pytest.mark.parametrize("name", [b"GlobalAveragePool", b"picture"])
def test_an_onnx_whose_names_are_no_text_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: bytes
) -> None:
    data = make_onnx().SerializeToString().replace(name, b"\xff" * len(name))
    (tmp_path / "net.onnx").write_bytes(data)
    with pytest.raises(ExportError):
        open_model(tmp_path / "net.onnx", PLAIN)
    assert capfd.readouterr() == ("", "")


def test_an_onnx_of_more_than_2_gib_is_refused_unread(tmp_path: Path, wording: str) -> None:
    with (tmp_path / "net.onnx").open("wb") as file:
        file.truncate(2**31 + 1)
    with pytest.raises(ExportError, match=wording):
        open_model(tmp_path / "net.onnx", PLAIN)


def change(file: Path, target: Path, edit: Any) -> Path:
    from ai_edge_litert.tools import flatbuffer_utils

    tree = flatbuffer_utils.read_model_from_bytearray(bytearray(file.read_bytes()))
    edit(tree)
    target.write_bytes(flatbuffer_utils.convert_object_to_bytearray(tree))
    return target


def make_custom(tree: Any) -> None:
    code = tree.operatorCodes[0]
    code.builtinCode = code.deprecatedBuiltinCode = 32
    code.customCode = b"FlexErf"


def make_unknown(tree: Any) -> None:
    # A squeeze takes other inputs than a convolution.
    code = tree.operatorCodes[0]
    code.builtinCode = code.deprecatedBuiltinCode = 118


def point_outside(tree: Any) -> None:
    tree.subgraphs[0].operators[0].inputs[1] = 9999


def cut_weights(tree: Any) -> None:
    graph = tree.subgraphs[0]
    buffer = tree.buffers[graph.tensors[graph.operators[0].inputs[1]].buffer]
    buffer.data = buffer.data[:-4]


def free_size(tree: Any) -> None:
    graph = tree.subgraphs[0]
    graph.tensors[graph.inputs[0]].shapeSignature = [-1, -1, -1, 3]


def make_two_channels(tree: Any) -> None:
    graph = tree.subgraphs[0]
    graph.tensors[graph.inputs[0]].shape = [1, 32, 32, 2]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (make_custom, "operator FlexErf, of TensorFlow itself"),
        (make_unknown, "LiteRT cannot load this .tflite"),
        (point_outside, "refers to tensors or operators that do not exist"),
        (cut_weights, "is damaged: the constant .* bytes, expected"),
        (free_size, "images of any size"),
        (make_two_channels, r"takes \(1, 32, 32, 2\), expected one RGB image"),
    ],
)
def test_a_tflite_that_cannot_run_is_refused(
    foreign_folder: Path, tmp_path: Path, edit: Any, words: str
) -> None:
    file = change(foreign_folder / "float.tflite", tmp_path / "bad.tflite", edit)
    with pytest.raises(ExportError, match=words) as caught:
        open_model(file, PLAIN)
    assert "\n" not in str(caught.value)


def test_a_truncated_tflite_is_refused_wherever_it_is_cut(
    foreign_folder: Path, tmp_path: Path
) -> None:
    data = (foreign_folder / "float.tflite").read_bytes()
    for length in (0, 3, 8, 100, 1000, len(data) // 2, len(data) - 9):
        (tmp_path / "cut.tflite").write_bytes(data[:length])
        with pytest.raises(ExportError):
            open_model(tmp_path / "cut.tflite", PLAIN)


@pytest.mark.parametrize("name", ["model.keras", "saved"])
def test_what_can_run_code_is_not_opened_without_trust(
    foreign_folder: Path, name: str, wording: str
) -> None:
    with pytest.raises(ExportError, match=wording):
        open_model(foreign_folder / name, PLAIN)


def test_code_in_a_keras_file_does_not_run_even_with_trust(tmp_path: Path, wording: str) -> None:
    import keras

    image = keras.Input((32, 32, 3))
    mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Lambda(lambda x: x * 2)(image))
    keras.Model(image, mean).save(tmp_path / "code.keras")
    with pytest.raises(ExportError, match=wording):
        open_model(tmp_path / "code.keras", PLAIN, trust=True)


def test_damaged_keras_files_and_saved_models_are_refused(
    foreign_folder: Path, tmp_path: Path, wording: str
) -> None:
    (tmp_path / "bad.keras").write_bytes((foreign_folder / "model.keras").read_bytes()[:5000])
    saved = Path(shutil.copytree(foreign_folder / "saved", tmp_path / "saved"))
    (saved / "saved_model.pb").write_bytes(b"nonsense")
    for path in (tmp_path / "bad.keras", saved):
        with pytest.raises(ExportError, match=wording) as caught:
            open_model(path, PLAIN, trust=True)
        assert "\n" not in str(caught.value)


def test_a_keras_model_of_free_size_asks_for_one(tmp_path: Path, wording: str) -> None:
    import keras

    image = keras.Input((None, None, 3))
    scores = keras.layers.Dense(3, "softmax")(keras.layers.GlobalAveragePooling2D()(image))
    keras.Model(image, scores).save(tmp_path / "free.keras")
    with pytest.raises(ExportError, match=wording):
        open_model(tmp_path / "free.keras", PLAIN, trust=True)
    assert open_model(tmp_path / "free.keras", PLAIN, trust=True, size_px=48).size == (48, 48)


def test_another_size_than_the_models_is_refused(foreign_folder: Path, wording: str) -> None:
    with pytest.raises(ExportError, match=wording):
        open_model(foreign_folder / "float.tflite", PLAIN, size_px=48)


@pytest.mark.parametrize("name", ["gone.tflite", "notes.txt", "folder"])
def test_what_is_no_model_is_refused(tmp_path: Path, name: str, wording: str) -> None:
    (tmp_path / "notes.txt").write_bytes(b"\x01hello")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ExportError, match=wording):
        open_model(tmp_path / name, PLAIN)


def test_the_activation_to_add_is_told_from_the_outputs(wording: list[str]) -> None:
    probabilities = np.array([[0.2, 0.8], [0.5, 0.5]], np.float32)
    assert choose_activation(probabilities) == NOTHING
    assert choose_activation(np.array([[-1.0, 4.0]], np.float32)) == SOFTMAX
    assert choose_activation(np.array([[0.3]], np.float32)) == PAIR
    assert choose_activation(np.array([[-3.0]], np.float32)) == PAIR_OF_LOGITS
    coarse = np.round(probabilities * 256) / 256 - np.float32(1 / 256)
    assert choose_activation(coarse, quantized=True) == NOTHING
    with pytest.raises(ExportError, match=wording[0]):
        choose_activation(np.array([[0.9, 0.8]], np.float32))
    with pytest.raises(ExportError, match=wording[1]):
        choose_activation(np.array([[np.nan, 0.8]], np.float32))


def test_a_form_offers_what_can_be_made_of_it(wording: str) -> None:
    assert all(map(ModelFormat().offers, RECIPES))
    only_onnx = [one for one in RECIPES if ModelFormat("onnx").offers(one)]
    assert only_onnx == list(
        find_recipes(["onnx-int8", "onnx-dynamic", "onnx-float16", "onnx-float32"])
    )
    finished = [one.name for one in RECIPES if ModelFormat("litert", "int8").offers(one)]
    assert finished == ["litert-int8"]
    with pytest.raises(ExportError, match=wording):
        ModelFormat("onnx").check(find_recipes(["litert-int8"]))


def test_an_unknown_scaling_is_an_error_with_the_names(wording: str) -> None:
    with pytest.raises(OptionsError, match=wording):
        find_scaling("torch")


def test_an_onnx_whose_operators_do_not_follow_each_other_is_damaged(
    foreign_folder: Path, tmp_path: Path, wording: str
) -> None:
    proto = onnx.load(foreign_folder / "model.onnx")
    proto.graph.node[-1].input[0] = "nobody"
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(ExportError, match=wording):
        open_model(tmp_path / "m.onnx", PLAIN)


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (3e28, "is at least 256 times that of the output"),
        (0.0, "is not above 0"),
        (-1.0, "above 0"),
    ],
)
def test_steps_that_end_the_process_are_refused_before_the_engine_sees_them(
    foreign_folder: Path, tmp_path: Path, steps: float, words: str
) -> None:
    from edgetl_export.graph.flatbuffer import read_tree, write_tree

    tree = read_tree((foreign_folder / "uint8.tflite").read_bytes())
    graph = tree.subgraphs[0]
    weights = next(one.inputs[1] for one in graph.operators if len(one.inputs) == 3)
    graph.tensors[weights].quantization.scale[0] = steps
    (tmp_path / "m.tflite").write_bytes(write_tree(tree))
    with pytest.raises(ExportError, match=rf"m\.tflite: the \.tflite is damaged.* {words}"):
        open_model(tmp_path / "m.tflite", find_scaling("-1..1"))
