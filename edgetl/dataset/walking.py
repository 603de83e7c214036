"""Walks a folder of photos, without hidden, system and generated files."""

import os
import re
from pathlib import Path

from edgetl_runtime.errors import DatasetError
from edgetl_runtime.image.folders import is_hidden

# A file that only a folder of ours holds, and what that folder is.
_OURS = {
    "run.json": "an edgetl run",
    "unfinished.json": "an unfinished edgetl run",
    "bundle.json": "an edgetl bundle",
    "edgetl-demo.json": "an edgetl demo",
}
_UNFINISHED = ".unfinished"
# Written by `edgetl-run --collect`, such as 000000042_rejected_gear.json.
_COLLECTED_RECORD = re.compile(r"\d{9}_[\w-]*\.json", re.ASCII)
_COLLECTED = "a folder that edgetl-run collected; edgetl data import sorts it"
HIDDEN = "a hidden or system file"
HIDDEN_FOLDER = "a hidden or system folder"
LOOSE = "it is not in a class folder"
_READ = "a link to a folder that is already read, or to a parent of it"


class Walk:
    """Looks into folders, and remembers what is left out."""

    def __init__(self, root: Path) -> None:
        """Nothing was looked at yet.

        Args:
            root: Links to folders in it are not followed: they are read where they lie.
        """
        self._root = os.path.realpath(root)
        self._left_out: dict[Path, str] = {}
        self._read: set[str] = set()
        self._found: dict[Path, tuple[list[Path], list[Path]]] = {}

    @property
    def left_out(self) -> list[tuple[Path, str]]:
        """Files and folders that are not read, and why."""
        return list(self._left_out.items())

    def folders(self, folder: Path) -> list[Path]:
        """The sub-folders that photos may lie in, sorted.

        Raises:
            DatasetError: If the folder is unreadable.
        """
        return self._entries(folder)[0]

    def files(self, folder: Path) -> list[Path]:
        """All files in a folder and below, sorted; links to folders are followed once.

        Raises:
            DatasetError: If a folder is unreadable.
        """
        found: list[Path] = []
        links: list[Path] = []
        waiting = [folder]
        while waiting or links:
            # Links come last: what lies in the folder itself is read where it lies.
            current = waiting.pop() if waiting else links.pop(0)
            if self._was_read(current):
                self._leave(current, _READ)
                continue
            folders, files = self._entries(current)
            found += files
            links += [one for one in folders if one.is_symlink()]
            waiting += [one for one in folders if not one.is_symlink()]
        return sorted(found)

    def holds_files(self, folder: Path) -> bool:
        """Whether files lie in the folder itself."""
        return bool(self._entries(folder)[1])

    def leave_files(self, folder: Path, reason: str) -> None:
        """Remembers the files in the folder itself as left out."""
        for path in self._entries(folder)[1]:
            self._leave(path, reason)

    def _was_read(self, folder: Path) -> bool:
        real = os.path.realpath(folder)
        here = os.path.realpath(folder.parent)
        around = os.path.commonpath([real, here]) == real
        was_read = around or real in self._read or self._is_inside(Path(real))
        self._read.add(real)
        return was_read and folder.is_symlink()

    def _is_inside(self, real: Path) -> bool:
        if not real.is_relative_to(self._root):
            return False
        # What is hidden is read by way of the link only.
        return not any(is_hidden(name) for name in real.relative_to(self._root).parts)

    def _entries(self, folder: Path) -> tuple[list[Path], list[Path]]:
        """Sub-folders and files that may be used, both sorted; the disk is asked once."""
        if folder not in self._found:
            self._found[folder] = self._list(folder)
        return self._found[folder]

    def _list(self, folder: Path) -> tuple[list[Path], list[Path]]:
        folders: list[Path] = []
        files: list[Path] = []
        try:
            for entry in sorted(folder.iterdir()):
                is_folder = entry.is_dir()
                if reason := _why_not(entry, is_folder=is_folder):
                    self._leave(entry, reason)
                else:
                    (folders if is_folder else files).append(entry)
        except OSError as error:
            raise _unreadable(folder, error) from error
        return folders, files

    def _leave(self, path: Path, reason: str) -> None:
        self._left_out.setdefault(path, reason)


def is_expected(reason: str) -> bool:
    """Whether something was left out for its name or place, rather than for a fault."""
    return reason in (HIDDEN, HIDDEN_FOLDER, LOOSE, _READ, _COLLECTED, *_OURS.values())


def name_ours(folder: Path) -> str:
    """The kind of a folder that edgetl wrote, such as a run; empty for any other.

    Raises:
        DatasetError: If it is unreadable.
    """
    try:
        names = set(os.listdir(folder))
    except OSError as error:
        raise _unreadable(folder, error) from error
    if marker := next((name for name in _OURS if name in names), None):
        return _OURS[marker]
    if folder.name.endswith(_UNFINISHED) and "lock" in names:
        return _OURS["unfinished.json"]
    return _COLLECTED if any(map(_COLLECTED_RECORD.fullmatch, names)) else ""


def _unreadable(folder: Path, error: OSError) -> DatasetError:
    return DatasetError(f"{folder} is unreadable ({error.strerror}); check its permissions")


def _why_not(path: Path, *, is_folder: bool) -> str:
    """Why a file or folder is not read as photos; empty if it is."""
    if is_hidden(path.name):
        return HIDDEN_FOLDER if is_folder else HIDDEN
    return name_ours(path) if is_folder else ""
