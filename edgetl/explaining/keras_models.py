"""A Keras classifier that outputs the maps that it pools, too."""

from typing import TYPE_CHECKING, Any

import numpy as np

from edgetl.networks.head import HEAD
from edgetl.networks.model import as_list, compile_prediction
from edgetl_runtime.bundle.head import Head
from edgetl_runtime.engines.hidden_outputs import Seen
from edgetl_runtime.heatmaps.explainer import Explainer
from edgetl_runtime.image.preprocessing import Frame, Preprocessing

if TYPE_CHECKING:
    from collections.abc import Sequence

    import keras

_POOL = "pool_"


def explain_classifier(
    classifier: "keras.Model", labels: "Sequence[str]", preprocessing: Preprocessing
) -> Explainer | None:
    """Makes an explainer of a classifier that `networks.model.build_classifier` built.

    Args:
        classifier: float32 (batch, height, width, 3) RGB 0..255 -> probabilities.
        labels: Of its outputs.
        preprocessing: From frame to input.

    Returns:
        None where the head is more than one dense layer on the pooled maps, as an mlp is, or where
        no map has more than one cell: then a score cannot be divided among places.
    """
    import keras

    pools = [layer for layer in classifier.layers if layer.name.startswith(_POOL)]
    maps = [layer.input for layer in pools]
    kernel, bias = classifier.get_layer(HEAD).get_weights()
    dense = sum(isinstance(layer, keras.layers.Dense) for layer in classifier.layers)
    largest = max((one.shape[1] * one.shape[2] for one in maps), default=0)
    if dense != 1 or largest < 2 or sum(one.shape[-1] for one in maps) != len(kernel):
        return None
    revealing = keras.Model(classifier.input, [classifier.output, *maps], name="revealing")
    reveal = compile_prediction(revealing)

    def look(pixels: Frame) -> Seen:
        scores, *seen = map(_take, as_list(reveal(pixels[np.newaxis].astype(np.float32))))
        return Seen(scores, np.concatenate([one.mean(axis=(0, 1)) for one in seen]), seen)

    return Explainer(look, Head(kernel, bias), labels, preprocessing)


def _take(batch: Any) -> Any:
    return np.asarray(batch[0], np.float32)
