"""Files of Keras, of whichever version: opened by what can read them, or told why not."""

import importlib.util
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from edgetl_export.evaluate.scoring import run_described
from edgetl_export.evaluate.tensors import describe_tflite
from edgetl_export.load import open_model
from edgetl_export.load.output_activation import NOTHING
from edgetl_export.load.scaling import find_scaling
from edgetl_runtime.errors import ExportError

SCALING = find_scaling("-1..1")
HAS_KERAS_2 = importlib.util.find_spec("tf_keras") is not None
PICTURES = list(np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8))


def refuse(path: Path) -> str:
    with pytest.raises(ExportError) as caught:
        open_model(path, SCALING, trust=True)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path} ")
    return str(caught.value)


def make(*layers: Any) -> Any:
    image = keras.Input((32, 32, 3))
    now = image
    for layer in (*layers, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)):
        now = layer(now)
    return keras.Model(image, now)


def rewrite(model: Any, target: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Saves a .keras and changes its text of the network, and what it says of its version."""
    model.save(target.with_name("plain.keras"))
    with (
        zipfile.ZipFile(target.with_name("plain.keras")) as plain,
        zipfile.ZipFile(target, "w") as changed,
    ):
        parts = {name: plain.read(name) for name in plain.namelist()}
        texts = {name: json.loads(parts[f"{name}.json"]) for name in ("config", "metadata")}
        change(texts)
        parts |= {f"{name}.json": json.dumps(text).encode() for name, text in texts.items()}
        for name, data in parts.items():
            changed.writestr(name, data)
    return target


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_weights_alone_are_told_from_a_model(tmp_path: Path) -> None:
    make(keras.layers.Conv2D(2, 3)).save_weights(tmp_path / "a.weights.h5")
    assert "weights or other arrays, but no Keras model; save the whole" in refuse(
        tmp_path / "a.weights.h5"
    )
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["keras_version"] = b"2.11.0"
        file.create_group("conv")
    assert "model.save('model.keras')" in refuse(tmp_path / "old.h5")
    make().save(tmp_path / "m.h5")
    (tmp_path / "cut.h5").write_bytes((tmp_path / "m.h5").read_bytes()[:3000])
    assert "is damaged or incomplete" in refuse(tmp_path / "cut.h5")


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_code_in_a_model_is_never_run(tmp_path: Path, name: str) -> None:
    witness = tmp_path / "witness"
    layer = keras.layers.Lambda(
        lambda image, path=str(witness): (open(path, "w").close(), image)[1],
        output_shape=(32, 32, 3),
    )
    make(layer).save(tmp_path / name)
    witness.unlink(missing_ok=True)
    assert "has a Lambda layer, which can contain any code" in refuse(tmp_path / name)
    assert not witness.exists()


def test_a_layer_of_somebodys_own_is_named(tmp_path: Path) -> None:
    class Doubled(keras.layers.Layer):  # type: ignore[misc]
        def call(self, image: Any) -> Any:
            return image * 2

    for name in ("m.keras", "m.h5"):
        make(Doubled()).save(tmp_path / name)
        said = refuse(tmp_path / name)
        assert f"has Doubled, which is not a layer of Keras {keras.__version__}; export it" in said


def test_what_a_newer_keras_wrote_is_said_with_both_versions(tmp_path: Path) -> None:
    def change(texts: dict[str, Any]) -> None:
        texts["config"]["config"]["layers"][1]["config"]["sparkle"] = True
        texts["metadata"]["keras_version"] = "9.1.0"

    path = rewrite(make(keras.layers.Conv2D(2, 3)), tmp_path / "new.keras", change)
    assert (
        f"was made by Keras 9.1.0, which is newer than the installed Keras {keras.__version__}"
        in refuse(path)
    )


def test_the_cause_is_quoted_and_not_what_keras_says_first(tmp_path: Path) -> None:
    def change(texts: dict[str, Any]) -> None:
        texts["config"]["config"]["layers"][1]["config"]["sparkle"] = True

    path = rewrite(make(keras.layers.Conv2D(2, 3)), tmp_path / "odd.keras", change)
    said = refuse(path)
    assert "Unrecognized keyword arguments passed to Conv2D: {'sparkle': True}" in said
    assert "Functional" not in said


def test_of_two_outputs_the_line_that_leaves_one_is_told(tmp_path: Path) -> None:
    model = make()
    keras.Model(model.input, [model.output, model.layers[-2].output]).save(tmp_path / "m.keras")
    assert "has 2 outputs, expected 1; save it with the scores only" in refuse(tmp_path / "m.keras")


@pytest.mark.skipif(HAS_KERAS_2, reason="tf_keras is installed")
def test_what_only_keras_2_can_read_names_its_reader(tmp_path: Path) -> None:
    import tensorflow as tf

    def change(texts: dict[str, Any]) -> None:
        # As `preprocess_input` in a model became a layer of Keras 2.
        texts["config"]["config"]["layers"][1]["class_name"] = "TFOpLambda"
        texts["metadata"]["keras_version"] = "2.15.0"

    path = rewrite(make(keras.layers.Conv2D(2, 3)), tmp_path / "old.keras", change)
    fitting = ".".join(tf.__version__.split(".")[:2])
    said = refuse(path)
    assert "was made by Keras 2.15.0" in said
    assert said.endswith(f"run this again: pip install 'tf_keras=={fitting}.*'")


@pytest.mark.skipif(not HAS_KERAS_2, reason="tf_keras is not installed")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["keras_model.h5", "old.keras"])
def test_what_keras_2_wrote_is_read_by_keras_2(tmp_path: Path, name: str) -> None:
    import tf_keras

    layers = tf_keras.layers
    image = tf_keras.Input((32, 32, 3))
    scaled = tf_keras.applications.mobilenet_v2.preprocess_input(image)
    maps = layers.DepthwiseConv2D(3)(layers.Conv2D(4, 3, strides=2)(scaled))
    inner = tf_keras.Sequential(
        [tf_keras.Model(image, maps), layers.BatchNormalization(), layers.GlobalMaxPooling2D()]
    )
    model = tf_keras.Sequential([inner, layers.Dense(3, "softmax")])
    expected = model(np.stack(PICTURES).astype(np.float32)).numpy()
    model.save(tmp_path / name)
    foreign = open_model(tmp_path / name, find_scaling("0..255"), trust=True)
    assert foreign.activation == "softmax"
    np.testing.assert_allclose(foreign.run(PICTURES), expected, atol=1e-5)


@pytest.mark.skipif(not HAS_KERAS_2, reason="tf_keras is not installed")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("spelling", [b'"class_name":  "Lambda"', b'"class_name": "\\u004cambda"'])
def test_code_is_found_however_its_name_is_spelled(tmp_path: Path, spelling: bytes) -> None:
    import tf_keras

    witness = tmp_path / "witness"
    layer = tf_keras.layers.Lambda(
        lambda image, path=str(witness): (open(path, "w").close(), image)[1]
    )
    image = tf_keras.Input((32, 32, 3))
    tf_keras.Model(image, layer(image)).save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        text = file.attrs["model_config"]
        text = text.encode() if isinstance(text, str) else text
        file.attrs["model_config"] = text.replace(b'"class_name": "Lambda"', spelling)
    witness.unlink(missing_ok=True)
    assert "has a Lambda layer" in refuse(tmp_path / "m.h5")
    assert not witness.exists()


@pytest.mark.skipif(not HAS_KERAS_2, reason="tf_keras is not installed")
@pytest.mark.filterwarnings("ignore")
def test_code_in_a_model_of_keras_2_is_never_run(tmp_path: Path) -> None:
    import tf_keras

    image = tf_keras.Input((32, 32, 3))
    tf_keras.Model(image, tf_keras.layers.Lambda(lambda one: one)(image)).save(tmp_path / "m.h5")
    assert "has a Lambda layer" in refuse(tmp_path / "m.h5")


@pytest.mark.parametrize(
    ("part", "packing"),
    [
        ("model.weights.h5", zipfile.ZIP_STORED),
        ("config.json", zipfile.ZIP_DEFLATED),
        ("config.json", zipfile.ZIP_STORED),
    ],
)
def test_a_damaged_part_of_a_keras_file_is_called_so(
    tmp_path: Path, part: str, packing: int
) -> None:
    make(keras.layers.Conv2D(2, 3)).save(tmp_path / "whole.keras")
    with zipfile.ZipFile(tmp_path / "whole.keras") as whole:
        parts = {name: whole.read(name) for name in whole.namelist()}
    with zipfile.ZipFile(tmp_path / "a.keras", "w", packing) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
        middle = archive.getinfo(part).header_offset + archive.getinfo(part).compress_size // 2 + 90
    data = bytearray((tmp_path / "a.keras").read_bytes())
    data[middle : middle + 20] = b"\xff" * 20
    (tmp_path / "a.keras").write_bytes(data)
    said = refuse(tmp_path / "a.keras")
    assert " is damaged" in said
    assert said.endswith("copy or download it again")


def test_a_keras_file_that_would_fill_the_memory_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", b" " * (2**26 + 1))
        archive.writestr("model.weights.h5", b"")
    assert "bytes when unpacked, more than a model for" in refuse(tmp_path / "bomb.keras")


def test_the_inputs_of_a_model_that_has_several_are_named(tmp_path: Path) -> None:
    ends = [keras.Input((32, 32, 3), name="left"), keras.Input((32, 32, 3), name="right")]
    keras.Model(ends, keras.layers.Add()(ends)).save(tmp_path / "two.keras")
    assert "has 2 inputs (left, right), expected 1" in refuse(tmp_path / "two.keras")


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_damaged_text_of_the_network_in_an_h5_is_called_so(tmp_path: Path) -> None:
    make(keras.layers.Conv2D(2, 3)).save(tmp_path / "a.h5")
    data = (tmp_path / "a.h5").read_bytes()
    (tmp_path / "a.h5").write_bytes(data.replace(b'"class_name"', b'"class_name?', 1))
    assert "is damaged: the description of its layers is not JSON" in refuse(tmp_path / "a.h5")


def serve(target: Path, kind: str, *, best: bool = False, scores: int = 1) -> Any:
    """A SavedModel by hand, of levels 0..255 in numbers of some kind; returns the network."""
    import tensorflow as tf

    keras.utils.set_random_seed(4)
    network = make(keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(4, 3, strides=2))

    def call(image: Any) -> dict[str, Any]:
        shares = tf.nn.softmax(network(tf.cast(image, tf.float32)))
        outputs = {f"scores{n}": shares for n in range(scores)}
        return outputs | ({"best": tf.argmax(shares, axis=1)} if best else {})

    module = tf.Module()
    module.network = network
    spec = tf.TensorSpec((None, 32, 32, 3), kind, name="image")
    function = tf.function(call, input_signature=[spec])
    tf.saved_model.save(module, str(target), signatures={"serving_default": function})
    return network


@pytest.mark.parametrize("kind", ["uint8", "int32", "float16", "float32"])
def test_a_saved_model_takes_levels_in_numbers_of_any_kind(tmp_path: Path, kind: str) -> None:
    network = serve(tmp_path / "m", kind, best=True)
    foreign = open_model(tmp_path / "m", find_scaling("0..255"), trust=True)
    expected = np.asarray(keras.ops.softmax(network(np.stack(PICTURES).astype(np.float32))))
    close = 1e-2 if kind == "float16" else 1e-4
    np.testing.assert_allclose(foreign.run(PICTURES), expected, atol=close)
    source = foreign.finish(NOTHING)
    tensors = describe_tflite(source.data, any_step=True)
    ran = run_described("litert", source.data, tensors, PICTURES)
    np.testing.assert_allclose(ran, expected, atol=close)
    assert foreign.words == "its output scores0 is used as the scores, best left out"
    said = [one.contradict(SCALING) for one in foreign.statements]
    assert bool(said) == (kind in ("uint8", "int32"))
    assert all("give --scaling 0..255" in one for one in said)


def test_a_saved_model_of_other_ends_is_refused_by_their_names(tmp_path: Path) -> None:
    import tensorflow as tf

    serve(tmp_path / "two", "float32", scores=2)
    assert "has 2 outputs (scores0, scores1), expected 1 of scores" in refuse(tmp_path / "two")
    module = tf.Module()
    for name, spec in (("bytes", tf.TensorSpec((None,), tf.string)), ("any", tf.TensorSpec(None))):
        function = tf.function(
            lambda image: {"scores": tf.zeros((1, 3)) + tf.cast(tf.size(image), tf.float32)},
            input_signature=[spec],
        )
        tf.saved_model.save(module, str(tmp_path / name), signatures={"serving_default": function})
    assert "takes string, such as the bytes of a file" in refuse(tmp_path / "bytes")
    assert "does not state its input shape" in refuse(tmp_path / "any")
