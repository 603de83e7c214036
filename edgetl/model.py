"""What a model is made of, and its Keras form: backbone, pooled features, head."""

from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl.backbones import Backbone
from edgetl_runtime.preprocessing import Preprocessing

if TYPE_CHECKING:
    import keras

Array = NDArray[np.float32]


class Head(msgspec.Struct, frozen=True, eq=False):
    """A linear classifier on features.

    Attributes:
        kernel: float32 (features, classes).
        bias: float32 (classes,).
        weight_decay: The L2 strength that cross-validation chose.
    """

    kernel: Array
    bias: Array
    weight_decay: float

    def probabilities(self, features: Array) -> Array:
        """Softmax scores, float32 (examples, classes), of features (examples, features)."""
        logits = features @ self.kernel + self.bias
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores: Array = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
        return scores


class ModelSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Enough to know what was trained.

    Attributes:
        backbone: Its name in the table.
        weights_digest: SHA-256 of the weights file, or `none`.
        cut: `head`: all of the backbone is frozen; `none`: all of it was trained.
        labels: Order of the model's output.
        preprocessing: From frame to model input.
        head: Kind of head.
        weight_decay: L2 strength of the head.
        seed: Of every random choice.
    """

    backbone: str
    weights_digest: str
    cut: str
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    head: str
    weight_decay: float
    seed: int


def build_extractor(backbone: Backbone, network: "keras.Model", size_px: int) -> "keras.Model":
    """Joins input scaling, network and pooling.

    Returns:
        A Keras model: float32 (batch, size_px, size_px, 3) RGB 0..255 -> features (batch, n).
    """
    import keras

    image = keras.Input((size_px, size_px, 3), name="image")
    scaled = image
    if backbone.scaling == "-1..1":
        scaled = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scaling")(image)
    taps = [network.get_layer(name).output for name in backbone.taps] or [network.output]
    maps = keras.Model(network.input, taps, name=network.name)(scaled)
    pool = keras.layers.GlobalAveragePooling2D
    pooled = [pool(name=f"pool_{n}")(tap) for n, tap in enumerate(_as_list(maps))]
    features = pooled[0] if len(pooled) == 1 else keras.layers.Concatenate(name="features")(pooled)
    return keras.Model(image, features, name="extractor")


def build_classifier(extractor: "keras.Model", classes: int) -> "keras.Model":
    """Puts a softmax head on an extractor."""
    import keras

    scores = keras.layers.Dense(classes, activation="softmax", name="head")(extractor.output)
    return keras.Model(extractor.input, scores, name="classifier")


def _as_list(maps: object) -> list[object]:
    return list(maps) if isinstance(maps, list | tuple) else [maps]
