"""The overlay: what a device has learned, in a folder beside the bundle, which stays as it is.

`parts.bundle.overlay/overlay.json` lists every other file with its size and SHA-256, and
`overlay.json.sha256` guards it, as in a bundle. A change writes the whole folder aside and takes
the old one's place in one step, so that a power cut leaves the old lessons or the new ones.
"""

import fcntl
import hashlib
import io
import os
import re
import secrets
import shlex
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.bundle.manifest import MOST_LABEL_BYTES, Positive, Sha256, StoredFile
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.errors import BundleError, LockedError, StorageError
from edgetl_runtime.system.containers import Folder, is_safe
from edgetl_runtime.system.storage import put_back, staged_folder, sync_folder
from edgetl_runtime.text.printable import holds_control

FORMAT_VERSION: Final = 1
MANIFEST: Final = "overlay.json"
CHECKSUM: Final = "overlay.json.sha256"
MOST_FRAMES: Final = 200
"""Frames of one lesson: a minute at three a second."""
MOST_LESSONS: Final = 100
_MANIFEST_LIMIT_BYTES: Final = 16 * 2**20
_CHECKSUM_LIMIT_BYTES: Final = 4096
_STALE_NAME: Final = "[0-9a-f]{8}"

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


class NewLesson(msgspec.Struct, frozen=True, eq=False):
    """A lesson that is not stored yet.

    Attributes:
        kind: `scene` or `teach`.
        label: What is on the frames; None: nothing that is known.
        variant: The variant whose file returned the features.
        created_utc: ISO 8601 in UTC.
        features: float32 (frames, features).
        photos: JPEG files, one for each frame.
    """

    kind: Kind
    label: str | None
    variant: str
    created_utc: str
    features: Features
    photos: tuple[bytes, ...]


class Overlay(msgspec.Struct, frozen=True):
    """The lessons of a bundle.

    Attributes:
        path: The folder; it need not be there.
        bundle_path: The bundle that they are for.
        bundle_sha256: Of its bundle.json.
        lessons: In the order in which they were learned.
    """

    path: Path
    bundle_path: Path
    bundle_sha256: str
    lessons: tuple[Lesson, ...] = ()

    @classmethod
    def open(cls, bundle: Bundle, beside: Path | None = None) -> "Overlay":
        """Reads what was learned for a bundle; without a folder there are no lessons.

        Args:
            bundle: The bundle.
            beside: The bundle beside which it lies (default: this one).

        Raises:
            BundleError: If the overlay is damaged, newer, or of another bundle.
        """
        path = find_overlay(beside or bundle.path)
        put_back(path)
        if not os.path.lexists(path):
            return cls(path, bundle.path, bundle.sha256)
        manifest = _read_manifest(path)
        _check(path, manifest, bundle)
        return cls(path, bundle.path, bundle.sha256, manifest.lessons)

    def read_features(self, lesson: Lesson) -> Features:
        """The features of a lesson, verified.

        Returns:
            float32 (frames, features).

        Raises:
            BundleError: If the file is damaged.
        """
        return _decode_features(self.path / lesson.features.file, self.read(lesson.features))

    def read(self, stored: StoredFile) -> bytes:
        """A file's verified bytes.

        Raises:
            BundleError: If it is missing or differs from what `overlay.json` says.
        """
        try:
            data = Folder(self.path).read(stored.file, stored.bytes)
        except OSError as error:
            raise _damaged(self.path, f"{stored.file}: {error.strerror}") from error
        if len(data) != stored.bytes or hashlib.sha256(data).hexdigest() != stored.sha256:
            raise _damaged(self.path, f"{stored.file}: SHA-256 differs")
        return data

    def verify(self) -> None:
        """Reads every file.

        Raises:
            BundleError: If one is damaged.
        """
        for lesson in self.lessons:
            for stored in lesson.files:
                self.read(stored)

    def add(self, new: NewLesson) -> "Overlay":
        """Stores one more lesson; call it while holding `locked`.

        Raises:
            StorageError: If the disk refuses, or there are too many lessons.
        """
        if len(self.lessons) >= MOST_LESSONS:
            raise StorageError(
                f"{self.path} has {MOST_LESSONS} lessons, the most there can be; train with them: "
                "edgetl-run learned BUNDLE --export ZIP"
            )
        number = max((lesson.number for lesson in self.lessons), default=0) + 1
        files = dict(_name_files(number, new))
        stored = [_describe(name, data) for name, data in files.items()]
        lesson = Lesson(
            number=number,
            kind=new.kind,
            label=new.label,
            variant=new.variant,
            created_utc=new.created_utc,
            frames=len(new.photos),
            features=stored[0],
            photos=tuple(stored[1:]),
        )
        return self._write((*self.lessons, lesson), files)

    def undo(self) -> "Overlay":
        """Forgets the last lesson; call it while holding `locked`."""
        if len(self.lessons) > 1:
            return self._write(self.lessons[:-1], {})
        clear_overlay(self.path)
        return msgspec.structs.replace(self, lessons=())

    def _write(self, lessons: tuple[Lesson, ...], files: Mapping[str, bytes]) -> "Overlay":
        _remove_stale(self.path)
        manifest = encode_manifest(OverlayManifest(FORMAT_VERSION, self.bundle_sha256, lessons))
        checksum = f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST}\n".encode()
        kept = [one.file for lesson in lessons for one in lesson.files if one.file not in files]
        with staged_folder(self.path, marker=MANIFEST, overwrite=True) as aside:
            for name in kept:
                _link(self.path / name, aside / name)
            for name, data in {**files, MANIFEST: manifest, CHECKSUM: checksum}.items():
                (aside / name).parent.mkdir(exist_ok=True)
                (aside / name).write_bytes(data)
        return msgspec.structs.replace(self, lessons=lessons)


