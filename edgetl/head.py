"""The head: a regularized softmax classifier on features that were computed once.

It is fitted by Keras on standardized features; the weight decay is chosen by cross-validation
inside the training part, so that the validation part stays an honest judge. All candidates of
the cross-validation are one wide dense layer and train in one go.
"""

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl.model import Array, Head
from edgetl_export.progress import Track, silent

if TYPE_CHECKING:
    import keras

Integers = NDArray[np.int64]

# Strengths of L2 on standardized features, from hardly any to very strong.
WEIGHT_DECAYS = (0.003, 0.01, 0.03, 0.1, 0.3)
FOLDS = 4
_CROSS_VALIDATION_EPOCHS = 15
_CROSS_VALIDATION_ROWS = 6000
_BATCH_ROWS = 256
_LEARNING_RATE = 3e-3


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
    history: dict[str, list[float]]


def fit_head(
    rows: TrainingRows,
    validation: tuple[Array, Integers],
    classes: int,
    *,
    epochs: int,
    seed: int,
    track: Track = silent,
) -> Fitted:
    """Fits the head.

    Args:
        rows: The training part.
        validation: Features and classes of the validation part; only watched.
        classes: Number of labels.
        epochs: Passes over the rows.
        seed: Of folds, order and initial weights.
        track: Shows progress.

    Returns:
        The head for raw features (the standardization is folded in), and its history.
    """
    mean, scale = _standardization(rows.features)
    standard = (rows.features - mean) / scale
    decay = _choose_weight_decay(standard, rows, classes, seed=seed, track=track)
    everything = np.ones((len(standard), 1), np.float32)
    stack = _Stack(standard.shape[1], classes, np.array([decay], np.float32), seed)
    watched = ((validation[0] - mean) / scale, validation[1])
    history = stack.fit(standard, rows.classes, everything, epochs, "fitting the head", track,
                        validation=watched)
    kernel, bias = stack.kernels()[0], stack.biases()[0]
    folded = (kernel / scale[:, np.newaxis]).astype(np.float32)
    shifted = (bias - mean @ folded).astype(np.float32)
    return Fitted(Head(folded, shifted, float(decay)), history)


def _standardization(features: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of each feature; a constant feature keeps its scale."""
    mean = features.mean(axis=0, dtype=np.float64)
    deviation = features.std(axis=0, dtype=np.float64)
    # A feature that hardly ever fires would be blown up to where int8 drowns all others.
    floor = 0.05 * float(np.median(deviation)) + 1e-6
    return mean.astype(np.float32), np.maximum(deviation, floor).astype(np.float32)


def _choose_weight_decay(
    standard: Array, rows: TrainingRows, classes: int, *, seed: int, track: Track
) -> float:
    """The strength with the lowest cross-validated loss (a smoother judge than accuracy)."""
    random = np.random.default_rng(seed)
    kept = _sample_groups(rows.groups, random)
    folds = _assign_folds(rows.classes[kept], rows.groups[kept], random)
    candidates = [(fold, decay) for fold in range(FOLDS) for decay in WEIGHT_DECAYS]
    masks = np.stack([folds != fold for fold, _ in candidates], axis=1).astype(np.float32)
    decays = np.array([decay for _, decay in candidates], np.float32)
    stack = _Stack(standard.shape[1], classes, decays, seed)
    stack.fit(standard[kept], rows.classes[kept], masks, _CROSS_VALIDATION_EPOCHS,
              "choosing weight decay", track)
    judged = rows.judged[kept]
    logits = stack.logits(standard[kept][judged])  # (rows, heads, classes)
    losses = _cross_entropy(logits, rows.classes[kept][judged])  # (rows, heads)
    held_out = 1.0 - masks[judged]
    mean_loss = (losses * held_out).sum(axis=0) / held_out.sum(axis=0)
    by_decay = mean_loss.reshape(FOLDS, len(WEIGHT_DECAYS)).mean(axis=0)
    return WEIGHT_DECAYS[int(by_decay.argmin())]


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
    return normalizer - chosen


class _Stack:
    """Several softmax heads side by side: one Keras dense layer of heads x classes outputs."""

    def __init__(self, features: int, classes: int, decays: Array, seed: int) -> None:
        import keras

        self._heads, self._classes, self._decays = len(decays), classes, decays
        self._seed = seed
        keras.utils.set_random_seed(seed)
        self._dense = keras.layers.Dense(
            self._heads * classes, kernel_initializer="zeros", kernel_regularizer=self._penalty
        )
        inputs = keras.Input((features,))
        self._model: keras.Model = keras.Model(inputs, self._dense(inputs))

    def _penalty(self, kernel: Any) -> Any:
        import keras

        squares = keras.ops.reshape(keras.ops.square(kernel), (-1, self._heads, self._classes))
        return 0.5 * keras.ops.sum(keras.ops.sum(squares, axis=(0, 2)) * self._decays)

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
    ) -> dict[str, list[float]]:
        """Trains all heads at once; head h learns from rows with mask (rows, heads) 1."""
        import keras

        target = np.concatenate([classes[:, np.newaxis].astype(np.float32), masks], axis=1)
        steps = epochs * -(-len(features) // _BATCH_ROWS)
        schedule = keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, steps)
        self._model.compile(
            keras.optimizers.Adam(schedule),
            loss=self._loss,
            metrics=[self._accuracy],
            jit_compile=False,
        )
        watched = None
        if validation is not None:
            ones = np.ones((len(validation[1]), self._heads), np.float32)
            labels = validation[1][:, np.newaxis].astype(np.float32)
            watched = (validation[0], np.concatenate([labels, ones], axis=1))
        history: dict[str, list[float]] = {}
        for _ in track(range(epochs), description, epochs):
            result = self._model.fit(
                features, target, batch_size=_BATCH_ROWS, validation_data=watched, verbose=0
            )
            for name, values in result.history.items():
                history.setdefault(name.replace("_accuracy", "accuracy"), []).append(values[0])
        return history

    def _loss(self, target: Any, logits: Any) -> Any:
        import keras

        split = keras.ops.reshape(logits, (-1, self._heads, self._classes))
        labels = keras.ops.repeat(keras.ops.cast(target[:, :1], "int32"), self._heads, axis=1)
        losses = keras.ops.sparse_categorical_crossentropy(labels, split, from_logits=True)
        return keras.ops.sum(losses * target[:, 1:], axis=1)

    def _accuracy(self, target: Any, logits: Any) -> Any:
        import keras

        split = keras.ops.reshape(logits, (-1, self._heads, self._classes))
        hits = keras.ops.equal(
            keras.ops.cast(keras.ops.argmax(split, axis=-1), "float32"), target[:, :1]
        )
        return keras.ops.mean(keras.ops.cast(hits, "float32"), axis=1)

    def logits(self, features: Array) -> Array:
        """float32 (rows, heads, classes)."""
        kernel, bias = self._dense.get_weights()
        return (features @ kernel + bias).reshape(-1, self._heads, self._classes)

    def kernels(self) -> Array:
        """float32 (heads, features, classes)."""
        kernel = self._dense.get_weights()[0]
        return kernel.reshape(-1, self._heads, self._classes).transpose(1, 0, 2)

    def biases(self) -> Array:
        """float32 (heads, classes)."""
        return self._dense.get_weights()[1].reshape(self._heads, self._classes)
