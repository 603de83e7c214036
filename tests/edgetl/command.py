"""The command `edgetl` in a process of its own, as a shell starts it."""

import os
import subprocess
import sys


def edgetl(*arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Runs `edgetl`; what it printed and its exit code are the caller's to judge."""
    return subprocess.run(
        [sys.executable, "-m", "edgetl.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=False,
    )
