"""Alike frames in groups, each of which a person names at once.

The frame with the most neighbours and these neighbours are the first group, and so on with what is
left (Butina 1999, "Unsupervised Data Base Clustering Based on Daylight's Fingerprint and Tanimoto
Similarity: A Fast and Automated Way To Cluster Small and Large Data Sets"). So a group has a middle
and no chains, and frames that are unlike all others stay alone.

How near neighbours are depends on the backbone, hence on the frames: as near as half of them are to
their most similar other one. Of the 1,781 photos of TrashNet, 595 are in groups then, 89 in 100 of
them with their like (features of MobileNetV2 0.35 as ImageNet made it; benchmarks/labelling.py).
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl.dataset.collected import Candidate
from edgetl.dataset.labels import UNSORTED
from edgetl.dataset.photo import Thumbnail
from edgetl_export.progress import track
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.errors import DatasetError
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.outputs.diverse import decode_features

LEAST: Final = 3
"""Frames of a group; fewer are as quickly named one by one."""
# Where frames are nearly copies of one another, half of them being nearer says nothing.
_LEAST_RADIUS: Final = 0.05
_SMALL_PX: Final = 16
_BLOCK: Final = 1024

Rows = NDArray[np.float32]
Means: TypeAlias = Literal["bundle", "record", "thumbnail"]


class AlikeFrames(msgspec.Struct, frozen=True):
    """Frames that are alike.

    Attributes:
        members: Indices of the frames, the most typical one first.
        label: What most of them were taken for, or what a person said of any; `_unsorted_` if
            nothing was.
        agreeing: How many of the frames have this label.
    """

    members: tuple[int, ...]
    label: str
    agreeing: int


def measure_frames(candidates: Sequence[Candidate], bundle: Path | None) -> tuple[Rows, Means]:
    """Rows by which alike frames are found.

    Args:
        candidates: The frames.
        bundle: Whose features to take; None: those that the device stored, where it is one model
            that stored them for each frame; else the thumbnails.

    Returns:
        float32 (frames, numbers), each of length 1; and what they are of.

    Raises:
        DatasetError: If the bundle's files put out no features.
        EdgetlError: If the bundle is damaged, or its engine is not installed.
    """
    if bundle is not None:
        return _point(_look(candidates, bundle)), "bundle"
    stored = _read_stored(candidates)
    if stored is not None:
        return _point(stored), "record"
    return _point(np.stack([_shrink(one.verdict.thumbnail) for one in candidates])), "thumbnail"


def group_alike(rows: Rows, labels: Sequence[str], corrected: Sequence[bool]) -> list[AlikeFrames]:
    """Groups frames; those that are in none are alone, or with one other.

    Args:
        rows: float32 (frames, numbers), each of length 1.
        labels: What each was taken for, or what a person said.
        corrected: Whether a person said it.

    Returns:
        The groups, largest first.
    """
    if len(rows) < LEAST:
        return []
    neighbours = _find_neighbours(rows)
    counts = np.array([len(one) for one in neighbours])
    left = np.ones(len(rows), bool)
    groups: list[AlikeFrames] = []
    while True:
        middle = int(np.where(left, counts, 0).argmax())
        members = [n for n in neighbours[middle] if left[n]]
        if len(members) < LEAST:
            break
        for member in members:
            counts[neighbours[member]] -= 1
        left[members] = False
        ordered = sorted(members, key=lambda n: (-float(rows[n] @ rows[middle]), n))
        groups.append(_name(ordered, labels, corrected))
    return groups


def _name(members: list[int], labels: Sequence[str], corrected: Sequence[bool]) -> AlikeFrames:
    said = [labels[n] for n in members if corrected[n]]
    counts = Counter(said or (labels[n] for n in members if labels[n] != UNSORTED))
    label = counts.most_common(1)[0][0] if counts else UNSORTED
    return AlikeFrames(tuple(members), label, sum(labels[n] == label for n in members))


def _find_neighbours(rows: Rows) -> list[NDArray[np.intp]]:
    """For each frame those that are near, itself among them."""
    nearest = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _BLOCK):
        cosines = rows[start : start + _BLOCK] @ rows.T
        cosines[np.arange(len(cosines)), start + np.arange(len(cosines))] = -1
        nearest[start : start + _BLOCK] = 1 - cosines.max(axis=1)
    least = 1 - max(_LEAST_RADIUS, float(np.median(nearest)))
    neighbours: list[NDArray[np.intp]] = []
    for start in range(0, len(rows), _BLOCK):
        near = rows[start : start + _BLOCK] @ rows.T >= least
        near[np.arange(len(near)), start + np.arange(len(near))] = True
        neighbours += [np.flatnonzero(one) for one in near]
    return neighbours


def _look(candidates: Sequence[Candidate], path: Path) -> Rows:
    bundle = Bundle.open(path)
    classifier = Classifier.open(bundle, overlay=False, features=True)
    if not classifier.has_features:
        raise DatasetError(
            f"{classifier.variant.name} of {path} puts out no features, by which alike frames are "
            "found; export it again with: edgetl export"
        )
    rows = []
    for one in track(candidates, "computing features", len(candidates)):
        features = classifier(read_picture(one.path)).features
        rows.append(np.zeros(0, np.float32) if features is None else features)
    return np.stack(rows)


def _read_stored(candidates: Sequence[Candidate]) -> Rows | None:
    """The features of the records, where each has some, and one model made them."""
    frames = [one.frame for one in candidates]
    made_by = {(one.bundle_sha256, one.variant) if one else None for one in frames}
    if None in made_by or len(made_by) != 1:
        return None
    rows = [decode_features(one.features or b"") if one else None for one in frames]
    found = [row for row in rows if row is not None]
    alike = len(found) == len(rows) and len({row.size for row in found}) == 1
    return np.stack(found) if alike else None


def _shrink(thumbnail: Thumbnail | None) -> Rows:
    """A few numbers that say where an image is light and where dark."""
    if thumbnail is None:
        return np.zeros(_SMALL_PX**2, np.float32)
    small = cv2.resize(thumbnail, (_SMALL_PX, _SMALL_PX), interpolation=cv2.INTER_AREA)
    numbers = small.astype(np.float32).ravel()
    centered: Rows = numbers - numbers.mean()
    return centered


def _point(rows: Rows) -> Rows:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    directions: Rows = (rows / np.maximum(lengths, 1e-9)).astype(np.float32)
    return directions
