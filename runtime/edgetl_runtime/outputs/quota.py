"""Folders of numbered images that never outgrow a quota: the oldest go."""

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

import cv2
import msgspec

from edgetl_runtime.errors import OutputError, StorageError, UndeliveredError
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.system.storage import write_file

# A number, not the time, tells which is older: a board without a battery wakes up in 1970.
_OURS = re.compile(r"(\d{9})_[\w-]*\.(jpg|json)", re.ASCII)
_LEFTOVER = re.compile(r"\.\d{9}_[\w-]*\.(jpg|json)\..*", re.ASCII)
_LONGEST_WORD = 40


class _Kept(msgspec.Struct, frozen=True):
    name: str
    number: int
    bytes: int


class QuotaFolder:
    """Keeps files under names that count up: `000000042_rejected_gear.jpg`.

    All files count towards the quota, but only those with such names are ever deleted. The
    folder is looked at anew each time, so that it may be emptied or copied away at any moment,
    and that what an earlier run left counts, too.
    """

    def __init__(self, path: Path, quota_bytes: int) -> None:
        """Nothing is made or looked at yet.

        Args:
            path: The folder; is made when it is needed.
            quota_bytes: Most bytes of all files in it.
        """
        self.path = path
        self._quota_bytes = quota_bytes
        self._clean = False

    def store(self, words: tuple[str, ...], files: dict[str, bytes]) -> int:
        """Writes files that belong together, each as a whole, the first one first.

        Args:
            words: For their name.
            files: Suffix (`.jpg`, `.json`) -> content.

        Returns:
            Their number.

        Raises:
            UndeliveredError: If folder or disk refuse.
            OutputError: If files of others fill the quota.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._remove_stale()
            number = self._make_room(sum(map(len, files.values())))
            stem = "_".join([f"{number:09d}", *map(spell, words)])
            self._write({self.path / (stem + suffix): data for suffix, data in files.items()})
            return number
        except OSError as error:
            raise UndeliveredError(f"cannot write into {self.path}: {error.strerror}") from error
        except StorageError as error:
            raise UndeliveredError(str(error)) from error

    def measure(self) -> tuple[dict[int, int], int]:
        """What is there.

        Returns:
            Bytes of what has one number, by number; and how many more bytes there may be.

        Raises:
            UndeliveredError: If the folder cannot be read.
        """
        sizes: dict[int, int] = {}
        spare = self._quota_bytes
        try:
            for one in self._scan() if self.path.exists() else ():
                spare -= one.bytes
                if one.number:
                    sizes[one.number] = sizes.get(one.number, 0) + one.bytes
        except OSError as error:
            raise UndeliveredError(f"cannot read {self.path}: {error.strerror}") from error
        return sizes, spare

    def find(self, numbers: Collection[int], suffix: str) -> Iterator[tuple[int, Path]]:
        """Files with these numbers and this suffix, with their number.

        Raises:
            UndeliveredError: If the folder cannot be read.
        """
        try:
            found = list(self._scan()) if numbers else []
        except OSError as error:
            raise UndeliveredError(f"cannot read {self.path}: {error.strerror}") from error
        for one in found:
            if one.number in numbers and one.name.endswith(suffix):
                yield one.number, self.path / one.name

    def delete(self, numbers: Collection[int]) -> None:
        """Deletes all files with these numbers.

        Raises:
            UndeliveredError: If folder or disk refuse.
        """
        try:
            for suffix in (".json", ".jpg"):
                for _, path in self.find(numbers, suffix):
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise UndeliveredError(f"cannot write into {self.path}: {error.strerror}") from error

    @staticmethod
    def _write(files: dict[Path, bytes]) -> None:
        """All of them or none."""
        try:
            for path, data in files.items():
                write_file(path, data)
        except StorageError:
            for path in files:
                path.unlink(missing_ok=True)
            raise

    def _make_room(self, needed_bytes: int) -> int:
        """Deletes the oldest until there is room; returns the next number."""
        kept = list(self._scan())
        ours = sorted((one for one in kept if one.number), key=lambda one: (one.number, one.name))
        spare = self._quota_bytes - needed_bytes - sum(one.bytes for one in kept)
        if spare + sum(one.bytes for one in ours) < 0:
            raise OutputError(
                f"other files fill the quota of {self.path} "
                f"({self._quota_bytes // 10**6} MB); move them away or raise the quota"
            )
        deleted = 0
        for one in ours:
            # What belongs together goes together.
            if spare >= 0 and one.number != deleted:
                break
            (self.path / one.name).unlink(missing_ok=True)
            spare, deleted = spare + one.bytes, one.number
        return ours[-1].number + 1 if ours else 1

    def _scan(self) -> Iterator[_Kept]:
        """All files; number 0 for those of others."""
        with os.scandir(self.path) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    found = _OURS.fullmatch(entry.name)
                    yield _Kept(entry.name, int(found[1]) if found else 0, entry.stat().st_size)

    def _remove_stale(self) -> None:
        """What a power cut left half written."""
        if not self._clean:
            for path in self.path.iterdir():
                if _LEFTOVER.fullmatch(path.name):
                    path.unlink(missing_ok=True)
            self._clean = True


def spell(word: str) -> str:
    """A word for the name of a file on any system."""
    return re.sub(r"[^A-Za-z0-9-]+", "-", word)[:_LONGEST_WORD].strip("-") or "x"


def encode_jpeg(picture: Frame, quality: int) -> bytes:
    """A JPEG of an image.

    Raises:
        OutputError: If OpenCV cannot.
    """
    try:
        done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    except cv2.error as error:
        raise OutputError(f"cannot encode an image of {picture.shape}: {error.err}") from error
    if not done:
        raise OutputError(f"cannot encode an image of {picture.shape}")
    return data.tobytes()
