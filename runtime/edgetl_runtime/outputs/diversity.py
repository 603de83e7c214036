"""Which of many frames are worth a label: in doubt, unlike what is known, and unlike one another.

Greedy farthest-point selection (Gonzalez 1985, "Clustering to Minimize the Maximum Intercluster
Distance"; for choosing what to label: Sener and Savarese 2018, "Active Learning for Convolutional
Neural Networks: A Core-Set Approach"), one frame after the other, as a camera delivers them. Where
not all can stay, each distance counts as much as the model was in doubt: without that, as many
labels taught no more than those of frames taken at random (benchmarks/labelling.py).
"""

from collections.abc import Container
from typing import Final

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]

MOST: Final = 500
"""Frames at most: 5 MB of features at 2,048 each, and more than anybody labels."""
# Half of what lies between a known photo and the most similar other one, if so many are known.
_NEWS_SHARE: Final = 0.5
_LEAST_KNOWN: Final = 10
# Between frames of a camera that nobody moves lie 0.002 (MobileNetV2 0.35), between photos 0.1.
_LEAST_NEWS: Final = 0.05
_TINY: Final = 1e-9


class Diversity:
    """Frames that were kept, and how far each is from the next one and from what is known.

    Distances are 1 - cosine of the features, 0..2.

    Attributes:
        least: Distance from which on a frame is news.
    """

    def __init__(self, known: NDArray[np.floating]) -> None:
        """Nothing is kept yet.

        Args:
            known: (photos, features), of what is known; may be empty.
        """
        self._known = _point(known)
        self.least = _find_least(self._known)
        self._numbers: list[int] = []
        self._rows = np.empty((0, known.shape[1]), np.float32)
        self._doubts = np.empty(0, np.float32)
        self._to_known = np.empty(0, np.float32)
        self._between = np.empty((0, 0), np.float32)

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._numbers)

    @property
    def numbers(self) -> frozenset[int]:
        """Of the frames that are kept."""
        return frozenset(self._numbers)

    @property
    def features(self) -> int:
        """How many features a frame has."""
        return self._rows.shape[1]

    def measure(self, features: NDArray[np.floating]) -> float:
        """Distance of a frame to the nearest photo that is known or frame that is kept.

        Args:
            features: (features,).
        """
        row = _point(features[np.newaxis])[0]
        return float(min(_find_nearest(self._known, row), _find_nearest(self._rows, row)))

    def add(self, number: int, features: NDArray[np.floating], doubt: float = 1.0) -> None:
        """Keeps a frame.

        Args:
            number: By which it is called; higher than those of all others.
            features: (features,).
            doubt: Of the model, 0..1.
        """
        row = _point(features[np.newaxis])
        distances = 1 - self._rows @ row[0]
        count = len(self._numbers)
        between = np.full((count + 1, count + 1), np.inf, np.float32)
        between[:count, :count] = self._between
        between[count, :count] = between[:count, count] = distances
        self._between = between
        self._rows = np.concatenate([self._rows, row])
        self._to_known = np.append(self._to_known, _find_nearest(self._known, row[0]))
        self._doubts = np.append(self._doubts, np.float32(doubt))
        self._numbers.append(number)

    def keep_only(self, numbers: Container[int]) -> None:
        """Forgets frames that are gone."""
        stay = np.array([number in numbers for number in self._numbers], bool)
        if not stay.all():
            self._between = self._between[np.ix_(stay, stay)]
            self._rows, self._to_known = self._rows[stay], self._to_known[stay]
            self._doubts = self._doubts[stay]
            self._numbers = [number for number in self._numbers if number in numbers]

    def rank(self) -> list[tuple[float, int]]:
        """Distance to its nearest times doubt, and number, of each frame; the lowest first."""
        nearest = np.minimum(self._to_known, self._between.min(axis=1, initial=np.inf))
        return sorted(zip((self._doubts * nearest).tolist(), self._numbers, strict=True))


def _point(rows: NDArray[np.floating]) -> Rows:
    """Directions: float32, of length 1."""
    numbers = rows.astype(np.float32)
    directions: Rows = numbers / np.maximum(np.linalg.norm(numbers, axis=1, keepdims=True), _TINY)
    return directions


def _find_nearest(rows: Rows, row: Rows) -> float:
    return 1 - float((rows @ row).max(initial=-np.inf))


def _find_least(known: Rows) -> float:
    if len(known) < _LEAST_KNOWN:
        return _LEAST_NEWS
    cosines = known @ known.T
    np.fill_diagonal(cosines, -1)
    return _NEWS_SHARE * float(np.median(1 - cosines.max(axis=1)))
