"""Checkpoints: all that a training needs to go on after a crash as if nothing had happened."""

import io
import logging
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl.checksum import map_checksummed, write_checksummed
from edgetl.history import StageHistory

KEPT = 2
_SUFFIX = ".checkpoint"
_GROUPS = ("model", "optimizer", "best")
_log = logging.getLogger(__name__)

Arrays = list[NDArray[np.generic]]


class Progress(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far a training is.

    Attributes:
        stage: Number of the stage that is under way, from 0.
        epoch: Epochs of that stage that are done.
        history: Of that stage so far; its `best_epoch` and curves are those to go on with.
        best_value: What was monitored, in the best epoch; the lower, the better.
        finished: Histories of the stages before.
    """

    stage: int
    epoch: int
    history: StageHistory
    best_value: float
    finished: tuple[StageHistory, ...]


class Checkpoint(msgspec.Struct, frozen=True, eq=False):
    """Progress, and the variables that go with it.

    Attributes:
        progress: How far the training is.
        model: Values of the model's variables, seeds of its random layers among them.
        optimizer: Values of the optimizer's variables, its step counter among them.
        best: Values of the model's variables in the best epoch.
    """

    progress: Progress
    model: Arrays
    optimizer: Arrays
    best: Arrays


class Checkpoints:
    """The checkpoints of one run: a folder that holds the newest two."""

    def __init__(self, folder: Path) -> None:
        """Names the folder; it is made with the first checkpoint."""
        self._folder = folder

    def save(self, checkpoint: Checkpoint) -> None:
        """Writes a checkpoint, then deletes all but the newest two.

        Raises:
            StorageError: If the disk refuses; the checkpoints before are intact.
        """
        self._folder.mkdir(exist_ok=True)
        buffer = io.BytesIO()
        named = {
            f"{group}.{n}": values
            for group in _GROUPS
            for n, values in enumerate(getattr(checkpoint, group))
        }
        np.savez(buffer, allow_pickle=False, **named)
        progress = checkpoint.progress
        path = self._folder / f"{progress.stage}-{progress.epoch:06d}{_SUFFIX}"
        write_checksummed(path, progress, buffer.getvalue())
        for old in self._paths()[:-KEPT]:
            old.unlink(missing_ok=True)

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to go on from."""
        return not self._paths()

    def load(self) -> Checkpoint | None:
        """The newest whole checkpoint; damaged ones are deleted with one warning each."""
        # What a kill in the middle of a write left.
        for half in self._folder.glob(f".*{_SUFFIX}.*"):
            half.unlink(missing_ok=True)
        for path in reversed(self._paths()):
            try:
                progress, payload = map_checksummed(path, Progress)
                with np.load(io.BytesIO(payload.tobytes()), allow_pickle=False) as stored:
                    return Checkpoint(
                        progress,
                        *(_collect(stored, group) for group in _GROUPS),
                    )
            except (OSError, ValueError) as error:
                _log.warning("discarding the damaged checkpoint %s (%s)", path, error)
                path.unlink(missing_ok=True)
        return None

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob(f"*{_SUFFIX}"))


def _collect(stored: "np.lib.npyio.NpzFile", name: str) -> Arrays:
    count = sum(key.startswith(f"{name}.") for key in stored)
    return [stored[f"{name}.{n}"] for n in range(count)]
