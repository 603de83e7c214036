"""Standard output as commands have it: an error of it is told from any other."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TextIO

RESULTS: Final = "standard output"
"""The `filename` of each OSError of `Results`."""


class Results:
    """Standard output, which gives its errors its name: they carry none otherwise."""

    def __init__(self, stream: TextIO) -> None:
        """Wraps a stream, which stays open."""
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes text.

        Raises:
            OSError: With `filename` set to `RESULTS`, such as on a full disk.
        """
        with _named():
            return self._stream.write(text)

    def flush(self) -> None:
        """Hands on what waits.

        Raises:
            OSError: As `write`.
        """
        with _named():
            self._stream.flush()

    def __getattr__(self, name: str) -> object:
        """All else is the stream's."""
        return getattr(self._stream, name)


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        error.filename = RESULTS
        raise
