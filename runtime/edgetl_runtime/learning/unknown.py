"""The unknown output where there are lessons: what the file says of it, and what the lessons say.

This is the one place where a detector's opinion meets the frames of the place. Frames in which
nothing is known are rows of the unknown output when the head is fitted, and add to it. Frames of
known things shift it: the file's own detector has no say on what looks like one of them. And a
taught thing is one only if it looks like a frame of it, else it is unknown: a head of a few new
photos gives their label to many other things that it never saw.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.learning.head import standardize

Array = NDArray[np.float32]
# Of the frames at the end of a take, how many are less like those before them than is counted.
_SHARE: Final = 0.1
# Of the photos of other classes, how many are less like a take than is counted.
_OTHERS: Final = 0.99
# By how much of the way from the first of these to the second the limit is lowered: half of it
# makes a hand familiar that was never shown, none makes later frames of the same thing strange.
_LENIENCE: Final = 0.25
NEVER: Final = -1e4
_LEAST: Final = 1e-6


class Take(msgspec.Struct, frozen=True, eq=False):
    """Frames of a known thing.

    Attributes:
        output: Index of its label.
        features: float32 (frames, features).
    """

    output: int
    features: Array


class Familiar(msgspec.Struct, frozen=True, eq=False):
    """What was shown in lessons as known.

    Attributes:
        mean: float32 (features,), of photos of the classes.
        scale: float32 (features,), their standard deviation.
        frames: float32 (frames, features): directions of the frames of lessons, of length 1.
        outputs: (frames,): index of what is on each.
        least: float32 (frames,): cosine from which on something looks like a frame.
        likeness: Of each lesson: the cosine that nearly all frames at its end have to one before.
    """

    mean: Array
    scale: Array
    frames: Array
    outputs: NDArray[np.intp]
    least: Array
    likeness: tuple[float, ...]

    def find(self, features: Array, outputs: int) -> NDArray[np.bool_]:
        """Whether features look like those of a frame that was shown of each output.

        Args:
            features: float32 (rows, features).
            outputs: How many outputs there are.

        Returns:
            bool (rows, outputs).
        """
        found = np.zeros((len(features), outputs), bool)
        if len(self.frames):
            alike = _point(features, self.mean, self.scale) @ self.frames.T >= self.least
            for output in set(self.outputs.tolist()):
                found[:, output] = alike[:, self.outputs == output].any(axis=1)
        return found


def remember(rows: Array, classes: NDArray[np.integer], takes: Sequence[Take]) -> Familiar:
    """Learns what known things look like in the place.

    How alike is alike, the take says: as much as its last quarter is to the rest of it, and a
    little less, towards how much photos of other classes are. Frames of a few seconds are nearly
    the same, and the thing will be seen otherwise later.

    Args:
        rows: float32 (rows, features), of photos of the classes of the file.
        classes: (rows,): index of each one's class.
        takes: The lessons in which something is known.
    """
    mean, scale = (one.astype(np.float32) for one in standardize(rows.astype(np.float64)))
    known = _point(rows, mean, scale)
    frames = [_point(take.features, mean, scale) for take in takes]
    likeness = [_find_likeness(one) for one in frames]
    least = [
        _find_limit(alike, pointed, known[classes != take.output])
        for take, pointed, alike in zip(takes, frames, likeness, strict=True)
    ]
    counts = [len(one) for one in frames]
    return Familiar(
        mean,
        scale,
        np.concatenate([np.empty((0, mean.size), np.float32), *frames]),
        np.repeat([take.output for take in takes], counts).astype(np.intp),
        np.repeat(least, counts).astype(np.float32),
        tuple(likeness),
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


def merge_unknown(
    logits: Array,
    index: int,
    said: float,
    *,
    classes: int,
    familiar: NDArray[np.bool_],
    fitted: bool,
) -> Array:
    """Logits of a fitted head, with what the file itself says of unknown.

    Args:
        logits: float32 (..., outputs), of the fitted head.
        index: The unknown output, the last one.
        said: What `find_unknown_logit` returned; `NEVER` if the file says nothing of it.
        classes: How many classes the file itself has; after them comes what was taught.
        familiar: bool (..., outputs), what `Familiar.find` returned.
        fitted: Whether lessons had frames in which nothing is known.

    Returns:
        float32 (..., outputs).
    """
    taught, shown = logits[..., classes:index], familiar[..., classes:index]
    parts = [
        np.where(shown, NEVER, taught),
        np.where(familiar.any(axis=-1), NEVER, said)[..., np.newaxis],
        logits[..., index:] if fitted else np.full_like(logits[..., index:], NEVER),
    ]
    unknown = np.logaddexp.reduce(np.concatenate(parts, axis=-1), axis=-1, keepdims=True)
    kept = [logits[..., :classes], np.where(shown, taught, NEVER), unknown]
    return np.concatenate(kept, axis=-1).astype(np.float32)


def _point(features: Array, mean: Array, scale: Array) -> Array:
    standard = (features - mean) / scale
    lengths = np.linalg.norm(standard, axis=1, keepdims=True)
    directions: Array = standard / np.maximum(lengths, np.float32(_LEAST))
    return directions


def _find_likeness(take: Array) -> float:
    held = max(1, len(take) // 4)
    nearest = (take[-held:] @ take[:-held].T).max(axis=1) if len(take) > 1 else np.ones(1)
    return float(np.quantile(nearest, _SHARE))


def _find_limit(likeness: float, take: Array, others: Array) -> float:
    if not len(others):
        return likeness
    other = float(np.quantile((others @ take.T).max(axis=1), _OTHERS))
    return likeness + _LENIENCE * (other - likeness)
