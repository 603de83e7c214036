"""The head: a regularized softmax classifier on features that were computed once.

It is fitted by Keras on standardized features; the weight decay is chosen by cross-validation
inside the training part, so that the validation part stays an honest judge. All candidates of
the cross-validation are one wide dense layer and train in one go.
"""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl.model import Array, Head
from edgetl_export.progress import Track, silent

Integers = NDArray[np.int64]
History = dict[str, list[float]]

# Strengths of L2 on standardized features, from hardly any to very strong.
WEIGHT_DECAYS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
FOLDS = 4
_LEAST_EPOCHS, _LEAST_STEPS = 12, 140
_CROSS_VALIDATION_ROWS = 6000
_BATCH_ROWS = 256
_LEARNING_RATE = 3e-3
_FLOOR_STEPS = 3.0


class TrainingRows(msgspec.Struct, frozen=True, eq=False):
    """What the head learns from.

    Attributes:
        features: float32 (rows, features).
        classes: int64 (rows,): index of the label.
        groups: int64 (rows,): rows of one group (a photo and its views) stay in one fold.
        judged: bool (rows,): rows that count when a fold is judged (the photos themselves).
    """

    features: Array
    classes: Integers
    groups: Integers
    judged: NDArray[np.bool_]


class Fitted(msgspec.Struct, frozen=True, eq=False):
    """A head and its learning curves: name -> one value an epoch."""

    head: Head
    history: History


