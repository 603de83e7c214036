"""The bundle: everything that a device needs, and the only reader of its format.

A bundle is a folder. `bundle.json` lists every other file with its size and SHA-256, and
`bundle.json.sha256` seals `bundle.json` itself (`sha256sum -c` reads it). Nothing is handed to
a native loader before its bytes were verified.
"""

import hashlib
import math
import stat
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import msgspec

from edgetl_runtime.errors import BundleError
from edgetl_runtime.preprocessing import Preprocessing
from edgetl_runtime.tensors import TensorSpec, picture_size

FORMAT_VERSION = 1
MANIFEST = "bundle.json"
SEAL = "bundle.json.sha256"
LABELS = "labels.txt"
_MANIFEST_LIMIT_BYTES = 16 * 2**20
_SEAL_LIMIT_BYTES = 4096
_EXPORT_AGAIN = "export the bundle again with: edgetl export"

EngineName = Literal["litert", "onnx"]
Precision = Literal["float32", "float16", "int8", "mixed", "int16x8", "dynamic"]
Positive = Annotated[int, msgspec.Meta(gt=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Immutable, and an unknown key is an error."""


class StoredFile(_Strict, frozen=True):
    """A file of the bundle: relative path with forward slashes, size and content hash."""

    file: str
    sha256: Sha256
    bytes: Positive


class VariantMetrics(_Strict, frozen=True):
    """Measured on this very file, by the engine that the device uses.

    Attributes:
        examples: Number of validation photos.
        top1: Share of them named right, 0..1.
        drop: Trained model's top-1 minus this file's, 0..1; negative when this file is better.
        agreement: Share on which this file names the same label as the trained model.
        recall: Per label, 0..1; None where the validation part has no such photo.
    """

    examples: int
    top1: Share
    drop: float
    agreement: Share
    recall: dict[str, Share | None]


class Variant(StoredFile, frozen=True):
    """One model file.

    Attributes:
        name: `<engine>-<precision>`, such as `litert-int8`.
        engine: The engine that runs it.
        precision: Of weights and activations; `int16x8` has activations of 16 bits, `dynamic`
            measures their range while it runs.
        repair: What brought the file back to the trained model's accuracy; empty if nothing
            had to.
        failures: How it is worse than the gate allows; empty unless that was overridden.
        input: The input tensor.
        output: The output tensor: probabilities, float32.
        metrics: Measured on this file.
        golden_scores: Expected scores of each golden frame, in their order, before temperature.
        golden_tolerance: Largest allowed difference of a score on another machine.
    """

    name: str
    engine: EngineName
    precision: Precision
    input: TensorSpec
    output: TensorSpec
    metrics: VariantMetrics
    golden_scores: tuple[tuple[float, ...], ...]
    golden_tolerance: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    repair: str = ""
    failures: tuple[str, ...] = ()


class Calibration(_Strict, frozen=True):
    """How scores become an answer.

    Attributes:
        temperature: Softens the scores when above 1.
        reject_threshold: Below this top score the label is None.
    """

    temperature: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    reject_threshold: Share = 0.0


class Provenance(_Strict, frozen=True):
    """Where the bundle comes from."""

    edgetl_version: str
    backbone: str
    weights_digest: str
    dataset_digest: str
    model_sha256: str
    calibration_photos: tuple[str, ...]
    created_utc: str
    versions: dict[str, str]


class BundleManifest(_Strict, frozen=True):
    """The content of `bundle.json`."""

    format_version: int
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    variants: tuple[Variant, ...]
    calibration: Calibration
    golden: tuple[StoredFile, ...]
    labels_file: StoredFile
    provenance: Provenance


class _Version(msgspec.Struct):
    format_version: int


class Bundle(msgspec.Struct, frozen=True):
    """An opened and verified bundle."""

    path: Path
    manifest: BundleManifest

    @classmethod
    def open(cls, path: str | Path) -> "Bundle":
        """Reads a bundle and verifies every file in it.

        Raises:
            BundleError: If anything is missing, damaged, unsafe, inconsistent or newer.
        """
        bundle = cls(Path(path), _read_manifest(Path(path)))
        for stored in bundle.files:
            bundle.read(stored)
        return bundle

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the model's output."""
        return self.manifest.labels

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """Every file that the manifest lists."""
        return (*self.manifest.variants, *self.manifest.golden, self.manifest.labels_file)

    def read(self, stored: StoredFile) -> bytes:
        """Returns a file's bytes, verified: hand these to the loader, never the path.

        Raises:
            BundleError: If the file is missing or differs from the manifest.
        """
        path = self.path / stored.file
        try:
            # A link could lead out of the bundle, to a device or a file that never ends.
            linked = path.resolve() != self.path.resolve() / stored.file
            if linked or not path.is_file():
                raise BundleError(f"{path} is missing or no plain file; {_EXPORT_AGAIN}")
            size = path.stat().st_size
            if size != stored.bytes:
                raise BundleError(
                    f"{path} has {size} bytes, expected {stored.bytes}: it was cut or changed; "
                    "copy the bundle again"
                )
            data = path.read_bytes()
        except OSError as error:
            raise BundleError(f"{path} cannot be read ({error.strerror}); check it") from error
        if hashlib.sha256(data).hexdigest() != stored.sha256:
            raise BundleError(f"{path} is damaged (SHA-256 differs); copy the bundle again")
        return data

    def variant(self, name: str | None = None, *, engine: str | None = None) -> Variant:
        """Picks a variant by name or engine; by default the first, which export prefers.

        Raises:
            BundleError: If the bundle has no such variant.
        """
        for variant in self.manifest.variants:
            if name in (None, variant.name) and engine in (None, variant.engine):
                return variant
        wanted = " ".join(filter(None, [name, engine and f"for engine {engine}"]))
        names = ", ".join(variant.name for variant in self.manifest.variants)
        raise BundleError(f"{self.path} has no variant {wanted}; it has: {names}")


def encode_manifest(manifest: BundleManifest) -> bytes:
    """The bytes of `bundle.json`: readable, with sorted keys, so that equal content is equal."""
    return msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=2) + b"\n"


def encode_seal(manifest_bytes: bytes) -> bytes:
    """The bytes of `bundle.json.sha256`, in the format of sha256sum."""
    return f"{hashlib.sha256(manifest_bytes).hexdigest()}  {MANIFEST}\n".encode()


def _read_manifest(folder: Path) -> BundleManifest:
    path = folder / MANIFEST
    try:
        data = _read_limited(path, _MANIFEST_LIMIT_BYTES)
        seal = _read_limited(folder / SEAL, _SEAL_LIMIT_BYTES)
    except OSError as error:
        missing = Path(error.filename or path).name
        raise BundleError(
            f"{folder} is no bundle: {missing} cannot be read ({error.strerror}); "
            "give a folder that `edgetl export` wrote"
        ) from error
    if seal != encode_seal(data):
        raise BundleError(f"{path} is damaged (it differs from {SEAL}); copy the bundle again")
    manifest = _decode_manifest(path, data)
    _check(path, manifest)
    return manifest


def _read_limited(path: Path, limit_bytes: int) -> bytes:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > limit_bytes:
        raise BundleError(f"{path} is no plain file or larger than any real one; {_EXPORT_AGAIN}")
    return path.read_bytes()


def _decode_manifest(path: Path, data: bytes) -> BundleManifest:
    try:
        version = msgspec.json.decode(data, type=_Version).format_version
        if version != FORMAT_VERSION:
            raise BundleError(
                f"{path} has format {version}, this edgetl-runtime reads {FORMAT_VERSION}; "
                + ("upgrade edgetl-runtime" if version > FORMAT_VERSION else _EXPORT_AGAIN)
            )
        return msgspec.json.decode(data, type=BundleManifest)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BundleError(f"{path} is not as expected: {error}; {_EXPORT_AGAIN}") from error


def _check(path: Path, manifest: BundleManifest) -> None:
    labels = manifest.labels
    if len(labels) < 2 or len(set(labels)) != len(labels) or not all(map(str.strip, labels)):
        raise BundleError(f"{path}: labels must be two or more, different and not empty")
    if not manifest.variants:
        raise BundleError(f"{path} lists no model; {_EXPORT_AGAIN}")
    for stored in (*manifest.variants, *manifest.golden, manifest.labels_file):
        _check_path(path, stored.file)
    for variant in manifest.variants:
        _check_variant(path, manifest, variant)


def _check_path(path: Path, name: str) -> None:
    pure = PurePosixPath(name)
    unsafe = pure.is_absolute() or ".." in pure.parts or "\\" in name or ":" in name
    if unsafe or str(pure) != name or "\x00" in name:
        raise BundleError(f"{path} names the unsafe path {name!r}; do not use this bundle")


def _check_variant(path: Path, manifest: BundleManifest, variant: Variant) -> None:
    outputs = math.prod(variant.output.shape)
    if outputs != len(manifest.labels):
        raise BundleError(
            f"{path} holds {len(manifest.labels)} labels but {variant.name} has {outputs} "
            f"outputs; {_EXPORT_AGAIN}"
        )
    wanted = (manifest.preprocessing.height_px, manifest.preprocessing.width_px)
    if picture_size(variant.input) != wanted:
        raise BundleError(
            f"{path}: {variant.name} takes {variant.input.shape}, preprocessing makes "
            f"{wanted} (height, width); {_EXPORT_AGAIN}"
        )
    lengths = {len(scores) for scores in variant.golden_scores} - {outputs}
    if lengths or len(variant.golden_scores) != len(manifest.golden):
        raise BundleError(f"{path}: golden scores of {variant.name} do not fit; {_EXPORT_AGAIN}")
