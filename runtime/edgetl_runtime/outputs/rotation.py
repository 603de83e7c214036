"""A file that grows by whole lines up to a size, and then begins again."""

import contextlib
import errno
import os
import stat
from pathlib import Path

from edgetl_runtime.errors import OutputError, UndeliveredError


class RotatingFile:
    """Appends lines; beside the file at most one older one is kept, with `.1` added to its name.

    Both together take at most twice the quota. A line is there as a whole or not at all: what a
    full disk or a power cut left of one is cut off, or ended so that it damages no other.
    """

    def __init__(self, path: Path, quota_bytes: int, *, header: bytes = b"") -> None:
        """Nothing is opened yet.

        Args:
            path: To append to.
            quota_bytes: Size at which the file is set aside.
            header: First line of each file, with its end; a file that begins otherwise is set
                aside.
        """
        self.path = path
        self._quota_bytes, self._header = quota_bytes, header
        self._descriptor: int | None = None
        self._size = 0
        # A device or a pipe is written to, and never moved away.
        self._is_regular = True

    def append(self, line: bytes) -> None:
        """Writes a line, with its end.

        Raises:
            UndeliveredError: If folder or disk refuse; nothing of the line is left then.
        """
        try:
            self._open()
            is_full = self._size + len(line) > self._quota_bytes
            if self._is_regular and is_full and self._size > len(self._header):
                self._rotate()
            self._write(line)
        except OSError as error:
            self._forget()
            raise UndeliveredError(f"cannot write {self.path}: {_explain(error)}") from error

    def open_pipe(self) -> None:
        """Opens a named pipe now, so that one without a reader is known before any work.

        What is not a pipe is opened by the first line.

        Raises:
            OutputError: If the pipe has no reader.
        """
        if not self.path.is_fifo():
            return
        try:
            self._open()
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {_explain(error)}") from error

    def close(self) -> None:
        """Flushes to the disk and closes.

        Raises:
            OutputError: If the disk refuses.
        """
        if self._descriptor is None:
            return
        try:
            if self._is_regular:
                os.fsync(self._descriptor)
        except OSError as error:
            raise OutputError(f"cannot flush {self.path}: {error.strerror}") from error
        finally:
            self._forget()

    def _open(self) -> None:
        # Someone may have moved or deleted the file: what is written would be lost for months.
        if self._descriptor is not None and os.fstat(self._descriptor).st_nlink:
            return
        self._forget()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._has_other_header():
            os.replace(self.path, self._older)
        self._start()

    def _start(self) -> None:
        self._descriptor = _open_to_append(self.path)
        found = os.fstat(self._descriptor)
        self._size, self._is_regular = found.st_size, stat.S_ISREG(found.st_mode)
        if not self._size:
            self._write(self._header)
        elif os.pread(self._descriptor, 1, self._size - 1) != b"\n":
            self._write(b"\n")

    def _rotate(self) -> None:
        self._forget()
        os.replace(self.path, self._older)
        self._start()

    def _write(self, data: bytes) -> None:
        if self._descriptor is None:
            return
        try:
            written = os.write(self._descriptor, data)
            if written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError:
            # A full disk takes the beginning of a line.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            raise
        self._size += written

    def _has_other_header(self) -> bool:
        if not self._header or not self.path.is_file():
            return False
        with self.path.open("rb") as file:
            start = file.read(len(self._header))
        return bool(start) and start != self._header

    @property
    def _older(self) -> Path:
        return self.path.with_name(f"{self.path.name}.1")

    def _forget(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _open_to_append(path: Path) -> int:
    if not path.is_fifo():
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    # Also open for reading, a pipe would take what nobody ever reads; and waiting for a reader
    # here, nobody could be told.
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.set_blocking(descriptor, True)
    return descriptor


def _explain(error: OSError) -> str:
    if error.errno == errno.ENXIO:
        return "nothing reads this pipe; start its reader first"
    if error.errno == errno.EPIPE:
        return "the reader of this pipe has exited"
    return str(error.strerror)
