"""`edgetl-run`: one command a module of `commands`.

Results go to stdout (`--json` for machines), warnings to stderr. Exit code 0: done, 1: our
error, 2: usage, 3: ran, but a check failed, 75: another instance runs.
"""

import os
import sys
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING

from edgetl_runtime.commands.exits import EXIT_ERROR, EXIT_INTERRUPTED, EXIT_LOCKED
from edgetl_runtime.errors import EdgetlError, LockedError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from typing import TextIO

_RESULTS = "standard output"
_MAX_PIXELS = "200000000"


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    _prepare_opencv()
    try:
        options = _parser().parse_args(arguments)
        command: Callable[[argparse.Namespace], int] = options.command
        with redirect_stdout(_Results(sys.stdout)):
            code = command(options)
            sys.stdout.flush()
        return code
    except EdgetlError as error:
        print(f"edgetl-run: {error}", file=sys.stderr)
        return EXIT_LOCKED if isinstance(error, LockedError) else EXIT_ERROR
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except OSError as error:
        _tell(error)
        return EXIT_ERROR


class _Results:
    """Standard output, which gives its errors its name: what failed is not seen otherwise."""

    def __init__(self, stream: "TextIO") -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with _named(_RESULTS):
            return self._stream.write(text)

    def flush(self) -> None:
        with _named(_RESULTS):
            self._stream.flush()

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


@contextmanager
def _named(name: str) -> "Iterator[None]":
    try:
        yield
    except OSError as error:
        error.filename = name
        raise


def _tell(error: OSError) -> None:
    if error.filename != _RESULTS:
        where = f"{error.filename}: " if error.filename else ""
        print(f"edgetl-run: {where}{error.strerror or error}", file=sys.stderr)
        return
    # Without this Python complains once more when it flushes stdout at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    # A reader that has gone, as `| head` does, needs no message.
    if not isinstance(error, BrokenPipeError):
        print(f"edgetl-run: cannot write the results: {error.strerror}", file=sys.stderr)


def _prepare_opencv() -> None:
    # OpenCV and its FFmpeg read these when they are imported: our own messages say what failed.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", _MAX_PIXELS)


def _parser() -> "argparse.ArgumentParser":
    # Here, where Ctrl-C at the very start is understood already.
    import argparse

    from edgetl_runtime import __version__
    from edgetl_runtime.commands import (
        bench,
        camera,
        classify,
        config,
        doctor,
        install_service,
        serve,
        verify,
    )

    parser = argparse.ArgumentParser(
        prog="edgetl-run",
        description="Classify pictures, videos and cameras with an edgetl bundle.",
    )
    parser.add_argument("--version", action="version", version=f"edgetl-run {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (verify, classify, camera, serve, bench, config, doctor, install_service):
        module.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
