"""What export needs of a classifier, whoever trained it."""

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.prediction import Scores
from edgetl_runtime.preprocessing import Preprocessing


class Labelled(msgspec.Struct, frozen=True):
    """A photo and the index of its label."""

    file: Path
    index: int


class Part(msgspec.Struct, frozen=True, eq=False):
    """Photos that files are scored on.

    Attributes:
        photos: The photos.
        scores: What the trained model says of them, float32 (photos, classes).
    """

    photos: tuple[Labelled, ...]
    scores: Scores

    @property
    def truth(self) -> NDArray[np.int64]:
        """Index of each photo's label, (photos,)."""
        return np.array([photo.index for photo in self.photos], np.int64)


class UnknownPhotos(msgspec.Struct, frozen=True):
    """Photos of none of the labels: some to choose a threshold by, others to measure it on."""

    choosing: tuple[Path, ...] = ()
    measuring: tuple[Path, ...] = ()


class About(msgspec.Struct, frozen=True):
    """What its maker says of a model; empty where nothing was said."""

    name: str = ""
    version: str = ""
    author: str = ""
    license: str = ""
    description: str = ""


class Trained(msgspec.Struct, frozen=True, eq=False):
    """A trained classifier and its photos.

    Attributes:
        graph: A float32 .tflite: RGB 0..255 float32 (1, height, width, 3) -> probabilities.
        labels: In the order of the output.
        preprocessing: From frame to input.
        training: Training photos; calibration and refit draw from these only.
        validation: Photos that the gate judges by.
        test: Photos that nothing was chosen by, if there are any.
        seed: Of the draw.
        backbone: Name, for the record.
        weights_digest: For the record.
        dataset_digest: For the record.
        model_sha256: For the record.
        versions: For the record.
        unknown: Photos of other things, if there are any.
        about: For the record, and for the metadata of the files.
    """

    graph: bytes
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    training: tuple[Labelled, ...]
    validation: Part
    test: Part | None
    seed: int
    backbone: str
    weights_digest: str
    dataset_digest: str
    model_sha256: str
    versions: dict[str, str]
    unknown: UnknownPhotos = UnknownPhotos()
    about: About = About()
