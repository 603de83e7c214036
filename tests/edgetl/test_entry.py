"""Ctrl-C in `edgetl`, at moments when Python alone would show a traceback."""

import os
import subprocess
import sys

import pytest

INTERRUPT = """
import os, signal, sys
name, how, *sys.argv = sys.argv[1:]

class Interrupt:
    def find_spec(self, found, path, target=None):
        if found == name:
            sys.meta_path.remove(self)
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                if how == "raised":
                    raise
                raise ImportError("numpy.core.multiarray failed to import")

sys.meta_path.insert(0, Interrupt())
from edgetl.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize("how", ["raised", "changed"])
@pytest.mark.parametrize("module", ["click", "edgetl.console", "msgspec"])
def test_ctrl_c_needs_no_traceback_whatever_an_import_makes_of_it(module: str, how: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPT, module, how, "-", "recipes"],
        capture_output=True,
        text=True,
        env=os.environ,
        timeout=60,
        check=False,
    )
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
