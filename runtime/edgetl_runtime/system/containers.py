"""Containers: a bundle's files lie in a folder, or in one zip that is never unpacked.

Both are read the same way, one file at a time and never more bytes than the caller expects, so
that neither a link nor a zip bomb leads anywhere. Zips of other things are read as strictly.
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

from edgetl_runtime.errors import BundleError, EdgetlError
from edgetl_runtime.system.obstacles import name_special

ZIP_SUFFIX: Final = ".zip"
MOST_MEMBERS: Final = 256
# The fixed end of a zip and the optional record before it (PKWARE's APPNOTE.TXT, 4.3.15, 4.3.16).
_END: Final = struct.Struct("<4s4H2IH")
_END_SIGNATURE: Final = b"PK\x05\x06"
_ZIP64_LOCATOR: Final = struct.Struct("<4sIQI")
_ZIP64_SIGNATURE: Final = b"PK\x06\x07"
_MEMBER_LIMIT_BYTES: Final = 1024
_ENCRYPTED: Final = 0x1
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_COPY_AGAIN: Final = "copy the bundle again"
# What Python's zipfile raises on bytes that are not a zip; half of it are general errors.
DAMAGE: Final = (
    *(zipfile.BadZipFile, zlib.error, EOFError, struct.error),
    *(RuntimeError, ValueError, OverflowError),
)


class ZipRules(msgspec.Struct, frozen=True):
    """What a zip holds: how much that may be, and the words for what is wrong with it.

    Attributes:
        most_members: How many files and folders it may have, below 65,535.
        wanted: What to give: `a folder or .zip that ... wrote`.
        copy_again: What to do about damage.
        make_again: What to do about a zip that is not made as it should be.
        error: Is raised.
    """

    most_members: int
    wanted: str
    copy_again: str
    make_again: str
    error: type[EdgetlError]


BUNDLE: Final = ZipRules(
    most_members=MOST_MEMBERS,
    wanted="a folder or .zip that `edgetl export` wrote",
    copy_again=_COPY_AGAIN,
    make_again="make it again with: edgetl export RUN --out NAME.zip",
    error=BundleError,
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
    """One zip; it is opened for each call, as a folder's files are.

    Attributes:
        path: The zip.
        rules: For what it holds.
    """

    path: Path
    rules: ZipRules = BUNDLE

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
            _check_size(self.path / name, member.file_size, most_bytes, self.rules)
            return _read_member(archive, member)

    def read_each(self, most_bytes: int, most_bytes_in_all: int) -> Iterator[tuple[str, bytes]]:
        """Every file's name and bytes, one after the other.

        Args:
            most_bytes: Of a file.
            most_bytes_in_all: Of all files; is checked before any is read.

        Raises:
            EdgetlError: As `rules` says, if it is larger, damaged or unsafe.
            OSError: If it cannot be read.
        """
        with self._opened() as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            total = sum(member.file_size for member in members)
            if total > most_bytes_in_all:
                raise self.rules.error(
                    f"{self.path} unpacks to {total:,} bytes, expected {most_bytes_in_all:,} at "
                    f"most; {self.rules.make_again}"
                )
            for member in members:
                name = member.filename
                _check_size(self.path / name, member.file_size, most_bytes, self.rules)
                yield name, _read_member(archive, member)

    @contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        """The zip, checked; whatever else is wrong in it becomes one error."""
        again, error_type = self.rules.copy_again, self.rules.error
        try:
            with self.path.open("rb") as file:
                _check_end(self.path, file, self.rules)
                with zipfile.ZipFile(file) as archive:
                    _check_members(self.path, archive.infolist(), self.rules)
                    yield archive
        except DAMAGE as error:
            raise error_type(f"{self.path} is damaged ({error}); {again}") from error
        except OSError as error:
            if error.errno != EINVAL:
                raise
            # Its end leads to a place before its beginning.
            raise error_type(f"{self.path} is damaged (at its end); {again}") from error


def is_safe(name: str) -> bool:
    """True if a relative path with forward slashes stays inside its container."""
    pure = PurePosixPath(name)
    unsafe = pure.is_absolute() or ".." in pure.parts or "\\" in name or ":" in name
    return not unsafe and str(pure) == name and "\x00" not in name


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    # Asked for more than the member claims to hold, zipfile would unpack what it hides.
    with archive.open(member) as file:
        return file.read(member.file_size + 1)


def _check_size(path: Path, size: int, most_bytes: int, rules: ZipRules = BUNDLE) -> None:
    if size > most_bytes:
        raise rules.error(
            f"{path} has {size} bytes, expected {most_bytes} at most: it was changed; "
            + rules.copy_again
        )


def _check_end(path: Path, file: BinaryIO, rules: ZipRules) -> None:
    """Refuses what is not a zip, and a list of members too long to be read into memory."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _END.size - _ZIP64_LOCATOR.size))
    tail = file.read()
    end = tail[-_END.size :]
    if len(end) < _END.size or not end.startswith(_END_SIGNATURE):
        raise rules.error(
            f"{path} is not a zip, or its end was cut off or overwritten; copy it again, or give "
            + rules.wanted
        )
    *_, members, directory_bytes, _, _ = _END.unpack(end)
    large = tail[: -_END.size].startswith(_ZIP64_SIGNATURE)
    most = rules.most_members
    if large or members > most or directory_bytes > most * _MEMBER_LIMIT_BYTES:
        raise rules.error(f"{path} has more than {most} files; {rules.make_again}")


def _check_members(path: Path, members: list[zipfile.ZipInfo], rules: ZipRules) -> None:
    most, again, error = rules.most_members, rules.make_again, rules.error
    if len(members) > most:
        raise error(f"{path} has more than {most} files; {again}")
    seen: set[str] = set()
    for member in members:
        # zipfile cuts a name at a NUL; the original one tells.
        name = member.orig_filename
        if not is_safe(name.removesuffix("/")):
            raise error(f"{path} holds the unsafe path {name!r}; do not use it")
        if name in seen:
            raise error(f"{path} holds {name} twice; {again}")
        seen.add(name)
        if member.flag_bits & _ENCRYPTED:
            raise error(f"{path} is encrypted, which edgetl does not read; {again}")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise error(f"{path} holds the link {name}; {again}")
        if member.compress_type not in _METHODS:
            raise error(f"{path} is not compressed with deflate; {again}")
