"""Checksummed files: a line of JSON that names the SHA-256 of the bytes after it.

Cache shards and checkpoints are such files. A damaged one is noticed by its hash before a
number of it is used, and the caller discards it.
"""

import hashlib
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl_runtime.system.storage import write_file

# Numbers of a mapped payload start at a multiple of this.
_ALIGNMENT = 64
_CHUNK_BYTES = 1 << 24
T = TypeVar("T")
Bytes = NDArray[np.uint8]


class Damaged(ValueError):
    """The file is not the one that was written."""


class _Checksum(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sha256: str
    header: msgspec.Raw


def write_checksummed(path: Path, header: msgspec.Struct, payload: bytes) -> None:
    """Writes header and payload as one file, aside, fsynced and renamed.

    Raises:
        StorageError: If the disk refuses; what was there is intact.
    """
    encoded = msgspec.Raw(msgspec.json.encode(header))
    digest = hashlib.sha256(bytes(encoded))
    digest.update(payload)
    line = msgspec.json.encode(_Checksum(digest.hexdigest(), encoded))
    padding = b" " * (-(len(line) + 1) % _ALIGNMENT)
    write_file(path, b"".join([line, padding, b"\n", payload]))


def map_checksummed(path: Path, kind: type[T]) -> tuple[T, Bytes]:
    """Maps a checksummed file into memory after checking all of it.

    Returns:
        The header, and the payload, uint8 (bytes,), read from the disk as it is used.

    Raises:
        Damaged: If the hash differs or the header is of another kind.
        OSError: If the file cannot be read.
    """
    if path.stat().st_size == 0:
        raise Damaged("it is empty")
    with path.open("rb") as file:
        line = file.readline(_CHUNK_BYTES)
    # mmap outlives its file name, so that another process may delete a shard in use.
    content = np.memmap(path, np.uint8, mode="r").view(np.ndarray)
    payload = content[len(line) :]
    try:
        checksum = msgspec.json.decode(line, type=_Checksum)
        digest = hashlib.sha256(bytes(checksum.header))
        for start in range(0, len(payload), _CHUNK_BYTES):
            digest.update(payload[start : start + _CHUNK_BYTES].data)
        if digest.hexdigest() != checksum.sha256:
            raise Damaged("its content differs from its SHA-256")
        return msgspec.json.decode(checksum.header, type=kind), payload
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Damaged(str(error)) from error


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
