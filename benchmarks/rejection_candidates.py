"""Detectors of unknown things: each is trained on known photos and says how well known one is."""

from collections.abc import Callable, Sequence
from functools import cache, cached_property

import numpy as np
from rejection_sources import Space
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp, softmax

from edgetl_export.unknown.detecting import PHOTOS, VIEWS
from edgetl_export.unknown.detector import NEARNESS_WEIGHT, find_directions, sum_up, weigh

SEED = 0
L2 = 1e-2
NEIGHBOURS = 5
SHRINKAGE = 0.1
RESIDUAL_DIRECTIONS = 32
# As ViM (Wang et al. 2022) has it for up to 2,048 features.
VIM_DIRECTIONS = 512
DAVIS_SHARE = 0.5
EXPOSURE_SHARE = 0.5
OUTLIERS = "road"
MOST_DIRECTIONS = 500

Score = Callable[[str], np.ndarray]


class Fold:
    """What a detector may learn from: all classes, or all but one.

    Attributes:
        space: The features whose geometry is used.
        logits_of: The features on which the head works.
        classes: Indices of the classes' photos in the training part, by their new numbers.
        prototypes: How many a file has room for.
    """

    def __init__(
        self,
        space: Space,
        headed: Space,
        truth: dict[str, np.ndarray],
        prototypes: int,
        left_out: int | None = None,
    ) -> None:
        self.space, self._headed, self._truth = space, headed, truth
        self.prototypes, self.left_out = prototypes, left_out
        self.rows = np.flatnonzero(truth["train"] != left_out)
        self._names = [n for n in range(truth["train"].max() + 1) if n != left_out]
        self.truth = np.searchsorted(self._names, truth["train"][self.rows])
        self.labels = len(self._names)
        self._heads: dict[bool, tuple[np.ndarray, np.ndarray]] = {}
        self._scores: dict[Candidate, Score] = {}

    def taps(self, which: str) -> Sequence[int]:
        count = len(self.space.parts)
        return (count - 1,) if which == "last" else range(count)

    def see(self, source: str, which: str, pooling: str = "mean") -> np.ndarray:
        rows = self.space.take(source, pooling, self.taps(which)).astype(np.float32)
        return find_directions(rows, self.space.parts) if which == "scaled" else rows

    def learn(self, which: str, pooling: str, *, views: bool) -> tuple[np.ndarray, np.ndarray]:
        """Features of the training photos, and the class of each."""
        names = ("train", "train 1", "train 2") if views else ("train",)
        parts = [self.see(name, which, pooling)[self.rows] for name in names]
        return np.concatenate(parts), np.tile(self.truth, len(names))

    def head_features(self, source: str, pooling: str = "mean") -> np.ndarray:
        return self._headed.take(source, pooling, range(len(self._headed.parts)))

    def score_by(self, candidate: "Candidate") -> Score:
        """A trained detector; what it has scored is kept."""
        if candidate not in self._scores:
            self._scores[candidate] = cache(candidate(self))
        return self._scores[candidate]

    @cache  # noqa: B019  # A fold lives as long as the benchmark.
    def logits(self, source: str, *, exposed: bool = False) -> np.ndarray:
        kernel, bias = self.head(exposed=exposed)
        return self.head_features(source) @ kernel + bias

    def head(self, *, exposed: bool = False) -> tuple[np.ndarray, np.ndarray]:
        if exposed not in self._heads:
            own = self._headed.head
            if own is not None and self.left_out is None and not exposed:
                return own
            rows = self.head_features("train")[self.rows]
            targets = np.eye(self.labels)[self.truth]
            weights = np.full(len(rows), 1 / len(rows))
            if exposed:
                outliers = self.head_features(OUTLIERS)
                rows = np.concatenate([rows, outliers])
                even = np.full((len(outliers), self.labels), 1 / self.labels)
                targets = np.concatenate([targets, even])
                share = EXPOSURE_SHARE / len(outliers)
                weights = np.concatenate([weights, np.full(len(outliers), share)])
            self._heads[exposed] = fit_softmax(rows, targets, weights)
        return self._heads[exposed]

    @cached_property
    def known(self) -> np.ndarray:
        """The validation photos of the classes that are classified correctly."""
        truth = self._truth["val"]
        right = np.array(self._names)[self.logits("val").argmax(axis=1)] == truth
        return np.flatnonzero(right)


Candidate = Callable[[Fold], Score]


