"""What chance does to accuracies: other validation photos, other draws.

Validation photos are drawn again with replacement (Efron 1979, "Bootstrap Methods"), the photos of
one scene together. All heads are judged on the same photos, so that their differences are known
better than their accuracies.
"""

import math

import numpy as np
from numpy.typing import NDArray

from edgetl.metrics import Interval, estimate_share

Shares = NDArray[np.float64]
_CHUNK = 100


def resample(
    hits: NDArray[np.bool_],
    scenes: NDArray[np.int64],
    *,
    repeats: int,
    random: np.random.Generator,
) -> Shares:
    """Accuracies of heads on validation photos drawn again, scene by scene.

    Args:
        hits: bool (heads, photos): which photos each head classifies correctly.
        scenes: int64 (photos,): near-duplicates share one.
        repeats: How often.
        random: Draws.

    Returns:
        float64 (repeats, heads), 0..1.
    """
    _, member = np.unique(scenes, return_inverse=True)
    sizes = np.bincount(member).astype(np.float64)
    right = np.stack([np.bincount(member, row, len(sizes)) for row in hits], axis=1)
    even = np.full(len(sizes), 1 / len(sizes))
    parts = []
    for start in range(0, repeats, _CHUNK):
        times = random.multinomial(len(sizes), even, min(_CHUNK, repeats - start))
        parts.append(times @ right / (times @ sizes)[:, np.newaxis])
    return np.concatenate(parts)


def draw_again(shares: Shares, random: np.random.Generator) -> Shares:
    """Means over draws that are drawn again in each repeat.

    Args:
        shares: float64 (repeats, draws, points): accuracies of nested draws.
        random: Draws.

    Returns:
        float64 (repeats, points).
    """
    repeats, draws, _ = shares.shape
    chosen = random.integers(0, draws, (repeats, draws))
    means: Shares = np.take_along_axis(shares, chosen[:, :, np.newaxis], axis=1).mean(axis=1)
    return means


def bound_unseen(scenes: int, error: float) -> float:
    """The largest share of scenes that may change though none of those seen did.

    The exact binomial bound; about 3 / scenes at 5 % (Hanley and Lippman-Hand 1983, "If nothing
    goes wrong, is everything all right?").

    Args:
        scenes: Number of different things seen.
        error: How often a bound may be too low, 0..1.
    """
    return float(1.0 - error ** (1.0 / scenes))


def measure_step(shares: Shares) -> float:
    """Variance, between draws, of what a step to the next point brings.

    Args:
        shares: float64 (draws, points): accuracies of nested draws, without the one of all photos.
    """
    steps = np.diff(shares, axis=1)
    return float(steps.var(axis=0, ddof=1).mean())


def measure_luck(hits: NDArray[np.bool_], scenes: int) -> float:
    """Variance of the accuracy on all photos there are between draws of training photos.

    The variance between draws on the same validation photos, less the part that single photos
    which change sides make: it belongs to the sampling of photos (variance components of a two-way
    layout, Searle, Casella & McCulloch 1992).

    Args:
        hits: bool (draws, photos).
        scenes: Number of different things in the photos.
    """
    draws = len(hits)
    if draws < 2:
        return 0.0
    flips = hits.var(axis=0, ddof=1).mean() / scenes
    return max(0.0, float(hits.mean(axis=1).var(ddof=1) - flips))


def estimate_accuracy(accuracy: float, luck: float, *, examples: int, scenes: int) -> Interval:
    """95 % interval of an accuracy: Wilson's, for so many photos as make the whole variance.

    Args:
        accuracy: 0..1.
        luck: Variance from the draw of training photos.
        examples: Number of validation photos.
        scenes: Number of different things that they show.
    """
    spread = accuracy * (1 - accuracy)
    worth = scenes if not spread else 1 / (1 / scenes + luck / spread)
    hits = round(accuracy * examples)
    return estimate_share(hits, examples, scenes=max(1, math.floor(worth)))
