"""Detecting: a file gets a detector that fits its own features, and its effect is measured."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_export.evaluate.engine_pool import share_out
from edgetl_export.evaluate.rejection import LEAST_CLASSES_TO_HOLD_OUT
from edgetl_export.evaluate.scoring import look
from edgetl_export.evaluate.tensors import describe
from edgetl_export.graph.hiding import Hidden, hide
from edgetl_export.progress import step, track
from edgetl_export.quantize.calibration import Inputs, draw_training_photos
from edgetl_export.quantize.model_files import ModelFile
from edgetl_export.trained import Trained
from edgetl_export.unknown.detector import (
    MOST_PROTOTYPES,
    Array,
    Detector,
    Knownness,
    Prototypes,
    choose_bound,
    sum_up,
    weigh,
)
from edgetl_export.unknown.litert_detector import add_to_tflite
from edgetl_export.unknown.onnx_detector import add_to_onnx
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.prediction import Scores

SHARE_OF_BYTES = 0.1
"""The largest share of a file's bytes that its detector adds."""
# With twice the views of 400 photos, classes that were left out were told apart less well.
PHOTOS = 1000
VIEWS = 1
# Training drew its views by numbers from 1 on.
_FIRST_VIEW, _VALIDATION_VIEW = 101, 201
# Names, shapes and operators.
_OTHER_BYTES = 4096
_BIAS_BYTES, _WEIGHT_BYTES = 4, 1
_LEAST_SCORE = np.finfo(np.float32).tiny


class Effect(msgspec.Struct, frozen=True):
    """The effect of a detector, measured on photos.

    Attributes:
        held_out_accept_rate: Share of validation photos that get a label where their own class was
            left out, 0..1; None with fewer than 3 classes, or more than there are prototypes.
        view_reject_rate: Share of correctly classified validation photos that are rejected where
            another camera took them, 0..1; None if no such views could be made.
    """

    held_out_accept_rate: float | None
    view_reject_rate: float | None


class Detected(msgspec.Struct, frozen=True, eq=False):
    """A file with a detector.

    Attributes:
        file: Its last score is that of the unknown.
        scores: Of the validation photos, float32 (photos, classes + 1).
        effect: Of the detector.
    """

    file: ModelFile
    scores: Scores
    effect: Effect


