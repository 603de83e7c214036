"""Files and folders that are either wholly there or not there at all.

Everything that matters is written aside in the same folder, flushed to the disk (fsync) and
renamed into place, so that a kill or a power cut leaves the old state or the new one.
"""

import ctypes
import errno
import glob
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgetl_runtime.errors import BundleError, StorageError
from edgetl_runtime.system.containers import open_container

# From linux/fs.h and linux/fcntl.h.
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100
# Ends the name of what is ours to remove; no person's copy is called so.
_OLD = ".edgetl-old."


def write_file(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replaces a file atomically; on any failure the old file stays as it was.

    Args:
        path: The file.
        data: What shall be in it.
        mode: Who may read it, less what the umask forbids. From the first byte on nobody else can.

    Raises:
        StorageError: If the folder cannot be written or the disk is full.
    """
    with staged_file(path, mode=mode) as aside:
        aside.write_bytes(data)


@contextmanager
def staged_file(target: Path, *, mode: int = 0o644) -> Iterator[Path]:
    """Fills a file aside and renames it into place when the block ends without an error.

    Args:
        target: Where the file shall be.
        mode: Who may read it, less what the umask forbids.

    Yields:
        An empty file beside `target`.

    Raises:
        StorageError: If the folder cannot be written or the disk is full.
    """
    try:
        descriptor, aside = _make_aside(target, mode)
    except OSError as error:
        raise _cannot_write(target, error) from error
    try:
        with os.fdopen(descriptor, "rb") as file:
            yield aside
            os.fsync(file.fileno())
        os.replace(aside, target)
        sync_folder(target.parent)
    except OSError as error:
        raise _cannot_write(target, error) from error
    finally:
        aside.unlink(missing_ok=True)


def _make_aside(target: Path, mode: int) -> tuple[int, Path]:
    """A new file beside the target, by a name that nobody can guess and lay a link at."""
    aside = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(aside, flags, mode), aside


@contextmanager
def staged_folder(target: Path, *, marker: str, overwrite: bool = False) -> Iterator[Path]:
    """Fills a folder aside and renames it into place when the block ends without an error.

    Args:
        target: Where the folder shall be.
        marker: A file that only a folder of this kind holds, such as `bundle.json`; an existing
            folder without it is never replaced, not even with `overwrite`.
        overwrite: Replace an existing folder of this kind.

    Yields:
        An empty folder beside `target`.

    Raises:
        StorageError: If `target` exists and may not be replaced, or the disk refuses.
    """
    check_replaceable(target, marker=marker, overwrite=overwrite)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        staging.mkdir()
    except OSError as error:
        raise _cannot_write(target, error) from error
    try:
        yield staging
        replace_folder(staging, target, marker=marker, overwrite=overwrite)
    except OSError as error:
        raise _cannot_write(target, error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def replace_folder(folder: Path, target: Path, *, marker: str, overwrite: bool = False) -> None:
    """Flushes a finished folder to the disk and renames it to its target beside it.

    Raises:
        StorageError: If `target` exists and may not be replaced, or the disk refuses.
    """
    try:
        _sync_tree(folder)
        check_replaceable(target, marker=marker, overwrite=overwrite)
        _swap(folder, target)
    except OSError as error:
        raise _cannot_write(target, error) from error


def check_replaceable(target: Path, *, marker: str, overwrite: bool) -> None:
    """Refuses a target that exists, unless it is ours and may be overwritten.

    Args:
        target: Where a folder or one zip of it shall be.
        marker: A file that only what is ours holds, such as `bundle.json`.
        overwrite: Whether what is ours may be replaced.

    Raises:
        StorageError: With the remedy.
    """
    put_back(target)
    for aside in _find_old(target):
        _remove(aside)
    _check_parent(target)
    if not os.path.lexists(target):
        return
    if target.is_dir() and not any(target.iterdir()):
        return
    if not _holds(target, marker):
        raise StorageError(
            f"{target} exists and contains something else (no {marker}); choose another --out"
        )
    if not overwrite:
        raise StorageError(f"{target} exists; choose another --out or add --overwrite")


def _check_parent(target: Path) -> None:
    """Refuses what can never be written, before somebody works for minutes on what goes there."""
    parents = target.absolute().parents or (target,)
    folder = next(one for one in parents if os.path.lexists(one))
    code = 0
    if not folder.is_dir():
        code = errno.ENOTDIR
    elif not os.access(folder, os.W_OK | os.X_OK):
        code = errno.EACCES
    if code:
        raise StorageError(
            f"cannot write {target}: {folder}: {os.strerror(code)}; choose another --out"
        )


def _holds(target: Path, marker: str) -> bool:
    """True for a folder with the marker at its top, and for a zip of such a folder."""
    if target.is_dir():
        return (target / marker).is_file()
    try:
        return target.is_file() and marker in open_container(target).names()
    except (BundleError, OSError):
        return False


def _swap(staging: Path, target: Path) -> None:
    if not target.exists():
        os.rename(staging, target)
    else:
        _exchange(staging, target)
        sync_folder(target.parent)
        _remove(staging)
    sync_folder(target.parent)


def _exchange(one: Path, other: Path) -> None:
    """Two files or folders take each other's names, in one step where the system can."""
    if not _exchange_at_once(one, other):
        with tempfile.TemporaryDirectory(dir=other.parent, prefix=f".{other.name}{_OLD}") as aside:
            old = Path(aside) / other.name
            os.rename(other, old)
            try:
                os.rename(one, other)
            except OSError:
                os.rename(old, other)
                raise
            os.rename(old, one)


def put_back(target: Path) -> None:
    """Puts back what a kill in the middle of `_exchange` left beside its place.

    Only where names cannot be exchanged in one step (NFS, exFAT, macOS) can anything be left.
    """
    if os.path.lexists(target):
        return
    for aside in _find_old(target):
        with suppress(OSError):
            os.rename(aside / target.name, target)
            _remove(aside)
            return


def _find_old(target: Path) -> list[Path]:
    return list(target.parent.glob(f".{glob.escape(target.name)}{_OLD}*"))


def _exchange_at_once(one: Path, other: Path) -> bool:
    """renameat2(2) with RENAME_EXCHANGE; False where the system or the file system lacks it."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(other))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        elif path.is_dir():
            sync_folder(path)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Flushes what a folder lists to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot_write(path: Path, error: OSError) -> StorageError:
    return StorageError(f"cannot write {path}: {error.strerror or error}; what was there is intact")
