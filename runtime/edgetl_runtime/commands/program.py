"""`edgetl-run`: one command a module of `commands`.

Results go to stdout (`--json` for machines), warnings to stderr. Exit code 0: done, 1: our
error, 2: usage, 3: ran, but a check failed, 75: another instance runs.
"""

import io
import os
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

from edgetl_runtime.commands.exits import EXIT_ERROR, EXIT_LOCKED
from edgetl_runtime.commands.printing import warn
from edgetl_runtime.commands.results import RESULTS, Results
from edgetl_runtime.commands.settings import add_settings
from edgetl_runtime.errors import EdgetlError, LockedError
from edgetl_runtime.image.limits import MAX_PIXELS
from edgetl_runtime.system.interruption import EXIT_INTERRUPTED, was_interrupted
from edgetl_runtime.text.printable import show_reason

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

_UMASK = 0o022


def run(arguments: "Sequence[str]") -> int:
    """Runs one command and returns its exit code."""
    _prepare_streams()
    _prepare_opencv()
    # Nobody but the owner writes to what we make, however a boot script left the umask.
    os.umask(os.umask(_UMASK) | _UMASK)
    try:
        with redirect_stdout(Results(sys.stdout)):
            code = _obey(arguments)
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except ImportError as error:
        # Ctrl-C may come within an import.
        return EXIT_INTERRUPTED if was_interrupted() else _fail_to_load(error)
    except (EdgetlError, MemoryError, OSError) as error:
        return EXIT_INTERRUPTED if was_interrupted() else _fail(error)


def _obey(arguments: "Sequence[str]") -> int:
    try:
        options = _parser(arguments).parse_args(arguments)
    except SystemExit:
        # Of --help and --version; what is printed may not reach the disk before.
        sys.stdout.flush()
        raise
    command: Callable[[argparse.Namespace], int] = options.command
    return command(options)


def _fail_to_load(error: ImportError) -> int:
    """A library is there, but not whole, or finds no memory."""
    warn(
        f"cannot load {error.name or 'a library'}: {error}; is there too little memory, or is the "
        "installation damaged? install it again with: pip install --force-reinstall edgetl-runtime"
    )
    return EXIT_ERROR


def _fail(error: EdgetlError | MemoryError | OSError) -> int:
    """Tells why, and returns the exit code."""
    if isinstance(error, OSError):
        _tell(error)
    elif isinstance(error, MemoryError):
        warn("not enough memory; is a file very large, or a limit (ulimit -v) very small?")
    else:
        warn(str(error))
    return EXIT_LOCKED if isinstance(error, LockedError) else EXIT_ERROR


def _tell(error: OSError) -> None:
    if error.filename != RESULTS:
        where = f"{error.filename}: " if error.filename else ""
        warn(f"{where}{error.strerror or error}")
        return
    # Without this Python complains once more when it flushes stdout at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    # A reader that has gone, as `| head` does, needs no message.
    if not isinstance(error, BrokenPipeError):
        warn(f"cannot write the results: {show_reason(error)}")


def _prepare_streams() -> None:
    # Where whoever started us closed them, the next file would get their number: a lock, say,
    # which answers would then be printed into.
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # What is written to a closed standard output is lost, and must not look printed.
            os.open(os.devnull, os.O_RDONLY if number == 1 else os.O_RDWR)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 - it stays open
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115 - it stays open
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _prepare_opencv() -> None:
    # OpenCV and its FFmpeg read these when they are imported: our own messages say what failed.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))


def _parser(arguments: "Sequence[str]") -> "argparse.ArgumentParser":
    # Here, where Ctrl-C at the very start is understood already.
    from edgetl_runtime import __version__
    from edgetl_runtime.commands import (
        bench,
        camera,
        classify,
        config,
        doctor,
        install_service,
        learning,
        serve,
        tune,
        verify,
    )
    from edgetl_runtime.commands.arguments import Parser

    parser = Parser(
        prog="edgetl-run",
        description="Classify images, videos and cameras with an edgetl bundle.",
    )
    parser.add_argument("--version", action="version", version=f"edgetl-run {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    modules = (verify, classify, camera, serve, bench, tune, learning, config, doctor)
    for module in (*modules, install_service):
        module.add(commands)
    for name in commands.choices.keys() & set(arguments):
        add_settings(commands.choices[name])
    return parser
