"""Whether a file or folder is still what it was."""

import hashlib
from pathlib import Path


def fingerprint(root: Path) -> dict[str, str]:
    """Path within a folder -> SHA-256; of a file, its own."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in ([root] if root.is_file() else root.rglob("*"))
        if path.is_file()
    }
