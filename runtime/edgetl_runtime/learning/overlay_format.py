"""The files of an overlay: `overlay.json`, its checksum, and the features of a lesson."""

import hashlib
import io
import shlex
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.bundle.manifest import MOST_LABEL_BYTES, Positive, Sha256, StoredFile
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.errors import BundleError
from edgetl_runtime.system.containers import DAMAGE, Folder, is_safe
from edgetl_runtime.text.printable import holds_control

FORMAT_VERSION: Final = 1
MANIFEST: Final = "overlay.json"
CHECKSUM: Final = "overlay.json.sha256"
_MANIFEST_LIMIT_BYTES: Final = 16 * 2**20
_CHECKSUM_LIMIT_BYTES: Final = 4096

Kind: TypeAlias = Literal["scene", "teach"]
"""`scene`: the place, with what is known in it or nothing; `teach`: a thing and its label."""
Features: TypeAlias = NDArray[np.float32]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Immutable, and an unknown key is an error."""


class Lesson(_Strict, frozen=True):
    """One lesson.

    Attributes:
        number: From 1; a number that was undone may be used again.
        kind: `scene` or `teach`.
        label: What is on the frames; None: nothing that is known.
        variant: The variant whose file returned the features.
        created_utc: ISO 8601 in UTC, by the device's clock.
        frames: How many.
        features: float16 (frames, features), in a .npz.
        photos: The frames, as JPEG, in the same order.
    """

    number: Positive
    kind: Kind
    label: Annotated[str, msgspec.Meta(min_length=1)] | None
    variant: str
    created_utc: str
    frames: Positive
    features: StoredFile
    photos: tuple[StoredFile, ...]

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """Every file of it."""
        return (self.features, *self.photos)

    @property
    def bytes(self) -> int:
        """Of all its files."""
        return sum(file.bytes for file in self.files)


class OverlayManifest(_Strict, frozen=True):
    """The content of `overlay.json`."""

    format_version: int
    bundle_sha256: Sha256
    lessons: tuple[Lesson, ...]


class _Version(msgspec.Struct):
    format_version: int


def encode_manifest(manifest: OverlayManifest) -> bytes:
    """The bytes of `overlay.json`: readable, with sorted keys."""
    return msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=2) + b"\n"


def encode_checksum(manifest: bytes) -> bytes:
    """The bytes of `overlay.json.sha256`, in the format of sha256sum."""
    return f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST}\n".encode()


def read_manifest(path: Path, bundle: Bundle) -> OverlayManifest:
    """Reads and checks what an overlay lists; the files themselves are not read.

    Raises:
        BundleError: If it is damaged, newer, or of another bundle.
    """
    manifest = _decode_manifest(path)
    _check(path, manifest, bundle)
    return manifest


def encode_features(features: Features) -> bytes:
    """The bytes of a lesson's .npz; features are rounded to float16."""
    stream = io.BytesIO()
    np.savez(stream, features=features.astype(np.float16))
    return stream.getvalue()


def decode_features(path: Path, data: bytes) -> Features:
    """float32 (frames, features) of a lesson's .npz.

    Raises:
        BundleError: If it holds anything else.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            features = arrays["features"]
    except (*DAMAGE, KeyError, OSError) as error:
        raise report_damage(path.parent, f"{path.name}: {error}") from error
    if features.ndim != 2 or features.dtype != np.float16 or not np.isfinite(features).all():
        raise report_damage(path.parent, f"{path.name} is not float16 (frames, features)")
    found: Features = features.astype(np.float32)
    return found


def read_own(path: Path, name: str = MANIFEST, most_bytes: int = _MANIFEST_LIMIT_BYTES) -> bytes:
    """A file of an overlay, if it is a plain one of no more bytes.

    Raises:
        BundleError: With the remedy, if it is not.
    """
    try:
        return Folder(path).read(name, most_bytes)
    except OSError as error:
        raise report_damage(path, f"{name}: {error.strerror}") from error
    except BundleError as error:
        raise report_damage(path, f"{name} is too large, a link or a device") from error


def _decode_manifest(path: Path) -> OverlayManifest:
    data = read_own(path, MANIFEST, _MANIFEST_LIMIT_BYTES)
    checksum = read_own(path, CHECKSUM, _CHECKSUM_LIMIT_BYTES)
    if checksum != encode_checksum(data):
        raise report_damage(path, f"{MANIFEST} differs from {CHECKSUM}")
    try:
        version = msgspec.json.decode(data, type=_Version).format_version
        if version != FORMAT_VERSION:
            raise BundleError(
                f"{path / MANIFEST} has format {version}, this edgetl-runtime reads "
                f"{FORMAT_VERSION}; upgrade edgetl-runtime, or forget what was learned: "
                + _clear(path)
            )
        return msgspec.json.decode(data, type=OverlayManifest)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise report_damage(path, f"{MANIFEST}: {error}") from error


def _check(path: Path, manifest: OverlayManifest, bundle: Bundle) -> None:
    if manifest.bundle_sha256 != bundle.sha256:
        raise BundleError(
            f"{path} was learned with another bundle (SHA-256 {manifest.bundle_sha256[:8]}, "
            f"{bundle.path} has {bundle.sha256[:8]}); put that bundle back, or forget what was "
            f"learned: {_clear(path)}"
        )
    listed = [stored.file for lesson in manifest.lessons for stored in lesson.files]
    if odd := [name for name in listed if not is_safe(name)]:
        raise report_damage(path, f"{MANIFEST} names the unsafe path {odd[0]!r}")
    for lesson in manifest.lessons:
        _check_lesson(path, lesson)
    names = {MANIFEST, CHECKSUM, *listed}
    try:
        there = Folder(path).names()
    except OSError as error:
        raise report_damage(path, str(error)) from error
    if others := sorted(set(there) - names):
        raise BundleError(
            f"{path} has {others[0]}, which {MANIFEST} does not list; remove that file, or forget "
            f"what was learned: {_clear(path)}"
        )


def _check_lesson(path: Path, lesson: Lesson) -> None:
    if len(lesson.photos) != lesson.frames:
        raise report_damage(path, f"lesson {lesson.number} has not {lesson.frames} photos")
    if lesson.kind == "teach" and lesson.label is None:
        raise report_damage(path, f"lesson {lesson.number} has no label")
    label = lesson.label or ""
    if holds_control(label) or len(label.encode()) > MOST_LABEL_BYTES:
        raise report_damage(path, f"lesson {lesson.number} has the label {label[:20]!a}")


def report_damage(path: Path, what: str) -> BundleError:
    """The error of a damaged overlay."""
    return BundleError(f"{path} is damaged ({what}); copy it again, or forget it: {_clear(path)}")


def report_damaged_file(path: Path, what: str) -> BundleError:
    """The error of an overlay of which only one file of a lesson is damaged."""
    return BundleError(
        f"{path} is damaged ({what}); copy it again, or save the other frames with --export ZIP "
        f"and forget it: {_clear(path)}"
    )


def _clear(path: Path) -> str:
    bundle = str(path.with_name(path.name.removesuffix(".overlay")))
    return f"edgetl-run learned {shlex.quote(bundle)} --clear"
