"""The built page: what `make phone` made of the folder `phone/`, and the wheel carries."""

import re
from functools import cache
from importlib import resources
from pathlib import Path

from edgetl_runtime.errors import ExportError

_FOLDER = "page"
_INDEX = "index.html"
# The pages that the address bar knows; all else lies in the folder of its version.
TOP = (_INDEX, "sw.js")
_BUILT = re.compile(r"^[a-z0-9_.\-/]+$", re.IGNORECASE)


def read_page() -> dict[str, bytes]:
    """The files of the built page, by path with forward slashes.

    Raises:
        ExportError: If this is a checkout in which the page was not built.
    """
    folder = _locate()
    if not (folder / _INDEX).is_file():
        raise ExportError(
            "this checkout has no built page for phones; install Node.js 20 or newer and run: "
            "make phone"
        )
    return _read(folder)


def is_built() -> bool:
    """Whether the page is there."""
    return (_locate() / _INDEX).is_file()


@cache
def _read(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    named = ((path.relative_to(folder).as_posix(), path) for path in files)
    return {name: path.read_bytes() for name, path in named if _BUILT.match(name)}


def _locate() -> Path:
    return Path(str(resources.files("edgetl_export.phone") / _FOLDER))
