"""Memorizing: what a device needs of the photos, in a megabyte beside each model file."""

from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgetl_export.evaluate.scoring import look
from edgetl_export.quantize.calibration import Inputs, choose_photos
from edgetl_export.quantize.model_files import ModelFile
from edgetl_export.trained import Labelled, Trained
from edgetl_runtime.bundle.memory import MOST_BYTES, Memory
from edgetl_runtime.engines.hidden_outputs import Seen
from edgetl_runtime.image.preprocessing import Frame

MOST_PHOTOS = 40
"""Of a class, in each of the two parts."""
_HEADERS_BYTES = 4096
_ROW_BYTES = 4
_COMPARED = 5
# Eight bits round each feature; maps in another order are 0.5 and more away.
_MOST_ROUNDING = 0.1


class Memorizer:
    """Makes the memories of one trained model's files; photos are decoded once for all of them."""

    def __init__(self, trained: Trained, inputs: Inputs | None = None) -> None:
        """Nothing is decoded yet.

        Args:
            trained: The model and its photos.
            inputs: Where decoded photos are kept; None: for itself.
        """
        self._trained, self._inputs = trained, inputs or Inputs(trained.preprocessing)
        self._known: dict[int, tuple[list[Labelled], list[Frame]]] = {}

    def remember(self, file: ModelFile) -> Memory | None:
        """The memory of a finished file; None if it has no head that can be read.

        Raises:
            FrameError: If a photo cannot be read any more.
        """
        head = file.head
        if head is None or file.hidden is None:
            return None
        features, classes = len(head.kernel), len(self._trained.labels)
        kernel, bias = head.kernel[:, :classes], head.bias[:classes]
        room = MOST_BYTES - _HEADERS_BYTES - kernel.nbytes - bias.nbytes
        if room < 0:
            return None
        most = min(MOST_PHOTOS, room // (2 * classes * (2 * features + _ROW_BYTES)))
        photos, inputs = self._load(most)
        seen = look(file.engine, file.data, file.tensors, file.hidden, "features", inputs)
        kept = np.zeros((0, features), np.float32)
        rows = np.stack([one.features for one in seen]) if seen else kept
        largest = float(np.finfo(np.float16).max)
        training = {photo.file for photo in self._trained.training}
        return Memory(
            kernel=kernel,
            bias=bias,
            rows=rows.clip(-largest, largest).astype(np.float16),
            classes=np.array([photo.index for photo in photos], np.int16),
            held_out=np.array([photo.file not in training for photo in photos], np.bool_),
        )

    def are_means(self, file: ModelFile) -> bool:
        """Whether the maps' means are the features, on a few photos."""
        hidden = file.hidden
        if hidden is None or not hidden.maps:
            return False
        _, inputs = self._load(1)
        size = self._trained.preprocessing
        noise = np.random.default_rng(0).integers(
            0, 256, (size.height_px, size.width_px, 3), np.uint8
        )
        pictures = inputs[:_COMPARED] or [noise]
        seen = look(file.engine, file.data, file.tensors, hidden, "maps", pictures)
        return all(map(_is_mean, seen))

    def _load(self, most: int) -> tuple[list[Labelled], list[Frame]]:
        """Photos of both parts, up to a number a class, and the model's inputs of them."""
        if most not in self._known:
            trained = self._trained
            photos = [*self._draw(trained.training, most)]
            photos += self._draw(trained.validation.photos, most)
            files = [photo.file for photo in photos]
            inputs = self._inputs.load(files, "reading photos to remember")
            self._known[most] = photos, inputs
        return self._known[most]

    def _draw(self, photos: tuple[Labelled, ...], most: int) -> list[Labelled]:
        by_class: defaultdict[int, list[Path]] = defaultdict(list)
        for photo in photos:
            by_class[photo.index].append(photo.file)
        return [
            Labelled(file, index)
            for index in range(len(self._trained.labels))
            for file in choose_photos([by_class[index]], self._trained.seed, most)
        ]


def _is_mean(seen: Seen) -> bool:
    means = np.concatenate([one.mean(axis=(0, 1)) for one in seen.maps])
    return _measure_difference(means, seen.features) <= _MOST_ROUNDING


def _measure_difference(means: NDArray[np.float32], features: NDArray[np.float32]) -> float:
    if means.shape != features.shape:
        return float("inf")
    return float(np.abs(means - features).sum() / max(float(np.abs(features).sum()), 1e-6))
