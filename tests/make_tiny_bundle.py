"""Writes tests/data/tiny.bundle, which the device's tests read; run it when the format changes.

A network of a few hundred weights learns three drawn parts at 32 px; small, but all of it is
real: four files, their measured figures, golden frames.

    .venv/bin/python tests/make_tiny_bundle.py
"""

import hashlib
import tempfile
from pathlib import Path

import cv2
import keras
import numpy as np

from edgetl.drawings import draw_part
from edgetl_export import litert
from edgetl_export.bundling import Settings, export_bundle
from edgetl_export.graph import Graph
from edgetl_export.scoring import run
from edgetl_export.trained import Labelled, Part, Trained
from edgetl_runtime.pictures import read_picture
from edgetl_runtime.preprocessing import Preprocessing

LABELS = ("gear", "spring", "washer")
TARGET = Path(__file__).parent / "data" / "tiny.bundle"


def main() -> None:
    keras.utils.set_random_seed(0)
    preprocessing = Preprocessing(32, 32)
    with tempfile.TemporaryDirectory() as folder:
        photos = draw(Path(folder), 90)
        graph = Graph(litert.convert(fit(photos, preprocessing))).encode()
        judged = tuple(photos[-30:])
        inputs = [preprocessing.apply(read_picture(photo.file)) for photo in judged]
        trained = Trained(
            graph=graph,
            labels=LABELS,
            preprocessing=preprocessing,
            training=tuple(photos[:-30]),
            validation=Part(judged, run("litert", graph, inputs)),
            test=None,
            seed=0,
            backbone="tiny",
            weights_digest="none",
            dataset_digest=hashlib.sha256(b"drawn").hexdigest(),
            model_sha256=hashlib.sha256(b"drawn").hexdigest(),
            versions={"edgetl": "0.1.0"},
        )
        export_bundle(trained, TARGET, Settings(), overwrite=True)


def draw(folder: Path, a_class: int) -> list[Labelled]:
    photos = []
    for seed in range(a_class):
        for index, label in enumerate(LABELS):
            path = folder / label / f"{seed}.png"
            path.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(path), draw_part(label, seed, 72))
            photos.append(Labelled(path, index))
    return photos


def fit(photos: list[Labelled], preprocessing: Preprocessing) -> keras.Model:
    image = keras.Input((32, 32, 3), name="image")
    maps = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    for filters in (8, 16, 16):
        maps = keras.layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")(maps)
    features = keras.layers.GlobalAveragePooling2D()(maps)
    scores = keras.layers.Dense(len(LABELS), activation="softmax", name="head")(features)
    model = keras.Model(image, scores)
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy")
    inputs = [preprocessing.apply(read_picture(photo.file)) for photo in photos[:-30]]
    truth = np.array([photo.index for photo in photos[:-30]])
    model.fit(np.stack(inputs).astype(np.float32), truth, epochs=60, verbose=0)
    return model


if __name__ == "__main__":
    main()
