"""Everything below the cut runs once per photo, on LiteRT, and is kept."""

import hashlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from edgetl.augmentation.strengths import LIGHT, Augmentation
from edgetl.augmentation.strengths import digest as digest_augmentation
from edgetl.augmentation.views import make_view
from edgetl.networks.backbones import Backbone
from edgetl.networks.cache import FeatureCache, Precision, Row, cache_folder
from edgetl.networks.model import HEAD_CUT, Cut, build_extractor, build_lower, load_network
from edgetl.networks.weights import Weights
from edgetl.prefetch import prefetch
from edgetl_export.evaluate.tensors import describe_tflite
from edgetl_export.graph.conversion import convert_to_tflite, freeze
from edgetl_export.progress import track
from edgetl_runtime.engines.engine import open_engine
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.image.preprocessing import Frame, Preprocessing
from edgetl_runtime.system.allotment import count_processors
from edgetl_runtime.system.storage import write_file

if TYPE_CHECKING:
    import keras

# Raise it when the same inputs would give other features.
_FORMAT = 2


class FeatureRequest(msgspec.Struct, frozen=True):
    """One photo, and how many views of it beside the photo itself."""

    file: Path
    sha256: str
    views: int = 0


class Features(msgspec.Struct, frozen=True, eq=False):
    """Features, and what they cost.

    Attributes:
        rows: (features,) each: for each wanted photo the photo, then its views. Features are
            float32; what crosses a cut among the blocks is float16, mapped from the disk.
        owner: int64 (rows,): index of the wanted photo that the row belongs to.
        is_view: bool (rows,): False for the photos themselves.
        cached: Number of photos of which all was known.
        computed: Number of photos that were decoded.
    """

    rows: list[Row]
    owner: np.ndarray[Any, np.dtype[np.int64]]
    is_view: np.ndarray[Any, np.dtype[np.bool_]]
    cached: int
    computed: int


class CachedNetwork:
    """A network on LiteRT that is not trained, with its outputs kept in the cache."""

    def __init__(
        self,
        identity: object,
        convert: Callable[[], bytes],
        preprocessing: Preprocessing,
        *,
        augmentation: Augmentation = LIGHT,
        precision: Precision = "float32",
        description: str = "computing features",
    ) -> None:
        """Names the network; it is built only when an output is missing.

        Args:
            identity: All that its outputs depend on besides photo and view, as JSON can hold it.
            convert: Makes its float32 .tflite, one picture in, one row out.
            preprocessing: From photo to input.
            augmentation: Of the views.
            precision: Of the rows in the cache.
            description: Of the work, for the progress bar.
        """
        self._description = description
        self._convert = convert
        self._preprocessing = preprocessing
        self._augmentation = augmentation
        self._views_digest = digest_augmentation(augmentation)
        self._precision: Precision = precision
        self.digest = hashlib.sha256(msgspec.json.encode(identity)).hexdigest()
        self.folder = cache_folder() / "features" / self.digest[:32]

    def extract(self, wanted: Sequence[FeatureRequest]) -> Features:
        """Returns the features of photos and views, from the cache where they are known.

        Whatever was computed before an interruption stays in the cache.

        Raises:
            FrameError: If a photo cannot be read any more.
            WeightsError: If the weights do not fit the backbone.
            StorageError: If the cache cannot be written.
        """
        cache = FeatureCache(self.folder, self._precision)
        keys = [self._keys(one) for one in wanted]
        missing = [
            one
            for one, own in zip(wanted, keys, strict=True)
            if not all(key in cache for key in own)
        ]
        if missing:
            self._compute(missing, cache)
        owner = [n for n, own in enumerate(keys) for _ in own]
        is_view = [position > 0 for own in keys for position in range(len(own))]
        return Features(
            rows=cache.views(key for own in keys for key in own),
            owner=np.array(owner, np.int64),
            is_view=np.array(is_view, np.bool_),
            cached=len(wanted) - len(missing),
            computed=len(missing),
        )

    def _keys(self, one: FeatureRequest) -> list[str]:
        """Cache keys: the photo, then its views."""
        views = (f"{one.sha256}:{self._views_digest}:{n + 1}" for n in range(one.views))
        return [one.sha256, *views]

    def _compute(self, missing: list[FeatureRequest], cache: FeatureCache) -> None:
        network = LiteRTNetwork(self._model())
        # All processors work: OpenCV and LiteRT release Python's lock.
        workers = count_processors()

        def compute(one: FeatureRequest) -> list[tuple[str, Row]]:
            photo = read_picture(one.file)
            absent = [(n, key) for n, key in enumerate(self._keys(one)) if key not in cache]
            frames = (self._view(photo, one.sha256, n) for n, _ in absent)
            rows = [network.run(self._preprocessing.apply(frame)) for frame in frames]
            return [(key, row) for (_, key), row in zip(absent, rows, strict=True)]

        try:
            computed = prefetch(compute, missing, workers=workers, depth=4 * workers)
            for rows in track(computed, self._description, len(missing)):
                for key, row in rows:
                    cache.add(key, row)
        finally:
            cache.save()

    def _view(self, photo: Frame, sha256: str, number: int) -> Frame:
        return make_view(photo, sha256, number, self._augmentation) if number else photo

    def _model(self) -> bytes:
        """The extractor as a .tflite, converted once."""
        path = self.folder / "extractor.tflite"
        checksum = self.folder / "extractor.tflite.sha256"
        if path.is_file() and checksum.is_file():
            model = path.read_bytes()
            if hashlib.sha256(model).hexdigest() == checksum.read_text():
                return model
        model = self._convert()
        write_file(path, model)
        write_file(checksum, hashlib.sha256(model).hexdigest().encode())
        return model


