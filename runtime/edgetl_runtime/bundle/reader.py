"""The bundle: everything that a device needs, and the only reader of its format.

A bundle is a folder, or one zip of it. `bundle.json` lists every other file with its size and
SHA-256, and `bundle.json.sha256` guards `bundle.json` itself (`sha256sum -c` reads it). Nothing is
handed to a native loader before its bytes were verified. The README has the format on one page.
"""

import hashlib
import math
from pathlib import Path
from typing import TypeVar

import msgspec

from edgetl_runtime.bundle.manifest import (
    FORMAT_VERSION,
    MOST_LABEL_BYTES,
    READ_VERSIONS,
    BundleManifest,
    StoredFile,
    Variant,
)
from edgetl_runtime.engines.tensors import picture_size
from edgetl_runtime.errors import BundleError
from edgetl_runtime.system.containers import is_safe, open_container
from edgetl_runtime.system.storage import put_back
from edgetl_runtime.text.printable import holds_control

MANIFEST = "bundle.json"
CHECKSUM = "bundle.json.sha256"
_MANIFEST_LIMIT_BYTES = 16 * 2**20
_CHECKSUM_LIMIT_BYTES = 4096
_EXPORT_AGAIN = "export the bundle again with: edgetl export"
_COPY_AGAIN = "copy the bundle again"


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
        """The classes, in the order of the model's output; not the unknown one."""
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
        if version not in READ_VERSIONS:
            read = " and ".join(map(str, READ_VERSIONS))
            raise BundleError(
                f"{path} has format {version}, this edgetl-runtime reads {read}; "
                + ("upgrade edgetl-runtime" if version > FORMAT_VERSION else _EXPORT_AGAIN)
            )
        return msgspec.json.decode(data, type=BundleManifest)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BundleError(f"{path} is not valid: {error}; {_EXPORT_AGAIN}") from error


def _check(path: Path, manifest: BundleManifest) -> None:
    _check_labels(path, manifest)
    if not manifest.variants:
        raise BundleError(f"{path} lists no models; {_EXPORT_AGAIN}")
    for stored in manifest.files:
        _check_path(path, stored.file)
    for variant in manifest.variants:
        _check_variant(path, manifest, variant)
        _check_hidden(path, variant)


def _check_labels(path: Path, manifest: BundleManifest) -> None:
    labels, outputs = manifest.labels, manifest.outputs
    if len(labels) < 2 or len(set(labels)) != len(labels) or not all(map(str.strip, outputs)):
        raise BundleError(f"{path}: expected two or more labels, unique and not empty")
    if manifest.unknown_label in labels:
        raise BundleError(
            f"{path}: the label {manifest.unknown_label!r} is that of the unknown, too; rename the "
            f"class and {_EXPORT_AGAIN}"
        )
    if odd := [label for label in outputs if holds_control(label)]:
        # They would end lines, rows and topics of whatever the label is written into.
        raise BundleError(
            f"{path}: the label {odd[0]!a} contains a control character; rename the class and "
            + _EXPORT_AGAIN
        )
    if long := [label for label in outputs if len(label.encode()) > MOST_LABEL_BYTES]:
        # Each answer carries some of them, to every output.
        raise BundleError(
            f"{path}: the label {long[0][:20]}... has {len(long[0].encode()):,} bytes, allowed are "
            f"{MOST_LABEL_BYTES}; rename the class and {_EXPORT_AGAIN}"
        )


def _check_path(path: Path, name: str) -> None:
    if not is_safe(name):
        raise BundleError(f"{path} names the unsafe path {name!r}; do not use this bundle")


def _check_variant(path: Path, manifest: BundleManifest, variant: Variant) -> None:
    outputs = math.prod(variant.output.shape)
    if outputs != len(manifest.outputs):
        unknown = " and one for the unknown" if manifest.unknown_label else ""
        raise BundleError(
            f"{path} has {len(manifest.labels)} labels{unknown}, but {variant.name} has {outputs} "
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


def _check_hidden(path: Path, variant: Variant) -> None:
    hidden = variant.hidden
    if hidden is None:
        if variant.memory is not None:
            raise BundleError(
                f"{path}: {variant.name} has a memory, but no hidden outputs; {_EXPORT_AGAIN}"
            )
        return
    # To an .onnx something is appended, in a .tflite something is replaced.
    appended = variant.engine == "onnx"
    fits = hidden.offset == variant.bytes if appended else hidden.end <= variant.bytes
    if not (fits and hidden.features and bool(hidden.maps) == bool(hidden.map_channels)):
        raise BundleError(
            f"{path}: the hidden outputs of {variant.name} do not fit its file; {_EXPORT_AGAIN}"
        )
