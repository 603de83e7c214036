"""The record of the model store, in two copies.

A power cut can leave a file of zeros in place of the newest one on a file system that renames
before it writes; then the other copy counts.
"""

from pathlib import Path
from typing import Final

import msgspec

from edgetl_runtime.bundle.manifest import Sha256
from edgetl_runtime.system.storage import write_file

_COPIES: Final = ("models.json", "models.copy.json")
_MOST_BAD: Final = 32


class ModelRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which model runs, and what is known of others.

    Attributes:
        current: SHA-256 of the bundle.json of the model that runs, or None.
        previous: The one to go back to, or None.
        committed: Whether `current` has given enough good answers to be trusted.
        starts: How often the service has begun since `current` last proved itself or the service
            last ended well.
        bad: Why models do not work here, by their SHA-256; they are refused.
    """

    current: Sha256 | None = None
    previous: Sha256 | None = None
    committed: bool = False
    starts: int = 0
    bad: dict[Sha256, str] = {}

    def condemn(self, sha256: str, reason: str) -> "ModelRecord":
        """With one more bad model; of many the last ones are kept."""
        known = {one: why for one, why in self.bad.items() if one != sha256}
        kept = dict([*known.items(), (sha256, reason)][-_MOST_BAD:])
        return msgspec.structs.replace(self, bad=kept)


def read_record(folder: Path) -> ModelRecord | None:
    """The newest copy that is whole, or None."""
    for name in _COPIES:
        try:
            if not (folder / name).is_file():
                # Reading a pipe would wait for ever.
                continue
            return msgspec.json.decode((folder / name).read_bytes(), type=ModelRecord)
        except (OSError, ValueError, RecursionError):
            continue
    return None


def write_record(folder: Path, record: ModelRecord) -> None:
    """Replaces both copies, one after the other.

    Raises:
        StorageError: If the folder cannot be written.
    """
    data = msgspec.json.format(msgspec.json.encode(record)) + b"\n"
    for name in _COPIES:
        write_file(folder / name, data)
