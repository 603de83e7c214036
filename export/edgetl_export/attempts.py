"""Attempts: files are written and scored until one of each recipe passes the gate."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_export.files import FileWriter, ModelFile
from edgetl_export.gate import Gate, Verdict, check
from edgetl_export.progress import Track
from edgetl_export.recipes import Recipe
from edgetl_export.refit import can_refit
from edgetl_export.repair import make_plans
from edgetl_export.trained import Labelled, Trained
from edgetl_runtime.bundle import VariantMetrics
from edgetl_runtime.engine import default_threads
from edgetl_runtime.pictures import read_picture
from edgetl_runtime.prediction import Scores
from edgetl_runtime.preprocessing import Frame, Preprocessing

_BATCH = 32


class Attempt(msgspec.Struct, frozen=True, eq=False):
    """One file and what was measured on it.

    Attributes:
        file: The file.
        scores: Of the validation photos, float32 (photos, classes).
        metrics: Against the truth and the trained model.
        verdict: Of the gate.
    """

    file: ModelFile
    scores: Scores
    metrics: VariantMetrics
    verdict: Verdict


class Judge:
    """Scores files on the validation photos, with the engine that the device uses."""

    def __init__(self, trained: Trained, gate: Gate, track: Track) -> None:
        """Decodes the photos and asks the trained model.

        Raises:
            FrameError: If a photo cannot be read any more.
        """
        self._labels, self._gate = trained.labels, gate
        self.truth = np.array([photo.index for photo in trained.validation], np.int64)
        self._inputs = _load(trained.validation, trained.preprocessing, track)
        batches = [
            np.stack(self._inputs[start : start + _BATCH]).astype(np.float32)
            for start in range(0, len(self._inputs), _BATCH)
        ]
        self.trained: Scores = np.concatenate(
            [
                trained.model.predict_on_batch(batch)
                for batch in track(batches, "scoring the trained model", len(batches))
            ]
        )

    def refuse_size(self, file: ModelFile) -> str:
        """One sentence if the file is too large, else nothing."""
        return self._gate.refuse_size(len(file.data))

    def judge(self, file: ModelFile) -> Attempt:
        """Runs one file on every photo.

        Raises:
            EngineError: If the engine fails.
        """
        engine = file.open(default_threads())
        scores = np.stack([engine.run(picture) for picture in self._inputs])
        chosen, reference = scores.argmax(axis=1), self.trained.argmax(axis=1)
        verdict = check(
            self._gate, truth=self.truth, trained=reference, exported=chosen, labels=self._labels
        )
        if size := self.refuse_size(file):
            verdict = Verdict((*verdict.failures, size), verdict.unsure)
        return Attempt(file, scores, self._measure(chosen, reference), verdict)

    def _measure(self, chosen: NDArray[Any], reference: NDArray[Any]) -> VariantMetrics:
        top1 = float((chosen == self.truth).mean())
        return VariantMetrics(
            examples=len(self.truth),
            top1=top1,
            drop=float((reference == self.truth).mean()) - top1,
            agreement=float((chosen == reference).mean()),
            recall={
                label: _recall(chosen, self.truth, index)
                for index, label in enumerate(self._labels)
            },
        )


def attempt(
    recipe: Recipe, writer: FileWriter, judge: Judge, *, model: Any, repair: bool
) -> list[Attempt]:
    """Carries out a recipe, plainly at first, then with repairs until the gate passes.

    Returns:
        All attempts in order; the last one passed, or none did.

    Raises:
        ExportError: If the model cannot be converted.
    """
    attempts: list[Attempt] = []
    # No repair makes a file smaller.
    for plan in make_plans(recipe, repair=repair, refit=can_refit(model)):
        attempts.append(judge.judge(writer.write(plan)))
        if attempts[-1].verdict.passed or judge.refuse_size(attempts[-1].file):
            break
    return attempts


def find_best(attempts: Sequence[Attempt]) -> Attempt:
    """The one that passed, else the one with the least drop."""
    return min(attempts, key=lambda one: (not one.verdict.passed, one.metrics.drop))


def _load(photos: Sequence[Labelled], preprocessing: Preprocessing, track: Track) -> list[Frame]:
    tracked = track(photos, "reading validation photos", len(photos))
    return [preprocessing.apply(read_picture(photo.file)) for photo in tracked]


def _recall(chosen: NDArray[Any], truth: NDArray[np.int64], index: int) -> float | None:
    mine = truth == index
    return float((chosen[mine] == index).mean()) if mine.any() else None