def choose_epochs(rows: int) -> int:
    """Passes over the rows that let Adam converge: more of them over few rows."""
    return max(_LEAST_EPOCHS, -(-_LEAST_STEPS // -(-rows // _BATCH_ROWS)))


def fit_head(
    rows: TrainingRows,
    validation: tuple[Array, Integers],
    classes: int,
    *,
    epochs: int | None = None,
    seed: int = 0,
    track: Track = silent,
) -> Fitted:
    """Fits the head.

    Args:
        rows: The training part.
        validation: Features and classes of the validation part; only watched.
        classes: Number of labels.
        epochs: Passes over the rows; None: see `choose_epochs`.
        seed: Of folds, order and initial weights.
        track: Shows progress.

    Returns:
        The head for raw features (the standardization is folded in), and its history.
    """
    mean, scale = _standardization(rows.features)
    standard = (rows.features - mean) / scale
    decay = _choose_weight_decay(standard, rows, classes, seed=seed, track=track)
    everything = np.ones((len(standard), 1), np.float32)
    epochs = epochs or choose_epochs(len(standard))
    stack = _Stack(standard.shape[1], classes, np.array([decay], np.float32), seed)
    watched = ((validation[0] - mean) / scale, validation[1])
    history = stack.fit(
        standard, rows.classes, everything, epochs, "fitting the head", track, validation=watched
    )
    kernel, bias = stack.kernels()[0], stack.biases()[0]
    folded = (kernel / scale[:, np.newaxis]).astype(np.float32)
    shifted = (bias - mean @ folded).astype(np.float32)
    return Fitted(Head(folded, shifted, float(decay)), history)


def _standardization(features: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of each feature, with a floor to the deviation.

    An int8 file holds features in 255 steps over their whole range. A feature that varies by
    less than a step or two is noise there; divided by its tiny deviation it would be loud noise.
    """
    mean = features.mean(axis=0, dtype=np.float64)
    deviation = features.std(axis=0, dtype=np.float64)
    step = float(features.max() - min(features.min(), 0.0)) / 255
    floor = _FLOOR_STEPS * step + 1e-6
    return mean.astype(np.float32), np.maximum(deviation, floor).astype(np.float32)


def predict_out_of_fold(
    features: Array,
    classes: Integers,
    groups: Integers,
    count: int,
    *,
    weight_decay: float = 0.03,
    seed: int = 0,
    track: Track = silent,
) -> Array:
    """Predicts every row by a head that did not learn from it, nor from its group.

    Args:
        features: float32 (rows, features).
        classes: int64 (rows,): index of the label.
        groups: int64 (rows,): rows of one group stay in one fold.
        count: Number of labels.
        weight_decay: L2 strength on standardized features.
        seed: Of folds, order and initial weights.
        track: Shows progress.

    Returns:
        Probabilities, float32 (rows, count).
    """
    mean, scale = _standardization(features)
    standard = (features - mean) / scale
    folds = _assign_folds(classes, groups, np.random.default_rng(seed))
    masks = (folds[:, np.newaxis] != np.arange(FOLDS)).astype(np.float32)
    decays = np.full(FOLDS, weight_decay, np.float32)
    stack = _Stack(features.shape[1], count, decays, seed)
    epochs = choose_epochs(len(standard))
    stack.fit(standard, classes, masks, epochs, "predicting out of fold", track)
    logits = stack.logits(standard)[np.arange(len(standard)), folds]
    return _softmax(logits)


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores: Array = (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)
    return scores


def _choose_weight_decay(
    standard: Array, rows: TrainingRows, classes: int, *, seed: int, track: Track
) -> float:
    """The strength with which most held-out photos are named right."""
    random = np.random.default_rng(seed)
    kept = _sample_groups(rows.groups, random)
    folds = _assign_folds(rows.classes[kept], rows.groups[kept], random)
    candidates = [(fold, decay) for fold in range(FOLDS) for decay in WEIGHT_DECAYS]
    masks = np.stack([folds != fold for fold, _ in candidates], axis=1).astype(np.float32)
    decays = np.array([decay for _, decay in candidates], np.float32)
    stack = _Stack(standard.shape[1], classes, decays, seed)
    stack.fit(
        standard[kept],
        rows.classes[kept],
        masks,
        choose_epochs(len(kept)),
        "choosing weight decay",
        track,
    )
    judged = rows.judged[kept]
    predicted = stack.logits(standard[kept][judged]).argmax(axis=-1)  # (rows, heads)
    hits = predicted == rows.classes[kept][judged][:, np.newaxis]
    held_out = masks[judged] == 0
    right = (hits & held_out).sum(axis=0).reshape(FOLDS, len(WEIGHT_DECAYS)).sum(axis=0)
    # The stronger of two equally good ones: it quantizes better.
    return max(zip(right.tolist(), WEIGHT_DECAYS, strict=True))[1]


def _sample_groups(groups: Integers, random: np.random.Generator) -> Integers:
    """Row indices of as many whole groups as cross-validation can afford."""
    if len(groups) <= _CROSS_VALIDATION_ROWS:
        return np.arange(len(groups))
    unique = random.permutation(np.unique(groups))
    share = _CROSS_VALIDATION_ROWS / len(groups)
    return np.flatnonzero(np.isin(groups, unique[: max(FOLDS, int(len(unique) * share))]))


def _assign_folds(classes: Integers, groups: Integers, random: np.random.Generator) -> Integers:
    """Deals the groups of each class out to the folds, in turn."""
    folds = np.empty(len(classes), np.int64)
    for label in np.unique(classes):
        members = random.permutation(np.unique(groups[classes == label]))
        for rank, group in enumerate(members):
            folds[(groups == group) & (classes == label)] = (rank + label) % FOLDS
    return folds


def _cross_entropy(logits: Array, classes: Integers) -> Array:
    highest = logits.max(axis=-1, keepdims=True)
    normalizer = highest[..., 0] + np.log(np.exp(logits - highest).sum(axis=-1))
    chosen = np.take_along_axis(logits, classes[:, np.newaxis, np.newaxis], axis=-1)[..., 0]
    losses: Array = normalizer - chosen
    return losses


class _Stack:
    """Several softmax heads side by side: one Keras dense layer of heads x classes outputs."""

    def __init__(self, features: int, classes: int, decays: Array, seed: int) -> None:
        import keras

        self._shape = (len(decays), classes)
        self._decays = decays
        self._random = np.random.default_rng(seed)
        self._dense = keras.layers.Dense(len(decays) * classes, kernel_initializer="zeros")
        self._dense.build((None, features))

    def fit(
        self,
        features: Array,
        classes: Integers,
        masks: Array,
        epochs: int,
        description: str,
        track: Track,
        *,
        validation: tuple[Array, Integers] | None = None,
    ) -> History:
        """Trains all heads at once; head h learns from rows with mask (rows, heads) 1."""
        import keras
        import tensorflow as tf

        batches = -(-len(features) // _BATCH_ROWS)
        schedule = keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, epochs * batches)
        optimizer = keras.optimizers.Adam(schedule)
        variables = [variable.value for variable in self._dense.trainable_variables]
        optimizer.build(self._dense.trainable_variables)
        data = tuple(map(tf.constant, (features, classes, masks)))

        def run_epoch(order: Any) -> None:
            for start in tf.range(0, len(features), _BATCH_ROWS):
                rows = order[start : start + _BATCH_ROWS]
                with tf.GradientTape() as tape:
                    loss = self._loss(*(tf.gather(part, rows) for part in data))
                gradients = tape.gradient(loss, variables)
                optimizer.apply(gradients, self._dense.trainable_variables)

        # One graph call an epoch: `Model.fit` would spend most of its time between batches.
        compiled = tf.function(run_epoch)
        history: History = {}
        for _ in track(range(epochs), description, epochs):
            compiled(tf.constant(self._random.permutation(len(features))))
            if validation is not None:
                self._record(history, (features, classes), validation)
        return history

    def _loss(self, features: Any, classes: Any, masks: Any) -> Any:
        import tensorflow as tf

        logits = tf.reshape(self._dense(features), (-1, *self._shape))
        labels = tf.repeat(classes[:, tf.newaxis], self._shape[0], axis=1)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        # A head that sees fewer rows of this batch weighs them more, as if it were alone.
        seen = tf.maximum(tf.reduce_sum(masks, axis=0), 1.0)
        squares = tf.reshape(tf.square(self._dense.kernel.value), (-1, *self._shape))
        penalty = 0.5 * tf.reduce_sum(tf.reduce_sum(squares, axis=(0, 2)) * self._decays)
        return tf.reduce_sum(losses * masks / seen) + penalty

    def _record(
        self, history: History, train: tuple[Array, Integers], val: tuple[Array, Integers]
    ) -> None:
        for prefix, (features, classes) in (("", train), ("val_", val)):
            logits = self.logits(features)
            hits = logits[:, 0].argmax(axis=1) == classes
            history.setdefault(f"{prefix}accuracy", []).append(float(hits.mean()))
            loss = float(_cross_entropy(logits, classes).mean())
            history.setdefault(f"{prefix}loss", []).append(loss)

    def logits(self, features: Array) -> Array:
        """float32 (rows, heads, classes)."""
        kernel, bias = self._dense.get_weights()
        logits: Array = features @ kernel + bias
        return logits.reshape(-1, *self._shape)

    def kernels(self) -> Array:
        """float32 (heads, features, classes)."""
        kernel: Array = self._dense.get_weights()[0]
        return kernel.reshape(-1, *self._shape).transpose(1, 0, 2)

    def biases(self) -> Array:
        """float32 (heads, classes)."""
        bias: Array = self._dense.get_weights()[1]
        return bias.reshape(self._shape)
