"""Packing: files become a folder or one zip, wholly there or not there at all."""

import io
import stat
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from edgetl_runtime.errors import StorageError
from edgetl_runtime.system.containers import ZIP_SUFFIX
from edgetl_runtime.system.storage import check_replaceable, staged_file, staged_folder

_NO_DATE = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_PLAIN_FILE = (stat.S_IFREG | 0o644) << 16


def check_target(out: Path, *, marker: str, overwrite: bool) -> None:
    """Refuses a place where something of the same kind exists, or something else lies.

    Args:
        out: A folder, or a zip if it ends in `.zip`.
        marker: A file that only what is of this kind holds, such as `bundle.json`.
        overwrite: Whether what is of this kind may be replaced.

    Raises:
        StorageError: With the remedy.
    """
    check_replaceable(out, marker=marker, overwrite=overwrite)
    if out.exists() and out.is_dir() == _is_zip(out):
        found, wanted = ("folder", "zip") if out.is_dir() else ("file", "folder")
        raise StorageError(f"{out} is a {found}, expected a {wanted}; choose another --out")


def write_files(
    files: Mapping[str, bytes],
    out: Path,
    *,
    marker: str,
    overwrite: bool,
    check: Callable[[Path], object] | None = None,
) -> None:
    """Writes files aside and renames them into place, as a folder or a zip.

    Args:
        files: Content by relative path with forward slashes.
        out: A folder, or a zip if it ends in `.zip`.
        marker: As for `check_target`; one of the files.
        overwrite: Replace what is of the same kind.
        check: Called with the place aside; raises if it is not to be used.

    Raises:
        StorageError: If `out` may not be replaced, or the disk refuses.
    """
    check_target(out, marker=marker, overwrite=overwrite)
    check = check or (lambda _: None)
    if _is_zip(out):
        _write_zip(files, out, check)
        return
    with staged_folder(out, marker=marker, overwrite=overwrite) as folder:
        for name, data in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        check(folder)


def pack(files: Mapping[str, bytes]) -> bytes:
    """One zip of files, the same bytes for the same content: no dates, sorted, not compressed.

    Weights hardly shrink, and what deflate outputs depends on the library and its version.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted(files.items()):
            member = zipfile.ZipInfo(name, _NO_DATE)
            member.create_system, member.external_attr = _UNIX, _PLAIN_FILE
            archive.writestr(member, data)
    return packed.getvalue()


def _write_zip(files: Mapping[str, bytes], out: Path, check: Callable[[Path], object]) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot write {out}: {error}; choose another --out") from error
    with staged_file(out) as aside:
        aside.write_bytes(pack(files))
        check(aside)


def _is_zip(out: Path) -> bool:
    return out.suffix.lower() == ZIP_SUFFIX
