"""The bundle: everything that a device needs, and the only reader of its format.

A bundle is a folder, or one zip of it. `bundle.json` lists every other file with its size and
SHA-256, and `bundle.json.sha256` guards `bundle.json` itself (`sha256sum -c` reads it). Nothing is
handed to a native loader before its bytes were verified. The README has the format on one page.
"""

import hashlib
import math
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec

from edgetl_runtime.engines.engine import EngineName
from edgetl_runtime.engines.tensors import TensorSpec, picture_size
from edgetl_runtime.errors import BundleError
from edgetl_runtime.image.preprocessing import Preprocessing
from edgetl_runtime.system.containers import is_safe, open_container
from edgetl_runtime.system.storage import put_back
from edgetl_runtime.text.printable import holds_control

FORMAT_VERSION = 3
MANIFEST = "bundle.json"
CHECKSUM = "bundle.json.sha256"
# As long as the name of a folder can be.
MOST_LABEL_BYTES = 255
LABELS = "labels.txt"
CARD = "MODEL_CARD.md"
_MANIFEST_LIMIT_BYTES = 16 * 2**20
_CHECKSUM_LIMIT_BYTES = 4096
_EXPORT_AGAIN = "export the bundle again with: edgetl export"
_COPY_AGAIN = "copy the bundle again"

