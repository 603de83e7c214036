"""The model and its Keras form: backbone, pooled features, head.

A network is cut in two: what lies below the cut is frozen, runs once per photo on LiteRT and is
cached; what lies above it trains. Both halves share their layers with the whole, so that the
whole is trained when its upper half is.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from edgetl.networks.backbones import Backbone, apply_scaling, build
from edgetl.networks.weights import Weights, load_weights
from edgetl_runtime.image.preprocessing import Preprocessing

if TYPE_CHECKING:
    import keras

CutKind = Literal["head", "blocks", "none"]


class ModelSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Enough to know what was trained.

    Attributes:
        backbone: Its name in the table.
        weights_digest: SHA-256 of the weights file, or `none`.
        cut: Name of the layer above which everything was trained; `head`: all of the backbone
            is frozen; `none`: all of it was trained.
        blocks: Number of top blocks above the cut; 0 for `head` and `none`.
        labels: Order of the model's output.
        preprocessing: From frame to model input.
        head: Kind of head.
        l2: Strength of the L2 penalty on the head.
        temperature: The logits were divided by it, so that scores on the validation part mean
            what they say.
        seed: Of every random choice.
        teacher: SHA-256 of the weights of the network that it learned from beside the labels;
            empty without one.
    """

    backbone: str
    weights_digest: str
    cut: str
    blocks: int
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    head: str
    l2: float
    temperature: float
    seed: int
    teacher: str = ""

    def describe_cut(self) -> str:
        """The trained part, as text."""
        if self.cut in ("head", "none"):
            return {"head": "the head", "none": "all layers"}[self.cut]
        return "the head and the top " + (f"{self.blocks} blocks" if self.blocks > 1 else "block")


class Cut(msgspec.Struct, frozen=True):
    """The cut of a backbone.

    Attributes:
        kind: `head`: above its features; `blocks`: below its top blocks; `none`: at its input.
        blocks: How many top blocks are above the cut.
    """

    kind: CutKind
    blocks: int = 0

    def layer(self, backbone: Backbone) -> str:
        """The layer whose output crosses the cut, or the kind."""
        return backbone.cuts[self.blocks - 1] if self.kind == "blocks" else self.kind


HEAD_CUT = Cut("head")
NO_CUT = Cut("none")


def load_network(backbone: Backbone, weights: Weights, size_px: int) -> "keras.Model":
    """Builds a backbone without its top and loads its weights, if there are any.

    Raises:
        OptionsError: If the network cannot take this size.
        WeightsError: If the weights are damaged or belong to another architecture.
    """
    network = build(backbone, size_px)
    load_weights(network, weights, backbone)
    return network


def build_extractor(backbone: Backbone, network: "keras.Model", size_px: int) -> "keras.Model":
    """Joins input scaling, network and pooling.

    Returns:
        A Keras model: float32 (batch, size_px, size_px, 3) RGB 0..255 -> features (batch, n).
    """
    import keras

    image = keras.Input((size_px, size_px, 3), name="image")
    taps = [network.get_layer(name).output for name in backbone.taps] or [network.output]
    trunk = keras.Model(network.input, taps, name=network.name)
    maps = as_list(trunk(apply_scaling(backbone, image)))
    return keras.Model(
        image, _join([_pool(one, n) for n, one in enumerate(maps)]), name="extractor"
    )


def build_lower(
    backbone: Backbone, network: "keras.Model", cut: Cut, size_px: int
) -> "keras.Model":
    """Everything below a cut among the blocks.

    Returns:
        A Keras model: float32 (batch, size_px, size_px, 3) RGB 0..255 -> (batch, n): the map at
        the cut, flattened from (height, width, channels), then the pooled taps below it.
    """
    import keras

    image = keras.Input((size_px, size_px, 3), name="image")
    lower_taps, _ = _divide_taps(backbone, network, cut)
    names = [cut.layer(backbone), *lower_taps]
    trunk = keras.Model(network.input, [network.get_layer(name).output for name in names])
    crossing, *maps = as_list(trunk(apply_scaling(backbone, image)))
    flat = keras.layers.Flatten(name="crossing")(crossing)
    row = _join([flat, *(_pool(one, n) for n, one in enumerate(maps))])
    return keras.Model(image, row, name="lower")


def build_upper(backbone: Backbone, network: "keras.Model", cut: Cut) -> "keras.Model":
    """Everything above a cut among the blocks; its layers are the network's own.

    Returns:
        A Keras model: what `build_lower` outputs, float32 (batch, n) -> features (batch, m).
    """
    import keras

    crossing = network.get_layer(cut.layer(backbone)).output
    shape = crossing.shape[1:]
    size = shape[0] * shape[1] * shape[2]
    lower_taps, upper_taps = _divide_taps(backbone, network, cut)
    carried = sum(network.get_layer(name).output.shape[-1] for name in lower_taps)
    row = keras.Input((size + carried,), name="row")
    outputs = [network.get_layer(name).output for name in upper_taps] or [network.output]
    trunk = keras.Model(crossing, outputs, name="upper_trunk")
    maps = as_list(trunk(keras.layers.Reshape(shape)(row[:, :size])))
    pooled = [_pool(one, n) for n, one in enumerate(maps)]
    features = _join([row[:, size:], *pooled] if carried else pooled)
    return keras.Model(row, features, name="upper")


def set_trainable(backbone: Backbone, network: "keras.Model", cut: Cut) -> None:
    """Lets the layers above a cut train; BatchNorm layers keep their statistics and scales.

    The statistics of a large data set are better than those of small batches of a few photos,
    and a layer that keeps them behaves in training as it does on the device.
    """
    import keras

    layers = network.layers
    names = [layer.name for layer in layers]
    start = names.index(cut.layer(backbone)) + 1 if cut.kind == "blocks" else 0
    for position, layer in enumerate(layers):
        above = position >= start and cut.kind != "head"
        layer.trainable = above and not isinstance(layer, keras.layers.BatchNormalization)


def build_classifier(extractor: "keras.Model", head: "keras.Model") -> "keras.Model":
    """Puts a head on an extractor.

    Args:
        extractor: Image -> features.
        head: Features -> probabilities; its layers become the classifier's own.
    """
    import keras

    scores = extractor.output
    for layer in head.layers[1:]:
        scores = layer(scores)
    return keras.Model(extractor.input, scores, name="classifier")


def compile_prediction(model: "keras.Model") -> Callable[[Any], Any]:
    """The model as a compiled function of its inputs, as it is when nothing learns."""
    import tensorflow as tf

    predict: Callable[[Any], Any] = tf.function(
        lambda inputs: model(inputs, training=False), autograph=False, reduce_retracing=True
    )
    return predict


def as_list(maps: Any) -> list[Any]:
    """The outputs of a Keras model with one output or with several."""
    return list(maps) if isinstance(maps, list | tuple) else [maps]


def _divide_taps(
    backbone: Backbone, network: "keras.Model", cut: Cut
) -> tuple[list[str], list[str]]:
    """Taps below and above the cut; the order of both together is the order of the features."""
    names = [layer.name for layer in network.layers]
    place = names.index(cut.layer(backbone))
    lower = [name for name in backbone.taps if names.index(name) <= place]
    return lower, [name for name in backbone.taps if names.index(name) > place]


def _pool(maps: Any, number: int) -> Any:
    import keras

    return keras.layers.GlobalAveragePooling2D(name=f"pool_{number}")(maps)


def _join(parts: list[Any]) -> Any:
    import keras

    return parts[0] if len(parts) == 1 else keras.layers.Concatenate(name="features")(parts)
