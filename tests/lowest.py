"""Prints the lowest version that each given pyproject.toml allows of what it needs, for pip's -c.

Needs nothing but Python 3.10, since it runs before anything is installed.
"""

import re
import sys
from pathlib import Path

_BOUND = re.compile(r'"([\w.-]+)(?:\[[\w,-]+\])?>=([\d.]+)')


def _read(files: list[str]) -> dict[str, tuple[int, ...]]:
    lowest: dict[str, tuple[int, ...]] = {}
    for file in files:
        for name, version in _BOUND.findall(Path(file).read_text()):
            numbers = tuple(map(int, version.split(".")))
            # The workstation may want a newer one than the device.
            lowest[name] = max(numbers, lowest.get(name, numbers))
    return lowest


for _name, _numbers in sorted(_read(sys.argv[1:]).items()):
    sys.stdout.write(f"{_name}=={'.'.join(map(str, _numbers))}\n")