Precision = Literal["float32", "float16", "int8", "mixed", "int16x8", "dynamic"]
Positive = Annotated[int, msgspec.Meta(gt=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
# An output may be a rounding error beyond 0..1.
Score = Annotated[float, msgspec.Meta(ge=-1, le=2)]
# Source of the unknown photos that the threshold was chosen by; "": none.
UnknownSource = Literal["", "_unknown_", "held-out classes"]
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Immutable, and an unknown key is an error."""


class StoredFile(_Strict, frozen=True):
    """A file of the bundle: relative path with forward slashes, size and content hash."""

    file: str
    sha256: Sha256
    bytes: Positive


class GoldenFrame(StoredFile, frozen=True):
    """An image with known scores.

    Attributes:
        input_sha256: SHA-256 of the model's input that preprocessing makes of it: uint8
            (height, width, 3) RGB, row by row. It is the same on every machine.
    """

    input_sha256: Sha256


class VariantMetrics(_Strict, frozen=True):
    """Metrics of this file, measured with the engine that the device uses.

    Attributes:
        examples: Number of photos.
        top1: Accuracy on them, 0..1.
        drop: Trained model's top-1 minus this file's, 0..1; negative when this file is better.
        agreement: Share on which this file predicts the same label as the trained model.
        recall: Per label, 0..1; None without photos of it.
        calibration_error: Expected calibration error of the scores after temperature, 0..1 (Guo
            et al. 2017, "On Calibration of Modern Neural Networks"); None if not measured.
        mean_confidence: Mean of the highest score after temperature, 0..1; this and what follows
            is what a device compares with what it sees; None if not measured.
        reject_rate: Share of the photos that are rejected, 0..1.
        label_shares: Per label, its share of the photos that are not rejected, 0..1.
    """

    examples: int
    top1: Share
    drop: float
    agreement: Share
    recall: dict[str, Share | None]
    calibration_error: Share | None = None
    mean_confidence: Share | None = None
    reject_rate: Share | None = None
    label_shares: dict[str, Share] | None = None


class Calibration(_Strict, frozen=True):
    """Temperature and reject threshold of one file, and their effect.

    Attributes:
        temperature: Temperature of the scores; above 1 it softens them.
        reject_threshold: Top score, after temperature, below which the label is None; 0..1.
        calibration_error_before: Expected calibration error on the validation split without
            temperature, 0..1; None if not measured.
        calibration_error: Calibration error with temperature.
        false_accept_rate: Share of the unknown photos that still get a label, 0..1;
            None if not measured.
        false_reject_rate: Share of the correctly classified validation photos that get none, 0..1;
            None if not measured.
        unknown: Source of the unknown photos: a folder `_unknown_` in the data, or
            classes that were held out; empty if none.
    """

    temperature: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    reject_threshold: Share = 0.0
    calibration_error_before: Share | None = None
    calibration_error: Share | None = None
    false_accept_rate: Share | None = None
    false_reject_rate: Share | None = None
    unknown: UnknownSource = ""


class Variant(StoredFile, frozen=True):
    """One model file.

    Attributes:
        name: `<engine>-<precision>`, such as `litert-int8`.
        engine: The engine that runs it.
        precision: Of weights and activations; `int16x8` has int16 activations, `dynamic`
            computes their range at run time.
        repair: The repair that restored the accuracy; empty if none was
            needed.
        failures: Why the gate rejects it; empty unless that was overridden.
        unsure: How much worse than allowed it is, where chance explains it.
        input: The input tensor.
        output: The output tensor: probabilities, float32.
        metrics: Metrics on the validation photos, by which repair, temperature and threshold
            were chosen.
        golden_scores: Expected scores of each golden frame, in their order, before temperature.
        golden_tolerance: Largest allowed difference of another machine's scores, by
            `edgetl_runtime.bundle.golden_frames.measure_deviation`.
        calibration: Temperature and reject threshold.
        test_metrics: Metrics on the test photos, by which nothing was chosen; None if the data
            has no test split.
    """

    name: str
    engine: EngineName
    precision: Precision
    input: TensorSpec
    output: TensorSpec
    metrics: VariantMetrics
    golden_scores: tuple[tuple[Score, ...], ...]
    golden_tolerance: Annotated[float, msgspec.Meta(gt=0)]
    repair: str = ""
    failures: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()
    calibration: Calibration = Calibration()
    test_metrics: VariantMetrics | None = None


class Attempted(_Strict, frozen=True):
    """A file that was written and measured, but is not in the bundle.

    Attributes:
        recipe: `<engine>-<precision>`.
        repair: The repair that was tried; empty for the plain file.
        bytes: Its size.
        top1: Accuracy on the validation photos, 0..1.
        drop: Trained model's top-1 minus this one's, -1..1.
        agreement: Share on which it predicts the same label as the trained model.
    """

    recipe: str
    repair: str
    bytes: Positive
    top1: Share
    drop: float
    agreement: Share


class LeftOut(_Strict, frozen=True):
    """A recipe without a file that passed the gate.

    Attributes:
        name: Name of the recipe.
        reason: Why the gate rejected the best attempt.
        best: The attempt with the smallest drop.
    """

    name: str
    reason: str
    best: Attempted


class Provenance(_Strict, frozen=True):
    """Where the bundle comes from.

    Attributes:
        edgetl_version: Version of edgetl that trained it.
        backbone: Name of the network below the head.
        weights_digest: Digest of the initial weights.
        dataset_digest: Digest of the list of photos.
        model_sha256: SHA-256 of the trained model's file.
        calibration_photos: Training photos, `class/name`, by which ranges were chosen.
        versions: Versions of the packages that matter.
        created_utc: ISO 8601 date, if SOURCE_DATE_EPOCH was set; else empty, so that two
            exports of one run are equal.
        name: Name of the model; this and the next fields are empty if not given.
        version: Version of the model.
        author: Author of the model.
        license: SPDX name of the licence of the model, such as `apache-2.0`.
        description: One sentence or a few.
        left_out: Recipes without a file that passed the gate.
    """

    edgetl_version: str
    backbone: str
    weights_digest: str
    dataset_digest: str
    model_sha256: str
    calibration_photos: tuple[str, ...]
    versions: dict[str, str]
    created_utc: str = ""
    name: str = ""
    version: str = ""
    author: str = ""
    license: str = ""
    description: str = ""
    left_out: tuple[LeftOut, ...] = ()


class BundleManifest(_Strict, frozen=True):
    """The content of `bundle.json`."""

    format_version: int
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    variants: tuple[Variant, ...]
    golden: tuple[GoldenFrame, ...]
    labels_file: StoredFile
    card: StoredFile
    provenance: Provenance

    @property
    def network(self) -> str:
        """Backbone and input, such as `mobilenet_v2_0.35 at 224x224`.

        Empty for a model that edgetl did not train: the name of its file says nothing.
        """
        if not self.provenance.weights_digest:
            return ""
        size = self.preprocessing
        return f"{self.provenance.backbone} at {size.width_px}x{size.height_px}"

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """Every file that it lists."""
        return (*self.variants, *self.golden, self.labels_file, self.card)


class _Version(msgspec.Struct):
    format_version: int


B = TypeVar("B", bound="Bundle")


class Bundle(msgspec.Struct, frozen=True):
    """An opened and verified bundle.

    Attributes:
        path: The folder or the zip.
        manifest: The content of `bundle.json`.
        sha256: SHA-256 of `bundle.json`, which lists all other hashes: the bundle's identity.
    """

    path: Path
    manifest: BundleManifest
    sha256: str

    @classmethod
    def open(cls: type[B], path: str | Path) -> B:
        """Reads a bundle and verifies every file in it.

        Args:
            path: A folder, or one zip of it, which is never unpacked.

        Raises:
            BundleError: If anything is missing, damaged, unsafe, inconsistent or newer.
        """
        put_back(Path(path))
        bundle = cls(Path(path), *_read_manifest(Path(path)))
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
        return self.manifest.files

    def read(self, stored: StoredFile) -> bytes:
        """Returns a file's verified bytes; pass these to the loader, never the path.

        Raises:
            BundleError: If the file is missing or differs from the manifest.
        """
        path = self.path / stored.file
        try:
            data = open_container(self.path).read(stored.file, stored.bytes)
        except OSError as error:
            raise BundleError(f"{path} cannot be read ({error.strerror}); {_COPY_AGAIN}") from error
        if len(data) != stored.bytes:
            raise BundleError(
                f"{path} has {len(data)} bytes, expected {stored.bytes}: it was cut or changed; "
                + _COPY_AGAIN
            )
        if hashlib.sha256(data).hexdigest() != stored.sha256:
            raise BundleError(f"{path} is damaged (SHA-256 differs); {_COPY_AGAIN}")
        return data

    def read_manifest(self) -> dict[str, bytes]:
        """The bytes of `bundle.json` and of its checksum, by name.

        Raises:
            BundleError: If they cannot be read any more, or have changed since.
        """
        data, checksum = _read_top(self.path)
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise BundleError(f"{self.path / MANIFEST} has changed since it was opened")
        return {MANIFEST: data, CHECKSUM: checksum}

    def find_unlisted(self) -> list[str]:
        """Files that lie in the bundle and belong to nothing: they were never verified.

        Raises:
            BundleError: If the bundle cannot be read any more.
        """
        listed = {MANIFEST, CHECKSUM, *(stored.file for stored in self.files)}
        try:
            return [name for name in open_container(self.path).names() if name not in listed]
        except OSError as error:
            raise BundleError(f"{self.path} cannot be read ({error.strerror})") from error

    def variant(self, name: str | None = None, *, engine: str | None = None) -> Variant:
        """Picks a variant by name or engine; by default the first, which export prefers.

        Raises:
            BundleError: If the bundle has no such variant.
        """
        for variant in self.manifest.variants:
            if name in (None, variant.name) and engine in (None, variant.engine):
                return variant
        known = {variant.name: variant.engine for variant in self.manifest.variants}
        names = ", ".join(known)
        if name in known:
            raise BundleError(f"{name} runs on {known[name]}, not on {engine}; leave one out")
        wanted = name or f"for engine {engine}"
        raise BundleError(f"{self.path} has no variant {wanted}; it has: {names}")


def encode_manifest(manifest: BundleManifest) -> bytes:
    """The bytes of `bundle.json`: readable, with sorted keys, so that equal content is equal."""
    return msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=2) + b"\n"


def encode_checksum(manifest_bytes: bytes) -> bytes:
    """The bytes of `bundle.json.sha256`, in the format of sha256sum."""
    return f"{hashlib.sha256(manifest_bytes).hexdigest()}  {MANIFEST}\n".encode()


def describe_schema() -> bytes:
    """The JSON Schema of `bundle.json`, by which the phone's page reads it."""
    schema = msgspec.json.schema(BundleManifest)
    for kind in schema["$defs"].values():
        kind.pop("description", None)
    return msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"


def _read_manifest(path: Path) -> tuple[BundleManifest, str]:
    data, _ = _read_top(path)
    manifest = _decode_manifest(path / MANIFEST, data)
    _check(path / MANIFEST, manifest)
    return manifest, hashlib.sha256(data).hexdigest()


def _read_top(path: Path) -> tuple[bytes, bytes]:
    """`bundle.json`, and the checksum that it was compared with."""
    try:
        container = open_container(path)
        data = container.read(MANIFEST, _MANIFEST_LIMIT_BYTES)
        checksum = container.read(CHECKSUM, _CHECKSUM_LIMIT_BYTES)
    except OSError as error:
        missing = Path(error.filename or MANIFEST).name
        raise BundleError(
            f"{path} is not a bundle: {missing} cannot be read ({error.strerror}); give a folder "
            "or .zip that `edgetl export` wrote, with bundle.json at its top"
        ) from error
    if checksum != encode_checksum(data):
        raise BundleError(
            f"{path / MANIFEST} is damaged (it differs from {CHECKSUM}); {_COPY_AGAIN}"
        )
    return data, checksum


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
        raise BundleError(f"{path} is not valid: {error}; {_EXPORT_AGAIN}") from error


def _check(path: Path, manifest: BundleManifest) -> None:
    labels = manifest.labels
    if len(labels) < 2 or len(set(labels)) != len(labels) or not all(map(str.strip, labels)):
        raise BundleError(f"{path}: expected two or more labels, unique and not empty")
    if odd := [label for label in labels if holds_control(label)]:
        # They would end lines, rows and topics of whatever the label is written into.
        raise BundleError(
            f"{path}: the label {odd[0]!a} contains a control character; rename the class and "
            + _EXPORT_AGAIN
        )
    if long := [label for label in labels if len(label.encode()) > MOST_LABEL_BYTES]:
        # Each answer carries some of them, to every output.
        raise BundleError(
            f"{path}: the label {long[0][:20]}... has {len(long[0].encode()):,} bytes, allowed are "
            f"{MOST_LABEL_BYTES}; rename the class and {_EXPORT_AGAIN}"
        )
    if not manifest.variants:
        raise BundleError(f"{path} lists no models; {_EXPORT_AGAIN}")
    for stored in manifest.files:
        _check_path(path, stored.file)
    for variant in manifest.variants:
        _check_variant(path, manifest, variant)


def _check_path(path: Path, name: str) -> None:
    if not is_safe(name):
        raise BundleError(f"{path} names the unsafe path {name!r}; do not use this bundle")


def _check_variant(path: Path, manifest: BundleManifest, variant: Variant) -> None:
    outputs = math.prod(variant.output.shape)
    if outputs != len(manifest.labels):
        raise BundleError(
            f"{path} has {len(manifest.labels)} labels, but {variant.name} has {outputs} "
            f"outputs; {_EXPORT_AGAIN}"
        )
    wanted = (manifest.preprocessing.height_px, manifest.preprocessing.width_px)
    if picture_size(variant.input) != wanted:
        raise BundleError(
            f"{path}: {variant.name} takes {variant.input.shape}, preprocessing outputs {wanted} "
            f"(height, width); {_EXPORT_AGAIN}"
        )
    for metrics in filter(None, (variant.metrics, variant.test_metrics)):
        if metrics.recall.keys() != set(manifest.labels):
            raise BundleError(
                f"{path}: the recalls of {variant.name} are for other labels; {_EXPORT_AGAIN}"
            )
        if (metrics.label_shares or metrics.recall).keys() != set(manifest.labels):
            raise BundleError(
                f"{path}: the shares of {variant.name} are for other labels; {_EXPORT_AGAIN}"
            )
    lengths = {len(scores) for scores in variant.golden_scores} - {outputs}
    if lengths or len(variant.golden_scores) != len(manifest.golden):
        raise BundleError(
            f"{path}: the golden scores of {variant.name} do not match; {_EXPORT_AGAIN}"
        )
