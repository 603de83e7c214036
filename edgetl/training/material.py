"""The material of a training: the photos of a data set, and those without labels."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgetl.dataset.manifest import DatasetManifest, Split
from edgetl.dataset.unlabelled import UnlabelledPhoto
from edgetl.networks.features import FeatureRequest
from edgetl.training.sources import UNLABELLED, SourcePhoto


class Material:
    """All photos in one order: those of the data set, then those without labels."""

    def __init__(
        self, manifest: DatasetManifest, unlabelled: Sequence[UnlabelledPhoto] = ()
    ) -> None:
        """Reads nothing.

        Args:
            manifest: The data set.
            unlabelled: Photos that only a teacher can name; they are in the part `train`.
        """
        self.manifest = manifest
        self.unlabelled = unlabelled

    def __len__(self) -> int:
        """Number of photos."""
        return self.labelled + len(self.unlabelled)

    @property
    def labelled(self) -> int:
        """Number of photos of the data set, which come first."""
        return len(self.manifest.examples)

    @cached_property
    def classes(self) -> NDArray[np.int64]:
        """Index of each photo's label, int64 (photos,), or `UNLABELLED`."""
        place = {label: n for n, label in enumerate(self.manifest.labels)}
        known = [place[one.label] for one in self.manifest.examples]
        return np.array(known + [UNLABELLED] * len(self.unlabelled), np.int64)

    @property
    def is_labelled(self) -> NDArray[np.bool_]:
        """Which of the photos have a label, bool (photos,)."""
        return np.arange(len(self)) < self.labelled

    def is_part(self, split: Split) -> NDArray[np.bool_]:
        """Which of the photos are in a part, bool (photos,)."""
        known = [one.split == split for one in self.manifest.examples]
        return np.array(known + [split == "train"] * len(self.unlabelled))

    def request(self, views: int) -> list[FeatureRequest]:
        """What to compute of each photo: views of those that are learned from only."""
        manifest = self.manifest
        known = [
            FeatureRequest(manifest.file(one), one.sha256, views if one.split == "train" else 0)
            for one in manifest.examples
        ]
        return known + [FeatureRequest(one.file, one.sha256, views) for one in self.unlabelled]

    def list_photos(self, split: Split) -> list[SourcePhoto]:
        """The photos of a part, to be read in each epoch."""
        manifest = self.manifest
        known = [
            SourcePhoto(manifest.file(one), one.sha256, manifest.index(one))
            for one in manifest.select(split)
        ]
        if split != "train":
            return known
        return known + [SourcePhoto(one.file, one.sha256, UNLABELLED) for one in self.unlabelled]
