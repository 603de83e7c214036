"""The model store: there is always one that works.

    state_dir/models/<sha256>/      verified copies of bundles, named by the hash of bundle.json
    state_dir/models/<sha256>.overlay/  what the page was taught, where it is kept here
    state_dir/models.json           which one runs, which one before, which ones are bad

A new bundle is copied and verified, tried in a child process, and then provisional: it is trusted
after so many good answers. If it crashes the service three times before that, or its outputs are
unusable, the one before takes its place, and the bad one is refused from then on. There is at
most one such step back, since nothing lies behind it; only a person installs.
"""

import contextlib
import os
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from edgetl_runtime.bundle.reader import CHECKSUM, MANIFEST, Bundle, encode_checksum
from edgetl_runtime.errors import BundleError, ServiceError, StorageError
from edgetl_runtime.service.record import ModelRecord, read_record, write_record
from edgetl_runtime.service.trial import Trial, TrialOrder, try_bundle
from edgetl_runtime.settings.sections import ModelSettings
from edgetl_runtime.system.containers import open_container
from edgetl_runtime.system.storage import staged_folder

MOST_STARTS: Final = 3
_SPARE_BYTES: Final = 32 * 2**20
_MANIFEST_LIMIT_BYTES: Final = 16 * 2**20

# A model is called by its SHA-256, and what is on its way to be one has that in its name. What was
# learned for one lies beside it, and is not cleared away with it: people's photos are in it.
_OURS = re.compile(r"[0-9a-f]{64}")
_REMAINS = re.compile(r"\.[0-9a-f]{64}\.(?!overlay\.).+")


