"""Attempts: files are written and scored until one of each recipe passes the gate."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_export.calibration import load_inputs
from edgetl_export.files import FileWriter, ModelFile
from edgetl_export.gate import Gate, Verdict, check
from edgetl_export.progress import Track, silent
from edgetl_export.recipes import Recipe
from edgetl_export.repair import is_refit_only
from edgetl_export.trained import Part, Trained
from edgetl_runtime.bundle import VariantMetrics
from edgetl_runtime.prediction import Scores


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

    def __init__(self, trained: Trained, gate: Gate, track: Track = silent) -> None:
        """Decodes the photos.

        Raises:
            FrameError: If a photo cannot be read any more.
        """
        self._labels, self._gate, self._part = trained.labels, gate, trained.validation
        self._inputs = load_inputs(
            [photo.file for photo in self._part.photos],
            trained.preprocessing,
            "reading validation photos",
            track=track,
        )

    def refuse_size(self, file: ModelFile) -> str:
        """One sentence if the file is too large, else nothing."""
        return self._gate.refuse_size(len(file.data))

    def judge(self, file: ModelFile) -> Attempt:
        """Runs one file on every photo.

        Raises:
            EngineError: If the engine fails.
        """
        scores = file.run(self._inputs)
        verdict = check(
            self._gate,
            truth=self._part.truth,
            trained=self._part.scores.argmax(axis=1),
            exported=scores.argmax(axis=1),
            labels=self._labels,
        )
        if size := self.refuse_size(file):
            verdict = Verdict((*verdict.failures, size), verdict.unsure)
        return Attempt(file, scores, measure(self._part, scores, self._labels), verdict)


def measure(part: Part, scores: Scores, labels: Sequence[str]) -> VariantMetrics:
    """Compares a file's scores with the truth and with those of the trained model."""
    chosen, reference = scores.argmax(axis=1), part.scores.argmax(axis=1)
    top1 = float((chosen == part.truth).mean())
    return VariantMetrics(
        examples=len(part.truth),
        top1=top1,
        drop=float((reference == part.truth).mean()) - top1,
        agreement=float((chosen == reference).mean()),
        recall={label: _recall(chosen, part.truth, index) for index, label in enumerate(labels)},
    )


def attempt(recipe: Recipe, writer: FileWriter, judge: Judge, *, repair: bool) -> list[Attempt]:
    """Carries out a recipe, plainly at first, then with repairs until the gate passes.

    What 8 bits bend, a refit of the head costs seconds to straighten: it is tried even if the
    plain file passes, and the better one ships.

    Returns:
        All attempts in order.

    Raises:
        ExportError: If the model cannot be converted.
    """
    attempts: list[Attempt] = []
    for plan in writer.plan(recipe, repair=repair):
        passed = any(one.verdict.passed for one in attempts)
        # No repair makes a file smaller.
        too_large = attempts and judge.refuse_size(attempts[-1].file)
        if too_large or (passed and not is_refit_only(plan)):
            break
        attempts.append(judge.judge(writer.write(plan)))
    return attempts


def find_best(attempts: Sequence[Attempt]) -> Attempt:
    """Of those that passed the one that agrees most with the trained model, else the least drop."""
    passed = [one for one in attempts if one.verdict.passed]
    if passed:
        return max(passed, key=lambda one: one.metrics.agreement)
    return min(attempts, key=lambda one: one.metrics.drop)


def _recall(chosen: NDArray[Any], truth: NDArray[np.int64], index: int) -> float | None:
    mine = truth == index
    return float((chosen[mine] == index).mean()) if mine.any() else None
