"""Photos mixed within a batch: MixUp and CutMix, on pixels, feature maps or features."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetl.augmentation.strengths import Augmentation
from edgetl_runtime.errors import OptionsError

Floats = NDArray[np.floating[Any]]
Partner = NDArray[np.int64]
_MAP_DIMENSIONS = 4


def mix(
    inputs: Floats, targets: Floats, augmentation: Augmentation, random: np.random.Generator
) -> tuple[Floats, Floats]:
    """Mixes each row of a batch with another row of it, chosen at random.

    One share is drawn for the whole batch, as the authors of both do (MixUp: Zhang et al. 2018,
    arXiv 1710.09412; CutMix: Yun et al. 2019, arXiv 1905.04899). Where both are on, each batch
    takes one of the two, with equal probability.

    Args:
        inputs: float16 or float32, (rows, height, width, channels) pixels or feature maps, or
            (rows, features), which only MixUp can mix. Not changed.
        targets: float32 (rows, classes), one-hot, smoothed or binary. Not changed.
        augmentation: Its `mixup` and `cutmix` are the alphas of the Beta distributions.
        random: Seeded by run, epoch and batch, so that the run repeats.

    Returns:
        New arrays of the same shapes and dtypes, and the same sum of each target row; the given
        arrays where both alphas are 0.

    Raises:
        OptionsError: If CutMix is on and the inputs have no height and width.
    """
    if len(inputs) != len(targets):
        raise ValueError(f"{len(inputs)} inputs need as many targets, got {len(targets)}")
    check_mixing(augmentation, inputs.ndim)
    coin = random.random()
    partner = random.permutation(len(inputs))
    if augmentation.cutmix and (coin < 0.5 or not augmentation.mixup):
        share = random.beta(augmentation.cutmix, augmentation.cutmix)
        mixed, share = _paste(inputs, partner, share, random)
        return mixed, _blend(targets, partner, share)
    if augmentation.mixup:
        share = random.beta(augmentation.mixup, augmentation.mixup)
        return _blend(inputs, partner, share), _blend(targets, partner, share)
    return inputs, targets


def check_mixing(augmentation: Augmentation, dimensions: int) -> None:
    """Refuses what `mix` cannot do, before any training begins.

    Args:
        augmentation: What to mix by.
        dimensions: Of a batch: 4 for pixels and feature maps, 2 for features.

    Raises:
        OptionsError: If CutMix is on and there is nothing to cut boxes out of.
    """
    if augmentation.cutmix and dimensions != _MAP_DIMENSIONS:
        raise OptionsError(
            "cutmix pastes boxes of pixels or feature maps, but only a head is trained here, on "
            "features without height and width; fine-tune part of the backbone, or use mixup"
        )


def _blend(rows: Floats, partner: Partner, share: float) -> Floats:
    own = rows.astype(np.float32)
    own *= np.float32(share)
    own += np.float32(1 - share) * rows[partner]
    return own.astype(rows.dtype, copy=False)


def _paste(
    maps: Floats, partner: Partner, share: float, random: np.random.Generator
) -> tuple[Floats, float]:
    """Pastes a box of each row's partner; returns also the share that is left, by its area."""
    _, height, width, _ = maps.shape
    top, bottom = _choose_span(height, share, random)
    left, right = _choose_span(width, share, random)
    mixed = maps.copy()
    mixed[:, top:bottom, left:right] = maps[partner, top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / (height * width)


def _choose_span(size: int, share: float, random: np.random.Generator) -> tuple[int, int]:
    """One side of the box: its middle anywhere, cut off at the edge (Yun et al. 2019, eq. 2)."""
    length = round(size * math.sqrt(1 - share))
    start = int(random.integers(size)) - length // 2
    return max(0, start), min(size, start + length)
