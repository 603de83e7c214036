"""Steps: what one batch changes, and what the validation part says of it.

Keras owns layers, losses and optimizers; this module sends batches through them on one device
or on several.
"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl.augmentation.mixing import mix
from edgetl.augmentation.strengths import Augmentation
from edgetl.networks.model import compile_prediction
from edgetl.training.recipe import StageRecipe, weigh_classes
from edgetl.training.sources import UNLABELLED, Batch, TrainingSource, iterate
from edgetl_export.evaluate.confidence import cross_entropy, fit_temperature

if TYPE_CHECKING:
    import keras

Array = NDArray[np.float32]
_VALIDATION_BATCH = 128
# Of a softmax in float32: below it a logit cannot be told from another.
_LEAST_SCORE = np.float32(1e-30)


class Stage(msgspec.Struct, frozen=True, eq=False):
    """One stage of a training.

    Attributes:
        number: Its place among the stages, from 0.
        name: For people.
        model: Keras model: inputs of the sources -> logits (rows, classes), or log-odds (rows, 1).
        classes: Number of labels.
        train: What it learns from.
        val: What it is judged by.
        recipe: How.
    """

    number: int
    name: str
    model: "keras.Model"
    classes: int
    train: TrainingSource
    val: TrainingSource
    recipe: StageRecipe


class Stepper:
    """The compiled steps of a stage, on one device or on several."""

    def __init__(self, stage: Stage, optimizer: Any) -> None:
        """Builds the optimizer's variables for the stage's model."""
        import keras
        import tensorflow as tf

        self._stage = stage
        self._model = stage.model
        self._strategy = tf.distribute.get_strategy()
        self._optimizer = optimizer
        if keras.config.dtype_policy().name == "mixed_float16":
            self._optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        self._optimizer.build(self._model.trainable_variables)
        self._outputs = stage.model.output_shape[-1]
        self._weights = weigh_classes(
            stage.train.classes, stage.classes, balanced=stage.recipe.balanced
        )
        self._mixing = Augmentation(mixup=stage.recipe.mixup, cutmix=stage.recipe.cutmix)
        # Gradients on CPUs need no XLA, whose compilation takes longer than most heads.
        self._train = tf.function(self._train_everywhere, autograph=False, reduce_retracing=True)
        self._predict = compile_prediction(self._model)

    def step(self, batch: Batch, random: np.random.Generator) -> tuple[float, float]:
        """One step; returns the sum of the losses of its rows, and how many were right."""
        import tensorflow as tf

        inputs, targets, weights = batch.inputs, self._make_targets(batch), self._weigh(batch)
        if self._mixing.mixup or self._mixing.cutmix:
            inputs, targets = mix(inputs, targets, self._mixing, random)
        total = tf.constant(float(weights.sum()), tf.float32)
        parts = [self._distribute(part) for part in self._fill_up(inputs, targets, weights)]
        loss, right = self._train(*parts, total)
        return float(loss) * len(inputs), float(right)

    def _make_targets(self, batch: Batch) -> Array:
        """What the outputs should be, float32 (rows, n).

        Without a teacher n is the number of outputs. With one the labels' part of the loss comes
        first, then the teacher's, each times its weight: n is twice the number of classes.
        """
        recipe, count = self._stage.recipe, self._stage.classes
        labelled = (batch.classes != UNLABELLED)[:, np.newaxis]
        right: Array = np.eye(count, dtype=np.float32)[batch.classes] * labelled
        if self._outputs == 1:
            right = right[:, 1:]
        smoothing = np.float32(recipe.label_smoothing)
        right = right * (1 - smoothing) + smoothing / count * labelled
        if batch.taught is None:
            return right
        weight = np.where(labelled, np.float32(recipe.teacher_weight), np.float32(1))
        taught = soften(batch.taught, recipe.teacher_temperature)
        return np.hstack([right * (1 - weight), taught * weight])

    def _weigh(self, batch: Batch) -> Array:
        """Weight of each row, float32 (rows,); a photo without a label counts once."""
        labelled = batch.classes != UNLABELLED
        weights: Array = np.where(labelled, self._weights[batch.classes], np.float32(1))
        return weights

    def judge(self) -> dict[str, float]:
        """Figures of the validation part: losses in nats, accuracy 0..1."""
        logits = predict_logits(self._predict, self._stage.val)
        return judge(logits, self._stage.val.classes)

    def learning_rate(self) -> float:
        """The rate of the next step."""
        return float(self._optimizer.learning_rate)

    def model_values(self) -> list[NDArray[Any]]:
        """Values of all variables of the model, random seeds among them."""
        return [_value(variable) for variable in self._model.variables]

    def set_model(self, values: list[NDArray[Any]]) -> None:
        """Puts values back that `model_values` gave."""
        _assign(self._model.variables, values)

    def optimizer_values(self) -> list[NDArray[Any]]:
        """Values of all variables of the optimizer, its step counter among them."""
        return [_value(variable) for variable in self._optimizer.variables]

    def set_optimizer(self, values: list[NDArray[Any]]) -> None:
        """Puts values back that `optimizer_values` gave."""
        _assign(self._optimizer.variables, values)

    def _fill_up(self, *parts: Array) -> list[Array]:
        """Repeats the first row until each replica has one, with a weight of 0.

        A replica without rows has no batch statistics, and convolutions refuse.
        """
        rows = len(parts[0])
        missing = self._strategy.num_replicas_in_sync - rows
        if missing <= 0:
            return list(parts)
        *filled, weights = [np.concatenate([part, part[:1].repeat(missing, 0)]) for part in parts]
        weights[rows:] = 0
        return [*filled, weights]

    def _distribute(self, part: Array) -> Any:
        import tensorflow as tf

        replicas = self._strategy.num_replicas_in_sync
        if replicas == 1:
            return tf.convert_to_tensor(part)
        shares = np.array_split(part, replicas)
        return self._strategy.experimental_distribute_values_from_function(
            lambda context: tf.convert_to_tensor(shares[context.replica_id_in_sync_group])
        )

    def _train_everywhere(self, inputs: Any, targets: Any, weights: Any, total: Any) -> Any:
        import tensorflow as tf

        loss, right = self._strategy.run(self._train_here, (inputs, targets, weights, total))
        add = tf.distribute.ReduceOp.SUM
        return self._strategy.reduce(add, loss, None), self._strategy.reduce(add, right, None)

    def _train_here(self, inputs: Any, targets: Any, weights: Any, total: Any) -> Any:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            logits = self._model(inputs, training=True)
            fit = tf.reduce_sum(self._losses(targets, logits) * weights) / total
            # Replicas add their gradients up, so each takes its share of the penalty.
            penalty = sum(self._model.losses) / self._strategy.num_replicas_in_sync
            scaled = self._optimizer.scale_loss(fit + penalty)
        variables = [variable.value for variable in self._model.trainable_variables]
        gradients = tape.gradient(scaled, variables)
        self._optimizer.apply(gradients, self._model.trainable_variables)
        return fit, self._count_right(targets, logits, weights)

    def _losses(self, targets: Any, logits: Any) -> Any:
        import tensorflow as tf

        if self._outputs == 1:
            return tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)[:, 0]
        if targets.shape[1] == self._outputs:
            return tf.nn.softmax_cross_entropy_with_logits(targets, logits)
        right, taught = tf.split(targets, 2, axis=1)
        temperature = self._stage.recipe.teacher_temperature
        # Times the square of the temperature, so that the gradients' size does not depend on it
        # (Hinton, Vinyals and Dean 2015, section 2).
        return _cross_entropy(right, logits) + temperature**2 * _cross_entropy(
            taught, logits / temperature
        )

    def _count_right(self, targets: Any, logits: Any, weights: Any) -> Any:
        import tensorflow as tf

        if self._outputs == 1:
            right = (logits[:, 0] > 0) == (targets[:, 0] > 0.5)
        else:
            labels = targets[:, : self._outputs]
            right = tf.argmax(logits, 1) == tf.argmax(labels, 1)
            right &= tf.reduce_sum(labels, 1) > 0
        return tf.reduce_sum(tf.cast(right & (weights > 0), tf.float32))


def soften(scores: Array, temperature: float) -> Array:
    """The softmax of the logits behind some scores, divided by a temperature.

    Args:
        scores: float32 (rows, classes), 0..1.
        temperature: 1 changes nothing, more evens the scores out.
    """
    powers = np.power(np.maximum(scores, _LEAST_SCORE), np.float32(1 / temperature))
    softened: Array = powers / powers.sum(axis=1, keepdims=True)
    return softened


def _cross_entropy(targets: Any, logits: Any) -> Any:
    """Of targets of any sum; TensorFlow's own takes it for granted that they sum to 1."""
    import tensorflow as tf

    return -tf.reduce_sum(targets * tf.nn.log_softmax(logits), axis=1)