def fit_softmax(
    rows: np.ndarray, targets: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A softmax regression on standardized features, along their principal directions."""
    mean, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    standard = (rows - mean) / scale
    values, vectors = np.linalg.eigh(standard @ standard.T)
    values, vectors = values[::-1][:MOST_DIRECTIONS], vectors[:, ::-1][:, :MOST_DIRECTIONS]
    directions = standard.T @ (vectors / np.sqrt(np.maximum(values, 1e-6)))
    inputs = standard @ directions
    shape = (inputs.shape[1], targets.shape[1])

    def lose(flat: np.ndarray) -> tuple[float, np.ndarray]:
        kernel, bias = flat[: -shape[1]].reshape(shape), flat[-shape[1] :]
        logits = inputs @ kernel + bias
        loss = -(weights @ (targets * log_softmax(logits, axis=1)).sum(axis=1))
        slope = weights[:, None] * (softmax(logits, axis=1) - targets)
        found = np.append((inputs.T @ slope + L2 * kernel).ravel(), slope.sum(axis=0))
        return float(loss + L2 / 2 * np.square(kernel).sum()), found

    start = np.zeros(shape[0] * shape[1] + shape[1])
    found = minimize(lose, start, jac=True, method="L-BFGS-B", options={"maxiter": 80}).x
    kernel = directions @ found[: -shape[1]].reshape(shape) / scale[:, None]
    return kernel, found[-shape[1] :] - mean @ kernel


def scale(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def softmax_top(fold: Fold) -> Score:
    return lambda source: softmax(fold.logits(source), axis=1).max(axis=1)


def highest_logit(fold: Fold) -> Score:
    return lambda source: fold.logits(source).max(axis=1)


def energy(fold: Fold) -> Score:
    return lambda source: logsumexp(fold.logits(source), axis=1)


def exposed(fold: Fold) -> Score:
    """Outlier exposure (Hendrycks et al. 2019): frames of the road shall get no class."""
    return lambda source: softmax(fold.logits(source, exposed=True), axis=1).max(axis=1)


def davis_std(fold: Fold) -> Score:
    """DAVIS: more than the mean goes into the head."""
    kernel, bias = fold.head()

    def score(source: str) -> np.ndarray:
        spread = fold.head_features(source, "std")
        rows = fold.head_features(source) + DAVIS_SHARE * spread
        return logsumexp(rows @ kernel + bias, axis=1)

    return score


def davis_max(fold: Fold) -> Score:
    kernel, bias = fold.head()
    return lambda source: logsumexp(fold.head_features(source, "max") @ kernel + bias, axis=1)


def neighbours(which: str, pooling: str = "mean", *, views: bool) -> Candidate:
    """Cosine to the fifth nearest (Sun et al. 2022)."""

    def make(fold: Fold) -> Score:
        known = scale(fold.learn(which, pooling, views=views)[0])

        def score(source: str) -> np.ndarray:
            cosines = scale(fold.see(source, which, pooling)) @ known.T
            return np.partition(cosines, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS]

        return score

    return make


def prototypes(which: str, *, views: bool) -> Candidate:
    """The nearest of as many means as the file has room for; all features have one length."""

    def make(fold: Fold) -> Score:
        rows, truth = fold.learn(which, "mean", views=views)
        means = sum_up(rows, truth, fold.labels, fold.prototypes, SEED)
        return lambda source: means.measure_nearness(fold.see(source, which)).max(axis=1)

    return make


def mahalanobis(which: str, *, views: bool, relative: bool) -> Candidate:
    """Lee et al. 2018, and Ren et al. 2021; the covariance is shrunk towards a sphere."""

    def make(fold: Fold) -> Score:
        rows, truth = fold.learn(which, "mean", views=views)
        rows = scale(rows)
        middle = rows.mean(axis=0)
        rows = rows - middle
        means = np.stack([rows[truth == n].mean(axis=0) for n in range(fold.labels)])
        within = _invert(rows - means[truth])
        overall = _invert(rows) if relative else np.zeros_like(within)
        pulled = within @ means.T
        offsets = (means.T * pulled).sum(axis=0)

        def score(source: str) -> np.ndarray:
            seen = scale(fold.see(source, which)) - middle
            square = (seen @ (within - overall) * seen).sum(axis=1)
            return (2 * seen @ pulled - offsets).max(axis=1) - square

        return score

    return make


def _invert(centred: np.ndarray) -> np.ndarray:
    """The inverse of a shrunk covariance."""
    covariance = centred.T @ centred / len(centred)
    size = len(covariance)
    sphere = (np.trace(covariance) / size * np.eye(size)).astype(np.float32)
    return np.linalg.inv((1 - SHRINKAGE) * covariance + SHRINKAGE * sphere)


def residual(which: str, *, views: bool, directions: int = RESIDUAL_DIRECTIONS) -> Candidate:
    """What lies outside of the principal directions of known photos."""

    def make(fold: Fold) -> Score:
        measure = _measure_residual(scale(fold.learn(which, "mean", views=views)[0]), directions)
        return lambda source: -measure(scale(fold.see(source, which)))

    return make


def vim(which: str, *, views: bool) -> Candidate:
    """Virtual-logit matching (Wang et al. 2022): the residual is one more logit."""

    def make(fold: Fold) -> Score:
        rows = fold.learn(which, "mean", views=views)[0]
        measure = _measure_residual(rows, VIM_DIRECTIONS)
        factor = fold.logits("train")[fold.rows].max(axis=1).mean() / measure(rows).mean()

        def score(source: str) -> np.ndarray:
            return logsumexp(fold.logits(source), axis=1) - factor * measure(
                fold.see(source, which)
            )

        return score

    return make


def _measure_residual(rows: np.ndarray, directions: int) -> Callable[[np.ndarray], np.ndarray]:
    middle = rows.mean(axis=0)
    centred = rows - middle
    vectors = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :directions]

    def measure(seen: np.ndarray) -> np.ndarray:
        away = seen - middle
        within = np.square(away @ vectors).sum(axis=1)
        return np.sqrt(np.maximum(np.square(away).sum(axis=1) - within, 0))

    return measure


def add(first: Candidate, second: Candidate, weight: float = NEARNESS_WEIGHT) -> Candidate:
    """The first plus `weight` times the second, each divided by its spread on known photos."""

    def make(fold: Fold) -> Score:
        one, other = fold.score_by(first), fold.score_by(second)
        spreads = [each("val")[fold.known].std() for each in (one, other)]
        return lambda source: one(source) / spreads[0] + weight * other(source) / spreads[1]

    return make


def shipped(
    *, rounded: bool = False, views: int = VIEWS, photos: int = PHOTOS, apart: bool = True
) -> Candidate:
    """What a file gets: `edgetl_export.unknown.detector` itself.

    Args:
        rounded: With prototypes of 8 bits.
        views: How many views of each photo, at most two.
        photos: How many are summed up.
        apart: Each class has prototypes of its own.
    """

    def make(fold: Fold) -> Score:
        rows, truth = fold.learn("all", "mean", views=views > 0)
        count = len(fold.rows)
        some = np.random.default_rng(SEED).permutation(count)[:photos]
        chosen = np.concatenate([some + n * count for n in range(1 + views)])
        owners, labels = (truth[chosen], fold.labels) if apart else (0 * truth[chosen], 1)
        parts = fold.space.parts
        means = sum_up(rows[chosen], owners, labels, fold.prototypes, SEED, parts)
        known = weigh(means, fold.logits("val")[fold.known], fold.see("val", "all")[fold.known])
        detector = known.make_detector(0.0)

        def score(source: str) -> np.ndarray:
            logits, seen = fold.logits(source), fold.see(source, "all")
            if rounded:
                return logits.max(axis=1) - detector.measure(seen)
            return known.measure(logits, seen)

        return score

    return make


def list_candidates(*, few: bool = False) -> dict[str, Candidate]:
    """All of them; `few`: those that are worth comparing on other features."""
    nearest = {
        "5 neighbours, last map": lambda views: neighbours("last", views=views),
        "5 neighbours, all maps": lambda views: neighbours("all", views=views),
        "5 neighbours, all maps scaled": lambda views: neighbours("scaled", views=views),
        "5 neighbours, all, mean and std": lambda views: neighbours("all", "mean+std", views=views),
        "prototypes, last map": lambda views: prototypes("last", views=views),
        "prototypes, all maps": lambda views: prototypes("all", views=views),
        "Mahalanobis": lambda views: mahalanobis("last", views=views, relative=False),
        "relative Mahalanobis": lambda views: mahalanobis("last", views=views, relative=True),
        "residual norm": lambda views: residual("last", views=views),
        "ViM": lambda views: vim("last", views=views),
    }
    found: dict[str, Candidate] = {
        "top softmax": softmax_top,
        "highest logit": highest_logit,
        "energy": energy,
    }
    if few:
        del found["energy"]
        nearest = {name: nearest[name] for name in list(nearest)[:2]}
    else:
        found |= {
            "DAVIS, mean + 0.5 std": davis_std,
            "DAVIS, max": davis_max,
            "outlier exposure": exposed,
        }
    with_views = {name: make(True) for name, make in nearest.items()}
    for name, make in nearest.items():
        found |= {name: make(False), f"{name}, views": with_views[name]}
    for name, one in with_views.items():
        if name != "ViM":
            found[f"logit + 2 x {name}, views"] = add(highest_logit, one)
    return found | {
        "shipped, without views": shipped(views=0),
        "shipped, of 400 photos, two views each": shipped(photos=400, views=2),
        "shipped, of all photos, two views each": shipped(photos=10**6, views=2),
        "shipped, classes not apart": shipped(apart=False),
        "shipped, float": shipped(),
        "shipped, 8 bits": shipped(rounded=True),
    }
