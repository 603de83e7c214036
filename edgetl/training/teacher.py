"""A teacher: a trained network whose scores a smaller one learns from, beside the labels.

Its scores are computed once for each photo and view, and kept like features (knowledge
distillation: Hinton, Vinyals and Dean 2015; the same view for both: Beyer et al. 2022).
"""

import hashlib
import logging
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl.augmentation.strengths import Augmentation
from edgetl.dataset.manifest import DatasetManifest
from edgetl.dataset.unlabelled import UnlabelledPhoto
from edgetl.networks.backbones import BACKBONES
from edgetl.networks.features import CachedNetwork, FeatureRequest, LiteRTNetwork
from edgetl.run import RUN_FILE, Run
from edgetl_runtime.bundle.reader import MANIFEST
from edgetl_runtime.errors import OptionsError
from edgetl_runtime.image.preprocessing import Frame

# Raise it when the same teacher would say something else.
_FORMAT = 1
Scores = NDArray[np.float32]
_log = logging.getLogger(__name__)


class Teaching(msgspec.Struct, frozen=True):
    """What a training learns beside the labels.

    Attributes:
        run: The teacher.
        unlabelled: Photos that only the teacher names.
    """

    run: Run
    unlabelled: tuple[UnlabelledPhoto, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 over the teacher's weights and the photos without labels."""
        photos = [one.sha256 for one in self.unlabelled]
        return hashlib.sha256(msgspec.json.encode((self.model_sha256, photos))).hexdigest()

    @property
    def model_sha256(self) -> str:
        """SHA-256 of the teacher's weights."""
        return self.run.file.model_sha256


class Teacher(CachedNetwork):
    """A trained run on LiteRT, with its scores kept in the cache."""

    def __init__(self, run: Run, labels: Sequence[str], augmentation: Augmentation) -> None:
        """Names the teacher; its network is built only when a score is missing.

        Args:
            run: A trained run of the same labels, in any order.
            labels: In the order of the scores that are wanted.
            augmentation: Of the views.

        Raises:
            OptionsError: If its labels are others.
        """
        check_labels(run, labels)
        self._run = run
        self._building = Lock()
        self._built: LiteRTNetwork | None = None
        self._order = [run.spec.labels.index(label) for label in labels]
        super().__init__(
            (_FORMAT, "scores", run.file.model_sha256, run.spec.preprocessing),
            self._build,
            run.spec.preprocessing,
            augmentation=augmentation,
            description="asking the teacher",
        )

    def score_all(self, wanted: Sequence[FeatureRequest]) -> list[Scores]:
        """Scores of photos and views, float32 (classes,) each, 0..1; see `extract`."""
        return [self._sort(row) for row in self.extract(wanted).rows]

    def score(self, photo: Frame) -> Scores:
        """Scores of one photo or view, uint8 (height, width, 3) BGR: float32 (classes,), 0..1."""
        return self._sort(self._network.run(self._preprocessing.apply(photo)))

    @property
    def _network(self) -> LiteRTNetwork:
        # Photos are scored on several threads.
        with self._building:
            if self._built is None:
                self._built = LiteRTNetwork(self._model())
            return self._built

    def _sort(self, row: Any) -> Scores:
        scores: Scores = row[self._order]
        return scores

    def _build(self) -> bytes:
        from edgetl_export.quantize.tflite_quantizer import convert

        return convert(self._run.load_model())


def open_teacher(path: Path) -> Run:
    """A run that is to teach.

    Raises:
        OptionsError: If it is neither a run nor something like one.
        RunError: If it is damaged.
    """
    if (path / RUN_FILE).is_file():
        return Run.open(path)
    if (path / MANIFEST).is_file() or path.is_file():
        raise OptionsError(
            f"the teacher {path} is not a run; give the run that it was exported from"
        )
    near = get_close_matches(str(path), BACKBONES, n=1)
    meant = f"did you mean {near[0]}?" if near else "`edgetl backbones` lists these"
    raise OptionsError(f"the teacher {path} is neither a finished run nor a backbone; {meant}")


def check_labels(run: Run, labels: Sequence[str]) -> None:
    """Refuses a teacher of other labels.

    Raises:
        OptionsError: With the first difference.
    """
    unknown = [label for label in labels if label not in run.spec.labels]
    others = [label for label in run.spec.labels if label not in labels]
    if unknown or others:
        found = f"does not know {unknown[0]!r}" if unknown else f"has {others[0]!r} as well"
        raise OptionsError(
            f"the teacher {run.path} {found}; a teacher must have the same labels as the photos: "
            "train one on them with --teacher BACKBONE"
        )


def warn_of_leaks(run: Run, manifest: DatasetManifest) -> None:
    """Warns if the teacher has learned from photos that its student is judged by."""
    learned = {one.sha256 for one in run.manifest.select("train")}
    seen = [one for one in manifest.select("val", "test") if one.sha256 in learned]
    if seen:
        _log.warning(
            "the teacher was trained on %d of the photos that this training is judged by, such as "
            "%s, so accuracy may be overstated; train the teacher with the same --seed and split, "
            "or with --teacher BACKBONE",
            len(seen),
            seen[0].path,
        )
