"""Scores exported files on the validation photos, with the engine that the device uses."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_export.progress import Track
from edgetl_runtime.bundle import VariantMetrics
from edgetl_runtime.engine import Engine
from edgetl_runtime.pictures import read_picture
from edgetl_runtime.prediction import Scores
from edgetl_runtime.preprocessing import Preprocessing

_BATCH = 32


class Labelled(msgspec.Struct, frozen=True):
    """A photo and the index of its label."""

    file: Path
    index: int


class Outcome(msgspec.Struct, frozen=True, eq=False):
    """What the trained model and each file say of the validation photos.

    Attributes:
        truth: int64 (photos,).
        trained: float32 (photos, classes): the trained Keras model's scores.
        exported: By variant: float32 (photos, classes).
    """

    truth: NDArray[np.int64]
    trained: Scores
    exported: dict[str, Scores]


def score(
    model: Any,
    engines: dict[str, Engine],
    photos: Sequence[Labelled],
    preprocessing: Preprocessing,
    track: Track,
) -> Outcome:
    """Runs the trained model and every engine on the same inputs.

    Raises:
        FrameError: If a photo cannot be read any more.
        EngineError: If an engine fails.
    """
    trained: list[Scores] = []
    exported: dict[str, list[Scores]] = {name: [] for name in engines}
    batches = list(_batches(photos))
    for batch in track(batches, "scoring the files", len(batches)):
        inputs = np.stack([preprocessing.apply(read_picture(photo.file)) for photo in batch])
        trained.append(model.predict_on_batch(inputs.astype(np.float32)))
        for name, engine in engines.items():
            exported[name] += [engine.run(pixels) for pixels in inputs]
    return Outcome(
        np.array([photo.index for photo in photos], np.int64),
        np.concatenate(trained),
        {name: np.stack(scores) for name, scores in exported.items()},
    )


def judge(outcome: Outcome, variant: str, labels: Sequence[str]) -> VariantMetrics:
    """Compares one file with the truth and with the trained model."""
    predicted = outcome.exported[variant].argmax(axis=1)
    reference = outcome.trained.argmax(axis=1)
    top1 = float((predicted == outcome.truth).mean())
    return VariantMetrics(
        examples=len(outcome.truth),
        top1=top1,
        drop=float((reference == outcome.truth).mean()) - top1,
        agreement=float((predicted == reference).mean()),
        recall={
            label: _recall(predicted, outcome.truth, index) for index, label in enumerate(labels)
        },
    )


def _recall(predicted: NDArray[np.int64], truth: NDArray[np.int64], index: int) -> float | None:
    of_class = truth == index
    return float((predicted[of_class] == index).mean()) if of_class.any() else None


def _batches(photos: Sequence[Labelled]) -> Iterator[Sequence[Labelled]]:
    for start in range(0, len(photos), _BATCH):
        yield photos[start : start + _BATCH]
