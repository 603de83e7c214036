"""Cross-validation inside the training part: the validation part stays an honest judge.

All candidates and folds are one wide dense layer and train in one go.
"""

from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from edgetl_export.progress import track

Array = NDArray[np.float32]
Integers = NDArray[np.int64]

# Strengths of L2 on standardized features, from hardly any to very strong.
L2_CANDIDATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
FOLDS = 4
_LEAST_EPOCHS, _LEAST_STEPS = 12, 140
_BATCH_ROWS = 256
_LEARNING_RATE = 3e-3
_FLOOR_STEPS = 3.0


class LabelledRows(msgspec.Struct, frozen=True, eq=False):
    """Features with their labels.

    Attributes:
        features: float32 (rows, features).
        classes: int64 (rows,): index of the label.
        groups: int64 (rows,): rows of one group (a photo, its copies and views) stay together.
        judged: bool (rows,): rows that count when a fold is judged (the photos themselves).
    """

    features: Array
    classes: Integers
    groups: Integers
    judged: NDArray[np.bool_]


def choose_epochs(rows: int) -> int:
    """Passes over the rows that let Adam converge: more of them over few rows."""
    return max(_LEAST_EPOCHS, -(-_LEAST_STEPS // -(-rows // _BATCH_ROWS)))


def standardize(chunks: Iterable[Array]) -> tuple[Array, Array]:
    """Mean and standard deviation of each feature, with a floor to the deviation.

    An int8 file holds features in 255 steps over their whole range. A feature that varies by
    less than a step or two is noise there; divided by its tiny deviation it would be loud noise.

    Args:
        chunks: The features in parts, float32 (rows, features) each.

    Returns:
        Mean and deviation, float32 (features,) each.
    """
    count, highest, lowest = 0, 0.0, 0.0
    total: Any = 0.0
    squares: Any = 0.0
    for chunk in chunks:
        exact = chunk.astype(np.float64)
        count += len(exact)
        total = total + exact.sum(axis=0)
        squares = squares + np.square(exact).sum(axis=0)
        highest, lowest = max(highest, exact.max()), min(lowest, exact.min())
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - np.square(mean), 0.0))
    floor = _FLOOR_STEPS * (highest - lowest) / 255 + 1e-6
    return mean.astype(np.float32), np.maximum(deviation, floor).astype(np.float32)


def predict_out_of_fold(
    features: Array,
    classes: Integers,
    groups: Integers,
    count: int,
    *,
    l2: float = 0.03,
    seed: int = 0,
) -> Array:
    """Predicts every row by a head that did not learn from it, nor from its group.

    Args:
        features: float32 (rows, features).
        classes: int64 (rows,): index of the label.
        groups: int64 (rows,): rows of one group stay in one fold.
        count: Number of labels.
        l2: L2 strength on standardized features.
        seed: Of folds, order and initial weights.

    Returns:
        Probabilities, float32 (rows, count).
    """
    mean, scale = standardize([features])
    standard = (features - mean) / scale
    folds = _assign_folds(classes, groups, np.random.default_rng(seed))
    masks = (folds[:, np.newaxis] != np.arange(FOLDS)).astype(np.float32)
    decays = np.full(FOLDS, l2, np.float32)
    stack = HeadStack(features.shape[1], count, decays, seed)
    epochs = choose_epochs(len(standard))
    stack.fit(standard, classes, masks, epochs, "predicting out of fold")
    logits = stack.logits(standard)[np.arange(len(standard)), folds]
    scores: Array = softmax(logits, axis=1)
    return scores


