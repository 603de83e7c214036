"""Calibration: the photos that tell a quantizer the range of each layer."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgetl_export.evaluate.engine_pool import share_out
from edgetl_export.progress import track
from edgetl_export.trained import Trained
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.image.preprocessing import Frame, Preprocessing


def choose_photos(by_class: Sequence[Sequence[Path]], seed: int, most: int) -> list[Path]:
    """Draws photos, the same number from each class as far as it has them.

    With a larger `most` the photos of a smaller one come first.

    Args:
        by_class: The training photos of each class.
        seed: Of the draw.
        most: So many at most.
    """
    random = np.random.default_rng(seed)
    shuffled = [[photos[n] for n in random.permutation(len(photos))] for photos in by_class]
    longest = max(map(len, shuffled), default=0)
    in_turn = [photos[n] for n in range(longest) for photos in shuffled if n < len(photos)]
    return in_turn[:most]


def draw_training_photos(trained: Trained, most: int) -> list[Path]:
    """Draws training photos of a model; see `choose_photos`.

    Args:
        trained: The model and its photos.
        most: So many at most.
    """
    by_class: list[list[Path]] = [[] for _ in trained.labels]
    for photo in trained.training:
        by_class[photo.index].append(photo.file)
    return choose_photos(by_class, trained.seed, most)


def load_inputs(
    photos: Sequence[Path],
    preprocessing: Preprocessing,
    description: str,
) -> list[Frame]:
    """Makes the model's inputs, through the device's own preprocessing, on all processors.

    Args:
        photos: Files.
        preprocessing: From frame to input.
        description: Of the work, for the progress bar.

    Returns:
        uint8 (height, width, 3) RGB each.

    Raises:
        FrameError: If a photo cannot be read.
    """

    def prepare(photo: Path) -> Frame:
        return preprocessing.apply(read_picture(photo))

    return [*track(share_out(lambda: prepare, photos), description, len(photos))]


class Inputs:
    """Decodes each photo once, and keeps the model's input for whoever asks next."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        """Nothing is decoded yet.

        Args:
            preprocessing: From frame to input.
        """
        self._preprocessing = preprocessing
        self._known: dict[Path, Frame] = {}

    def load(self, photos: Sequence[Path], description: str) -> list[Frame]:
        """As `load_inputs`; the frames are shared, so nobody may change them.

        Raises:
            FrameError: If a photo cannot be read.
        """
        new = [photo for photo in dict.fromkeys(photos) if photo not in self._known]
        if new:
            loaded = load_inputs(new, self._preprocessing, description)
            self._known.update(zip(new, loaded, strict=True))
        return [self._known[photo] for photo in photos]
