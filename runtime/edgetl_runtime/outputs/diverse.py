"""The diverse frames of a folder: which one is kept, and which one makes room for it."""

from collections.abc import Callable, Iterator
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.answers import LabelScore
from edgetl_runtime.bundle.manifest import Variant
from edgetl_runtime.bundle.memory import read_memory
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.outputs.diversity import MOST, Diversity
from edgetl_runtime.outputs.quota import QuotaFolder
from edgetl_runtime.prediction import Prediction

Features = NDArray[np.floating]
_STORED: Final = "<f2"


class Known(msgspec.Struct, frozen=True, eq=False):
    """What the model in use knows.

    Attributes:
        bundle_sha256: Of its bundle.json.
        variant: Of the bundle; the features of another one are others.
        read_rows: Reads the features of photos, (photos, features); None if there are none.
    """

    bundle_sha256: str
    variant: str
    read_rows: Callable[[], Features | None]

    @classmethod
    def of(cls, bundle: Bundle, variant: Variant) -> "Known":
        """What a variant's file knows: the photos of its memory."""

        def read_rows() -> Features | None:
            memory = read_memory(bundle, variant)
            return None if memory is None else memory.rows

        return cls(bundle.sha256, variant.name, read_rows)


class _StoredAnswer(msgspec.Struct, frozen=True):
    frame_label: str | None
    top: tuple[LabelScore, ...]

    @property
    def doubt(self) -> float:
        if self.frame_label is None or not self.top:
            return 1.0
        scores = [one.score for one in self.top]
        return 1 - (scores[0] - max(scores[1:], default=0.0))


class _Stored(msgspec.Struct, frozen=True):
    """What of a record tells how diverse its frame is."""

    kinds: tuple[str, ...]
    bundle_sha256: str
    answer: _StoredAnswer
    variant: str = ""
    features: bytes | None = None


class DiverseFrames:
    """Chooses among the frames of a folder that others add to, too, and that anybody may empty.

    What is in memory follows from the records in the folder. So it survives a restart, and
    frames that a person took away are forgotten. The frames that another model took for diverse
    count as any others.
    """

    def __init__(
        self, folder: QuotaFolder, find_known: Callable[[], Known], *, alone: bool
    ) -> None:
        """Nothing is read yet.

        Args:
            folder: Where frames lie.
            find_known: What the model in use knows.
            alone: Whether no other kinds are collected: then what else is in the folder makes room
                first, and has no right to half of it.
        """
        self._folder, self._find_known, self._alone = folder, find_known, alone
        self._model = ("", "")
        self._diversity = Diversity(np.empty((0, 0)))

    @property
    def variant(self) -> str:
        """Of the model that the features are of."""
        return self._model[1]

    def judge(self, prediction: Prediction) -> float | None:
        """How much a frame is worth, 0..2; None if it is nothing new.

        Args:
            prediction: Of the model in use, with features.

        Raises:
            BundleError: If the memory of the model is damaged.
            UndeliveredError: If the folder cannot be read.
        """
        features = prediction.features
        if features is None:
            return None
        known = self._find_known()
        if (known.bundle_sha256, known.variant) != self._model:
            self._begin(known, features.size)
        # Between two models, the last frame of one may meet the memory of the other.
        if features.size != self._diversity.features or not np.isfinite(features).all():
            return None
        distance = self._diversity.measure(features)
        return distance * find_doubt(prediction) if distance >= self._diversity.least else None

    def make_room(self, needed_bytes: int, worth: float | None) -> bool:
        """Deletes what a new frame pushes out, as far as frames are needed to.

        Of the diverse ones that of least worth goes, of the others the oldest. Where there are
        both, those that take up more give.

        Args:
            needed_bytes: Of the new frame.
            worth: Of a diverse frame what `judge` returned; None for another one.

        Returns:
            False, with nothing deleted, if a frame that would have to go is worth as much.

        Raises:
            UndeliveredError: If folder or disk refuse.
        """
        sizes, spare = self._folder.measure()
        self._diversity.keep_only(sizes)
        weakest = iter(self._diversity.rank())
        goes: list[int] = []
        if worth is not None and len(self._diversity) >= MOST:
            least, number = next(weakest)
            if least >= worth:
                return False
            goes.append(number)
        spare += sum(sizes[number] for number in goes) - needed_bytes
        for least, number in self._list_leaving(sizes, spare, weakest):
            if worth is not None and least >= worth:
                return False
            goes.append(number)
        self._folder.delete(goes)
        return True

    def add(self, number: int, prediction: Prediction) -> None:
        """Notes a frame that was stored, under its number."""
        if prediction.features is not None:
            self._diversity.add(number, prediction.features, find_doubt(prediction))

    def _list_leaving(
        self, sizes: dict[int, int], spare: int, weakest: Iterator[tuple[float, int]]
    ) -> Iterator[tuple[float, int]]:
        """What goes until there is room; of what is not diverse, the worth is -1."""
        listed = sorted(sizes.keys() - self._diversity.numbers)
        other_bytes = sum(sizes[number] for number in listed)
        others = iter(listed)
        own_bytes = sum(sizes.values()) - other_bytes
        while spare < 0:
            others_give = other_bytes and (self._alone or other_bytes >= own_bytes)
            if others_give or not own_bytes:
                one = next(((-1.0, number) for number in others), None)
            else:
                one = next(weakest, None)
            if one is None:
                return  # Files of others fill the quota, which `store` says.
            size = sizes[one[1]]
            spare += size
            if one[0] < 0:
                other_bytes -= size
            else:
                own_bytes -= size
            yield one

    def _begin(self, known: Known, features: int) -> None:
        """Reads what there is of this model."""
        rows = known.read_rows()
        if rows is None or not len(rows):
            rows = np.empty((0, features), np.float32)
        self._diversity = Diversity(rows)
        self._model = (known.bundle_sha256, known.variant)
        sizes, _ = self._folder.measure()
        found = sorted(self._read(sizes), key=lambda one: one[0])
        for number, row, doubt in found[-MOST:]:
            if row.size == rows.shape[1]:
                self._diversity.add(number, row, doubt)

    def _read(self, sizes: dict[int, int]) -> Iterator[tuple[int, Features, float]]:
        for number, path in self._folder.find(sizes, ".json"):
            try:
                one = msgspec.json.decode(path.read_bytes(), type=_Stored)
            except (OSError, msgspec.MsgspecError, ValueError):
                continue
            is_own = (one.bundle_sha256, one.variant) == self._model
            if is_own and one.features and "diverse" in one.kinds:
                features = decode_features(one.features)
                if features is not None:
                    yield number, features, one.answer.doubt


def find_doubt(prediction: Prediction) -> float:
    """1 less the lead of the best score over the second, 0..1; 1 where it was rejected."""
    if prediction.label is None or prediction.scores.size < 2:
        return 1.0
    first, second = np.partition(prediction.scores, -2)[[-1, -2]]
    return float(1 - (first - second))


def encode_features(features: Features) -> bytes:
    """Features as a record holds them: float16, little-endian."""
    limit = float(np.finfo(np.float16).max)
    return np.clip(features, -limit, limit).astype(_STORED).tobytes()


def decode_features(data: bytes) -> NDArray[np.float32] | None:
    """The features of a record, float32 (features,); None if they are none."""
    if not data or len(data) % 2:
        return None
    features = np.frombuffer(data, _STORED).astype(np.float32)
    return features if np.isfinite(features).all() else None
