"""Training a whole network from random weights, for `--weights none`."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl.epochs import tracking_callback
from edgetl.manifest import DatasetManifest, Split
from edgetl_export.progress import Track
from edgetl_runtime.pictures import read_picture
from edgetl_runtime.preprocessing import Frame, Preprocessing

if TYPE_CHECKING:
    import keras

_BATCH = 32
_LEARNING_RATE = 2e-3
_LABEL_SMOOTHING = 0.05


class Pixels(msgspec.Struct, frozen=True, eq=False):
    """A part of the data set, ready for the network.

    Attributes:
        images: uint8 (photos, height, width, 3) RGB.
        classes: int64 (photos,).
    """

    images: Frame
    classes: NDArray[np.int64]


def load_pixels(
    manifest: DatasetManifest, preprocessing: Preprocessing, split: Split, track: Track
) -> Pixels:
    """Decodes and preprocesses one part of the data set on all processors.

    Raises:
        FrameError: If a photo cannot be read any more.
    """
    examples = manifest.part(split)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        inputs = pool.map(
            lambda example: preprocessing.apply(read_picture(manifest.file(example))), examples
        )
        images = np.stack(list(track(inputs, f"decoding {split} photos", len(examples))))
    return Pixels(images, np.array([manifest.index(example) for example in examples], np.int64))


def train_all(
    model: "keras.Model", train: Pixels, val: Pixels, *, epochs: int, seed: int, track: Track
) -> dict[str, list[float]]:
    """Trains every weight of a classifier; mirrored photos count as photos, too.

    Returns:
        Learning curves: name -> one value an epoch.
    """
    import keras
    import tensorflow as tf

    classes = model.output_shape[-1]
    steps = epochs * -(-len(train.images) // _BATCH)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=_LEARNING_RATE, warmup_steps=max(1, steps // 20)
    )
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=1e-3),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=_LABEL_SMOOTHING),
        metrics=["accuracy"],
        jit_compile=False,
    )

    def batches(pixels: Pixels, *, shuffled: bool) -> Any:
        one_hot = keras.utils.to_categorical(pixels.classes, classes)
        data = tf.data.Dataset.from_tensor_slices((pixels.images, one_hot))
        if shuffled:
            numbers = tf.data.Dataset.counter()
            data = data.shuffle(len(pixels.images), seed=seed, reshuffle_each_iteration=True)
            data = tf.data.Dataset.zip(data, numbers).map(_mirror(seed))
        return data.batch(_BATCH).map(lambda x, y: (tf.cast(x, tf.float32), y)).prefetch(2)

    result = model.fit(
        batches(train, shuffled=True),
        validation_data=batches(val, shuffled=False),
        epochs=epochs,
        callbacks=[tracking_callback(track, "training the network", epochs)],
        shuffle=False,
        verbose=0,
    )
    return dict(result.history)


def _mirror(seed: int) -> Any:
    import tensorflow as tf

    def mirror(pair: Any, number: Any) -> Any:
        image, target = pair
        key = tf.stack([tf.constant(seed, tf.int64), number])
        return tf.image.stateless_random_flip_left_right(image, key), target

    return mirror
