"""The one record of a photo, from the listing to the split."""

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgetl.dataset.split_folders import Split

Thumbnail = NDArray[np.uint8]


class PhotoVerdict(msgspec.Struct, frozen=True, eq=False):
    """The result of verifying a file.

    Attributes:
        sha256: Of the bytes; empty where they were not read.
        reason: Why the file is not a usable image, or None if it is one.
        width_px: Of the upright image; 0 without one.
        height_px: Of the upright image; 0 without one.
        thumbnail: uint8 (64, 64) grey, the upright image averaged and stretched to a square, by
            which near-duplicates are found; None without an image.
        several: The file holds more images than this first one, as an animation does.
    """

    sha256: str
    reason: str | None
    width_px: int = 0
    height_px: int = 0
    thumbnail: Thumbnail | None = None
    several: bool = False


_UNSEEN = PhotoVerdict("", "it was not checked")


class Photo(msgspec.Struct, frozen=True):
    """One file that a data set names; each step adds what it finds out.

    Attributes:
        file: Absolute path.
        path: Relative to the data folder, with forward slashes; bytes of a name that are no
            UTF-8 are visible escapes.
        label: Its class, or `_unknown_`.
        split: As folders or table say; None where they do not.
        verdict: What a look at it told.
        group: SHA-256 that its near-duplicates share; empty before they were looked for.
    """

    file: Path
    path: str
    label: str
    split: Split | None = None
    verdict: PhotoVerdict = _UNSEEN
    group: str = ""

    @classmethod
    def list(cls, file: Path, root: Path, label: str, split: Split | None = None) -> "Photo":
        """A file of the data folder `root`, not looked at yet."""
        return cls(file, show_path(file, root), label, split)

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes; empty if they were not read."""
        return self.verdict.sha256

    @property
    def is_usable(self) -> bool:
        """Whether it was looked at and is a whole image."""
        return self.verdict.reason is None


def show_path(file: Path, root: Path) -> str:
    """Relative, with forward slashes; bytes of a name that are not UTF-8 become visible escapes."""
    return file.relative_to(root).as_posix().encode("utf-8", "backslashreplace").decode()
