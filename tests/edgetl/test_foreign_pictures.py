"""`edgetl export --model` of models that take grey or oblong pictures, or blue first."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgetl.exporting.foreign import ForeignOptions, export_foreign
from edgetl_runtime.bundle.golden_frames import verify
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.image.preprocessing import Preprocessing

LABELS = ("washer", "bolt", "gear")
WIDTH, HEIGHT = 40, 24
LUMA = np.array([0.299, 0.587, 0.114])


def prepare(photos: Path) -> tuple[np.ndarray, np.ndarray]:
    """Levels (photos, height, width, 3) and indices of labels."""
    apply = Preprocessing(WIDTH, HEIGHT).apply
    files = [file for label in LABELS for file in sorted((photos / label).glob("*.jpg"))]
    levels = np.stack([apply(read_picture(file)) for file in files]).astype(np.float64)
    return levels, np.array([LABELS.index(file.parent.name) for file in files])


def train(inputs: np.ndarray, truth: np.ndarray) -> Any:
    import keras

    keras.utils.set_random_seed(0)
    image = keras.Input(inputs.shape[1:])
    maps = image
    for filters in (8, 16, 16):
        maps = keras.layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")(maps)
    scores = keras.layers.Dense(3, "softmax")(keras.layers.Flatten()(maps))
    model = keras.Model(image, scores)
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy")
    model.fit(inputs.astype(np.float32), truth, epochs=50, verbose=0)
    return model


def _quantize(model: Any, inputs: np.ndarray, target: Path) -> None:
    import tensorflow as tf

    from edgetl_export.graph.conversion import convert_to_tflite
    from edgetl_export.quiet_stderr import divert_stderr

    with divert_stderr():
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [one[np.newaxis]] for one in inputs.astype(np.float32)
    )
    converter.inference_input_type = converter.inference_output_type = tf.int8
    target.write_bytes(convert_to_tflite(converter))


# What `--scaling` says -> what the model was trained on.
MODELS = {
    "mean=0.45 std=0.2": lambda x: ((x @ LUMA)[..., np.newaxis] / 255 - 0.45) / 0.2,
    "bgr mean=120,110,100 std=60": lambda x: (x[..., ::-1] - [120, 110, 100]) / 60,
}


@pytest.fixture(scope="module", params=MODELS)
def model(
    request: pytest.FixtureRequest, photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Any, Path]:
    """What `--scaling` says of a model, the model, and its folder."""
    levels, truth = prepare(photos)
    trained = train(MODELS[request.param](levels), truth)
    folder = tmp_path_factory.mktemp("oblong")
    (folder / "labels.txt").write_text("\n".join(LABELS))
    trained.save(folder / "model.keras")
    _quantize(trained, MODELS[request.param](levels), folder / "int8.tflite")
    return request.param, trained, folder


def test_a_model_of_other_pictures_runs_on_the_device_in_every_recipe(
    model: tuple[str, Any, Path], photos: Path, tmp_path: Path
) -> None:
    scaling, trained, folder = model
    options = ForeignOptions(
        folder / "model.keras", folder / "labels.txt", photos, scaling, trust=True
    )
    exported = export_foreign(options, tmp_path / "b")
    assert exported.examination is not None
    assert not exported.examination.doubts
    bundle = Bundle.open(tmp_path / "b")
    assert verify(bundle).ok
    made = bundle.manifest.preprocessing
    assert (made.width_px, made.height_px) == (WIDTH, HEIGHT)
    assert {one.name for one in bundle.manifest.variants} == {
        *("litert-int8", "litert-float32", "onnx-int8", "onnx-float32")
    }
    levels, truth = prepare(photos)
    expected = np.asarray(trained(MODELS[scaling](levels).astype(np.float32), training=False))
    files = [file for label in LABELS for file in sorted((photos / label).glob("*.jpg"))]
    for variant in bundle.manifest.variants:
        classify = Classifier.open(bundle, variant=variant.name)
        named = [classify(read_picture(file)).scores.argmax() for file in files]
        assert np.mean(named == expected.argmax(axis=1)) > 0.9, variant.name
        assert np.mean(named == truth) > 0.9, variant.name


def test_a_quantized_file_of_other_pictures_ships_with_its_scaling_in_front(
    model: tuple[str, Any, Path], photos: Path, tmp_path: Path
) -> None:
    scaling, _, folder = model
    options = ForeignOptions(folder / "int8.tflite", folder / "labels.txt", photos, scaling)
    export_foreign(options, tmp_path / "b")
    bundle = Bundle.open(tmp_path / "b")
    (variant,) = bundle.manifest.variants
    assert (variant.name, variant.metrics.top1 > 0.9) == ("litert-int8", True)
    assert verify(bundle).ok
    photo = photos / "gear" / "03.jpg"
    assert Classifier.open(bundle)(read_picture(photo)).label == "gear"


def test_float_scores_are_those_of_the_model_on_its_own_preprocessing(
    model: tuple[str, Any, Path], photos: Path
) -> None:
    from edgetl_export.evaluate.scoring import run_described
    from edgetl_export.evaluate.tensors import describe_tflite
    from edgetl_export.load import open_model
    from edgetl_export.load.output_activation import NOTHING
    from edgetl_export.load.scaling import find_scaling

    scaling, trained, folder = model
    levels, _ = prepare(photos)
    expected = np.asarray(trained(MODELS[scaling](levels).astype(np.float32), training=False))
    foreign = open_model(folder / "model.keras", find_scaling(scaling), trust=True)
    source = foreign.finish(NOTHING)
    pictures = list(levels.astype(np.uint8))
    found = run_described("litert", source.data, describe_tflite(source.data), pictures)
    np.testing.assert_allclose(found, expected, atol=1e-4)
