"""One instance at a time: a lock that the kernel takes back when its holder dies."""

import contextlib
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgetl_runtime.errors import LockedError, ServiceError
from edgetl_runtime.settings.sections import ServiceSettings

_LOCK = "lock"
# Without waiting, where somebody laid a named pipe.
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PID_BYTES = 32


def find_locks(settings: ServiceSettings) -> list[Path]:
    """The locks to hold: the given one, and that of the state folder.

    Two must never share a state folder. Where there is neither, two instances have nothing in
    common but the camera, which the kernel gives to one only.
    """
    asked = [Path(settings.lock)] if settings.lock else []
    return asked + ([Path(settings.state_dir) / _LOCK] if settings.state_dir else [])


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Holds the lock while the block runs.

    Raises:
        LockedError: If another process holds it, with its pid.
        ServiceError: If the file cannot be opened.
    """
    if path.parent.exists() and not path.parent.is_dir():
        raise ServiceError(f"cannot open the lock {path}: {path.parent} is a file, not a folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, _FLAGS, 0o644)
    except OSError as error:
        if path.is_symlink():
            raise ServiceError(
                f"cannot open the lock {path}: it is a link, which may point to someone else's "
                "file; remove it, or choose another --state-dir or --lock"
            ) from error
        raise ServiceError(f"cannot open the lock {path} ({error.strerror})") from error
    try:
        _check_ours(descriptor, path)
        _take(descriptor, path)
        yield
    finally:
        # The file stays: whoever removed it could remove the next holder's.
        os.close(descriptor)


def _check_ours(descriptor: int, path: Path) -> None:
    """The file is emptied later, which a file of other content would not outlive."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise ServiceError(f"{path} is not a plain file; remove it, or choose another --lock")
    found = os.pread(descriptor, _PID_BYTES + 1, 0)
    if not re.fullmatch(rb"[\x00\s]*\d*\s*", found):
        raise ServiceError(f"{path} contains something other than a lock; choose another --lock")


def _take(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        pid = os.pread(descriptor, _PID_BYTES, 0).decode("ascii", "replace").strip("\x00\n ")
        raise LockedError(
            f"another instance is running (pid {pid or 'unknown'}, lock {path}); stop it, or give "
            "this one its own --state-dir or --lock"
        ) from error
    # The pid is for a message only: on a full disk the lock holds without it.
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
