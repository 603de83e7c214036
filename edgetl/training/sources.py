"""Sources of an epoch's rows: the feature cache, or the photos themselves.

The order of an epoch, the view of each photo and what is mixed with what follow from seed and
epoch alone. So an epoch after a crash is the one that would have come without it.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl.augmentation.strengths import Augmentation
from edgetl.augmentation.views import make_view
from edgetl.prefetch import prefetch
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.image.preprocessing import Frame, Preprocessing
from edgetl_runtime.system.allotment import count_processors

Inputs = NDArray[np.float32]
Integers = NDArray[np.int64]
_BATCHES_AHEAD = 3
# The class of a photo without a label, which only a teacher can say something of.
UNLABELLED = -1


class Batch(msgspec.Struct, frozen=True, eq=False):
    """Rows of one step.

    Attributes:
        inputs: float32 (rows, ...): features, maps in a row, or pixels 0..255 RGB.
        classes: int64 (rows,): index of the label; `UNLABELLED` where nobody knows it.
        taught: float32 (rows, classes): the teacher's scores, 0..1; None without a teacher.
    """

    inputs: Inputs
    classes: Integers
    taught: Inputs | None = None


class TrainingSource(Protocol):
    """A part of the data set as rows."""

    @property
    def classes(self) -> Integers:
        """int64 (examples,): index of each example's label, or `UNLABELLED`."""
        ...

    def pick(self, random: np.random.Generator | None, epoch: int) -> Integers:
        """Row numbers of an epoch; without a generator each example once, in order."""
        ...

    def load(self, rows: Integers, epoch: int) -> Batch:
        """The rows of those numbers."""
        ...


class CachedRows:
    """Rows of the cache; several of them (a photo and its views) belong to one example."""

    def __init__(
        self,
        rows: Sequence[NDArray[Any]],
        owner: Integers,
        classes: Integers,
        taught: Sequence[NDArray[Any]] | None = None,
    ) -> None:
        """Keeps references; a row is read when a batch needs it.

        Args:
            rows: (n,) each: float32 or float16.
            owner: int64 (rows,), ascending: which example a row belongs to; the first row of
                an example is the photo itself.
            classes: int64 (examples,).
            taught: float32 (classes,) each: the teacher's scores of the same rows.
        """
        self._rows = rows
        self._taught = taught
        self._owner = owner
        self._first = np.searchsorted(owner, np.arange(len(classes)))
        self._count = np.bincount(owner, minlength=len(classes))
        self.classes = classes
        self._every_row = False

    def __len__(self) -> int:
        """Number of rows, views included."""
        return len(self._rows)

    def using_every_row(self) -> "CachedRows":
        """The source, with epochs over all rows instead of one row per example."""
        other = CachedRows(self._rows, self._owner, self.classes, self._taught)
        other._every_row = True
        return other

    def pick(self, random: np.random.Generator | None, epoch: int) -> Integers:
        """Row numbers of an epoch: of each example one row at random, or all rows."""
        if random is None:
            return self._first
        if self._every_row:
            return random.permutation(len(self._rows))
        order = random.permutation(len(self.classes))
        return self._first[order] + random.integers(0, self._count[order])

    def load(self, rows: Integers, epoch: int) -> Batch:
        """The rows of those numbers, float32 (rows, n)."""
        inputs = np.stack([self._rows[row] for row in rows]).astype(np.float32)
        taught = None if self._taught is None else np.stack([self._taught[row] for row in rows])
        return Batch(inputs, self.classes[self._owner[rows]], taught)

    def chunks(self, rows_each: int = 1024) -> Iterator[Inputs]:
        """All rows in parts, float32 (rows, n)."""
        for start in range(0, len(self._rows), rows_each):
            yield np.stack(self._rows[start : start + rows_each]).astype(np.float32)


class SourcePhoto(msgspec.Struct, frozen=True):
    """One photo to be read in every epoch."""

    file: Any
    sha256: str
    label: int


class LivePhotos:
    """Photos decoded, augmented and preprocessed on all processors, again in each epoch."""

    def __init__(
        self,
        photos: Sequence[SourcePhoto],
        preprocessing: Preprocessing,
        augmentation: Augmentation | None,
        teach: Callable[[Frame], Inputs] | None = None,
    ) -> None:
        """Keeps the photos' names.

        Args:
            photos: The examples.
            preprocessing: From photo to input.
            augmentation: Of each epoch's view; None: the photo itself.
            teach: A teacher's scores of a view, uint8 (height, width, 3) BGR; float32 (classes,).
        """
        self._photos = photos
        self._preprocessing = preprocessing
        self._augmentation = augmentation
        self._teach = teach
        self.classes = np.array([photo.label for photo in photos], np.int64)
        self._pool = ThreadPoolExecutor(max_workers=count_processors())

    def pick(self, random: np.random.Generator | None, epoch: int) -> Integers:
        """Indices of the photos of an epoch."""
        everyone = np.arange(len(self._photos))
        return everyone if random is None else random.permutation(everyone)

    def load(self, rows: Integers, epoch: int) -> Batch:
        """Pixels of those photos, float32 (rows, height, width, 3) RGB 0..255.

        Raises:
            FrameError: If a photo cannot be read any more.
        """
        read = list(self._pool.map(lambda row: self._read(self._photos[row], epoch), rows))
        inputs = np.stack([frame for frame, _ in read]).astype(np.float32)
        taught = np.stack([scores for _, scores in read]) if self._teach else None
        return Batch(inputs, self.classes[rows], taught)

    def _read(self, photo: SourcePhoto, epoch: int) -> tuple[Frame, Any]:
        picture = read_picture(photo.file)
        if self._augmentation is not None:
            picture = make_view(picture, photo.sha256, epoch + 1, self._augmentation)
        return self._preprocessing.apply(picture), self._teach and self._teach(picture)


def iterate(source: TrainingSource, rows: Integers, batch: int, epoch: int) -> Iterator[Batch]:
    """Batches of an epoch; the next ones are loaded while one is used."""
    parts = [rows[start : start + batch] for start in range(0, len(rows), batch)]
    return prefetch(lambda part: source.load(part, epoch), parts, workers=1, depth=_BATCHES_AHEAD)
