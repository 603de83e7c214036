"""Attempts: files are written and scored until one of each recipe passes the gate."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_export.evaluate.gate import Gate, GateVerdict, check
from edgetl_export.options import Repair
from edgetl_export.quantize.calibration import Inputs
from edgetl_export.quantize.model_files import FileWriter, ModelFile
from edgetl_export.quantize.repairs import FARTHEST_DROP, Plan, is_refit_only
from edgetl_export.recipes import Recipe
from edgetl_export.trained import ScoredPhotos, Trained
from edgetl_runtime.bundle.manifest import Attempted, LeftOut, VariantMetrics
from edgetl_runtime.prediction import Scores


class Attempt(msgspec.Struct, frozen=True, eq=False):
    """One file and what was measured on it.

    Attributes:
        file: The file.
        scores: Of the validation photos, float32 (photos, outputs).
        metrics: Against the truth and the trained model.
        verdict: Of the gate.
        is_too_large: The gate refused its size, whatever else it refused.
    """

    file: ModelFile
    scores: Scores
    metrics: VariantMetrics
    verdict: GateVerdict
    is_too_large: bool = False


Weigh = Callable[[ModelFile, Scores], int]


class Judge:
    """Scores files on the validation photos, with the engine that the device uses."""

    def __init__(
        self,
        trained: Trained,
        gate: Gate,
        *,
        weigh: Weigh | None = None,
        inputs: Inputs | None = None,
    ) -> None:
        """Decodes the photos.

        Args:
            trained: The model and its photos.
            gate: What is allowed.
            weigh: Bytes of a file as it ships, with metadata that its scores decide on; None:
                files are judged as they are.
            inputs: Where decoded photos are kept; None: for itself.

        Raises:
            FrameError: If a photo cannot be read any more.
        """
        self._labels, self._gate, self._part = trained.labels, gate, trained.validation
        self._weigh = weigh
        self._inputs = (inputs or Inputs(trained.preprocessing)).load(
            [photo.file for photo in self._part.photos], "reading validation photos"
        )

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
            exported=name_best(scores, self._labels),
            labels=self._labels,
        )
        size = self._refuse_size(file, scores)
        if size:
            verdict = GateVerdict((*verdict.failures, size), verdict.unsure)
        metrics = measure(self._part, scores, self._labels)
        return Attempt(file, scores, metrics, verdict, is_too_large=bool(size))

    def _refuse_size(self, file: ModelFile, scores: Scores) -> str:
        plain = self._gate.refuse_size(len(file.data))
        if plain or self._weigh is None or self._gate.max_bytes is None:
            return plain
        return self._gate.refuse_size(self._weigh(file, scores), " with its metadata")


def measure(part: ScoredPhotos, scores: Scores, labels: Sequence[str]) -> VariantMetrics:
    """Compares a file's scores with the truth and with those of the trained model."""
    chosen, reference = name_best(scores, labels), name_best(part.scores, labels)
    top1 = float((chosen == part.truth).mean())
    return VariantMetrics(
        examples=len(part.truth),
        top1=top1,
        drop=float((reference == part.truth).mean()) - top1,
        agreement=float((chosen == reference).mean()),
        recall={label: _recall(chosen, part.truth, index) for index, label in enumerate(labels)},
    )


def name_best(scores: Scores, labels: Sequence[str]) -> NDArray[np.int64]:
    """Index of the best class of each photo, (photos,); an output for the unknown never counts.

    Args:
        scores: float32 (photos, outputs).
        labels: The classes, which are the first outputs.
    """
    return np.asarray(scores[:, : len(labels)].argmax(axis=1), np.int64)


def attempt(
    recipe: Recipe,
    writer: FileWriter,
    judge: Judge,
    *,
    repair: Repair = "quick",
    second_choice: bool = False,
) -> list[Attempt]:
    """Carries out a recipe, plainly at first, then with repairs until the gate is sure of a file.

    What 8 bits bend, a refit of the head costs seconds to straighten: it is tried even if the
    plain file passes, and the better one ships.

    Args:
        recipe: What is asked for.
        writer: Writes the files.
        judge: Measures them.
        repair: How much may be tried.
        second_choice: Another engine's file of this precision passed: this one is not worth
            minutes.

    Returns:
        All attempts in order.

    Raises:
        ExportError: If the model cannot be converted.
    """
    attempts: list[Attempt] = []
    for plan in writer.plan(recipe, repair=repair):
        if attempts:
            # No repair makes a file smaller.
            if attempts[-1].is_too_large:
                break
            if not is_worth_trying(
                plan, find_best(attempts), repair=repair, second_choice=second_choice
            ):
                continue
        attempts.append(judge.judge(writer.write(plan)))
    return attempts


def is_worth_trying(plan: Plan, best: Attempt, *, repair: Repair, second_choice: bool) -> bool:
    """Whether a repair may make a better file than the best so far, and is worth its time.

    Args:
        plan: The repair.
        best: Of the attempts so far; at least the plain one.
        repair: How much may be tried.
        second_choice: See `attempt`.
    """
    if is_refit_only(plan):
        return True
    if best.verdict.sure:
        return False
    # It helps where chance may explain the loss, too, and takes a minute or two.
    if plan.retrain:
        return True
    if best.verdict.passed and repair == "quick":
        return False
    if repair == "thorough" or not plan.keep:
        return True
    # Which layers to keep takes minutes to find.
    return not second_choice and best.metrics.drop <= FARTHEST_DROP


def find_best(attempts: Sequence[Attempt]) -> Attempt:
    """The file that ships, or would be the first to.

    Of those that passed, one that the gate is sure of, and then the one that agrees most with the
    trained model; if none passed, the one that lost least. Of equals the first.
    """
    passed = [one for one in attempts if one.verdict.passed]
    if passed:
        return max(passed, key=lambda one: (one.verdict.sure, one.metrics.agreement))
    return min(attempts, key=lambda one: one.metrics.drop)


def leave_out(name: str, attempts: Sequence[Attempt]) -> LeftOut:
    """The record of a recipe of which no file passed."""
    best = find_best(attempts)
    return LeftOut(
        name=name,
        reason="; ".join(best.verdict.failures),
        best=Attempted(
            recipe=best.file.plan.recipe.name,
            repair=best.file.plan.repair,
            bytes=len(best.file.data),
            top1=best.metrics.top1,
            drop=best.metrics.drop,
            agreement=best.metrics.agreement,
        ),
    )


def _recall(chosen: NDArray[Any], truth: NDArray[np.int64], index: int) -> float | None:
    mine = truth == index
    return float((chosen[mine] == index).mean()) if mine.any() else None
