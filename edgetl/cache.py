"""The feature cache: rows of numbers by key, in files that any kill leaves whole.

A cache is a folder of shards. A shard is one file, written aside and renamed: a line of JSON
(keys, width, SHA-256 of the numbers), then the numbers, float32, row by row. Runs that share a
folder add shards of their own and never change one.
"""

import hashlib
import logging
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
import platformdirs
from numpy.typing import NDArray

from edgetl_runtime.errors import StorageError
from edgetl_runtime.storage import write_file

CACHE_VARIABLE = "EDGETL_CACHE"
SHARD_ROWS = 512
_SUFFIX = ".features"
_log = logging.getLogger(__name__)

Row = NDArray[np.float32]


def cache_folder() -> Path:
    """The user's cache folder for edgetl; `EDGETL_CACHE` overrides it."""
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("edgetl"))


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: list[str]
    width: int
    sha256: str


class FeatureCache:
    """Features of one extractor, by key; rows added are on the disk after each shard."""

    def __init__(self, folder: Path) -> None:
        """Reads the shards of a folder; a damaged one is deleted with a warning.

        Raises:
            StorageError: If the folder cannot be made.
        """
        self.folder = folder
        self._rows: dict[str, Row] = {}
        self._unsaved: dict[str, Row] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"cannot make the cache folder {folder} ({error.strerror}); "
                f"set {CACHE_VARIABLE} to a folder that can be written"
            ) from error
        for path in sorted(folder.glob(f"*{_SUFFIX}")):
            self._rows |= _read_shard(path)

    def __contains__(self, key: str) -> bool:
        """True if the row is known."""
        return key in self._rows

    def rows(self, keys: Iterable[str]) -> Row:
        """The rows of keys that are all known: float32 (keys, width)."""
        return np.stack([self._rows[key] for key in keys])

    def add(self, key: str, row: Row) -> None:
        """Adds a row, float32 (width,); it is on the disk once the shard is full or saved."""
        self._rows[key] = self._unsaved[key] = row
        if len(self._unsaved) >= SHARD_ROWS:
            self.save()

    def save(self) -> None:
        """Writes the rows that are not on the disk yet."""
        if not self._unsaved:
            return
        data = _encode_shard(self._unsaved)
        write_file(self.folder / f"{hashlib.sha256(data).hexdigest()[:32]}{_SUFFIX}", data)
        self._unsaved = {}


def _encode_shard(rows: dict[str, Row]) -> bytes:
    numbers = np.stack(list(rows.values())).astype("<f4")
    payload = numbers.tobytes()
    header = _Header(list(rows), numbers.shape[1], hashlib.sha256(payload).hexdigest())
    return msgspec.json.encode(header) + b"\n" + payload


def _read_shard(path: Path) -> dict[str, Row]:
    try:
        line, _, payload = path.read_bytes().partition(b"\n")
        header = msgspec.json.decode(line, type=_Header)
        if hashlib.sha256(payload).hexdigest() != header.sha256:
            raise ValueError("its numbers differ from its SHA-256")
        numbers = np.frombuffer(payload, "<f4").reshape(len(header.keys), header.width)
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        _log.warning("discarding the damaged cache file %s (%s)", path, error)
        path.unlink(missing_ok=True)
        return {}
    return dict(zip(header.keys, numbers, strict=True))