class ModelStore:
    """Keeps models in a folder that belongs to one service; see the module.

    Methods may be called from any thread.

    Attributes:
        folder: The state folder.
    """

    def __init__(
        self,
        folder: Path,
        model: ModelSettings | None = None,
        *,
        try_out: Callable[[TrialOrder], Trial] = try_bundle,
    ) -> None:
        """Opens a store and clears away what an interrupted installation left.

        Args:
            folder: Made if it is not there.
            model: Which engine and variant a trial is about.
            try_out: Runs the trial.

        Raises:
            StorageError: If the folder cannot be made.
        """
        self.folder = folder
        self._models = folder / "models"
        self._settings = model or ModelSettings()
        self._try_out = try_out
        self._installing = threading.Lock()
        self._lock = threading.RLock()
        self._trying: str | None = None
        try:
            if self._models.is_symlink():
                raise StorageError(
                    f"{self._models} is a link, and models are deleted in it; remove the link, or "
                    "choose another --state-dir"
                )
            self._models.mkdir(parents=True, exist_ok=True)
            self._record = read_record(folder) or ModelRecord()
            self._clear_remains()
        except OSError as error:
            raise StorageError(f"cannot use the folder {self._models} ({error})") from error

    @property
    def record(self) -> ModelRecord:
        """The current record."""
        return self._record

    def install(self, bundle: str | Path) -> Bundle:
        """Copies, verifies and tries a bundle, and makes it the current one.

        A bundle that is the current one already stays as it is.

        Returns:
            The copy in the store.

        Raises:
            BundleError: If it is damaged, or does not work on this machine.
            ServiceError: If it could not be tried.
            StorageError: If it cannot be kept, such as on a full disk.
        """
        offered = Bundle.open(bundle)
        self._refuse_bad(offered)
        # The record stays free meanwhile: the loop that gives answers must never wait for a trial.
        with self._installing:
            self._trying = offered.sha256
            try:
                copy = self._keep(offered)
                if copy.sha256 != self._record.current:
                    self._check_trial(copy, self._try_out(self._order(copy)))
                    self._promote(copy.sha256)
            finally:
                self._trying = None
        return copy

    def open(self) -> Bundle:
        """The current model, verified; the one before where that is damaged, else any.

        Raises:
            ServiceError: If the store holds no model that is whole.
            StorageError: If it cannot be noted that another one runs.
        """
        with self._lock:
            record = self._record
            known = dict.fromkeys(filter(None, [record.current, record.previous, *self._list()]))
            usable = (self._read(sha256) for sha256 in known if sha256 not in record.bad)
            whole = filter(None, usable)
            bundle = next(whole, None)
            if bundle is None:
                raise ServiceError(f"{self._models} contains no complete model; give a bundle")
            if bundle.sha256 != record.current:
                behind = next(whole, None)
                previous = behind.sha256 if behind else None
                self._write(ModelRecord(bundle.sha256, previous, bad=record.bad))
            self._clear()
            return bundle

    def begin(self) -> str | None:
        """Notes a start of the service; goes back a model after three that ended badly.

        Returns:
            Why the service went back to the model before, or None if it did not.

        Raises:
            StorageError: If it cannot be noted.
        """
        with self._lock:
            reason = None
            if self._record.starts >= MOST_STARTS and self._record.previous:
                reason = f"it crashed the service {self._record.starts} times"
                self.revert(self._record.current, reason)
            self._write(msgspec.structs.replace(self._record, starts=self._record.starts + 1))
            return reason

    def commit(self, sha256: str) -> None:
        """Trusts a model that has given enough good answers, if it is the current one.

        Raises:
            StorageError: If it cannot be noted.
        """
        with self._lock:
            if sha256 == self._record.current:
                self._write(msgspec.structs.replace(self._record, committed=True, starts=0))

    def end(self) -> None:
        """Notes that the service ended well: this start counts for nothing.

        Raises:
            StorageError: If it cannot be noted.
        """
        with self._lock:
            starts = max(0, self._record.starts - 1)
            if starts != self._record.starts:
                self._write(msgspec.structs.replace(self._record, starts=starts))

    def revert(self, sha256: str | None, reason: str) -> bool:
        """Goes back to the model before and refuses this one from now on.

        Returns:
            False, with nothing changed, if there is none before, or this one is not the current.

        Raises:
            StorageError: If it cannot be noted.
        """
        with self._lock:
            record = self._record
            if sha256 is None or sha256 != record.current or record.previous is None:
                return False
            blamed = record.condemn(sha256, reason)
            self._write(
                msgspec.structs.replace(
                    blamed, current=record.previous, previous=None, committed=True, starts=0
                )
            )
            return True

    def _refuse_bad(self, bundle: Bundle) -> None:
        reason = self._record.bad.get(bundle.sha256)
        if reason is not None:
            raise BundleError(
                f"{bundle.path} failed on this machine: {reason}; it is refused until it changes"
            )

    def _keep(self, offered: Bundle) -> Bundle:
        """The store's own verified copy."""
        existing = self._read(offered.sha256)
        if existing:
            return existing
        target = self._models / offered.sha256
        _remove(target)
        self._check_room(offered)
        with staged_folder(target, marker=MANIFEST, overwrite=True) as staging:
            _copy(offered, staging)
        copy = self._read(offered.sha256)
        if copy is None:
            raise StorageError(f"{target} is damaged right after it was written; check the disk")
        return copy

    def _check_room(self, bundle: Bundle) -> None:
        needed = sum(stored.bytes for stored in bundle.files) + _SPARE_BYTES
        try:
            # Somebody may have cleared the state folder away under a service that runs.
            self._models.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self._models).free
        except OSError as error:
            raise StorageError(f"cannot use the folder {self._models} ({error})") from error
        if free < needed:
            raise StorageError(
                f"{self._models} has {free / 2**20:.0f} MiB free, the bundle needs "
                f"{needed / 2**20:.0f} MiB; free some space"
            )

    def _order(self, bundle: Bundle) -> TrialOrder:
        settings = self._settings
        memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return TrialOrder(
            str(bundle.path), settings.engine, settings.variant, settings.threads, memory_bytes
        )

    def _check_trial(self, bundle: Bundle, trial: Trial) -> None:
        if trial.verdict == "good":
            return
        if trial.verdict == "unable":
            raise ServiceError(f"the bundle could not be tried: {trial.reason}")
        with self._lock:
            self._write(self._record.condemn(bundle.sha256, trial.reason))
            self._trying = None
            self._clear()
        raise BundleError(f"the bundle does not work on this machine: {trial.reason}")

    def _promote(self, sha256: str) -> None:
        with self._lock:
            record = self._record
            # What was never trusted is nothing to go back to.
            before = record.current if record.committed else record.previous
            previous = None if before == sha256 else before
            self._write(ModelRecord(sha256, previous, bad=record.bad))
            self._clear()

    def _write(self, record: ModelRecord) -> None:
        # In memory first: on a disk that can no longer be written, what runs is known all the same.
        self._record = record
        write_record(self.folder, record)

    def _read(self, sha256: str) -> Bundle | None:
        try:
            bundle = Bundle.open(self._models / sha256)
        except BundleError:
            return None
        return bundle if bundle.sha256 == sha256 else None

    def _list(self) -> list[str]:
        """The models, newest first.

        Raises:
            StorageError: If the folder cannot be read.
        """
        try:
            # Somebody else's folder of that name may have been chosen: what is not ours stays.
            paths = [path for path in self._models.iterdir() if _OURS.fullmatch(path.name)]
            # Not of what a link leads to, which need not exist.
            return [path.name for path in sorted(paths, key=lambda path: -path.lstat().st_mtime)]
        except OSError as error:
            raise StorageError(f"cannot read the folder {self._models} ({error})") from error

    def _clear(self) -> None:
        """Removes models that no record names."""
        kept = {self._record.current, self._record.previous, self._trying}
        for name in set(self._list()) - kept:
            _remove(self._models / name)

    def _clear_remains(self) -> None:
        """Removes what a kill left half written."""
        for path in self._models.iterdir():
            if _REMAINS.fullmatch(path.name):
                _remove(path)
        for path in self.folder.glob(".models*.json.*"):
            path.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    """A folder with all in it, or a file or link that strayed here; what stays does no harm."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        path.unlink()


def _copy(bundle: Bundle, folder: Path) -> None:
    """Writes verified bytes only: each file is read once, checked, and that is what is kept."""
    manifest = open_container(bundle.path).read(MANIFEST, _MANIFEST_LIMIT_BYTES)
    contents = {MANIFEST: manifest, CHECKSUM: encode_checksum(manifest)}
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    for stored in bundle.files:
        target = folder / stored.file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(bundle.read(stored))
