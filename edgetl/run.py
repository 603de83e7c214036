"""A run: the folder that training writes, either complete or absent."""

import hashlib
import os
import platform
import stat
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import msgspec
import numpy as np

from edgetl.dataset.manifest import FORMAT_VERSION as MANIFEST_VERSION
from edgetl.dataset.manifest import DatasetManifest
from edgetl.history import StageHistory
from edgetl.learning_curve.record import PhotoCurve
from edgetl.metrics import Metrics
from edgetl.networks.framework import load_tensorflow
from edgetl.networks.model import ModelSpec
from edgetl.options import TrainOptions
from edgetl.predictions import Predictions
from edgetl_runtime.errors import OptionsError, RunError
from edgetl_runtime.image.loading import Color, Image, load_image
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.prediction import Prediction, Scores
from edgetl_runtime.system.obstacles import name_special
from edgetl_runtime.system.storage import put_back

if TYPE_CHECKING:
    import keras

    from edgetl.evaluation import Evaluation
    from edgetl.progress import Progress
    from edgetl_export.bundle import Bundle
    from edgetl_export.options import ExportOptions

FORMAT_VERSION = 5
RUN_FILE = "run.json"
MANIFEST_FILE = "manifest.json"
METRICS_FILE = "metrics.json"
HISTORY_FILE = "history.json"
PREDICTIONS_FILE = "predictions.json"
WEIGHTS_FILE = "weights.npz"
CONFIG_FILE = "config.toml"
CURVE_FILE = "curve.json"
REPORT_FILE = "report.html"
# An unfinished training writes beside its run, into a folder with this ending.
UNFINISHED = ".unfinished"
_TRAIN_AGAIN = "train again with: edgetl train DATA --out"
# More than the weights of any network here, or the manifest of any data set.
_MOST_BYTES = 2**31
T = TypeVar("T")


class RunFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of `run.json`, which is written last.

    Attributes:
        format_version: Version of the folder's format.
        spec: What was trained.
        options: What was asked for; `config.toml` says the same to `edgetl train --config`.
        model_sha256: SHA-256 of `weights.npz`, to detect damage. It does not protect against
            tampering, since both files can be changed together. The weights contain no code; the
            network is built from `spec` and `options`.
        dataset_digest: Digest of the manifest.
        seconds: Duration of each stage, in seconds; `total` also includes the time between them,
            but not what a crash lost.
        cached: Number of photos whose features were cached.
        computed: Number of photos whose features were computed.
        versions: Versions of Python and of the packages that matter.
    """

    format_version: int
    spec: ModelSpec
    options: TrainOptions
    model_sha256: str
    dataset_digest: str
    seconds: dict[str, float]
    cached: int
    computed: int
    versions: dict[str, str]


class _Version(msgspec.Struct):
    format_version: int


class Run(msgspec.Struct, frozen=True, dict=True):
    """A trained classifier: the folder that training writes.

        run = edgetl.Run.open("runs/parts")
        print(run.predict("photo.jpg").label)

    Attributes:
        path: The folder.
        file: What was trained, and how.
        manifest: The photos.
        metrics: Metrics on the validation photos.
        histories: Metrics per epoch, by stage.
        predictions: Predictions for the validation photos, and for the test photos if any.
    """

    path: Path
    file: RunFile
    manifest: DatasetManifest
    metrics: Metrics
    histories: tuple[StageHistory, ...]
    predictions: tuple[Predictions, ...]

    @classmethod
    def open(cls, path: "str | os.PathLike[str]") -> "Run":
        """Reads a run folder.

        Args:
            path: The folder that `edgetl.train` wrote.

        Raises:
            RunError: If it is missing, unfinished, damaged or of another version.
        """
        path = Path(path)
        put_back(path)
        if not (path / RUN_FILE).exists():
            begun = path.with_name(path.name + UNFINISHED)
            remedy = f"{_TRAIN_AGAIN} {path}"
            if begun.is_dir():
                remedy = f"it was interrupted, resume it with: edgetl train --resume {path}"
            raise RunError(f"{path} is not a finished run (no {RUN_FILE}); {remedy}")
        return cls(
            path,
            _read(path / RUN_FILE, RunFile, FORMAT_VERSION),
            _read(path / MANIFEST_FILE, DatasetManifest, MANIFEST_VERSION),
            _read(path / METRICS_FILE, Metrics),
            _read(path / HISTORY_FILE, tuple[StageHistory, ...]),
            _read(path / PREDICTIONS_FILE, tuple[Predictions, ...]),
        )

    @property
    def report(self) -> Path:
        """The path of the HTML report."""
        return self.path / REPORT_FILE

    @cached_property
    def curve(self) -> PhotoCurve | None:
        """Accuracy over the number of training photos; None where training left it out.

        Raises:
            RunError: If the file is damaged.
        """
        path = self.path / CURVE_FILE
        return _read(path, PhotoCurve) if path.exists() else None

    @property
    def spec(self) -> ModelSpec:
        """The model that was trained."""
        return self.file.spec

    def read_weights(self) -> bytes:
        """The bytes of the weights file.

        Raises:
            RunError: If they are missing or damaged.
        """
        path = self.path / WEIGHTS_FILE
        data = _read_bytes(path)
        if hashlib.sha256(data).hexdigest() != self.file.model_sha256:
            raise RunError(
                f"{path} is not the file that training wrote; copy the run again from an intact "
                f"copy, or {_TRAIN_AGAIN} {self.path}"
            )
        return data

    @overload
    def predict(  # type: ignore[overload-overlap]  # A str is a sequence of str, too.
        self, images: Image, *, color: Color | None = None
    ) -> Prediction: ...
    @overload
    def predict(
        self, images: Sequence[Image], *, color: Color | None = None
    ) -> list[Prediction]: ...
    def predict(
        self, images: Image | Sequence[Image], *, color: Color | None = None
    ) -> Prediction | list[Prediction]:
        """Classifies one image or several with the trained model, on the workstation.

        Args:
            images: The path of an image file; an array, uint8 (height, width, 3) or
                (height, width) gray, values 0..255; a Pillow image; or a list of these.
            color: Order of an array's channels, `rgb` or `bgr`; required for a color array.

        Returns:
            A prediction, or a list of them. No image is rejected, as the reject threshold is chosen
            when the run is exported.

        Raises:
            FrameError: If a file cannot be read, or an array has another dtype or shape.
            OptionsError: If the channel order of an array was not given.
            RunError: If the run's weights are missing or damaged.
        """
        if isinstance(images, list | tuple):
            return [self._predict(image, color) for image in images]
        return self._predict(images, color)  # type: ignore[arg-type]

    def evaluate(
        self, data: "str | os.PathLike[str]", *, unseen: bool = False, progress: "Progress" = False
    ) -> "Evaluation":
        """Scores the run on labelled photos; see `edgetl.evaluate`."""
        from edgetl.api import evaluate

        return evaluate(self, data, unseen=unseen, progress=progress)

    def export(
        self,
        out: "str | os.PathLike[str]",
        options: "ExportOptions | None" = None,
        *,
        overwrite: bool = False,
        progress: "Progress" = False,
        **keywords: Any,
    ) -> "Bundle":
        """Writes a bundle; see `edgetl.export`, which also returns what was tried."""
        from edgetl.api import export

        exported = export(self, out, options, overwrite=overwrite, progress=progress, **keywords)
        return exported.bundle

    @cached_property
    def scorer(self) -> Callable[[Sequence[Frame]], list[Scores]]:
        """Runs the trained model, which is loaded on first use.

        It takes frames, each uint8 (height, width, 3) BGR or (height, width) grey of any size, and
        returns for each float32 (classes,), probabilities 0..1.
        """
        self.read_weights()  # What is damaged is said before TensorFlow is imported.
        load_tensorflow()
        model, preprocessing = self.load_model(), self.spec.preprocessing

        def score(frames: Sequence[Frame]) -> list[Scores]:
            inputs = np.stack([preprocessing.apply(frame) for frame in frames])
            return list(model.predict_on_batch(inputs.astype(np.float32)))

        return score

    def _predict(self, image: Image, color: Color | None) -> Prediction:
        if color is None and isinstance(image, np.ndarray) and image.ndim == 3:
            raise OptionsError("give the channel order of the array: color='rgb' or color='bgr'")
        begin = time.monotonic()
        frame = load_image(image, color=color or "bgr")
        start = time.monotonic()
        (scores,) = self.scorer([frame])
        end = time.monotonic()
        return Prediction(self.spec.labels, scores, 0.0, begin, end, 0.0, (end - start) * 1e3)

    def load_model(self) -> "keras.Model":
        """Builds the trained classifier: float32 (batch, h, w, 3) RGB 0..255 -> probabilities.

        Raises:
            RunError: If its weights are missing, damaged or those of another network.
        """
        from edgetl.networks.arrays import decode_weights

        path = self.path / WEIGHTS_FILE
        data = self.read_weights()
        model = self._build()
        try:
            decode_weights(data, model)
        except ValueError as error:
            raise RunError(f"{path} is damaged: {error}; {_TRAIN_AGAIN} {self.path}") from error
        return model

    def _build(self) -> "keras.Model":
        from edgetl.networks.backbones import build, find_backbone
        from edgetl.networks.head import build_finished_head
        from edgetl.networks.model import build_classifier, build_extractor

        spec, size_px = self.spec, self.spec.preprocessing.width_px
        backbone = find_backbone(spec.backbone)
        extractor = build_extractor(backbone, build(backbone, size_px), size_px)
        features = extractor.output.shape[-1]
        head = build_finished_head(features, len(spec.labels), self.file.options.head)
        return build_classifier(extractor, head)


def describe_versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    names = (
        "edgetl",
        "edgetl-runtime",
        "tensorflow",
        "keras",
        "ai-edge-litert",
        "numpy",
        "opencv-python-headless",
    )
    return {"python": platform.python_version()} | {name: version(name) for name in names}


def encode(content: Any) -> bytes:
    """Readable JSON bytes."""
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"


def _read_bytes(path: Path) -> bytes:
    """All of a file of a run; a stranger's could be a pipe or a device, which never ends."""
    again = f"{_TRAIN_AGAIN} {path.parent}"
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            what = "a folder" if path.is_dir() else name_special(status.st_mode)
            raise RunError(f"{path} is {what}, not a file; {again}")
        if status.st_size > _MOST_BYTES:
            raise RunError(f"{path} is larger than {_MOST_BYTES >> 30} GiB; {again}")
        return path.read_bytes()
    except OSError as error:
        raise RunError(f"{path} is unreadable ({error.strerror}); {again}") from error


def _read(path: Path, kind: type[T], version: int | None = None) -> T:
    data = _read_bytes(path)
    again = f"{_TRAIN_AGAIN} {path.parent}"
    try:
        if version is not None:
            found = msgspec.json.decode(data, type=_Version).format_version
            if found != version:
                raise RunError(
                    f"{path} has format {found}, this edgetl reads {version}; use the "
                    f"edgetl that wrote it, or {again}"
                )
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError) as error:
        raise RunError(f"{path} is damaged: {error}; {again}") from error


def is_run(model: Path) -> bool:
    """Whether what may be a run or a bundle is a run.

    Raises:
        RunError: If nothing is there.
    """
    put_back(model)
    if not model.exists():
        raise RunError(f"{model} does not exist; give the folder of a run, or a bundle")
    return (model / RUN_FILE).is_file()
