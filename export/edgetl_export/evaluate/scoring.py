"""Scoring: what a model file outputs for images, on whichever engine."""

from collections.abc import Callable, Sequence

import numpy as np

from edgetl_export.evaluate.engine_pool import share_out
from edgetl_export.evaluate.tensors import describe
from edgetl_export.progress import track
from edgetl_runtime.engines.engine import EngineName, open_engine
from edgetl_runtime.engines.hidden_outputs import HiddenOutputs, Reveal, Seen
from edgetl_runtime.engines.tensors import TensorSpec
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.prediction import Scores


def run(engine: EngineName, model: bytes, pictures: Sequence[Frame]) -> Scores:
    """Runs a model file: float32 (images, outputs).

    Args:
        engine: That runs it.
        model: Its bytes.
        pictures: At least one, uint8 (height, width, 3) RGB each.

    Raises:
        EngineError: If the engine refuses the model or fails.
        ExportError: If the model has other ends than an image and scores.
    """
    return run_described(engine, model, describe(engine, model), pictures)


def run_described(
    engine: EngineName,
    model: bytes,
    tensors: tuple[TensorSpec, TensorSpec],
    pictures: Sequence[Frame],
) -> Scores:
    """See `run`, for a model whose input and output are known."""

    def hire() -> Callable[[Frame], Scores]:
        return open_engine(engine, model, tensors, 1).run

    return np.stack([*track(share_out(hire, pictures), "running photos", len(pictures))])


def look(
    engine: EngineName,
    model: bytes,
    tensors: tuple[TensorSpec, TensorSpec],
    hidden: HiddenOutputs,
    reveal: Reveal,
    pictures: Sequence[Frame],
) -> list[Seen]:
    """Runs a finished file and returns its features, too, and its maps if they are asked for.

    Args:
        engine: That runs it.
        model: Its bytes.
        tensors: Its input and its scores.
        hidden: Its hidden outputs.
        reveal: Which of them.
        pictures: uint8 (height, width, 3) RGB each.

    Raises:
        EngineError: If the engine refuses the model or fails.
    """

    def hire() -> Callable[[Frame], Seen]:
        return open_engine(engine, model, tensors, 1, hidden, reveal).look

    return [*track(share_out(hire, pictures), "looking at photos", len(pictures))]