def find_overlay(bundle: Path) -> Path:
    """Where the overlay of a bundle is: `parts.bundle.overlay` beside `parts.bundle`."""
    # `.` has no name, and a slash at the end is none.
    whole = bundle if bundle.name else bundle.absolute()
    return whole.with_name(f"{whole.name}.overlay")


@contextmanager
def locked(bundle: Path) -> Iterator[None]:
    """Keeps two programs from changing an overlay at once.

    Raises:
        LockedError: If another program changes an overlay in the same folder.
    """
    folder = find_overlay(bundle).absolute().parent
    # A lock on the folder leaves no file behind.
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise LockedError(
            f"another program is learning for a bundle in {folder}; try again when it is done"
        ) from error
    try:
        yield
    finally:
        os.close(descriptor)


def clear_overlay(path: Path) -> None:
    """Removes an overlay, damaged or not.

    Raises:
        StorageError: If something else than an overlay is there, or the disk refuses.
    """
    put_back(path)
    _remove_stale(path)
    if not os.path.lexists(path):
        return
    _check_ours(path)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        os.rename(path, aside)
        sync_folder(path.absolute().parent)
    except OSError as error:
        raise StorageError(f"cannot remove {path}: {error.strerror}; nothing changed") from error
    shutil.rmtree(aside, ignore_errors=True)


def encode_manifest(manifest: OverlayManifest) -> bytes:
    """The bytes of `overlay.json`: readable, with sorted keys."""
    return msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=2) + b"\n"


def _check_ours(path: Path) -> None:
    ours = re.compile(r"overlay\.json(\.sha256)?|lesson-\d{4}(\.npz)?", re.ASCII)
    if path.is_symlink() or not path.is_dir():
        raise StorageError(f"{path} is not a folder; remove it by hand")
    if others := [one.name for one in path.iterdir() if not ours.fullmatch(one.name)]:
        raise StorageError(f"{path} has {others[0]}, which is not of an overlay; remove it by hand")


