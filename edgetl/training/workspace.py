"""The folder of a training under way: `RUN.unfinished`, renamed to `RUN` at the end.

It holds the options, the manifest and the checkpoints, so that `edgetl train --resume RUN` can go
on after any kind of end. A finished run of the same name stays as it is until the rename.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from edgetl.dataset.manifest import DatasetManifest
from edgetl.networks.weights import Weights
from edgetl.options import TrainOptions, list_differences
from edgetl.run import FORMAT_VERSION, RUN_FILE, UNFINISHED, describe_versions, encode
from edgetl.targets import check_outside
from edgetl.training.checkpoint import Checkpoints
from edgetl_runtime.errors import RunError, StorageError
from edgetl_runtime.system.storage import check_replaceable, replace_folder, write_file

_FILE = "unfinished.json"
_CHECKPOINTS = "checkpoints"
_LOCK = "lock"
_SHOWN = 3


class Unfinished(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The record of an unfinished training.

    Attributes:
        format_version: Of the folder.
        data: Absolute path of the photos, as given.
        options: All of them.
        overwrite: Whether a finished run of the same name may be replaced.
        tensorboard: Whether event files are written.
        manifest: The photos, as they were.
        weights_digest: SHA-256 of the weights file, or `none`.
        versions: Of the packages that the result depends on.
        teaching_digest: Of teacher and photos without labels; empty without a teacher.
    """

    format_version: int
    data: str
    options: TrainOptions
    overwrite: bool
    tensorboard: bool
    manifest: DatasetManifest
    weights_digest: str
    versions: dict[str, str]
    teaching_digest: str = ""


class Workspace(msgspec.Struct, frozen=True):
    """An open workspace.

    Attributes:
        out: Where the run shall be.
        folder: Where it is made.
    """

    out: Path
    folder: Path

    @property
    def checkpoints(self) -> Checkpoints:
        """Those of this training."""
        return Checkpoints(self.folder / _CHECKPOINTS)

    def begin(self, unfinished: Unfinished) -> None:
        """Drops what an earlier training left, and notes what is asked for now.

        Raises:
            StorageError: If the disk refuses.
        """
        # Its name first: without it no checkpoint is taken for one of the new training.
        (self.folder / _FILE).unlink(missing_ok=True)
        _empty(self.folder)
        write_file(self.folder / _FILE, encode(unfinished))

    def finish(self, *, overwrite: bool) -> None:
        """Renames the folder, then removes what only an unfinished training needs."""
        replace_folder(self.folder, self.out, marker=RUN_FILE, overwrite=overwrite)
        _sweep(self.out)


def check_apart(out: Path, data: Path) -> None:
    """Refuses a run among photos, and photos in a run: one would be taken for the other.

    Raises:
        StorageError: With a place that is free of photos.
    """
    check_outside(data, out)
    if data.resolve().is_relative_to(out.resolve()):
        raise StorageError(
            f"the photos ({data}) are inside --out {out}, which a run replaces; choose another "
            "--out"
        )


@contextmanager
def start_workspace(out: Path, *, overwrite: bool) -> Iterator[Workspace]:
    """Makes the workspace of a new training, in place of an interrupted one with `overwrite`.

    An interrupted training stays as it is until the new one begins.

    Raises:
        StorageError: If `out` may not be replaced, an interrupted training with checkpoints is
            there, another process is at work in it, or the disk refuses.
    """
    check_replaceable(out, marker=RUN_FILE, overwrite=overwrite)
    folder = _folder(out)
    _check_ours(folder)
    above = _list_missing(folder.parent)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"cannot create {folder}: {error.strerror}; choose another --out"
        ) from error
    with _locked(folder):
        if is_resumable(out) and not overwrite:
            raise StorageError(
                f"{folder} holds an interrupted training; resume it with `edgetl train --resume "
                f"{out}`, or start over with --overwrite"
            )
        try:
            with _hinting_at_resume(out):
                yield Workspace(out, folder)
        finally:
            # Nothing to go on from: leave no trace.
            if folder.is_dir() and not is_resumable(out):
                shutil.rmtree(folder, ignore_errors=True)
                _remove_empty(above)


