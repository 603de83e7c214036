"""The place of results: outside the photos, which are never changed."""

from pathlib import Path

from edgetl_runtime.errors import StorageError


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
