"""What foreign models take: grey and oblong pictures, free sides, scalings given in words."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgetl_export.evaluate.scoring import run_described
from edgetl_export.evaluate.tensors import describe_tflite
from edgetl_export.load import open_model
from edgetl_export.load.output_activation import NOTHING
from edgetl_export.load.scaling import SCALINGS, find_scaling
from edgetl_export.load.source import SourceModel, choose_size
from edgetl_export.load.statements import Statement, read_properties
from edgetl_runtime.errors import ExportError, OptionsError

HEIGHT, WIDTH = 24, 40
LUMA = np.array([0.299, 0.587, 0.114])
FORMS = ("grey.keras", "grey.tflite", "grey_int8.tflite", "grey.onnx")


def run(source: SourceModel, pictures: list[np.ndarray]) -> np.ndarray:
    from edgetl_export.evaluate.tensors import describe_onnx

    engine = source.form.engine
    tensors = (
        describe_tflite(source.data, any_step=True)
        if engine == "litert"
        else describe_onnx(source.data)
    )
    return run_described(engine, source.data, tensors, pictures)


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    """uint8 (24, 40, 3) in strong colours, so that no channel stands for another."""
    random = np.random.default_rng(3)
    colours = random.integers(0, 256, (12, 1, 1, 3))
    noise = random.integers(-40, 40, (12, HEIGHT, WIDTH, 3))
    return list(np.clip(colours + noise, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def grey_folder(pictures: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of grey pictures, 40 wide and 24 high, levels -1..1, in every form."""
    import keras
    import tensorflow as tf

    from edgetl_export.graph.conversion import convert_to_tflite
    from edgetl_export.quiet_stderr import divert_stderr

    folder = tmp_path_factory.mktemp("grey")
    keras.utils.set_random_seed(2)
    image = keras.Input((HEIGHT, WIDTH, 1))
    maps = keras.layers.Conv2D(6, 3, strides=2, activation="relu")(image)
    # Not the mean of the whole: height and width must not be exchanged unseen.
    scores = keras.layers.Dense(3, "softmax")(keras.layers.Flatten()(maps))
    model = keras.Model(image, scores)
    model.save(folder / "grey.keras")
    scaled = (np.stack(pictures) @ LUMA)[..., np.newaxis].astype(np.float32) / 127.5 - 1
    with divert_stderr():
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
    (folder / "grey.tflite").write_bytes(convert_to_tflite(converter))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([one[np.newaxis]] for one in scaled)
    converter.inference_input_type = converter.inference_output_type = tf.int8
    (folder / "grey_int8.tflite").write_bytes(convert_to_tflite(converter))
    _write_onnx(model, folder / "grey.onnx")
    return folder


def _write_onnx(model: Any, target: Path) -> None:
    import tensorflow as tf
    import tf2onnx

    from edgetl_export.quiet_stderr import divert_stderr

    function = tf.function(lambda image: model(image, training=False))
    signature = (tf.TensorSpec((None, HEIGHT, WIDTH, 1), tf.float32, name="image"),)
    with divert_stderr():
        tf2onnx.convert.from_function(function, signature, opset=17, output_path=str(target))


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("scaling", ["-1..1", "mean=120 std=130"])
def test_a_grey_model_gets_the_brightness_of_what_the_camera_sees(
    grey_folder: Path, pictures: list[np.ndarray], name: str, scaling: str
) -> None:
    import keras

    model: Any = keras.models.load_model(grey_folder / "grey.keras", compile=False)
    levels = (np.stack(pictures) @ LUMA)[..., np.newaxis]
    middle, step = (127.5, 127.5) if scaling == "-1..1" else (120, 130)
    expected = np.asarray(model(((levels - middle) / step).astype(np.float32), training=False))
    foreign = open_model(grey_folder / name, find_scaling(scaling), trust=True)
    assert (foreign.size, foreign.outputs) == ((HEIGHT, WIDTH), 3)
    close = 0.05 if "int8" in name else 1e-4
    np.testing.assert_allclose(foreign.run(pictures), expected, atol=close)
    np.testing.assert_allclose(run(foreign.finish(NOTHING), pictures), expected, atol=close)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("scaling", ["imagenet", "caffe", "bgr 0..1"])
def test_a_scaling_of_colours_is_refused_for_a_grey_model(
    grey_folder: Path, name: str, scaling: str, wording: str
) -> None:
    with pytest.raises(ExportError, match=wording):
        open_model(grey_folder / name, find_scaling(scaling), trust=True)