def choose_l2(rows: LabelledRows, count: int, *, seed: int = 0) -> float:
    """The L2 strength with which most held-out photos are classified correctly.

    Args:
        rows: Of the training part, or of a sample of it.
        count: Number of labels.
        seed: Of folds, order and initial weights.
    """
    mean, scale = standardize([rows.features])
    standard = (rows.features - mean) / scale
    folds = _assign_folds(rows.classes, rows.groups, np.random.default_rng(seed))
    candidates = [(fold, decay) for fold in range(FOLDS) for decay in L2_CANDIDATES]
    masks = np.stack([folds != fold for fold, _ in candidates], axis=1).astype(np.float32)
    decays = np.array([decay for _, decay in candidates], np.float32)
    stack = HeadStack(standard.shape[1], count, decays, seed)
    epochs = choose_epochs(len(standard))
    stack.fit(standard, rows.classes, masks, epochs, "choosing L2")
    predicted = stack.logits(standard[rows.judged]).argmax(axis=-1)  # (rows, heads)
    hits = predicted == rows.classes[rows.judged][:, np.newaxis]
    held_out = masks[rows.judged] == 0
    right = (hits & held_out).sum(axis=0).reshape(FOLDS, len(L2_CANDIDATES)).sum(axis=0)
    # The stronger of two equally good ones: it quantizes better.
    return max(zip(right.tolist(), L2_CANDIDATES, strict=True))[1]


def sample_groups(groups: Integers, most_rows: int, *, seed: int = 0) -> Integers:
    """Indices of at most about `most_rows` rows: whole groups, chosen at random."""
    if len(groups) <= most_rows:
        return np.arange(len(groups))
    unique = np.random.default_rng(seed).permutation(np.unique(groups))
    kept = max(FOLDS, int(len(unique) * most_rows / len(groups)))
    return np.flatnonzero(np.isin(groups, unique[:kept]))


def _assign_folds(classes: Integers, groups: Integers, random: np.random.Generator) -> Integers:
    """Deals the groups of each class out to the folds, in turn.

    Copies with different labels stay together, too: the group counts as its first row's class.
    """
    unique, first, position = np.unique(groups, return_index=True, return_inverse=True)
    labels = classes[first]
    folds = np.empty(len(unique), np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        folds[members] = (random.permutation(len(members)) + label) % FOLDS
    return folds[position]


class HeadStack:
    """Several softmax heads side by side: one Keras dense layer of heads x classes outputs."""

    def __init__(self, features: int, classes: int, decays: Array, seed: int) -> None:
        """Builds heads that say nothing yet.

        Args:
            features: How many.
            classes: Number of labels.
            decays: float32 (heads,): L2 strength of each head.
            seed: Of the order of the rows.
        """
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
    ) -> None:
        """Trains all heads at once; head h learns from rows with mask (rows, heads) 1."""
        import keras
        import tensorflow as tf

        batches = -(-len(features) // _BATCH_ROWS)
        schedule = keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, epochs * batches)
        optimizer = keras.optimizers.Adam(schedule)
        variables = [variable.value for variable in self._dense.trainable_variables]
        optimizer.build(self._dense.trainable_variables)
        data = tuple(map(tf.constant, (features, classes, masks)))

        def run_step(start: Any, order: Any) -> tuple[Any, Any]:
            rows = order[start : start + _BATCH_ROWS]
            with tf.GradientTape() as tape:
                loss = self._loss(*(tf.gather(part, rows) for part in data))
            gradients = tape.gradient(loss, variables)
            optimizer.apply(gradients, self._dense.trainable_variables)
            return start + _BATCH_ROWS, order

        def run_epoch(order: Any) -> None:
            tf.while_loop(lambda start, _: start < len(features), run_step, (0, order))

        # One graph call an epoch: `Model.fit` would spend most of its time between batches.
        compiled = tf.function(run_epoch, autograph=False)
        for _ in track(range(epochs), description, epochs):
            compiled(tf.constant(self._random.permutation(len(features))))

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

    def logits(self, features: Array) -> Array:
        """float32 (rows, heads, classes)."""
        kernel, bias = self._dense.get_weights()
        logits: Array = features @ kernel + bias
        return logits.reshape(-1, *self._shape)
