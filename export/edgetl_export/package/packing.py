"""Packing: the files of a bundle become a folder or one zip of it."""

from collections.abc import Mapping
from pathlib import Path

from edgetl_export.bundle import Bundle
from edgetl_export.packing import check_target, write_files
from edgetl_runtime.bundle.reader import MANIFEST


def check_bundle_target(out: Path, *, overwrite: bool) -> None:
    """Refuses a place where a bundle exists or something else lies; see `check_target`."""
    check_target(out, marker=MANIFEST, overwrite=overwrite)


def write_bundle(files: Mapping[str, bytes], out: Path, *, overwrite: bool) -> Bundle:
    """Writes a bundle aside, opens it as a device would, and renames it into place.

    Args:
        files: Content by relative path with forward slashes; with `bundle.json` and its checksum.
        out: A folder, or a zip if it ends in `.zip`.
        overwrite: Replace a bundle of the same kind.

    Raises:
        BundleError: If the files are not a bundle.
        StorageError: If `out` may not be replaced, or the disk refuses.
    """
    write_files(files, out, marker=MANIFEST, overwrite=overwrite, check=Bundle.open)
    return Bundle.open(out)
