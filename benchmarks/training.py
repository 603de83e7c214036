"""`edgetl train` against plain Keras recipes, on the same photos, split, weights and blocks.

    EDGETL_TEST_DATA=... .venv/bin/python benchmarks/training.py [--backbone NAME]
        [--cases head,auto,all] [--epochs 12] [--all-epochs 4] [--peer-epochs N] [--json]

The plain recipes are those of the Keras guides: `image_dataset_from_directory`, augmentation
layers, a frozen backbone that is `fit`; then the same blocks are unfrozen (BatchNorm layers stay
frozen) and `fit` goes on at a lower rate. All cases run in one process after TensorFlow was
imported; edgetl starts with an empty cache (cold), then runs again (warm). The validation
accuracy of a plain recipe is that of its last epoch. `--peer-epochs 2` only times the peer.
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

FROZEN_EPOCHS = 15
GUIDE_RATE = 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--backbone",
        default="mobilenet_v2_0.35",
        choices=("mobilenet_v2_0.35", "efficientnet_v2_b0", "efficientnet_lite0"),
    )
    parser.add_argument("--cases", default="head,auto", help="of head, auto, all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12, help="of fine-tuning blocks, both sides")
    parser.add_argument("--all-epochs", type=int, default=4, help="of fine-tuning everything")
    parser.add_argument("--peer-epochs", type=int, help="of each plain recipe; 0 skips them")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    data = test_data()
    os.environ["EDGETL_WEIGHTS_DIR"] = str(data / "weights")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow  # noqa: F401

    with tempfile.TemporaryDirectory() as folder:
        os.environ["EDGETL_CACHE"] = f"{folder}/cache"
        for case in options.cases.split(","):
            record = compare(case, data, Path(folder), options)
            if options.json:
                print(json.dumps(record), flush=True)
            else:
                show(record)


def compare(case: str, data: Path, folder: Path, options: argparse.Namespace) -> dict:
    finetune = {"head": "none"}.get(case, case)
    epochs = {"head": FROZEN_EPOCHS, "auto": options.epochs, "all": options.all_epochs}[case]
    record: dict = {"case": case, "backbone": options.backbone, "seed": options.seed}
    for state in ("cold", "warm") if case != "all" else ("cold",):
        out = folder / f"{case}-{state}"
        record[state] = train(data / "trashnet", out, options, finetune, epochs)
    peer_epochs = epochs if options.peer_epochs is None else options.peer_epochs
    if peer_epochs:
        record["plain"] = plain_keras(data, folder, case, options.backbone, peer_epochs)
        record["epoch_ratio"] = record["plain"]["epoch_s"] / record["cold"]["epoch_s"]
    return record


def train(photos: Path, out: Path, options: argparse.Namespace, finetune: str, epochs: int) -> dict:
    from edgetl.options import FittingOptions, TrainOptions
    from edgetl.training.train import train as run_training

    training = FittingOptions(finetune_epochs=None if finetune == "none" else epochs)
    start = time.perf_counter()
    run = run_training(
        photos,
        out,
        TrainOptions(
            backbone=options.backbone, seed=options.seed, finetune=finetune, training=training
        ),
    )
    last = run.histories[-1]
    return {
        "seconds": time.perf_counter() - start,
        "top1": run.metrics.top1,
        "trained": run.spec.describe_cut(),
        "epoch_s": last.seconds / len(last.curves["loss"]),
        "epochs": len(last.curves["loss"]),
        "stages": run.file.seconds,
    }


def plain_keras(data: Path, folder: Path, case: str, backbone: str, epochs: int) -> dict:
    import keras

    from edgetl.run import Run

    run = Run.open(folder / f"{case}-cold")
    link_photos(run.manifest, folder)
    start = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):
        sets = [
            keras.utils.image_dataset_from_directory(
                folder / part, image_size=(224, 224), batch_size=32, seed=0
            ).prefetch(2)
            for part in ("train", "val")
        ]
        model, network = build_plain(keras, data, backbone, len(run.manifest.labels), case)
        if case == "head":
            history, last_s = fit(model, sets, epochs, 1e-3)
        else:
            if epochs > 2:
                fit(model, sets, 5, 1e-3)
            unfreeze(keras, network, run.spec.cut)
            history, last_s = fit(model, sets, epochs, GUIDE_RATE)
    return {
        "seconds": time.perf_counter() - start,
        "top1": history.history["val_accuracy"][-1],
        "best_top1": max(history.history["val_accuracy"]),
        "epoch_s": last_s / epochs,
        "epochs": epochs,
    }


def link_photos(manifest, folder: Path) -> None:
    for example in manifest.examples:
        link = folder / example.split / example.path
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(manifest.file(example))


def fit(model, sets, epochs: int, rate: float):
    import keras

    model.compile(
        keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    start = time.perf_counter()
    history = model.fit(sets[0], validation_data=sets[1], epochs=epochs, verbose=2)
    return history, time.perf_counter() - start


def unfreeze(keras, network, cut: str) -> None:
    names = [layer.name for layer in network.layers]
    start = names.index(cut) + 1 if cut in names else 0
    for layer in network.layers[start:]:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)


def build_plain(keras, data: Path, backbone: str, classes: int, case: str):
    from edgetl.networks.backbones import find_backbone
    from edgetl.networks.model import load_network
    from edgetl.networks.weights import find_weights

    image = pixels = keras.Input((224, 224, 3))
    if case != "head":
        for layer in (
            keras.layers.RandomFlip("horizontal"),
            keras.layers.RandomRotation(15 / 360),
            keras.layers.RandomZoom(0.2),
            keras.layers.RandomTranslation(0.08, 0.08),
            keras.layers.RandomContrast(0.2),
        ):
            pixels = layer(pixels)
    if backbone == "mobilenet_v2_0.35":
        network = keras.applications.MobileNetV2(
            (224, 224, 3), 0.35, include_top=False, weights=None
        )
        pixels = keras.layers.Rescaling(1 / 127.5, offset=-1)(pixels)
    elif backbone == "efficientnet_lite0":
        # Keras has no such network: ours, with the weights of the package.
        row = find_backbone(backbone)
        network = load_network(row, find_weights("imagenet", row, 224), 224)
        pixels = keras.layers.Rescaling(1 / 128, offset=-127 / 128)(pixels)
    else:
        network = keras.applications.EfficientNetV2B0(
            include_top=False, weights=None, input_shape=(224, 224, 3)
        )
    if backbone != "efficientnet_lite0":
        network.load_weights(data / "weights" / f"{backbone}_224_notop.weights.h5")
    for layer in network.layers:
        layer.trainable = False
    features = keras.layers.GlobalAveragePooling2D()(network(pixels, training=False))
    scores = keras.layers.Dense(classes, activation="softmax")(keras.layers.Dropout(0.2)(features))
    return keras.Model(image, scores), network


def show(record: dict) -> None:
    print(f"{record['backbone']}, {record['case']}: {record['cold']['trained']}")
    for name in ("cold", "warm", "plain"):
        if one := record.get(name):
            label = "plain Keras" if name == "plain" else f"edgetl, {name}"
            print(
                f"  {label:<12} top-1 {one['top1']:.3f}  {one['seconds']:7.1f} s in all, "
                f"{one['epoch_s']:6.2f} s an epoch, {one['epochs']} epochs"
            )
    if "epoch_ratio" in record:
        print(f"  an epoch of edgetl is {record['epoch_ratio']:.1f} times faster", flush=True)


if __name__ == "__main__":
    main()
