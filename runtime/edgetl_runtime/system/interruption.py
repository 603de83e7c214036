"""Ctrl-C at any moment of a program: exit code 130, and never a traceback.

Python raises KeyboardInterrupt in whatever runs. A library that is being imported may make an
ImportError of it, and where nothing can be raised (a destructor) Python prints and forgets it.
So it is kept in mind that it came.
"""

import os
import signal
import sys

# Imports as little as can be: until it is here, Ctrl-C shows a traceback.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

EXIT_INTERRUPTED = 130
"""As shells have it: 128 and the number of the signal."""
_AGAIN_S = 0.05

_came = False


def run_program(program: "Callable[[], int]") -> int:
    """Runs the program that this process is for, and returns its exit code.

    Where whoever started the process has it ignore Ctrl-C, it goes on ignoring it.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return program()
    signal.signal(signal.SIGINT, _interrupt)
    sys.unraisablehook = _take_up
    try:
        code = program()
    except BaseException:
        if not _came:
            raise
        code = EXIT_INTERRUPTED
    finally:
        # All is written, and what the interpreter still does at its end needs no message.
        signal.signal(signal.SIGINT, _end)
    return EXIT_INTERRUPTED if _came else code


def was_interrupted() -> bool:
    """Whether Ctrl-C came, so that whatever failed since then failed by it."""
    return _came


def _interrupt(number: int, frame: "FrameType | None") -> None:
    global _came
    _came = True
    raise KeyboardInterrupt


def _end(number: int, frame: "FrameType | None") -> None:
    from edgetl_runtime.system.exit_cleanup import end_now

    end_now(EXIT_INTERRUPTED)


def _take_up(lost: "sys.UnraisableHookArgs") -> None:
    """Interrupts once more, a little later, where it could not be raised."""
    if not issubclass(lost.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return
    from threading import Timer

    again = Timer(_AGAIN_S, os.kill, (os.getpid(), signal.SIGINT))
    again.daemon = True
    again.start()
