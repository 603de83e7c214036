"""Containers: a bundle's files lie in a folder, or in one zip that is never unpacked.

Both are read the same way, one file at a time and never more bytes than the caller expects, so
that neither a link nor a zip bomb leads anywhere.
"""

import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EINVAL, ENOENT
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, Protocol

import msgspec

from edgetl_runtime.errors import BundleError
from edgetl_runtime.system.obstacles import name_special

ZIP_SUFFIX: Final = ".zip"
MOST_MEMBERS: Final = 256
# The fixed end of a zip and the optional record before it (PKWARE's APPNOTE.TXT, 4.3.15, 4.3.16).
_END: Final = struct.Struct("<4s4H2IH")
_END_SIGNATURE: Final = b"PK\x05\x06"
_ZIP64_LOCATOR: Final = struct.Struct("<4sIQI")
_ZIP64_SIGNATURE: Final = b"PK\x06\x07"
_DIRECTORY_LIMIT_BYTES: Final = MOST_MEMBERS * 1024
_ENCRYPTED: Final = 0x1
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_COPY_AGAIN: Final = "copy the bundle again"
_ZIP_AGAIN: Final = "make it again with: edgetl export RUN --out NAME.zip"
# What Python's zipfile raises on bytes that are not a zip; half of it are general errors.
DAMAGE: Final = (
    *(zipfile.BadZipFile, zlib.error, EOFError, struct.error),
    *(RuntimeError, ValueError, OverflowError),
)


class Container(Protocol):
    """Where the files of a bundle lie; names are relative, with forward slashes."""

    def names(self) -> list[str]:
        """Every file in it, sorted.

        Raises:
            BundleError: If it is damaged or unsafe.
            OSError: If it cannot be read.
        """
        ...

    def read(self, name: str, most_bytes: int) -> bytes:
        """Reads a file up to a number of bytes.

        Raises:
            BundleError: If it is larger, no plain file, damaged or unsafe.
            OSError: If it is missing or cannot be read.
        """
        ...


def open_container(path: Path) -> Container:
    """The container at a path: a file is taken for a zip, anything else for a folder.

    Raises:
        BundleError: If it is neither, but a device, a pipe or a socket.
        OSError: If the path cannot be looked at.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise BundleError(
            f"{path} is not a bundle but {name_special(path.stat().st_mode)}; give a folder or "
            ".zip that `edgetl export` wrote"
        )
    return Archive(path) if path.is_file() else Folder(path)


class Folder(msgspec.Struct, frozen=True):
    """A bundle that is a folder."""

    path: Path

    def names(self) -> list[str]:
        """See `Container.names`."""
        found = [path for path in self.path.rglob("*") if path.is_symlink() or not path.is_dir()]
        return sorted(path.relative_to(self.path).as_posix() for path in found)

    def read(self, name: str, most_bytes: int) -> bytes:
        """See `Container.read`."""
        path = self.path / name
        status = path.stat()
        # A link could lead out of the bundle, to a device or a file that never ends.
        linked = path.resolve() != self.path.resolve() / name
        if linked or not stat.S_ISREG(status.st_mode):
            raise BundleError(f"{path} is not a plain file but a link or a device; {_COPY_AGAIN}")
        _check_size(path, status.st_size, most_bytes)
        with path.open("rb") as file:
            return file.read(status.st_size + 1)


class Archive(msgspec.Struct, frozen=True):
    """A bundle that is one zip; it is opened for each call, as a folder's files are."""

    path: Path

    def names(self) -> list[str]:
        """See `Container.names`."""
        with self._opened() as archive:
            return sorted(info.filename for info in archive.infolist() if not info.is_dir())

    def read(self, name: str, most_bytes: int) -> bytes:
        """See `Container.read`."""
        with self._opened() as archive:
            if name not in archive.namelist():
                raise FileNotFoundError(ENOENT, os.strerror(ENOENT), str(self.path / name))
            member = archive.getinfo(name)
            _check_size(self.path / name, member.file_size, most_bytes)
            # Asked for more than the member claims to hold, zipfile would unpack what it hides.
            with archive.open(member) as file:
                return file.read(member.file_size + 1)

    @contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        """The zip, checked; whatever else is wrong in it becomes one error."""
        try:
            with self.path.open("rb") as file:
                _check_end(self.path, file)
                with zipfile.ZipFile(file) as archive:
                    _check_members(self.path, archive.infolist())
                    yield archive
        except DAMAGE as error:
            raise BundleError(f"{self.path} is damaged ({error}); {_COPY_AGAIN}") from error
        except OSError as error:
            if error.errno != EINVAL:
                raise
            # Its end leads to a place before its beginning.
            raise BundleError(f"{self.path} is damaged (at its end); {_COPY_AGAIN}") from error


def is_safe(name: str) -> bool:
    """True if a relative path with forward slashes stays inside its container."""
    pure = PurePosixPath(name)
    unsafe = pure.is_absolute() or ".." in pure.parts or "\\" in name or ":" in name
    return not unsafe and str(pure) == name and "\x00" not in name


def _check_size(path: Path, size: int, most_bytes: int) -> None:
    if size > most_bytes:
        raise BundleError(
            f"{path} has {size} bytes, expected {most_bytes} at most: it was changed; {_COPY_AGAIN}"
        )


def _check_end(path: Path, file: BinaryIO) -> None:
    """Refuses what is not a zip, and a list of members too long to be read into memory."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _END.size - _ZIP64_LOCATOR.size))
    tail = file.read()
    end = tail[-_END.size :]
    if len(end) < _END.size or not end.startswith(_END_SIGNATURE):
        raise BundleError(
            f"{path} is not a zip, or its end was cut off or overwritten; copy it again, or give a "
            "folder or .zip that `edgetl export` wrote"
        )
    *_, members, directory_bytes, _, _ = _END.unpack(end)
    large = tail[: -_END.size].startswith(_ZIP64_SIGNATURE)
    if large or members > MOST_MEMBERS or directory_bytes > _DIRECTORY_LIMIT_BYTES:
        raise BundleError(f"{path} has more than {MOST_MEMBERS} files; {_ZIP_AGAIN}")


def _check_members(path: Path, members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MOST_MEMBERS:
        raise BundleError(f"{path} has more than {MOST_MEMBERS} files; {_ZIP_AGAIN}")
    seen: set[str] = set()
    for member in members:
        # zipfile cuts a name at a NUL; the original one tells.
        name = member.orig_filename
        if not is_safe(name.removesuffix("/")):
            raise BundleError(f"{path} holds the unsafe path {name!r}; do not use this bundle")
        if name in seen:
            raise BundleError(f"{path} holds {name} twice; {_ZIP_AGAIN}")
        seen.add(name)
        if member.flag_bits & _ENCRYPTED:
            raise BundleError(f"{path} is encrypted, which edgetl does not read; {_ZIP_AGAIN}")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise BundleError(f"{path} holds the link {name}; {_ZIP_AGAIN}")
        if member.compress_type not in _METHODS:
            raise BundleError(f"{path} is not compressed with deflate; {_ZIP_AGAIN}")
