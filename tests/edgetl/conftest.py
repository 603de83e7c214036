"""What the tests of the workstation share."""

import sys
from typing import Any

import pytest

from edgetl.cli import main

Said = tuple[int, str, str]


@pytest.fixture
def edgetl(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """The command in this process: exit code, stdout and stderr, native code's included."""

    def run(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["edgetl", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        said = capfd.readouterr()
        code = stopped.value.code
        return (code if isinstance(code, int) else 0), said.out, said.err

    return run
