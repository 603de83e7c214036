"""What export needs of a training."""

from pathlib import Path
from typing import Any

import msgspec

from edgetl_runtime.preprocessing import Preprocessing


class Labelled(msgspec.Struct, frozen=True):
    """A photo and the index of its label."""

    file: Path
    index: int


class Trained(msgspec.Struct, frozen=True, eq=False):
    """A trained classifier and its photos.

    Attributes:
        model: Keras classifier: float32 (batch, height, width, 3) RGB 0..255 -> probabilities.
        labels: In the order of the output.
        preprocessing: From frame to input.
        training: Training photos; calibration and refit draw from these only.
        validation: Photos that the files are scored on.
        seed: Of the draw.
        backbone: Name, for the record.
        weights_digest: For the record.
        dataset_digest: For the record.
        model_sha256: For the record.
        versions: For the record.
    """

    model: Any
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    training: tuple[Labelled, ...]
    validation: tuple[Labelled, ...]
    seed: int
    backbone: str
    weights_digest: str
    dataset_digest: str
    model_sha256: str
    versions: dict[str, str]
