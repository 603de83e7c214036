"""The page's token, where nobody set one: made once, and kept where only its owner reads it."""

import re
import secrets
from pathlib import Path

from edgetl_runtime.errors import StorageError
from edgetl_runtime.storage import write_file

_MADE = re.compile(r"[\w-]{43}")


def make_token() -> str:
    """256 random bits that fit into a URL."""
    return secrets.token_urlsafe(32)


def keep_token(file: Path) -> str:
    """The token in a file, which is made where there is none, so that a restart changes nothing.

    Raises:
        StorageError: If it cannot be written.
    """
    try:
        kept = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        kept = ""
    if not _MADE.fullmatch(kept):
        kept = make_token()
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{file.parent} cannot be made ({error.strerror})") from error
        write_file(file, f"{kept}\n".encode(), mode=0o600)
    return kept