@pytest.mark.parametrize("shape", [(1, 1, "h", "w"), (-1, 1, -1, -1), (None, 1, 24, None)])
def test_a_grey_onnx_with_free_sides_takes_an_oblong_size(
    tmp_path: Path, pictures: list[np.ndarray], shape: tuple[Any, ...], wording: str
) -> None:
    weights = np.array([[1.0, -2.0, 3.0]], np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["picture"], ["mean"]),
            helper.make_node("Flatten", ["mean"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        ],
        "net",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, tmp_path / "net.onnx")
    plain = find_scaling("0..1")
    with pytest.raises(ExportError, match=wording):
        open_model(tmp_path / "net.onnx", plain)
    foreign = open_model(tmp_path / "net.onnx", plain, size_px=(WIDTH, HEIGHT))
    assert foreign.size == (HEIGHT, WIDTH)
    means = (np.stack(pictures) @ LUMA).mean(axis=(1, 2), keepdims=True)[:, 0] / 255
    np.testing.assert_allclose(foreign.run(pictures), means @ weights, atol=1e-4)


def convolve(
    target: Path, shape: tuple[Any, ...], channels: int, *, last: bool = False, group: int = 1
) -> np.ndarray:
    """An .onnx that means over (filters of 1x1) pictures; returns the weights."""
    random = np.random.default_rng(5)
    weights = random.normal(size=(3 * group, channels // group, 1, 1)).astype(np.float32)
    turn = [helper.make_node("Transpose", ["half"], ["turned"], perm=[0, 3, 1, 2])] * last
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["picture", "two"], ["half"]),
            *turn,
            helper.make_node("Conv", ["turned" if last else "half", "k"], ["maps"], group=group),
            helper.make_node("GlobalAveragePool", ["maps"], ["mean"]),
            helper.make_node("Flatten", ["mean"], ["logits"]),
        ],
        "net",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights, "k"), numpy_helper.from_array(np.float32(2), "two")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, target)
    return weights[:, :, 0, 0]


FREE = ("batch_size", "num_channels", "height", "width")


@pytest.mark.parametrize(
    ("shape", "channels", "last"),
    [
        (FREE, 3, False),
        (FREE, 3, True),
        (FREE, 1, False),
        ((-1, -1, -1, -1), 3, False),
        (None, 3, False),
        (None, 3, True),
        ((1, None, HEIGHT, WIDTH), 3, False),
        ((1, HEIGHT, WIDTH, None), 3, True),
        ((1, HEIGHT, WIDTH, None), 1, True),
    ],
)
def test_an_onnx_all_of_whose_sides_are_free_takes_the_chosen_size(
    tmp_path: Path, pictures: list[np.ndarray], shape: Any, channels: int, last: bool, wording: str
) -> None:
    """As Hugging Face's exporter writes it."""
    weights = convolve(tmp_path / "net.onnx", shape, channels, last=last)
    plain = find_scaling("0..1")
    if shape == FREE:
        with pytest.raises(ExportError, match=wording):
            open_model(tmp_path / "net.onnx", plain)
    foreign = open_model(tmp_path / "net.onnx", plain, size_px=(WIDTH, HEIGHT))
    assert foreign.size == (HEIGHT, WIDTH)
    means = np.stack(pictures).mean(axis=(1, 2)) / 255
    means = means if channels == 3 else means @ LUMA[:, np.newaxis]
    np.testing.assert_allclose(foreign.run(pictures), 2 * means @ weights.T, atol=1e-4)


def test_a_picture_of_four_channels_is_refused_though_its_sides_are_free(
    tmp_path: Path, wording: str
) -> None:
    convolve(tmp_path / "net.onnx", FREE, 4, group=2)
    with pytest.raises(ExportError, match=wording):
        open_model(tmp_path / "net.onnx", find_scaling("0..1"), size_px=32)


def test_an_oblong_model_says_its_size_with_the_width_first(
    grey_folder: Path, wording: str
) -> None:
    scaling = find_scaling("0..1")
    file = grey_folder / "grey.tflite"
    with pytest.raises(ExportError, match=wording):
        open_model(file, scaling, size_px=(24, 40))
    assert open_model(file, scaling, size_px=(40, 24)).size == (24, 40)


