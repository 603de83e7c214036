"""Finishing: a file that passed learns how sure it may be, and says so to every program."""

from collections.abc import Iterable
from functools import cached_property
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_export.evaluate.confidence import fit_temperature_of_scores, measure_calibration_error
from edgetl_export.evaluate.rejection import (
    choose_threshold,
    find_acceptance,
    hold_out_classes,
    measure_rejection,
)
from edgetl_export.evaluate.tensors import describe_onnx, describe_tflite
from edgetl_export.graph.hiding import add_hidden_outputs, conceal_onnx, conceal_tflite
from edgetl_export.package.memorizing import Memorizer
from edgetl_export.package.metadata import ModelInfo, add_onnx_metadata, add_tflite_metadata
from edgetl_export.quantize.calibration import Inputs
from edgetl_export.quantize.model_files import ModelFile
from edgetl_export.quantize.search import Attempt, measure
from edgetl_export.trained import Trained
from edgetl_export.unknown.detecting import Detected, DetectorMaker
from edgetl_runtime.bundle.manifest import Calibration, UnknownSource, VariantMetrics
from edgetl_runtime.bundle.memory import Memory
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.prediction import Scores, calibrate

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_BY_PHOTOS, _BY_DETECTOR, _BY_CLASSES = 0.1, 0.05, 0.02


class Acceptance(msgspec.Struct, frozen=True):
    """Which frames shall get no label.

    Attributes:
        false_accepts: Target for the false-accept rate on unknown images, 0..1.
        max_false_rejects: Share of correctly classified known things that may get none, 0..1;
            where both cannot be kept, this one is. None: 0.1 where photos of unknown things
            chose the threshold; without them 0.05 of a file with a detector, which knows what
            other cameras make of known things, and 0.02 of one without, where such photos score
            lower than the validation photos, too.
    """

    false_accepts: Share = 0.1
    max_false_rejects: Share | None = None

    def limit_false_rejects(self, source: UnknownSource, *, detected: bool = False) -> float:
        """The largest share of false rejects, 0..1.

        Args:
            source: Of the photos of unknown things.
            detected: The file has a detector.
        """
        if self.max_false_rejects is not None:
            return self.max_false_rejects
        if source == "_unknown_":
            return _BY_PHOTOS
        return _BY_DETECTOR if detected else _BY_CLASSES


class Finished(msgspec.Struct, frozen=True, eq=False):
    """A file as it ships.

    Attributes:
        file: With metadata.
        metrics: On the validation part.
        test_metrics: On the test part; None without one.
        calibration: Temperature, threshold, and what they do.
        memory: Its head, and features of photos; None if it has no features.
    """

    file: ModelFile
    metrics: VariantMetrics
    test_metrics: VariantMetrics | None
    calibration: Calibration
    memory: Memory | None = None


