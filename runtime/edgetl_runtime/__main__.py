"""`edgetl-run`: one command a module of `commands`.

Results go to stdout (`--json` for machines), warnings to stderr. Exit code 0: done, 1: our
error, 2: usage, 3: ran, but a check failed, 75: another instance runs.
"""

import os
import sys
from typing import TYPE_CHECKING

from edgetl_runtime.commands.exits import EXIT_ERROR, EXIT_INTERRUPTED, EXIT_LOCKED
from edgetl_runtime.errors import EdgetlError, LockedError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

_MAX_PIXELS = "200000000"


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    _prepare_opencv()
    try:
        options = _parser().parse_args(arguments)
        command: Callable[[argparse.Namespace], int] = options.command
        code = command(options)
        sys.stdout.flush()
        return code
    except EdgetlError as error:
        print(f"edgetl-run: {error}", file=sys.stderr)
        return EXIT_LOCKED if isinstance(error, LockedError) else EXIT_ERROR
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except OSError as error:
        if refusal := _find_refusal():
            # A reader that has gone, as `| head` does, needs no message.
            if not isinstance(refusal, BrokenPipeError):
                print(f"edgetl-run: cannot write the results: {refusal}", file=sys.stderr)
        else:
            name = f"{error.filename}: " if error.filename else ""
            print(f"edgetl-run: {name}{error.strerror or error}", file=sys.stderr)
        return EXIT_ERROR


def _find_refusal() -> OSError | None:
    """Why standard output takes nothing, if so; what it refused once waits in its buffer."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # Without this Python complains once more when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return error
    return None


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
