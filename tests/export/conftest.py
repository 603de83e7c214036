"""What the tests of export share: drawn photos, a network of them, and the exported files.

Nothing here knows the workstation package: the parts are drawn and the network is made here, so
that the tests prove the export package on its own.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from edgetl_export.trained import Labelled, ScoredPhotos, Trained
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.image.preprocessing import Preprocessing
from tests.unbalanced import unbalance_channels

LABELS = ("bolt", "gear", "washer")
PHOTOS_A_LABEL = 16
# Each fourth photo validates.
VALIDATES = 4
SOFTER = 0.25
PREPROCESSING = Preprocessing(32, 32)


def draw_part(label: str, seed: int) -> np.ndarray:
    """uint8 BGR (64, 64, 3): a bar, a disc or a ring, somewhere on a noisy bench."""
    random = np.random.default_rng([LABELS.index(label), seed])
    picture = random.integers(50, 90, (64, 64, 3)).astype(np.uint8)
    color = random.integers(160, 256, 3).tolist()
    x, y, radius = (int(n) for n in random.integers((26, 26, 12), (38, 38, 20)))
    if label == "bolt":
        angle = random.uniform(0, np.pi)
        far = np.rint(1.3 * radius * np.array([np.cos(angle), np.sin(angle)])).astype(int)
        cv2.line(picture, (x - far[0], y - far[1]), (x + far[0], y + far[1]), color, 7)
    else:
        cv2.circle(picture, (x, y), radius, color, cv2.FILLED if label == "gear" else 5)
    return picture


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of 16 drawn photos; read only."""
    root = tmp_path_factory.mktemp("photos")
    for label in LABELS:
        (root / label).mkdir()
        for seed in range(PHOTOS_A_LABEL):
            cv2.imwrite(str(root / label / f"{seed:02d}.jpg"), draw_part(label, seed))
    return root


@pytest.fixture(scope="session")
def foreign_folder(
    photos: Path,
    make_foreign_models: Callable[..., None],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A classifier of these photos that edgetl did not train, in every form; read only."""
    framed, folder = tmp_path_factory.mktemp("framed"), tmp_path_factory.mktemp("foreign")
    # All levels from 0 to 255, so that a quantized input takes them as they are.
    for file in photos.rglob("*.jpg"):
        picture = cv2.imread(str(file))
        picture[:8, :8], picture[-8:, -8:] = 0, 255
        target = framed / file.relative_to(photos)
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), picture)
    # So easy to tell apart that one step of 8 bits of its logits would be many points else.
    make_foreign_models(framed, folder, softer=0.05)
    return folder


@pytest.fixture(scope="session")
def tiny_inputs(photos: Path) -> list[np.ndarray]:
    """uint8 (32, 32, 3) of every photo, sorted by path."""
    from edgetl_export.quantize.calibration import load_inputs

    return load_inputs(sorted(photos.rglob("*.jpg")), PREPROCESSING, "reading")


@pytest.fixture(scope="session")
def drawn(tiny_inputs: list[np.ndarray]) -> list[np.ndarray]:
    """uint8 (32, 32, 3) of each sixth photo."""
    return tiny_inputs[::6]


@pytest.fixture(scope="session")
def tiny_model(tiny_inputs: list[np.ndarray]) -> Any:
    """A small Keras classifier: float32 RGB 0..255 (n, 32, 32, 3) -> probabilities (n, 3)."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3))
    maps = layers.Rescaling(1 / 127.5, offset=-1)(image)
    for n, filters in enumerate((24, 48, 96), 1):
        name, stride = f"block{n}", 2 if n < 3 else 1
        conv = layers.Conv2D(filters, 3, stride, "same", use_bias=False, name=f"{name}_conv")
        maps = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(conv(maps))
        maps = layers.ReLU(name=f"{name}_relu")(maps)
    maps = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="block4_depth")(maps)
    maps = layers.Conv2D(128, 1, activation="relu", name="block4_conv")(maps)
    scores = layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(maps))
    model = keras.Model(image, scores)
    model.compile(keras.optimizers.Adam(2e-3), keras.losses.SparseCategoricalCrossentropy())
    truth = np.repeat(np.arange(3), PHOTOS_A_LABEL)
    train = np.arange(len(truth)) % VALIDATES > 0
    inputs = np.stack(tiny_inputs).astype(np.float32)
    model.fit(inputs[train], truth[train], batch_size=12, epochs=40, verbose=0)
    # Neither sure nor unsure, where a step of quantization would not show.
    head = model.layers[-1]
    head.set_weights([SOFTER * one for one in head.get_weights()])
    return model


@pytest.fixture(scope="session")
def tiny_expected(tiny_model: Any, tiny_inputs: list[np.ndarray]) -> np.ndarray:
    """The small classifier's scores of those."""
    return np.asarray(tiny_model.predict_on_batch(np.stack(tiny_inputs).astype(np.float32)))


@pytest.fixture(scope="session")
def trained(tiny_model: Any, photos: Path, tiny_expected: np.ndarray) -> Trained:
    """The small classifier and its photos, as whoever trained it hands them over."""
    files = sorted(photos.rglob("*.jpg"))
    listed = [Labelled(file, LABELS.index(file.parent.name)) for file in files]
    return Trained(
        graph=_convert(tiny_model),
        labels=LABELS,
        preprocessing=PREPROCESSING,
        training=tuple(one for n, one in enumerate(listed) if n % VALIDATES),
        validation=ScoredPhotos(tuple(listed[::VALIDATES]), tiny_expected[::VALIDATES]),
        test=None,
        seed=0,
        backbone="tiny",
        weights_digest="a" * 64,
        dataset_digest="b" * 64,
        model_sha256="c" * 64,
        versions={"edgetl": "0.1.0", "keras": "3"},
    )


@pytest.fixture(scope="session")
def exploding(trained: Trained, tiny_model: Any) -> Trained:
    """A model that says the same as another, but quantizes badly."""
    import keras

    model = keras.models.clone_model(tiny_model)
    model.set_weights(tiny_model.get_weights())
    unbalance_channels(model)
    return msgspec.structs.replace(trained, graph=_convert(model))


def _convert(model: Any) -> bytes:
    from edgetl_export.graph.model_graph import Graph
    from edgetl_export.quantize import tflite_quantizer

    return Graph(tflite_quantizer.convert(model)).encode()


@pytest.fixture(scope="session")
def bundle(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The small classifier, exported with every default recipe; read only."""
    from edgetl_export.options import ExportOptions
    from edgetl_export.package.bundling import export_model

    folder = tmp_path_factory.mktemp("bundles") / "parts.bundle"
    # A few validation photos more or less are no reason to spend minutes on repairs.
    return export_model(
        trained, folder, ExportOptions(max_drop=20, max_class_drop=50, strict=True)
    ).bundle