def _remove_stale(path: Path) -> None:
    """What a power cut left half written."""
    stale = re.compile(rf"\.{re.escape(path.name)}\.{_STALE_NAME}", re.ASCII)
    for one in path.absolute().parent.iterdir():
        if stale.fullmatch(one.name):
            shutil.rmtree(one, ignore_errors=True)


def _name_files(number: int, new: NewLesson) -> Iterator[tuple[str, bytes]]:
    yield f"lesson-{number:04d}.npz", _encode_features(new.features)
    for n, photo in enumerate(new.photos, start=1):
        yield f"lesson-{number:04d}/{n:04d}.jpg", photo


def _describe(name: str, data: bytes) -> StoredFile:
    return StoredFile(name, hashlib.sha256(data).hexdigest(), len(data))


def _link(source: Path, target: Path) -> None:
    """Two names of one file, which is never changed; a copy where the file system has no links."""
    target.parent.mkdir(exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _encode_features(features: Features) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, features=features.astype(np.float16))
    return stream.getvalue()


def _decode_features(path: Path, data: bytes) -> Features:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            features = arrays["features"]
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise _damaged(path.parent, f"{path.name}: {error}") from error
    if features.ndim != 2 or features.dtype != np.float16 or not np.isfinite(features).all():
        raise _damaged(path.parent, f"{path.name} is not float16 (frames, features)")
    found: Features = features.astype(np.float32)
    return found


def _read_manifest(path: Path) -> OverlayManifest:
    folder = Folder(path)
    try:
        data = folder.read(MANIFEST, _MANIFEST_LIMIT_BYTES)
        checksum = folder.read(CHECKSUM, _CHECKSUM_LIMIT_BYTES)
    except OSError as error:
        raise _damaged(path, f"{Path(error.filename).name}: {error.strerror}") from error
    if checksum != f"{hashlib.sha256(data).hexdigest()}  {MANIFEST}\n".encode():
        raise _damaged(path, f"{MANIFEST} differs from {CHECKSUM}")
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
        raise _damaged(path, f"{MANIFEST}: {error}") from error


def _check(path: Path, manifest: OverlayManifest, bundle: Bundle) -> None:
    if manifest.bundle_sha256 != bundle.sha256:
        raise BundleError(
            f"{path} was learned with another bundle (SHA-256 {manifest.bundle_sha256[:8]}, "
            f"{bundle.path} has {bundle.sha256[:8]}); put that bundle back, or forget what was "
            f"learned: {_clear(path)}"
        )
    listed = [stored.file for lesson in manifest.lessons for stored in lesson.files]
    if odd := [name for name in listed if not is_safe(name)]:
        raise _damaged(path, f"{MANIFEST} names the unsafe path {odd[0]!r}")
    for lesson in manifest.lessons:
        _check_lesson(path, lesson)
    names = {MANIFEST, CHECKSUM, *listed}
    if others := sorted(set(Folder(path).names()) - names):
        raise BundleError(
            f"{path} has {others[0]}, which {MANIFEST} does not list; remove that file, or forget "
            f"what was learned: {_clear(path)}"
        )


def _check_lesson(path: Path, lesson: Lesson) -> None:
    if len(lesson.photos) != lesson.frames:
        raise _damaged(path, f"lesson {lesson.number} has not {lesson.frames} photos")
    if lesson.kind == "teach" and lesson.label is None:
        raise _damaged(path, f"lesson {lesson.number} has no label")
    label = lesson.label or ""
    if holds_control(label) or len(label.encode()) > MOST_LABEL_BYTES:
        raise _damaged(path, f"lesson {lesson.number} has the label {label[:20]!a}")


def _damaged(path: Path, what: str) -> BundleError:
    return BundleError(f"{path} is damaged ({what}); copy it again, or forget it: {_clear(path)}")


def _clear(path: Path) -> str:
    bundle = str(path.with_name(path.name.removesuffix(".overlay")))
    return f"edgetl-run learned {shlex.quote(bundle)} --clear"
