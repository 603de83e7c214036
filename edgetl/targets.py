"""The place of results: outside the photos, which are never changed."""

import os
from pathlib import Path

from edgetl_runtime.errors import StorageError

PAGE_SUFFIXES = (".html", ".htm")


def check_outside(data: Path, out: Path) -> None:
    """Refuses a result in a folder of photos, where it would be taken for one of them.

    A table does not count: it names its photos, whatever lies beside them.

    Raises:
        StorageError: With a place that is free of photos.
    """
    photos = data.resolve()
    if data.is_dir() and out.resolve().is_relative_to(photos):
        raise StorageError(
            f"--out {out} is inside the photos of {data}, which are never changed; choose a place "
            f"outside, such as {photos.parent / (out.name or 'run')}"
        )


def check_free(out: Path, *, overwrite: bool, option: str = "--out") -> None:
    """Refuses a file's name that is taken, before any work is done for the file.

    Args:
        out: Of the file.
        overwrite: Whether a file of that name may be replaced.
        option: By which another name can be given.

    Raises:
        StorageError: If it is a folder, or exists.
    """
    if out.is_dir():
        raise StorageError(f"{out} is a folder; choose another {option}")
    if os.path.lexists(out) and not overwrite:
        raise StorageError(f"{out} exists; choose another {option} or add --overwrite")
