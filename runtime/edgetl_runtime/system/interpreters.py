"""How a Python of our own is started to try something that may die."""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence

# With -c, as with -m, the current folder comes first where modules are looked for. A `random.py` or
# a `cv2.py` that lies there would run in place of the real one. (-P would do, from Python 3.11.)
_INSTALLED_ONLY = "import sys; sys.path[:] = [entry for entry in sys.path if entry]; "


def run_code(code: str, *, python: str = sys.executable) -> list[str]:
    """The command that runs code, which finds installed modules only; `sys` is imported.

    Args:
        code: Python statements.
        python: The interpreter.
    """
    return [python, "-c", _INSTALLED_ONLY + code]


def run_tied(command: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[bytes]:
    """Runs a command that calls `end_with_parent`, and collects what it writes.

    Its standard input is a pipe of which this process holds the other end, and never writes. The
    system closes that end with this process, however it ends: by SIGKILL, say.

    Args:
        command: Program and arguments.
        timeout_s: When it is ended.

    Raises:
        subprocess.TimeoutExpired: If it was ended.
    """
    reads, holds = os.pipe()
    try:
        return subprocess.run(
            command, capture_output=True, check=False, timeout=timeout_s, stdin=reads
        )
    finally:
        os.close(holds)
        os.close(reads)


def end_with_parent() -> None:
    """Ends this process, with exit code 1, as soon as the one that ran it by `run_tied` is gone."""
    threading.Thread(target=_wait_for_parent, name="parent", daemon=True).start()


def _wait_for_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)
