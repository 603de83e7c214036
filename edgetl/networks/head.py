"""The head: a classifier on features, trained on standardized ones, exported on raw ones."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from edgetl.networks.head_options import HeadOptions

if TYPE_CHECKING:
    import keras

Array = NDArray[np.float32]
HEAD = "head"


def build_head(
    standardization: tuple[Array, Array],
    classes: int,
    options: HeadOptions,
    *,
    l1: float = 0.0,
    l2: float = 0.0,
) -> "keras.Model":
    """Builds a head to be trained.

    Args:
        standardization: Mean and deviation of each feature, float32 (features,) each.
        classes: Number of labels.
        options: Layers, dropout, output.
        l1: Adds l1 * sum |kernel| to the loss.
        l2: Adds l2 / 2 * sum kernel^2 to the loss.

    Returns:
        A Keras model: float32 (batch, features) -> logits (batch, classes), or (batch, 1), the
        log-odds of the second class, for a sigmoid.
    """
    import keras

    mean, deviation = standardization
    features = keras.Input((len(mean),), name="features")
    standard = keras.layers.Normalization(
        mean=mean, variance=np.square(deviation), name="standardization"
    )(features)
    kept = _drop(standard, options.dropout)
    penalty = keras.regularizers.L1L2(l1, l2 / 2)
    for number, units in enumerate(hidden_units(options)):
        dense = keras.layers.Dense(
            units,
            use_bias=not options.batch_norm,
            kernel_initializer="he_normal",
            kernel_regularizer=penalty,
            name=f"hidden_{number}",
        )
        kept = _activate(dense(kept), options, number)
        kept = _drop(kept, options.dropout)
    outputs = 1 if options.output == "sigmoid" else classes
    # Zeros: each class starts equally likely, so that no run depends on lucky first weights.
    initializer = "glorot_uniform" if hidden_units(options) else "zeros"
    logits = keras.layers.Dense(
        outputs,
        kernel_initializer=initializer,
        kernel_regularizer=penalty,
        dtype="float32",
        name=HEAD,
    )(kept)
    return keras.Model(features, logits, name="head_on_standardized_features")


def hidden_units(options: HeadOptions) -> tuple[int, ...]:
    """Units of each hidden layer; an mlp has one of 128 unless told otherwise."""
    if options.kind == "linear":
        return ()
    return options.hidden or (128,)


def freeze_statistics(head: "keras.Model") -> None:
    """Batch normalization keeps its statistics, whatever else is trained from now on."""
    import keras

    for layer in head.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


def finish_head(
    trained: "keras.Model", options: HeadOptions, temperature: float = 1.0
) -> "keras.Model":
    """Turns a trained head into one for export: no dropout, no separate standardization.

    The standardization is folded into the first dense layer, the temperature into the last, and
    a sigmoid s(z) becomes the softmax over (-z/2, z/2), which gives the same two scores.

    Args:
        trained: What `build_head` built.
        options: It was built with.
        temperature: Its logits are divided by.

    Returns:
        A Keras model: float32 (batch, features) -> probabilities (batch, classes); its last
        layer is the dense layer `head`.
    """
    import keras

    dense = [layer for layer in trained.layers if isinstance(layer, keras.layers.Dense)]
    weights = [_kernel_and_bias(layer) for layer in dense]
    standardization = trained.get_layer("standardization")
    weights[0] = _fold(weights[0], standardization)
    weights[-1] = (weights[-1][0] / temperature, weights[-1][1] / temperature)
    if options.output == "sigmoid":
        kernel, bias = weights[-1]
        weights[-1] = (np.hstack([-kernel / 2, kernel / 2]), np.hstack([-bias / 2, bias / 2]))
    head = build_finished_head(len(weights[0][0]), weights[-1][0].shape[1], options)
    for layer, parts in zip(dense, weights, strict=True):
        head.get_layer(layer.name).set_weights(list(parts))
    for layer in trained.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            head.get_layer(layer.name).set_weights(layer.get_weights())
    return head


def build_finished_head(features: int, classes: int, options: HeadOptions) -> "keras.Model":
    """Builds what `finish_head` gives, with weights that say nothing yet.

    Args:
        features: How many.
        classes: Number of labels.
        options: Layers.

    Returns:
        A Keras model: float32 (batch, features) -> probabilities (batch, classes).
    """
    import keras

    row = keras.Input((features,), name="features")
    values: Any = row
    for number, units in enumerate(hidden_units(options)):
        values = keras.layers.Dense(units, name=f"hidden_{number}")(values)
        values = _activate(values, options, number)
    scores = keras.layers.Dense(classes, activation="softmax", name=HEAD)(values)
    return keras.Model(row, scores, name="finished_head")


def probabilities(logits: Array) -> Array:
    """Scores, float32 (rows, classes), of logits (rows, classes) or log-odds (rows, 1)."""
    if logits.shape[1] == 1:
        logits = np.hstack([-logits / 2, logits / 2])
    scores: Array = softmax(logits, axis=1)
    return scores


def _drop(values: Any, share: float) -> Any:
    import keras

    # The seed is the run's: `keras.utils.set_random_seed` set it.
    return keras.layers.Dropout(share)(values) if share else values


def _activate(values: Any, options: HeadOptions, number: int) -> Any:
    import keras

    if options.batch_norm:
        values = keras.layers.BatchNormalization(name=f"hidden_{number}_norm")(values)
    return keras.layers.Activation(options.activation, name=f"hidden_{number}_activation")(values)


def _kernel_and_bias(layer: Any) -> tuple[Array, Array]:
    kernel, *bias = layer.get_weights()
    return kernel, bias[0] if bias else np.zeros(kernel.shape[1], np.float32)


def _fold(weights: tuple[Array, Array], standardization: Any) -> tuple[Array, Array]:
    kernel, bias = weights
    mean = np.ravel(standardization.mean).astype(np.float64)
    deviation = np.sqrt(np.ravel(standardization.variance).astype(np.float64))
    folded = kernel / deviation[:, np.newaxis]
    return folded.astype(np.float32), (bias - mean @ folded).astype(np.float32)