@pytest.mark.parametrize(
    ("fixed", "chosen", "size"),
    [
        ((None, None), 64, (64, 64)),
        ((None, None), (160, 120), (120, 160)),
        ((-1, -1), (160, 120), (120, 160)),
        ((-1, 160), (160, 120), (120, 160)),
        ((120, None), (160, 120), (120, 160)),
        ((120, 160), None, (120, 160)),
    ],
)
def test_a_free_side_is_the_chosen_one(fixed: Any, chosen: Any, size: tuple[int, int]) -> None:
    assert choose_size(fixed, chosen) == size


@pytest.mark.parametrize(
    ("fixed", "chosen", "words"),
    [
        ((120, -1), None, "images 120 px high and of any width; choose"),
        ((120, -1), (120, 160), "takes 120x120 px only; give --size 120x120"),
        ((120, 160), 160, "takes 160x120 px"),
    ],
)
def test_a_size_that_cannot_be_is_refused(fixed: Any, chosen: Any, words: str) -> None:
    with pytest.raises(ExportError, match=words):
        choose_size(fixed, chosen)


@pytest.mark.parametrize("name", [one.name for one in SCALINGS] + ["mean=0.5,0.4,0.3 std=0.2"])
def test_a_scaling_with_red_and_blue_exchanged_can_be_given_by_its_name(name: str) -> None:
    random = np.random.default_rng(1).integers(0, 256, (2, 3, 3, 3)).astype(np.uint8)
    given = find_scaling(name)
    swapped = find_scaling(given.swap().name)
    np.testing.assert_allclose(
        swapped.apply(list(random)), given.apply(list(random))[..., ::-1], atol=1e-4
    )


def test_numbers_of_ones_own_are_of_one_unit() -> None:
    picture = [np.full((1, 1, 3), (51, 102, 204), np.uint8)]
    shares = find_scaling("mean=0.2,0.4,0.8 std=0.5").apply(picture)
    np.testing.assert_allclose(shares, 0, atol=1e-6)
    levels = find_scaling("mean=(51, 102, 0) std=2,2,2").apply(picture)
    np.testing.assert_allclose(levels[0, 0, 0], [0, 0, 102], atol=1e-4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("torch", r"expected one of 0\.\.255, 0\.\.1, -1\.\.1, imagenet, caffe"),
        ("", "unknown scaling"),
        ("bgr", "unknown scaling"),
        ("bgr caffe", "is already bgr"),
        ("mean=0.5", "needs both mean= and std="),
        ("mean=0.5 mean=0.4", "cannot be read"),
        ("mean=1,2 std=3", "cannot be read"),
        ("mean=nan std=1", "cannot be read"),
        ("mean=0.5 std=0", "is out of range"),
        ("mean=300 std=1", "is out of range"),
        ("mean=0.485 std=58", "mixes units"),
        ("mean=127 std=0.5", "mixes units"),
    ],
)
def test_a_scaling_that_cannot_be_is_one_sentence(text: str, words: str) -> None:
    with pytest.raises(OptionsError, match=words):
        find_scaling(text)


@pytest.mark.parametrize(
    ("range_", "scaling", "remedy"),
    [
        ((0.0, 1.0), "-1..1", "give --scaling 0..1"),
        ((0.0, 255.0), "0..1", "give --scaling 0..255"),
        ((-1.0, 1.0), "imagenet", "give --scaling -1..1"),
        ((-2.12, 2.64), "-1..1", "give --scaling imagenet"),
        ((-128.0, 127.0), "0..255", ""),
        # Calibration photos without bright spots, and other roundings of one thing.
        ((0.0, 0.7), "0..1", None),
        ((-0.992, 1.0), "-1..1", None),
        ((-2.0, 2.2), "imagenet", None),
    ],
)
def test_a_range_contradicts_a_plainly_different_one_only(
    range_: tuple[float, float], scaling: str, remedy: str | None
) -> None:
    found = Statement("its input", range_).contradict(find_scaling(scaling))
    assert bool(found) == (remedy is not None)
    assert (remedy or "") in found


def test_the_properties_of_an_onnx_say_range_and_order() -> None:
    said = read_properties(
        {"Image.BitmapPixelFormat": "Bgr8", "Image.NominalPixelRange": "NominalRange_0_255"}
    )
    found = [one.contradict(find_scaling("0..1")) for one in said]
    assert "give --scaling 0..255" in found[0]
    assert 'channels are bgr, but --scaling 0..1 gives rgb; give --scaling "bgr 0..1"' in found[1]
    assert not any(one.contradict(find_scaling("bgr 0..255")) for one in said)
    assert read_properties({"Image.NominalPixelRange": "?"}) == ()