class Extractor(CachedNetwork):
    """The frozen part of a backbone."""

    def __init__(
        self,
        backbone: Backbone,
        weights: Weights,
        preprocessing: Preprocessing,
        cut: Cut = HEAD_CUT,
        augmentation: Augmentation = LIGHT,
        *,
        load: "Callable[[], keras.Model] | None" = None,
    ) -> None:
        """Names the extractor.

        Args:
            backbone: The network.
            weights: Its weights; with `none` features would be random and are refused.
            preprocessing: From photo to input.
            cut: Where the frozen part ends.
            augmentation: Of the views.
            load: Returns the whole backbone in float32 (default: builds it).
        """
        if weights.path is None:
            raise ValueError("a frozen backbone needs weights")
        self._backbone = backbone
        self._cut = cut
        size_px = preprocessing.width_px
        self._load = load or (lambda: load_network(backbone, weights, size_px))
        place = cut.layer(backbone)
        super().__init__(
            (_FORMAT, backbone.name, backbone.taps, place, weights.digest, preprocessing),
            self._build,
            preprocessing,
            augmentation=augmentation,
            precision="float32" if cut.kind == "head" else "float16",
        )

    def _build(self) -> bytes:
        import tensorflow as tf

        size_px = self._preprocessing.width_px
        network = self._load()
        if self._cut.kind == "head":
            lower = build_extractor(self._backbone, network, size_px)
        else:
            lower = build_lower(self._backbone, network, self._cut, size_px)
        frozen = freeze(lower, (1, size_px, size_px, 3))
        return convert_to_tflite(tf.lite.TFLiteConverter.from_concrete_functions([frozen], None))


class LiteRTNetwork:
    """A float32 .tflite that any number of threads may run, each on an engine of its own."""

    def __init__(self, model: bytes) -> None:
        """Keeps the model; engines are opened on first use."""
        self._model = model
        self._tensors = describe_tflite(model)
        self._local = threading.local()

    def run(self, pixels: Frame) -> Row:
        """Runs the model on uint8 (height, width, 3) RGB; returns float32 (features,)."""
        if not hasattr(self._local, "engine"):
            self._local.engine = open_engine("litert", self._model, self._tensors, 1)
        features: Row = self._local.engine.run(pixels)
        return features
