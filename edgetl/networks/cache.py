"""The feature cache: rows of numbers by key, in files that any kill leaves whole.

A cache is a folder of shards. A shard is one checksummed file: keys and width, then the numbers,
row by row. Shards are mapped into memory, so that a cache may be larger than it. Runs that share a
folder add shards of their own and never change one.
"""

import hashlib
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import platformdirs
from numpy.typing import NDArray

from edgetl.checksum import Damaged, map_checksummed, write_checksummed
from edgetl_runtime.errors import StorageError

CACHE_VARIABLE = "EDGETL_CACHE"
SHARD_ROWS = 512
# Rows that are not on the disk yet are held in memory.
_SHARD_BYTES = 32 << 20
_SUFFIX = ".features"
_log = logging.getLogger(__name__)

Row = NDArray[Any]
Precision = Literal["float32", "float16"]


def cache_folder() -> Path:
    """The user's cache folder for edgetl; `EDGETL_CACHE` overrides it."""
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("edgetl"))


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: list[str]
    width: int
    dtype: Precision


class FeatureCache:
    """Features of one extractor, by key; rows added are on the disk after each shard."""

    def __init__(self, folder: Path, precision: Precision = "float32") -> None:
        """Maps the shards of a folder; damaged ones are deleted with one warning.

        Args:
            folder: Of this extractor alone.
            precision: How numbers are kept.

        Raises:
            StorageError: If the folder cannot be made.
        """
        self.folder = folder
        self._precision = precision
        self._rows: dict[str, Row] = {}
        self._unsaved: dict[str, Row] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"cannot create the cache folder {folder} ({error.strerror}); "
                f"set {CACHE_VARIABLE} to a folder that can be written"
            ) from error
        self._open_shards()

    def _open_shards(self) -> None:
        damaged: list[tuple[Path, Exception]] = []
        for path in sorted(self.folder.glob(f"*{_SUFFIX}")):
            try:
                self._rows |= _map_shard(path, self._precision)
            except (OSError, ValueError) as error:
                damaged.append((path, error))
                path.unlink(missing_ok=True)
        if damaged:
            (path, reason), others = damaged[0], len(damaged) - 1
            more = f" and {others} more" if others else ""
            _log.warning("discarding the damaged cache file %s%s (%s)", path, more, reason)

    def __contains__(self, key: str) -> bool:
        """True if the row is known."""
        return key in self._rows

    def rows(self, keys: Iterable[str]) -> NDArray[Any]:
        """The rows of keys that are all known: (keys, width), in the cache's precision."""
        return np.stack([self._rows[key] for key in keys])

    def views(self, keys: Iterable[str]) -> list[Row]:
        """The rows one by one, (width,) each, read from the disk when they are used."""
        return [self._rows[key] for key in keys]

    def add(self, key: str, row: Row) -> None:
        """Adds a row, (width,); it is on the disk once the shard is full or saved.

        Numbers beyond the precision's range become its largest.
        """
        limit = np.finfo(self._precision).max
        kept = np.clip(row, -limit, limit).astype(self._precision)
        self._rows[key] = self._unsaved[key] = kept
        full = min(SHARD_ROWS, max(1, _SHARD_BYTES // kept.nbytes))
        if len(self._unsaved) >= full:
            self.save()

    def save(self) -> None:
        """Writes the rows that are not on the disk yet.

        Raises:
            StorageError: If the disk refuses.
        """
        if not self._unsaved:
            return
        keys, rows = list(self._unsaved), list(self._unsaved.values())
        name = hashlib.sha256("\n".join([*keys, str(os.getpid())]).encode()).hexdigest()[:32]
        path = self.folder / f"{name}{_SUFFIX}"
        header = _Header(keys, len(rows[0]), self._precision)
        write_checksummed(path, header, _encode(rows))
        self._unsaved = {}
        self._rows |= _map_shard(path, self._precision)


def _encode(rows: Sequence[Row]) -> bytes:
    numbers = np.stack(rows)
    return numbers.astype(numbers.dtype.newbyteorder("<")).tobytes()


def _map_shard(path: Path, precision: Precision) -> dict[str, Row]:
    header, payload = map_checksummed(path, _Header)
    if header.dtype != precision:
        raise Damaged(f"it contains {header.dtype}, expected {precision}")
    dtype = np.dtype(precision).newbyteorder("<")
    numbers = payload.view(dtype).reshape(len(header.keys), header.width)
    return dict(zip(header.keys, numbers, strict=True))
