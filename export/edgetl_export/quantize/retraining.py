"""Retraining in 8 bits: the upper layers learn to say what the float model says.

They see what the quantized lower layers really output, and are rounded themselves while they learn.
No label is asked: the float model's scores are what is wanted, as in the refit of a head.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetl_export.evaluate.engine_pool import share_out
from edgetl_export.evaluate.scoring import run
from edgetl_export.graph.activations import Ranges
from edgetl_export.graph.model_graph import Graph, end_at
from edgetl_export.graph.simulation import Division, Simulation, find_division, share_ranges
from edgetl_export.progress import track
from edgetl_export.quantize import tflite_quantizer
from edgetl_runtime.image.preprocessing import Frame

PHOTOS = 1500
EPOCHS = 10
BATCH = 32
LEARNING_RATE = 1e-4
# Of all multiply-adds: above it an epoch takes longer than it is worth.
MOST_WORK = 0.35
# Of one photo, in float16: 3,000 images stay below 250 MB.
MOST_VALUES = 40_000
_LEAST_SCORE = 1e-30
Array = NDArray[np.float32]


def find_retrainable(graph: Graph) -> Division | None:
    """What is trained, and what it sees; None if the model's form is another."""
    return find_division(graph, most_values=MOST_VALUES, most_work=MOST_WORK)


def retrain(
    graph: Graph, trained: bytes, ranges: Ranges, pictures: Sequence[Frame], *, seed: int
) -> None:
    """Trains the upper layers of a graph for 8 bits.

    Args:
        graph: Float, with the weights to begin from; changed in place.
        trained: The float model whose scores are wanted.
        ranges: (lowest, highest) of the tensors by name; the file must be quantized with them.
        pictures: uint8 (height, width, 3) RGB each; each is used as it is and mirrored.
        seed: Of the order.
    """
    division = find_retrainable(graph)
    if division is None:
        raise ValueError("a graph that cannot be retrained")
    both = [
        one for picture in pictures for one in (picture, np.ascontiguousarray(picture[:, ::-1]))
    ]
    ranges = share_ranges(graph, ranges)
    wanted = run("litert", trained, both)
    crossing = collect(graph, division, ranges, both)
    simulation = Simulation(graph, division, ranges)
    _fit(simulation, crossing, wanted, seed)


def collect(
    graph: Graph, division: Division, ranges: Ranges, pictures: Sequence[Frame]
) -> list[NDArray[np.float16]]:
    """What crosses the cut in the quantized file: float16 (images, ...) for each tensor.

    The file is quantized as a whole and then cut: where a tensor is an output and is read on, too,
    the quantizer (0.11) lets an operator of 8 bits read its float copy.
    """
    file = tflite_quantizer.quantize(graph.encode(), "int8", ranges)
    return run_outputs(end_at(file, [graph.name(one) for one in division.crossing]), pictures)


def run_outputs(model: bytes, pictures: Sequence[Frame]) -> list[NDArray[np.float16]]:
    """All outputs of a .tflite, float16 (images, ...) each; half the memory, and exact enough."""
    rows = share_out(lambda: _load(model), pictures)
    seen = track(rows, "running the lower layers", len(pictures))
    return [np.stack(parts) for parts in zip(*seen, strict=True)]


def _load(model: bytes) -> Callable[[Frame], list[NDArray[np.float16]]]:
    """A function from one image to the numbers that a model's outputs stand for."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    entry = interpreter.get_input_details()[0]
    outputs = [(one["index"], one["quantization"]) for one in interpreter.get_output_details()]

    def see(picture: Frame) -> list[NDArray[np.float16]]:
        interpreter.set_tensor(entry["index"], picture[np.newaxis].astype(entry["dtype"]))
        interpreter.invoke()
        return [_read(interpreter.get_tensor(index)[0], *steps) for index, steps in outputs]

    return see


def _read(values: NDArray[Any], step: float, zero: int) -> NDArray[np.float16]:
    if step:
        values = (values.astype(np.float32) - zero) * step
    return values.astype(np.float16)


def _fit(
    simulation: Simulation,
    crossing: Sequence[NDArray[np.float16]],
    wanted: Array,
    seed: int,
) -> None:
    import keras
    import tensorflow as tf

    steps = EPOCHS * -(-len(wanted) // BATCH)
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps))
    variables = [
        keras.Variable(one, name=f"weight_{n}") for n, one in enumerate(simulation.weights)
    ]
    optimizer.build(variables)

    def learn_eagerly(targets: Any, *parts: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = simulation.logits(parts, variables)
            loss = -tf.reduce_mean(tf.reduce_sum(targets * tf.nn.log_softmax(logits), axis=1))
        gradients = tape.gradient(loss, [one.value for one in variables])
        optimizer.apply(gradients, variables)
        return loss

    learn = tf.function(learn_eagerly, autograph=False, reduce_retracing=True)
    for batch in track(_draw(len(wanted), seed), "retraining in 8 bits", steps):
        parts = [one[batch].astype(np.float32) for one in crossing]
        learn(wanted[batch], *parts)
    simulation.write([keras.ops.convert_to_numpy(one) for one in variables])


def _draw(count: int, seed: int) -> Iterator[NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    for _ in range(EPOCHS):
        order = random.permutation(count)
        yield from (order[start : start + BATCH] for start in range(0, count, BATCH))
