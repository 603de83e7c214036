"""A run: the folder that training leaves, complete or not there at all."""

import hashlib
import platform
import stat
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from edgetl.dataset.manifest import FORMAT_VERSION as MANIFEST_VERSION
from edgetl.dataset.manifest import DatasetManifest
from edgetl.history import StageHistory
from edgetl.metrics import Metrics
from edgetl.networks.model import ModelSpec
from edgetl.options import Options
from edgetl.predictions import Predictions
from edgetl_runtime.errors import RunError
from edgetl_runtime.obstacles import name_special
from edgetl_runtime.storage import put_back

if TYPE_CHECKING:
    import keras

FORMAT_VERSION = 4
RUN_FILE = "run.json"
MANIFEST_FILE = "manifest.json"
METRICS_FILE = "metrics.json"
HISTORY_FILE = "history.json"
PREDICTIONS_FILE = "predictions.json"
WEIGHTS_FILE = "weights.npz"
CONFIG_FILE = "config.toml"
REPORT_FILE = "report.html"
# A training under way writes beside its run, into a folder with this ending.
UNFINISHED = ".unfinished"
_TRAIN_AGAIN = "train again with: edgetl train DATA --out"
# More than the weights of any network here, or the manifest of any data set.
_MOST_BYTES = 2**31
T = TypeVar("T")


class RunFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of `run.json`, which is written last.

    Attributes:
        format_version: Of the folder.
        spec: What was trained.
        options: What was asked for; `config.toml` says the same to `edgetl train --config`.
        model_sha256: Of `weights.npz`, by which damage is noticed. It protects from nobody: who
            writes one file can write both. The weights hold no code; the network is built anew
            from `spec` and `options`.
        dataset_digest: Of the manifest.
        seconds: Stage -> duration, s; `total` is all of them and what lies between, less what a
            crash lost.
        cached: Photos whose features were known.
        computed: Photos whose features were computed.
        versions: Of the packages that matter, and of Python.
    """

    format_version: int
    spec: ModelSpec
    options: Options
    model_sha256: str
    dataset_digest: str
    seconds: dict[str, float]
    cached: int
    computed: int
    versions: dict[str, str]


class _Version(msgspec.Struct):
    format_version: int


class Run(msgspec.Struct, frozen=True):
    """An opened run folder; its metrics are those of the validation part."""

    path: Path
    file: RunFile
    manifest: DatasetManifest
    metrics: Metrics
    histories: tuple[StageHistory, ...]
    predictions: tuple[Predictions, ...]

    @classmethod
    def open(cls, path: Path) -> "Run":
        """Reads a run folder.

        Raises:
            RunError: If it is missing, unfinished, damaged or of another version.
        """
        put_back(path)
        if not (path / RUN_FILE).exists():
            begun = path.with_name(path.name + UNFINISHED)
            remedy = f"{_TRAIN_AGAIN} {path}"
            if begun.is_dir():
                remedy = f"it was interrupted, go on with: edgetl train --resume {path}"
            raise RunError(f"{path} is no finished run (no {RUN_FILE}); {remedy}")
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
        """The page to look at."""
        return self.path / REPORT_FILE

    @property
    def spec(self) -> ModelSpec:
        """What was trained."""
        return self.file.spec

    def read_weights(self) -> bytes:
        """The bytes of its weights; quick, for it builds nothing.

        Raises:
            RunError: If they are missing or damaged.
        """
        path = self.path / WEIGHTS_FILE
        data = _read_bytes(path)
        if hashlib.sha256(data).hexdigest() != self.file.model_sha256:
            raise RunError(
                f"{path} is not the file that training wrote; copy the run again from where it "
                f"was whole, or {_TRAIN_AGAIN} {self.path}"
            )
        return data

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
    """Versions of what a result depends on."""
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