class DetectorMaker:
    """Makes the detectors of one trained model's files; photos are decoded once for all of them."""

    def __init__(self, trained: Trained, inputs: Inputs | None = None) -> None:
        """Nothing is decoded yet.

        Args:
            trained: The model and its photos.
            inputs: Where decoded photos are kept; None: for itself.
        """
        self._trained, self._inputs = trained, inputs or Inputs(trained.preprocessing)

    def fits(self, file: ModelFile, room_bytes: int | None = None) -> bool:
        """Whether a file ends as it must, and has room for one prototype.

        Args:
            file: Without a detector.
            room_bytes: By how many bytes it may grow; None: by a tenth.
        """
        hidden = hide(file.engine, file.data)
        return (
            hidden is not None
            and hidden.head is not None
            and hidden.head.kernel.shape[1] == len(self._trained.labels)
            and _count_prototypes(file, hidden, room_bytes) > 0
        )

    def detect(
        self,
        file: ModelFile,
        unknown: Sequence[Frame],
        *,
        room_bytes: int | None = None,
        false_accept_rate: float,
        max_false_rejects: float,
    ) -> Detected:
        """Gives a file a detector.

        Args:
            file: What `fits` accepts.
            unknown: Inputs of photos of other things, by which the threshold is chosen; may be
                empty.
            room_bytes: See `fits`.
            false_accept_rate: See `detector.choose_bound`.
            max_false_rejects: See `detector.choose_bound`.
        """
        eye = _Eye(file)
        truth = self._trained.validation.truth
        with step("telling unknown things apart"):
            prototypes = self._sum_up(file, eye, room_bytes)
            logits, features = eye.see(self._validation)
            right = logits.argmax(axis=1) == truth
            known = right if right.any() else np.ones_like(right)
            knownness = weigh(prototypes, logits[known], features[known])
            # Near the line, so that the scores of the file itself can tell both sides apart.
            rough = choose_bound(
                knownness.measure(logits[known], features[known]),
                max_false_rejects=max_false_rejects,
            )
            draft = self._add(file, knownness.make_detector(rough))
            exact = choose_bound(
                measure_lead(draft.run(self._validation)[known]),
                measure_lead(draft.run(unknown)) if unknown else None,
                false_accept_rate=false_accept_rate,
                max_false_rejects=max_false_rejects,
            )
            finished = self._add(file, knownness.make_detector(rough + exact))
            effect = Effect(
                self._count_held_out(knownness, logits, features, rough + exact),
                float(is_unknown(finished.run(self._views)[right]).mean()) if self._views else None,
            )
            return Detected(finished, finished.run(self._validation), effect)

    def _sum_up(self, file: ModelFile, eye: "_Eye", room_bytes: int | None) -> Prototypes:
        pictures, classes = self._training
        _, features = eye.see(pictures)
        return sum_up(
            features,
            classes,
            len(self._trained.labels),
            _count_prototypes(file, eye.hidden, room_bytes),
            self._trained.seed,
            eye.hidden.outputs.map_channels,
        )

    def _count_held_out(
        self, knownness: Knownness, logits: Array, features: Array, threshold: float
    ) -> float | None:
        """Share of the validation photos that get a label where their class is left out."""
        owners = set(knownness.prototypes.classes.tolist())
        if len(owners) < LEAST_CLASSES_TO_HOLD_OUT:
            return None
        truth = self._trained.validation.truth
        known = knownness.measure_held_out(logits, features, truth)
        return float((known >= threshold).mean())

    def _add(self, file: ModelFile, detector: Detector) -> ModelFile:
        add = add_to_tflite if file.engine == "litert" else add_to_onnx
        data = add(file.data, detector)
        return msgspec.structs.replace(file, data=data, tensors=describe(file.engine, data))

    @cached_property
    def _training(self) -> tuple[list[Frame], NDArray[np.int64]]:
        """Inputs of training photos and of views of them, and the class of each."""
        trained = self._trained
        index = {photo.file: photo.index for photo in trained.training}
        photos = draw_training_photos(trained, PHOTOS)
        numbers = [0, *range(_FIRST_VIEW, _FIRST_VIEW + VIEWS)] if trained.view else [0]
        wanted = [(photo, number) for photo in photos for number in numbers]
        inputs = self._look_at(wanted, "reading training photos")
        return inputs, np.array([index[photo] for photo, _ in wanted], np.int64)

    @cached_property
    def _validation(self) -> list[Frame]:
        files = [photo.file for photo in self._trained.validation.photos]
        return self._inputs.load(files, "reading validation photos")

    @cached_property
    def _views(self) -> list[Frame]:
        if self._trained.view is None:
            return []
        wanted = [(photo.file, _VALIDATION_VIEW) for photo in self._trained.validation.photos]
        return self._look_at(wanted, "reading validation photos")

    def _look_at(self, wanted: Sequence[tuple[Path, int]], description: str) -> list[Frame]:
        """The model's inputs of views of photos; number 0 is the photo itself."""
        plain = [file for file, number in wanted if not number]
        known = dict(zip(plain, self._inputs.load(plain, description), strict=True))

        def prepare(one: tuple[Path, int]) -> Frame:
            file, number = one
            if not number:
                return known[file]
            frame = read_picture(file)
            if self._trained.view is not None:
                digest = hashlib.sha256(file.read_bytes()).hexdigest()
                frame = self._trained.view(frame, digest, number)
            return self._trained.preprocessing.apply(frame)

        return [*track(share_out(lambda: prepare, wanted), description, len(wanted))]


class _Eye:
    """What a file without a detector sees."""

    def __init__(self, file: ModelFile) -> None:
        hidden = hide(file.engine, file.data)
        if hidden is None or hidden.head is None:
            raise ValueError("a file without a head")
        self.hidden, self._head, self._engine = hidden, hidden.head, file.engine
        self._tensors = describe(file.engine, hidden.data)

    def see(self, pictures: Sequence[Frame]) -> tuple[Array, Array]:
        """Logits, float32 (pictures, classes), and features, float32 (pictures, features)."""
        hidden = self.hidden
        seen = look(self._engine, hidden.data, self._tensors, hidden.outputs, "features", pictures)
        features = np.stack([one.features for one in seen])
        return features @ self._head.kernel + self._head.bias, features


def _count_prototypes(file: ModelFile, hidden: Hidden, room_bytes: int | None) -> int:
    room = SHARE_OF_BYTES * len(file.data)
    if room_bytes is not None:
        room = min(room, room_bytes)
    features = len(hidden.head.kernel) if hidden.head else 0
    count = (room - _OTHER_BYTES) // (_WEIGHT_BYTES * features + _BIAS_BYTES)
    return int(min(MOST_PROTOTYPES, max(0, count)))


def measure_lead(scores: Scores) -> NDArray[np.float64]:
    """By how much the best class leads the unknown, as a difference of logits, (photos,)."""
    logs = np.log(np.maximum(scores, _LEAST_SCORE).astype(np.float64))
    lead: NDArray[np.float64] = logs[:, :-1].max(axis=1) - logs[:, -1]
    return lead


def is_unknown(scores: Scores) -> NDArray[np.bool_]:
    """Whether the last score is the highest, (photos,)."""
    return np.asarray(scores.argmax(axis=1) == scores.shape[1] - 1)