@contextmanager
def reopen_workspace(out: Path) -> Iterator[tuple[Workspace, Unfinished]]:
    """Opens the workspace of an interrupted training.

    Raises:
        RunError: If there is none, or it was made by another version.
        StorageError: If another process is at work in it.
    """
    folder = _folder(out)
    if not (folder / _FILE).is_file():
        hint = (
            f"{out} is finished" if (out / RUN_FILE).is_file() else "no training was started there"
        )
        raise RunError(
            f"{folder} has no interrupted training ({hint}); start over with: edgetl train DATA "
            f"--out {out}"
        )
    try:
        unfinished = msgspec.json.decode((folder / _FILE).read_bytes(), type=Unfinished)
    except (OSError, msgspec.MsgspecError) as error:
        raise RunError(
            f"{folder / _FILE} cannot be used ({error}); start over with --overwrite"
        ) from error
    with _locked(folder), _hinting_at_resume(out):
        yield Workspace(out, folder), unfinished


def is_resumable(out: Path) -> bool:
    """True if an interrupted training has a checkpoint to go on from."""
    folder = _folder(out)
    return (folder / _FILE).is_file() and not Checkpoints(folder / _CHECKPOINTS).is_empty


def tidy_finished(out: Path) -> bool:
    """Removes what a kill right after the rename left; True if there was such a thing."""
    if not ((out / RUN_FILE).is_file() and (out / _FILE).is_file()):
        return False
    _sweep(out)
    return True


def check_same(
    before: Unfinished,
    options: TrainOptions,
    manifest: DatasetManifest,
    weights: Weights,
    teaching_digest: str,
) -> None:
    """Refuses to go on with other options, photos, weights, teacher or versions.

    Raises:
        RunError: Naming what differs.
    """
    differences = list_differences(
        msgspec.to_builtins(options), msgspec.to_builtins(before.options)
    )
    differences += list_differences(describe_versions(), before.versions)
    if weights.digest != before.weights_digest:
        differences.append(f"the weights ({weights.source}) have changed")
    if teaching_digest != before.teaching_digest:
        differences.append("the teacher, or the photos without labels, have changed")
    if before.format_version != FORMAT_VERSION:
        differences.append(f"format {FORMAT_VERSION}, before {before.format_version}")
    differences += _compare_photos(manifest, before.manifest)
    if differences:
        more = f" and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
        raise RunError(
            "this differs from the training that was interrupted: "
            f"{'; '.join(differences[:_SHOWN])}{more}; undo the change, or start over with "
            "--overwrite"
        )


def _compare_photos(now: DatasetManifest, before: DatasetManifest) -> list[str]:
    new = {one.path: one for one in now.examples}
    old = {one.path: one for one in before.examples}
    found = [f"photo {path} is new" for path in new if path not in old]
    found += [f"photo {path} is missing" for path in old if path not in new]
    changed = [path for path in new if path in old and new[path] != old[path]]
    return found + [f"photo {path} has changed" for path in changed]


def _folder(out: Path) -> Path:
    if out.name in ("", ".."):
        raise StorageError(
            f"{out} cannot be used as a name; give a run a name, such as {out / 'run'}"
        )
    return out.with_name(out.name + UNFINISHED)


def _list_missing(folder: Path) -> list[Path]:
    """The folder and those above it that are not there yet, the innermost first."""
    return [one for one in (folder, *folder.parents) if not one.exists()]


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):  # Something else lies there now.
            folder.rmdir()


def _check_ours(folder: Path) -> None:
    """Refuses a folder with the name of a workspace that is not one."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _LOCK).is_file():
        raise StorageError(
            f"{folder} exists and is not an interrupted training (no {_LOCK}); move it, or choose "
            "another --out"
        )


def _sweep(run: Path) -> None:
    shutil.rmtree(run / _CHECKPOINTS, ignore_errors=True)
    for name in (_LOCK, _FILE):
        (run / name).unlink(missing_ok=True)


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != _LOCK:
            entry.unlink()


@contextmanager
def _hinting_at_resume(out: Path) -> Iterator[None]:
    try:
        yield
    except (StorageError, OSError) as error:
        if not is_resumable(out):
            raise
        raise StorageError(
            f"{error}; when there is space on the disk, resume with `edgetl train --resume {out}`"
        ) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time; the lock ends with the process, however it ends."""
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StorageError(
                f"another edgetl train is running in {folder}; wait for it, or choose another --out"
            ) from error
        yield
    finally:
        os.close(descriptor)
