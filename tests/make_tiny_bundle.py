"""Writes tests/data/tiny.bundle, which the device's tests read; run it when the format changes.

A network of a few hundred weights learns three drawn parts at 32 px; small, but all of it is
real: four files, their measured figures, golden frames.

It also writes tests/data/damaged: the LiteRT files of that bundle with one thing wrong in each.
`--learning` writes tests/data/learning.bundle instead, the same in format 4, with memories.

    .venv/bin/python tests/make_tiny_bundle.py
"""

import hashlib
import sys
import tempfile
from pathlib import Path

import cv2
import keras
import numpy as np

from edgetl.drawings import draw_part
from edgetl_export.evaluate.scoring import run
from edgetl_export.graph.flatbuffer import read_tree, write_tree
from edgetl_export.graph.model_graph import Graph
from edgetl_export.options import ExportOptions
from edgetl_export.package.bundling import export_model
from edgetl_export.quantize import tflite_quantizer
from edgetl_export.trained import Labelled, ScoredPhotos, Trained
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.image.preprocessing import Preprocessing

LABELS = ("gear", "spring", "washer")
TARGET = Path(__file__).parent / "data" / "tiny.bundle"
LEARNING = TARGET.with_name("learning.bundle")
DAMAGED = Path(__file__).parent / "data" / "damaged"
CONVOLUTION, DENSE = 3, 9


def main() -> None:
    learning = "--learning" in sys.argv
    target = LEARNING if learning else TARGET
    keras.utils.set_random_seed(0)
    preprocessing = Preprocessing(32, 32)
    with tempfile.TemporaryDirectory() as folder:
        photos = draw(Path(folder), 90)
        graph = Graph(tflite_quantizer.convert(fit(photos, preprocessing))).encode()
        judged = tuple(photos[-30:])
        inputs = [preprocessing.apply(read_picture(photo.file)) for photo in judged]
        trained = Trained(
            graph=graph,
            labels=LABELS,
            preprocessing=preprocessing,
            training=tuple(photos[:-30]),
            validation=ScoredPhotos(judged, run("litert", graph, inputs)),
            test=None,
            seed=0,
            backbone="tiny",
            weights_digest="none",
            dataset_digest=hashlib.sha256(b"drawn").hexdigest(),
            model_sha256=hashlib.sha256(b"drawn").hexdigest(),
            versions={"edgetl": "0.1.0"},
        )
        export_model(trained, target, ExportOptions(strict=True), overwrite=True)
    if not learning:
        write_damaged()


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


def write_damaged() -> None:
    """`head`: its outputs change places; `layer`: its weights do; `scaling`: weights are halved."""
    DAMAGED.mkdir(exist_ok=True)
    for name in ("litert-int8", "litert-float32"):
        model = (TARGET / f"{name}.tflite").read_bytes()
        for damage, kind, place in (
            ("head", DENSE, -1),
            ("layer", CONVOLUTION, 1),
            ("scaling", CONVOLUTION, 0),
        ):
            damaged = change_weights(model, kind, place, damage)
            (DAMAGED / f"{name}-{damage}.tflite").write_bytes(damaged)


def change_weights(model: bytes, kind: int, place: int, damage: str) -> bytes:
    """Changes the weights of the layer at a place among those of one kind."""
    tree = read_tree(model)
    graph = tree.subgraphs[0]
    codes = [max(one.builtinCode, one.deprecatedBuiltinCode) for one in tree.operatorCodes]
    layers = [one for one in graph.operators if codes[one.opcodeIndex] == kind]
    tensor = graph.tensors[layers[place].inputs[1]]
    buffer = tree.buffers[tensor.buffer]
    dtype = np.float32 if tensor.type == 0 else np.int8
    weights = np.array(buffer.data, np.uint8).view(dtype).reshape(tensor.shape)
    if damage == "head":
        weights = np.roll(weights, 1, axis=0)
    elif damage == "layer":
        weights = np.random.default_rng(0).permuted(weights)
    else:
        weights = (weights / 2).astype(dtype)
    buffer.data = np.frombuffer(np.ascontiguousarray(weights).tobytes(), np.uint8)
    return write_tree(tree)


if __name__ == "__main__":
    main()
