"""Draws of training photos: nested, stratified by class, near-duplicates together."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgetl.dataset.manifest import DatasetManifest
from edgetl_runtime.text.wording import count_noun

Integers = NDArray[np.int64]
FRACTIONS = (0.1, 0.2, 0.4, 0.7)
_LEAST_POINTS = 3
# Of different things in each class; a class of one photo is no sample of itself.
_LEAST_GROUPS = 2


def choose_fractions(classes: Integers, groups: Integers) -> tuple[float, ...]:
    """The fractions of `FRACTIONS` that leave each class at least two different things.

    Args:
        classes: int64 (photos,): index of the label.
        groups: int64 (photos,): near-duplicates share one.

    Returns:
        Ascending, and 1.0 last.
    """
    fewest = min(len(np.unique(groups[classes == one])) for one in np.unique(classes))
    return (*(part for part in FRACTIONS if part * fewest >= _LEAST_GROUPS), 1.0)


def find_hindrance(manifest: DatasetManifest) -> str:
    """Why the training photos are too few for a curve; empty if they are not."""
    groups: dict[str, set[str]] = {label: set() for label in manifest.labels}
    for one in manifest.select("train"):
        groups[one.label].add(one.group)
    scarce = min(groups, key=lambda label: len(groups[label]))
    wanted = math.ceil(_LEAST_GROUPS / FRACTIONS[1 - _LEAST_POINTS])
    if len(groups[scarce]) >= wanted:
        return ""
    found = count_noun(len(groups[scarce]), "different training photo")
    return f"class {scarce} has {found}, a curve takes at least {wanted} of each class; add photos"


def draw_parts(
    classes: Integers, groups: Integers, fractions: Sequence[float], *, draws: int, seed: int
) -> NDArray[np.bool_]:
    """Chooses photos: within a draw each part holds the smaller ones.

    Args:
        classes: int64 (photos,): index of the label.
        groups: int64 (photos,): near-duplicates share one; they stay together, and count as
            the class of the first of them.
        fractions: Of the photos of each class, ascending.
        draws: How many.
        seed: Of all draws.

    Returns:
        bool (draws, fractions, photos).
    """
    random = np.random.default_rng(seed)
    places = np.stack([_place(classes, groups, random) for _ in range(draws)])
    return places[:, np.newaxis, :] < np.array(fractions)[:, np.newaxis]


def _place(classes: Integers, groups: Integers, random: np.random.Generator) -> NDArray[np.float64]:
    """Where each photo stands in its class's random order of groups, 0 <= place < 1."""
    unique, first, member = np.unique(groups, return_index=True, return_inverse=True)
    sizes, labels = np.bincount(member), classes[first]
    places = np.empty(len(unique))
    for label in np.unique(labels):
        order = random.permutation(np.flatnonzero(labels == label))
        before = np.cumsum(sizes[order]) - sizes[order]
        places[order] = before / sizes[order].sum()
    return places[member]
