"""The files that a measurement is kept in."""

import os
from pathlib import Path

from edgetl_runtime.errors import StorageError


def check_writable(*files: Path | None) -> None:
    """Refuses what cannot be written, before minutes of measuring.

    Args:
        files: None where none was asked for.

    Raises:
        StorageError: If it is a folder, or its folder is missing or read-only.
    """
    for file in filter(None, files):
        if file.is_dir():
            raise StorageError(f"cannot write {file}: it is a folder; give the name of a file")
        if not (file.parent.is_dir() and os.access(file.parent, os.W_OK)):
            raise StorageError(
                f"cannot write {file}: {file.parent} is not a folder that you can write to"
            )


def write_report(file: Path | None, report: object) -> None:
    """Writes a report as one line of JSON, if a file was asked for.

    Raises:
        StorageError: If it cannot be written.
    """
    import msgspec

    from edgetl_runtime.system.storage import write_file

    if file is not None:
        write_file(file, msgspec.json.encode(report) + b"\n")
