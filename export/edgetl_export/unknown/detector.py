"""The detector: how unlike known things a photo is, as the logit of one more class, `unknown`.

Known photos, and views of them as another camera would have taken them, become a few prototypes in
the space of the file's own features. The features of each of the network's maps are scaled to
length 1, so that none outweighs the others. The nearer the nearest prototype and the higher the
highest logit, the better known is what a photo shows. The sum of both is compared with a threshold.
A softmax over the classes' logits and

    unknown = min_j (bias_j - weights_j @ direction)

does just that: `unknown` is the highest score where the sum is below the threshold. So any program
that takes the highest score says `unknown`, too. `benchmarks/rejection.py` compares this detector
with others. The nearest of known features is the detector of Sun et al., "Out-of-Distribution
Detection with Deep Nearest Neighbors", ICML 2022; that prototypes and logits are added inside the
softmax is the idea of Wang et al., "ViM: Out-of-Distribution with Virtual-logit Matching", CVPR
2022.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

# Times the ratio of the spreads of logits and nearness on known photos: the nearness says what is
# far from all training, the logits which class it is not. See benchmarks/rejection.py.
NEARNESS_WEIGHT = 2.0
MOST_PROTOTYPES = 200
_ROUNDS = 15  # of k-means
_LEAST_LENGTH = 1e-6
ANY_CLASS = -1
_HIGHEST_LEVEL = 127
_LITTLE = 0.01

Array = NDArray[np.float32]


class Prototypes(msgspec.Struct, frozen=True, eq=False):
    """What known photos look like.

    Attributes:
        points: float32 (prototypes, features), means of features of length 1.
        classes: int64 (prototypes,): the class that each sums up; `ANY_CLASS` where there are more
            classes than prototypes.
        parts: How many of the features belong together, in order.
    """

    points: Array
    classes: NDArray[np.int64]
    parts: tuple[int, ...]

    def measure_nearness(self, features: Array) -> Array:
        """Nearness of each prototype: half of 1 less the squared distance, up to a constant.

        Args:
            features: float32 (photos, features).

        Returns:
            float32 (photos, prototypes).
        """
        offsets = np.square(self.points).sum(axis=1) / 2
        nearness: Array = find_directions(features, self.parts) @ self.points.T - offsets
        return nearness


class Detector(msgspec.Struct, frozen=True, eq=False):
    """What a file computes; see the module.

    Directions have hundreds of numbers of like size, so that one step for all weights does: what
    rounding adds to a nearness is a thousandth of what known photos differ by.

    Attributes:
        levels: int8 (prototypes, features); the weights are `step` times these.
        step: Positive.
        biases: float32 (prototypes,).
        parts: See `Prototypes`.
    """

    levels: NDArray[np.int8]
    step: float
    biases: Array
    parts: tuple[int, ...]

    @property
    def weights(self) -> Array:
        """float32 (prototypes, features)."""
        weights: Array = self.levels.astype(np.float32) * self.step
        return weights

    def measure(self, features: Array) -> Array:
        """The logit of unknown of each photo, float32 (photos,).

        Args:
            features: float32 (photos, features).
        """
        directions = find_directions(features, self.parts)
        logits: Array = (self.biases - directions @ self.weights.T).min(axis=1)
        return logits


def find_directions(features: NDArray[np.floating], parts: Sequence[int]) -> Array:
    """Features of which each part is scaled to length 1; zeros stay zeros.

    Args:
        features: (photos, features).
        parts: How many features each part has.

    Returns:
        float32 (photos, features).
    """
    pieces = np.split(features, np.cumsum(parts)[:-1], axis=1)
    lengths = [np.linalg.norm(one, axis=1, keepdims=True) for one in pieces]
    scaled = [
        one / np.maximum(length, _LEAST_LENGTH) for one, length in zip(pieces, lengths, strict=True)
    ]
    return np.concatenate(scaled, axis=1).astype(np.float32)


def sum_up(
    features: Array,
    classes: NDArray[np.int64],
    labels: int,
    most: int,
    seed: int,
    parts: Sequence[int] = (),
) -> Prototypes:
    """Sums up features of known photos, the same number of prototypes for each class.

    Args:
        features: float32 (photos, features), of training photos and views of them.
        classes: (photos,): index of each one's class.
        labels: Number of classes.
        most: So many prototypes at most.
        seed: Of the first guess.
        parts: How many of the features belong together, in order; by default all.
    """
    parts = tuple(parts) or (features.shape[1],)
    directions = find_directions(features, parts)
    random = np.random.default_rng(seed)
    if most < labels:
        points = _find_means(directions, most, random)
        return Prototypes(points, np.full(len(points), ANY_CLASS), parts)
    # A model trained elsewhere may have labels that no photo shows.
    found = {
        index: _find_means(directions[classes == index], most // labels, random)
        for index in sorted(set(classes.tolist()))
    }
    owners = [np.full(len(points), index) for index, points in found.items()]
    return Prototypes(np.concatenate([*found.values()]), np.concatenate(owners), parts)


def _find_means(directions: Array, most: int, random: np.random.Generator) -> Array:
    """K-means (Lloyd 1982), which begins at photos drawn at random."""
    count = min(most, len(directions))
    means = directions[random.choice(len(directions), count, replace=False)]
    for _ in range(_ROUNDS):
        offsets = np.square(means).sum(axis=1) / 2
        nearest = (directions @ means.T - offsets).argmax(axis=1)
        sums = np.zeros_like(means)
        np.add.at(sums, nearest, directions)
        counts = np.bincount(nearest, minlength=count)[:, np.newaxis]
        means = np.where(counts > 0, sums / np.maximum(counts, 1), means).astype(np.float32)
    return means


class Knownness(msgspec.Struct, frozen=True, eq=False):
    """How well known photos are: highest logit plus weighted nearness.

    Attributes:
        prototypes: Of known photos.
        weight: Of the nearness.
    """

    prototypes: Prototypes
    weight: float

    def measure(self, logits: Array, features: Array) -> NDArray[np.float64]:
        """How well known each photo is, float64 (photos,).

        Args:
            logits: float32 (photos, classes).
            features: float32 (photos, features).
        """
        nearest = self.prototypes.measure_nearness(features).max(axis=1)
        known: NDArray[np.float64] = logits.max(axis=1).astype(np.float64) + self.weight * nearest
        return known

    def measure_held_out(
        self, logits: Array, features: Array, truth: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """The same as if each photo's class had been neither learned nor summed up.

        An approximation: backbone and head did see the class.

        Args:
            logits: float32 (photos, classes).
            features: float32 (photos, features).
            truth: (photos,): index of the class.

        Returns:
            float64 (photos,).
        """
        others = np.arange(logits.shape[1]) != truth[:, np.newaxis]
        highest = np.where(others, logits, -np.inf).max(axis=1).astype(np.float64)
        foreign = self.prototypes.classes != truth[:, np.newaxis]
        nearness = self.prototypes.measure_nearness(features)
        nearest = np.where(foreign, nearness, -np.inf).max(axis=1)
        known: NDArray[np.float64] = highest + self.weight * nearest
        return known

    def make_detector(self, threshold: float) -> Detector:
        """The detector that says unknown below a threshold."""
        points = self.prototypes.points
        weights = self.weight * points
        step = float(np.float32(np.abs(weights).max() / _HIGHEST_LEVEL)) or 1.0
        offsets = self.weight * np.square(points).sum(axis=1) / 2
        return Detector(
            np.round(weights / step).astype(np.int8),
            step,
            (threshold + offsets).astype(np.float32),
            self.prototypes.parts,
        )


def weigh(prototypes: Prototypes, logits: Array, features: Array) -> Knownness:
    """Weighs logits and nearness by their spreads on known photos that nothing was fitted on.

    Args:
        prototypes: Of training photos.
        logits: float32 (photos, classes), of validation photos that are classified correctly.
        features: float32 (photos, features).
    """
    nearest = prototypes.measure_nearness(features).max(axis=1)
    spread = float(nearest.std()) or 1.0
    return Knownness(prototypes, NEARNESS_WEIGHT * float(logits.max(axis=1).std()) / spread)


def choose_bound(
    known: NDArray[np.float64],
    unknown: NDArray[np.float64] | None = None,
    *,
    max_false_rejects: float,
    false_accept_rate: float = 0.0,
) -> float:
    """The threshold below which a photo is unknown.

    It is the lowest that lets at most `false_accept_rate` of the unknown photos pass, and never
    rejects more than `max_false_rejects` of the known ones; without unknown photos it rejects as
    many known ones as it may.

    Args:
        known: Knownness of photos that are classified correctly, (photos,).
        unknown: That of photos of other things, if there are any.
        max_false_rejects: 0..1.
        false_accept_rate: 0..1.
    """
    rising = np.sort(known)
    falling = np.sort(known[:0] if unknown is None else unknown)[::-1]
    if not len(rising):
        return -np.inf
    most = min(len(rising) - 1, int(max_false_rejects * len(rising)))
    highest = _find_middle(rising, most)
    if not len(falling):
        return highest
    passing = int(false_accept_rate * len(falling))
    wanted = _find_middle(falling, passing) if passing < len(falling) else -np.inf
    return min(wanted, highest)


def _find_middle(ordered: NDArray[np.float64], place: int) -> float:
    """Between a number and the one before it, so that rounding changes no side."""
    here = float(ordered[place])
    if place:
        return (float(ordered[place - 1]) + here) / 2
    # Outside of all of them, by a little.
    spread = float(np.abs(ordered - here).max()) or 1.0
    outwards = -1 if ordered[-1] >= here else 1
    return here + outwards * _LITTLE * spread
