"""`edgetl train` against a plain Keras recipe, on the same photos, split and weights.

    EDGETL_TEST_DATA=... .venv/bin/python benchmarks/training.py [--backbone NAME] [--json]

The plain recipe: frozen backbone, `image_dataset_from_directory`, `fit` for 15 epochs. Both run
in this process after TensorFlow was imported; edgetl starts with an empty cache (cold), then
runs again (warm). Seeds are given, not chosen: the first three.
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from data import test_data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--backbone",
        default="mobilenet_v2_0.35",
        choices=("mobilenet_v2_0.35", "efficientnet_v2_b0"),
    )
    parser.add_argument("--seeds", type=int, default=1, help="repeat with seeds 0..N-1")
    parser.add_argument("--epochs", type=int, default=15, help="of the plain recipe; 0 skips it")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    data = test_data()
    os.environ["EDGETL_WEIGHTS_DIR"] = str(data / "weights")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow  # noqa: F401

    records = [
        compare(data, options.backbone, seed, options.epochs) for seed in range(options.seeds)
    ]
    if options.json:
        print(json.dumps(records))
        return
    for record in records:
        show(record)


def compare(data: Path, backbone: str, seed: int, epochs: int) -> dict:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["EDGETL_CACHE"] = str(folder / "cache")
        cold = train(data / "trashnet", folder / "cold", backbone, seed)
        warm = train(data / "trashnet", folder / "warm", backbone, seed)
        plain = plain_keras(data, folder, backbone, epochs) if epochs else None
    record = {"backbone": backbone, "seed": seed, "cold": cold, "warm": warm, "plain": plain}
    if plain:
        record["cold_ratio"] = plain["seconds"] / cold["seconds"]
        record["warm_ratio"] = plain["seconds"] / warm["seconds"]
    return record


def train(photos: Path, out: Path, backbone: str, seed: int) -> dict:
    from edgetl.train import Options
    from edgetl.train import train as run_training

    start = time.perf_counter()
    run = run_training(photos, out, Options(backbone=backbone, seed=seed))
    return {
        "seconds": time.perf_counter() - start,
        "top1": run.metrics.top1,
        "features_s": run.file.seconds.features,
        "head_s": run.file.seconds.head,
    }


def plain_keras(data: Path, folder: Path, backbone: str, epochs: int) -> dict:
    import keras

    from edgetl.run import Run

    manifest = Run.open(folder / "cold").manifest
    for example in manifest.examples:
        link = folder / example.split / example.path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(manifest.file(example))
    start = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):
        train_set, val_set = (
            keras.utils.image_dataset_from_directory(
                folder / part, image_size=(224, 224), batch_size=32, seed=0
            ).prefetch(2)
            for part in ("train", "val")
        )
        model = build_plain(keras, data, backbone, len(manifest.labels))
        history = model.fit(train_set, validation_data=val_set, epochs=epochs, verbose=2)
    return {"seconds": time.perf_counter() - start, "top1": history.history["val_accuracy"][-1]}


def build_plain(keras, data: Path, backbone: str, classes: int):
    image = keras.Input((224, 224, 3))
    if backbone == "mobilenet_v2_0.35":
        network = keras.applications.MobileNetV2(
            (224, 224, 3), 0.35, include_top=False, weights=None
        )
        scaled = keras.layers.Rescaling(1 / 127.5, offset=-1)(image)
    else:
        network = keras.applications.EfficientNetV2B0(
            include_top=False, weights=None, input_shape=(224, 224, 3)
        )
        scaled = image
    network.load_weights(data / "weights" / f"{backbone}_224_notop.weights.h5")
    network.trainable = False
    features = keras.layers.GlobalAveragePooling2D()(network(scaled, training=False))
    scores = keras.layers.Dense(classes, activation="softmax")(keras.layers.Dropout(0.2)(features))
    model = keras.Model(image, scores)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def show(record: dict) -> None:
    print(f"{record['backbone']} on TrashNet, 224 px, seed {record['seed']}")
    for name in ("plain", "cold", "warm"):
        if (one := record[name]) is not None:
            print(f"  {name:<6} {one['seconds']:7.1f} s   validation top-1 {one['top1']:.3f}")
    if record["plain"]:
        print(
            f"  edgetl is {record['cold_ratio']:.1f} times faster, "
            f"{record['warm_ratio']:.1f} times with a warm cache",
            flush=True,
        )


if __name__ == "__main__":
    main()
