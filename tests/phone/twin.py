"""The page's own code, called from Python: in Node, and in a browser.

`phone/test/twin.ts` says what can be called.
"""

import json
import math
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

PHONE = Path(__file__).parents[2] / "phone"
Call = Callable[..., Any]


class Node:
    """Node.js, which answers calls to twin.ts one after the other."""

    def __init__(self, folder: Path) -> None:
        """Args: folder: Where the bundled code goes."""
        self._process = subprocess.Popen(
            [find_node(), PHONE / "test" / "node.mjs", folder / "twin.mjs"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, name: str, *arguments: Any) -> Any:
        """What a function returns for arguments that JSON can hold; a path is a file's bytes."""
        given = [{"file": str(one)} if isinstance(one, Path) else one for one in arguments]
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([name, *given]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "Node.js ended"
        answer = json.loads(line)
        assert "error" not in answer, answer
        return answer.get("value")

    def close(self) -> None:
        self._process.communicate()


def find_node() -> str:
    program = shutil.which("node")
    if program is None or not (PHONE / "node_modules" / "esbuild").exists():
        pytest.skip("the phone's page is not built; npm is not installed")
    if not (PHONE / "made" / "resize.wasm").exists():
        pytest.skip("the phone's page is not built; run: make phone")
    return program


def bundle_for_browsers(target: Path) -> None:
    """Writes twin.ts as a script that sets `twin`."""
    subprocess.run([find_node(), PHONE / "test" / "bundle.mjs", target], check=True)


def to_json(numbers: Iterable[float]) -> list[float | str]:
    """Numbers, of which JSON has neither NaN nor infinity."""
    return [_to_json(float(one)) for one in numbers]


def _to_json(number: float) -> float | str:
    if math.isnan(number):
        return "NaN"
    return number if math.isfinite(number) else f"{'-' * (number < 0)}Infinity"
