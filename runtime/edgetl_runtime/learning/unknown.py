"""The unknown output where there are lessons: what the file says of it, and what the lessons say.

This is the one place where a detector's opinion meets the frames of the place. Frames in which
nothing is known are rows of the unknown output when the head is fitted, and add to it. Frames of
known things shift it: the file's own detector has no say on what looks like one of them.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
# Of the frames at the end of a take, how many must look like those before them.
_SHARE: Final = 0.1
_NEVER: Final = -1e4
_LEAST: Final = 1e-6


class Familiar(msgspec.Struct, frozen=True, eq=False):
    """What was shown in lessons as known.

    Attributes:
        mean: float32 (features,), of photos of the classes.
        scale: float32 (features,), their standard deviation.
        frames: float32 (frames, features): directions of the frames of lessons, of length 1.
        least: float32 (frames,): cosine from which on something looks like a frame.
    """

    mean: Array
    scale: Array
    frames: Array
    least: Array

    def knows(self, features: Array) -> bool:
        """Whether features look like those of a frame of a lesson."""
        if not len(self.frames):
            return False
        direction = _point(features[np.newaxis], self.mean, self.scale)[0]
        return bool((self.frames @ direction >= self.least).any())


def remember(mean: Array, scale: Array, takes: Sequence[Array]) -> Familiar:
    """Learns what known things look like in the place.

    How alike is alike, the take itself says: so much as its last quarter is to the rest of it.

    Args:
        mean: float32 (features,), of photos of the classes.
        scale: float32 (features,), their standard deviation.
        takes: float32 (frames, features) of each lesson in which something is known.
    """
    pointed = [_point(take, mean, scale) for take in takes]
    limits = [np.full(len(take), _find_limit(take), np.float32) for take in pointed]
    empty = np.empty((0, mean.size), np.float32)
    return Familiar(
        mean, scale, np.concatenate([empty, *pointed]), np.concatenate([empty[:, 0], *limits])
    )


def find_unknown_logit(unknown: float, logits: Array) -> float:
    """The logit of an unknown output, relative to those of the classes of its head.

    Args:
        unknown: The file's probability of unknown, 0..1, before temperature.
        logits: float32 (classes,), of the file's own head.
    """
    clipped = min(max(unknown, _LEAST), 1 - _LEAST)
    highest = logits.max()
    total = highest + np.log(np.exp(logits - highest).sum())
    return float(total + np.log(clipped / (1 - clipped)))


def merge_unknown(logits: Array, index: int, said: float, *, fitted: bool, known: bool) -> Array:
    """Logits of a fitted head, with what the file itself says of unknown.

    Args:
        logits: float32 (outputs,), of the fitted head.
        index: The unknown output.
        said: What `find_unknown_logit` returned.
        fitted: Whether lessons had frames in which nothing is known.
        known: Whether the frame looks like one of a lesson in which something is.

    Returns:
        float32 (outputs,).
    """
    merged = logits.copy()
    learned = float(logits[index]) if fitted else _NEVER
    merged[index] = np.logaddexp(learned, _NEVER if known else said)
    return merged


def _point(features: Array, mean: Array, scale: Array) -> Array:
    standard = (features - mean) / scale
    lengths = np.linalg.norm(standard, axis=1, keepdims=True)
    directions: Array = standard / np.maximum(lengths, np.float32(_LEAST))
    return directions


def _find_limit(take: Array) -> float:
    held = max(1, len(take) // 4)
    nearest = (take[-held:] @ take[:-held].T).max(axis=1) if len(take) > 1 else np.ones(1)
    return float(np.quantile(nearest, _SHARE))
