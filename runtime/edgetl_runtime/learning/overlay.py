"""The overlay: what a device has learned, in a folder beside the bundle, which stays as it is.

`parts.bundle.overlay/overlay.json` lists every other file with its size and SHA-256, and
`overlay.json.sha256` guards it, as in a bundle. A change writes the whole folder aside and takes
the old one's place in one step, so that a power cut leaves the old lessons or the new ones.
"""

import fcntl
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from edgetl_runtime.bundle.manifest import StoredFile
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.errors import BundleError, LockedError, StorageError
from edgetl_runtime.learning.overlay_format import (
    CHECKSUM,
    FORMAT_VERSION,
    MANIFEST,
    Features,
    Kind,
    Lesson,
    OverlayManifest,
    decode_features,
    encode_checksum,
    encode_features,
    encode_manifest,
    read_manifest,
    read_own,
    report_damaged_file,
)
from edgetl_runtime.system.containers import Folder
from edgetl_runtime.system.storage import put_back, staged_folder, sync_folder

MOST_FRAMES: Final = 200
"""Frames of one lesson: a minute at three a second."""
MOST_LESSONS: Final = 100
_TRIES: Final = 8
_STALE_NAME: Final = "[0-9a-f]{8}"


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
        for seen in watch_changes(path):
            if not os.path.lexists(path):
                return cls(path, bundle.path, bundle.sha256)
            try:
                manifest = read_manifest(path, bundle)
                return cls(path, bundle.path, bundle.sha256, manifest.lessons)
            except BundleError:
                if is_unchanged(path, seen):
                    raise
        raise StorageError(f"{path} is changed all the time; try again when it is not")

    def read_features(self, lesson: Lesson) -> Features:
        """The features of a lesson, verified.

        Returns:
            float32 (frames, features).

        Raises:
            BundleError: If the file is damaged.
        """
        return decode_features(self.path / lesson.features.file, self.read(lesson.features))

    def read(self, stored: StoredFile) -> bytes:
        """A file's verified bytes.

        Raises:
            BundleError: If it is missing or differs from what `overlay.json` says.
        """
        try:
            data = Folder(self.path).read(stored.file, stored.bytes)
        except OSError as error:
            raise report_damaged_file(self.path, f"{stored.file}: {error.strerror}") from error
        except BundleError as error:
            raise report_damaged_file(self.path, f"{stored.file} has another size") from error
        if len(data) != stored.bytes or hashlib.sha256(data).hexdigest() != stored.sha256:
            raise report_damaged_file(self.path, f"{stored.file}: SHA-256 differs")
        return data

    def find_damage(self) -> list[str]:
        """Reads every file.

        Returns:
            A sentence for each one that is damaged.
        """
        return [str(error) for lesson in self.lessons for error in self._check(lesson)]

    def _check(self, lesson: Lesson) -> Iterator[BundleError]:
        for stored in lesson.files:
            try:
                self.read(stored)
            except BundleError as error:
                yield error

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
        checksum = encode_checksum(manifest)
        kept = [one.file for lesson in lessons for one in lesson.files if one.file not in files]
        with staged_folder(self.path, marker=MANIFEST, overwrite=True) as aside:
            # One that is missing is reported by whoever reads it.
            for name in filter(lambda name: (self.path / name).exists(), kept):
                _link(self.path / name, aside / name)
            for name, data in {**files, MANIFEST: manifest, CHECKSUM: checksum}.items():
                (aside / name).parent.mkdir(exist_ok=True)
                (aside / name).write_bytes(data)
        return msgspec.structs.replace(self, lessons=lessons)


def find_overlay(bundle: Path) -> Path:
    """Where the overlay of a bundle is: `parts.bundle.overlay` beside `parts.bundle`."""
    # `.` has no name, and a slash at the end is none.
    whole = bundle if bundle.name else bundle.absolute()
    if not whole.name:
        raise BundleError(f"{bundle} is not a bundle; give a folder or .zip that was exported")
    return whole.with_name(f"{whole.name}.overlay")


def digest_overlay(bundle: Path) -> str:
    """By which a change of what was learned is seen, or damage to it; empty where nothing was."""
    return digest_folder(find_overlay(bundle))


def digest_folder(path: Path) -> str:
    """As `digest_overlay`, of an overlay's folder.

    Reads one small file, and asks for size and date of those that answers depend on.
    """
    try:
        digest = hashlib.sha256(read_own(path))
        for one in sorted(path.glob("*.npz")):
            facts = one.stat()
            digest.update(f"{one.name} {facts.st_size} {facts.st_mtime_ns}".encode())
    except (BundleError, OSError):
        return ""
    return digest.hexdigest()


def watch_changes(path: Path) -> Iterator[str]:
    """What is seen before each try of reading an overlay, which another program may be changing.

    An error while it changes does not mean damage: try again unless it `is_unchanged`.
    """
    for _ in range(_TRIES):
        yield _look_at(path)


def is_unchanged(path: Path, seen: str) -> bool:
    """Whether an overlay still exists, and nothing changed since it was seen."""
    return os.path.lexists(path) and seen == _look_at(path)


def _look_at(path: Path) -> str:
    """Differs after each change, even after one that was undone, which `digest_folder` misses."""
    facts = []
    for place in (path, path / MANIFEST):
        with suppress(OSError):
            found = place.stat()
            facts.append((found.st_ino, found.st_mtime_ns, found.st_ctime_ns))
    return f"{digest_folder(path)} {facts}"


@contextmanager
def locked(bundle: Path) -> Iterator[None]:
    """Keeps two programs from changing an overlay at once.

    Raises:
        LockedError: If another program changes the overlay of this bundle.
    """
    # A lock on the bundle leaves no file behind; where it is gone, its folder has to do.
    place = bundle if bundle.exists() else find_overlay(bundle).absolute().parent
    descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise LockedError(
            f"another program is learning for {bundle}; try again when it is done"
        ) from error
    try:
        yield
    finally:
        os.close(descriptor)


def check_writable(path: Path) -> None:
    """Refuses a place that lessons cannot be written to, before frames are taken.

    Raises:
        StorageError: With the remedy.
    """
    folder = path.absolute().parent
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise StorageError(
            f"lessons lie beside the bundle, and {folder} cannot be written; copy the bundle to a "
            "folder that can be"
        )


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
    if aside.exists():
        raise StorageError(
            f"the lessons are forgotten, but their photos cannot be removed; remove {aside} by hand"
        )


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
    yield f"lesson-{number:04d}.npz", encode_features(new.features)
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
