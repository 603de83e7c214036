"""What lies in a folder of photos, without what no person put there."""

import os
from pathlib import Path

from edgetl_runtime.errors import DatasetError

# A file that only a folder of ours holds, and what that folder is.
_OURS = {
    "run.json": "a run of edgetl",
    "unfinished.json": "an unfinished run of edgetl",
    "bundle.json": "a bundle of edgetl",
}
# Names in small letters; those that begin with . or @ (Synology's @eaDir) are meant, too.
_SYSTEM = {
    *("__macosx", "#recycle", "$recycle.bin", "lost+found", "system volume information"),
    *("thumbs.db", "ehthumbs.db", "desktop.ini"),
}
HIDDEN = "a hidden or system file"
HIDDEN_FOLDER = "a hidden or system folder"


class Walk:
    """Looks into folders, and remembers what is left out.

    Attributes:
        left_out: Files and folders that are not read, and why.
    """

    def __init__(self) -> None:
        """Nothing was looked at yet."""
        self.left_out: list[tuple[Path, str]] = []
        self._read: set[str] = set()

    def folders(self, folder: Path) -> list[Path]:
        """The sub-folders that photos may lie in, sorted.

        Raises:
            DatasetError: If the folder is unreadable.
        """
        return self._look(folder)[0]

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
                self._leave(current, "a link to a folder that is read already")
                continue
            folders, files = self._look(current)
            found += files
            links += [one for one in folders if one.is_symlink()]
            waiting += [one for one in folders if not one.is_symlink()]
        return sorted(found)

    def _was_read(self, folder: Path) -> bool:
        real = os.path.realpath(folder)
        here = os.path.realpath(folder.parent)
        around = folder.is_symlink() and os.path.commonpath([real, here]) == real
        was_read = around or (folder.is_symlink() and real in self._read)
        self._read.add(real)
        return was_read

    def _look(self, folder: Path) -> tuple[list[Path], list[Path]]:
        try:
            entries = sorted(folder.iterdir())
        except OSError as error:
            raise DatasetError(
                f"{folder} is unreadable ({error.strerror}); check its rights"
            ) from error
        folders: list[Path] = []
        files: list[Path] = []
        for entry in entries:
            is_folder = entry.is_dir()
            if reason := _why_not(entry, is_folder=is_folder):
                self._leave(entry, reason)
            else:
                (folders if is_folder else files).append(entry)
        return folders, files

    def _leave(self, path: Path, reason: str) -> None:
        if (path, reason) not in self.left_out:
            self.left_out.append((path, reason))


def is_hidden(path: Path) -> bool:
    """Whether a name says that a system keeps something there, rather than a person."""
    return path.name.startswith((".", "@")) or path.name.lower() in _SYSTEM


def _why_not(path: Path, *, is_folder: bool) -> str:
    """Why a file or folder is none of the photos; empty if it may be one."""
    if is_hidden(path):
        return HIDDEN_FOLDER if is_folder else HIDDEN
    if is_folder:
        return next((what for marker, what in _OURS.items() if (path / marker).is_file()), "")
    return ""