class Finisher:
    """Finishes the files of one trained model; photos are decoded once for all of them."""

    def __init__(
        self,
        trained: Trained,
        acceptance: Acceptance,
        max_bytes: int | None = None,
        inputs: Inputs | None = None,
    ) -> None:
        """Nothing is decoded yet.

        Args:
            trained: The model and its photos. With an `unknown_label`, files get a detector.
            acceptance: Which frames shall get no label.
            max_bytes: Largest size of a file; None: any.
            inputs: Where decoded photos are kept; None: for itself.
        """
        self._trained, self._acceptance, self._max_bytes = trained, acceptance, max_bytes
        self._inputs = inputs or Inputs(trained.preprocessing)
        self._detectors = DetectorMaker(trained, self._inputs)
        self._memorizer = Memorizer(trained, self._inputs)
        self._has_unknown = bool(trained.unknown_label)

    def finish(self, attempt: Attempt) -> Finished:
        """Fits temperature and threshold on the validation part, and writes the metadata.

        Raises:
            FrameError: If a photo cannot be read any more.
        """
        truth = self._trained.validation.truth
        temperature = fit_temperature_of_scores(attempt.scores, truth)
        if self._has_unknown:
            detected = self._detect(attempt)
            scores = detected.scores
            calibration = self._describe_detector(detected, temperature)
            file = self._describe(detected.file, temperature, 0.0)
        else:
            scores = attempt.scores
            calibration = self._calibrate(attempt.file, scores, temperature)
            file = self._complete(attempt.file, scores, temperature)
        if file.hidden and file.hidden.maps and not self._memorizer.are_means(file):
            plain = msgspec.structs.replace(file.hidden, maps=b"", map_channels=())
            file = msgspec.structs.replace(file, hidden=plain)
        return Finished(
            file=file,
            memory=self._memorizer.remember(file),
            metrics=self._describe_answers(
                attempt.metrics, soften(scores, temperature), truth, calibration
            ),
            test_metrics=self._test(file, calibration),
            calibration=calibration,
        )

    def can_detect(self, attempts: Iterable[Attempt]) -> bool:
        """Whether all of these files can have a detector."""
        return all(self._detectors.fits(one.file, self._find_room(one)) for one in attempts)

    def _find_room(self, attempt: Attempt) -> int | None:
        """By how many bytes a file may grow; None: that is not limited."""
        if self._max_bytes is None:
            return None
        return self._max_bytes - self.weigh(attempt.file, attempt.scores)

    def weigh(self, file: ModelFile, scores: Scores) -> int:
        """Bytes of a file as it ships, with its metadata."""
        temperature = fit_temperature_of_scores(scores, self._trained.validation.truth)
        return len(self._complete(file, scores, temperature).data)

    def _complete(self, file: ModelFile, scores: Scores, temperature: float) -> ModelFile:
        # Other programs know no temperature: theirs is a threshold of the scores as they are.
        raw = self._calibrate(file, scores, 1.0).reject_threshold
        return self._describe(file, temperature, raw)

    def _detect(self, attempt: Attempt) -> Detected:
        source: UnknownSource = "_unknown_" if self._unknown_inputs[0] else ""
        return self._detectors.detect(
            attempt.file,
            self._unknown_inputs[0],
            room_bytes=self._find_room(attempt),
            false_accept_rate=self._acceptance.false_accepts,
            max_false_rejects=self._acceptance.limit_false_rejects(source, detected=True),
        )

    def _describe_detector(self, detected: Detected, temperature: float) -> Calibration:
        """The file itself decides what is unknown: no threshold is applied to its scores."""
        truth, measuring = self._trained.validation.truth, self._unknown_inputs[1]
        scores = soften(detected.scores, temperature)
        unknown = detected.file.run(measuring) if measuring else scores[:0]
        rates = measure_rejection(0.0, scores, truth, unknown, has_unknown=True)
        held_out = detected.effect.held_out_accept_rate
        by_classes = rates.false_accept_rate is None and held_out is not None
        return Calibration(
            temperature=temperature,
            calibration_error_before=measure_calibration_error(
                self._of_classes(detected.scores), truth
            ),
            calibration_error=measure_calibration_error(self._of_classes(scores), truth),
            false_accept_rate=held_out if by_classes else rates.false_accept_rate,
            false_reject_rate=rates.false_reject_rate,
            unknown="held-out classes" if by_classes else "_unknown_" if measuring else "",
            held_out_accept_rate=held_out,
            view_reject_rate=detected.effect.view_reject_rate,
        )

    def _calibrate(self, file: ModelFile, raw: Scores, temperature: float) -> Calibration:
        """Of a file without a detector: its scores are those of the classes alone."""
        truth = self._trained.validation.truth
        scores = soften(raw, temperature)
        source, choosing, measuring = self._find_unknown(file, raw, temperature)
        chosen = choose_threshold(
            scores,
            truth,
            choosing,
            false_accept_rate=self._acceptance.false_accepts,
            max_false_rejects=self._acceptance.limit_false_rejects(source),
        )
        rates = measure_rejection(chosen.threshold, scores, truth, measuring)
        return Calibration(
            temperature=temperature,
            reject_threshold=chosen.threshold,
            calibration_error_before=measure_calibration_error(raw, truth),
            calibration_error=measure_calibration_error(scores, truth),
            false_accept_rate=rates.false_accept_rate,
            false_reject_rate=rates.false_reject_rate,
            unknown=source,
        )

    def _find_unknown(
        self, file: ModelFile, raw: Scores, temperature: float
    ) -> tuple[UnknownSource, Scores, Scores]:
        """Scores of unknown things to choose the threshold by, and others to measure it on."""
        choosing, measuring = self._unknown_inputs
        if choosing:
            parts = [soften(file.run(one), temperature) for one in (choosing, measuring)]
            return "_unknown_", parts[0], parts[1]
        scores = soften(raw, temperature)
        held_out = hold_out_classes(scores, self._trained.validation.truth)
        if held_out is None:
            none = np.zeros((0, scores.shape[1]), np.float32)
            return "", none, none
        return "held-out classes", held_out, held_out

    def _test(self, file: ModelFile, calibration: Calibration) -> VariantMetrics | None:
        part = self._trained.test
        if part is None or not part.photos:
            return None
        scores = file.run(self._test_inputs)
        found = measure(part, scores, self._trained.labels)
        softened = soften(scores, calibration.temperature)
        return self._describe_answers(found, softened, part.truth, calibration)

    def _describe_answers(
        self,
        metrics: VariantMetrics,
        scores: Scores,
        truth: NDArray[np.int64],
        calibration: Calibration,
    ) -> VariantMetrics:
        """Adds what a device can compare with its own answers; scores are after temperature."""
        accepted = find_acceptance(scores, self._has_unknown) >= calibration.reject_threshold
        named = scores.argmax(axis=1)[accepted]
        shares = np.bincount(named, minlength=len(self._trained.labels)) / max(1, len(named))
        return msgspec.structs.replace(
            metrics,
            calibration_error=measure_calibration_error(self._of_classes(scores), truth),
            mean_confidence=float(scores.max(axis=1).astype(np.float64).mean()),
            reject_rate=1 - len(named) / len(scores),
            label_shares=dict(zip(self._trained.labels, shares.tolist(), strict=True)),
        )

    def _of_classes(self, scores: Scores) -> Scores:
        """The scores without that of the unknown: how sure the file is of a label."""
        return scores[:, : len(self._trained.labels)]

    def _describe(self, file: ModelFile, temperature: float, threshold: float) -> ModelFile:
        trained, frame = self._trained, self._trained.preprocessing
        info = ModelInfo(
            name=trained.about.name or f"edgetl {trained.backbone}",
            description=trained.about.description
            or f"Classifies an image as one of {len(trained.labels)} labels.",
            version=trained.about.version or trained.model_sha256[:12],
            author=trained.about.author,
            license=trained.about.license,
            # A file that has no detector yet, as when its bytes are counted, has the classes only.
            labels=trained.outputs[: file.tensors[1].shape[-1]],
            width_px=frame.width_px,
            height_px=frame.height_px,
            fit=frame.fit,
            temperature=temperature,
            reject_threshold=threshold,
            record={"backbone": trained.backbone, "preprocessing": msgspec.to_builtins(frame)},
        )
        if file.plan.recipe.engine == "litert":
            longer, ending = add_hidden_outputs(file.data)
            data = add_tflite_metadata(longer, info)
            hidden = conceal_tflite(data, ending) if ending else None
            data = hidden.data if hidden else data
            tensors = describe_tflite(data, any_step=True)
        else:
            data = add_onnx_metadata(file.data, info)
            hidden, tensors = conceal_onnx(data), describe_onnx(data)
        return msgspec.structs.replace(
            file,
            data=data,
            tensors=tensors,
            hidden=hidden.outputs if hidden else None,
            head=hidden.head if hidden else None,
        )

    @cached_property
    def _test_inputs(self) -> list[Frame]:
        part = self._trained.test
        files = [photo.file for photo in part.photos] if part else []
        return self._inputs.load(files, "reading test photos")

    @cached_property
    def _unknown_inputs(self) -> tuple[list[Frame], list[Frame]]:
        unknown = self._trained.unknown
        return (
            self._inputs.load(unknown.choosing, "reading unknown photos"),
            self._inputs.load(unknown.measuring, "reading unknown photos"),
        )


def soften(scores: Scores, temperature: float) -> Scores:
    """Applies a temperature to each row as the device does; float32 (photos, classes)."""
    rows = [calibrate(row, temperature) for row in scores]
    return np.stack(rows) if rows else scores
