"""The generated token of the page, kept where only its owner can read it."""

import os
import re
import secrets
import stat
from pathlib import Path

from edgetl_runtime.errors import StorageError
from edgetl_runtime.system.storage import write_file

_MADE = re.compile(r"[\w-]{43}")


def make_token() -> str:
    """256 random bits that fit into a URL."""
    return secrets.token_urlsafe(32)


def keep_token(file: Path) -> str:
    """The token in a file, which is made where there is none, so that a restart changes nothing.

    Raises:
        StorageError: If it cannot be written, or is a folder.
    """
    if file.is_dir():
        raise StorageError(f"{file} is a folder; remove it")
    kept = _read(file)
    if not _MADE.fullmatch(kept):
        kept = make_token()
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{file.parent} cannot be created ({error.strerror})") from error
        write_file(file, f"{kept}\n".encode(), mode=0o600)
    return kept


def _read(file: Path) -> str:
    """The content of the file; empty if another user may have put it there, or it is not a file."""
    try:
        found = file.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_uid not in (os.geteuid(), 0):
            return ""
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