def predict_logits(predict: Callable[[Any], Any], source: TrainingSource) -> Array:
    """Logits of each example of a part, in order: float32 (examples, classes) or (examples, 1)."""
    rows = source.pick(None, 0)
    batches = iterate(source, rows, _VALIDATION_BATCH, 0)
    return np.concatenate([np.asarray(predict(batch.inputs)) for batch in batches])


def judge(logits: Array, classes: NDArray[np.int64]) -> dict[str, float]:
    """Cross-entropy as it is and at the best temperature, in nats, and accuracy.

    Args:
        logits: float32 (rows, classes), or log-odds of the second class (rows, 1).
        classes: The true ones, (rows,).
    """
    loss = cross_entropy(logits, classes)
    calibrated = loss
    if math.isfinite(loss):
        calibrated = cross_entropy(logits / fit_temperature(logits, classes), classes)
    chosen = logits[:, 0] > 0 if logits.shape[1] == 1 else logits.argmax(axis=1)
    return {
        "val_loss": loss,
        "val_calibrated_loss": calibrated,
        "val_accuracy": float((chosen == classes).mean()),
    }


def _assign(variables: Sequence[Any], values: Sequence[NDArray[Any]]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _value(variable: Any) -> NDArray[Any]:
    import keras

    return np.array(keras.ops.convert_to_numpy(variable))
