"""Which files a data set names: a folder of classes, or a table of paths and labels."""

import os
from pathlib import Path
from typing import Literal

import msgspec

from edgetl_runtime.errors import DatasetError

Split = Literal["train", "val", "test"]
SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
# Photos of other things than the classes: they choose and measure the reject threshold.
UNKNOWN = "_unknown_"
# Where `edgetl data import` puts photos that a person has yet to sort.
UNSORTED = "_unsorted_"
EXPECTED = "CLASS/photo.jpg, {train,val,test}/CLASS/photo.jpg, or a .csv or .jsonl of path,label"


class Listed(msgspec.Struct, frozen=True):
    """A file that a data set names; `split` is None where it does not say."""

    path: Path
    label: str
    split: Split | None = None


class Listing(msgspec.Struct, frozen=True):
    """All that a data set names.

    Attributes:
        root: Absolute; every path lies in it.
        labels: Sorted; classes without a file are among them.
        files: In the order in which they were found.
        unknown: Files of `_unknown_`, which is no class, in the same order.
        repeated: Paths that a table names again, and why that row is not used.
    """

    root: Path
    labels: tuple[str, ...]
    files: list[Listed]
    unknown: list[Listed] = []
    repeated: list[tuple[Path, str]] = []


def list_folder(root: Path) -> Listing:
    """Lists `CLASS/...` or `{train,val,test}/CLASS/...`; sub-folders of a class are read, too.

    A folder `_unknown_` beside class folders, or beside `train`, holds photos of other things;
    one called `_unsorted_` must be empty.

    Raises:
        DatasetError: If a folder is unreadable, or there are no class folders.
    """
    root = Path(os.path.abspath(root)).resolve()
    _refuse_unsorted(root)
    labels: set[str] = set()
    files: list[Listed] = []
    for split, folder in split_folders(root):
        labels |= {check_label(entry.name, str(entry)) for entry in _class_folders(folder)}
        files += [Listed(path, label, split) for label, path in class_files(folder)]
    return Listing(root, tuple(sorted(labels)), files, _list_unknown(root))


def _list_unknown(root: Path) -> list[Listed]:
    holders = dict.fromkeys([root, *(folder for _, folder in split_folders(root))])
    folders = [holder / UNKNOWN for holder in holders]
    return [
        Listed(path, UNKNOWN) for folder in folders if folder.is_dir() for path in _files(folder)
    ]


def check_label(label: str, where: str) -> str:
    """Refuses what no list of labels can hold: line breaks and other control characters.

    Raises:
        DatasetError: Naming the place.
    """
    if not label.isprintable():
        raise DatasetError(
            f"{where}: the label {label!r} has a line break or another unprintable character; "
            "rename it"
        )
    return label


def split_folders(root: Path) -> list[tuple[Split | None, Path]]:
    """The folders that hold class folders, with the part that each names."""
    folders = _without_unknown(_subfolders(root))
    named = {folder.name.lower() for folder in folders}
    if "train" in named and named <= SPLIT_NAMES.keys():
        return [(SPLIT_NAMES[folder.name.lower()], folder) for folder in folders]
    return [(None, root)]


def class_files(folder: Path) -> list[tuple[str, Path]]:
    """Label and path of every file in the class folders of a folder."""
    return [(entry.name, path) for entry in _class_folders(folder) for path in _files(entry)]


def _class_folders(folder: Path) -> list[Path]:
    if classes := _without_unknown(_subfolders(folder)):
        return classes
    raise DatasetError(f"{folder} has no class folders; expected {folder.name}/CLASS/photo.jpg")


def _without_unknown(folders: list[Path]) -> list[Path]:
    return [folder for folder in folders if folder.name not in (UNKNOWN, UNSORTED)]


def _refuse_unsorted(root: Path) -> None:
    """Photos that nobody has sorted would be a class of their own."""
    folder = root / UNSORTED
    waiting = len(_files(folder)) if folder.is_dir() else 0
    if waiting:
        raise DatasetError(
            f"{folder} holds {waiting} photos that nobody has sorted: move each to the folder of "
            f"its class, to {UNKNOWN} if it is none, or delete it"
        )


def _subfolders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DatasetError(f"{folder} is no folder; expected {EXPECTED}")
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DatasetError(
            f"{folder} is unreadable ({error.strerror}); check its rights"
        ) from error
    return [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]


def _files(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise DatasetError(f"{error.filename} is unreadable ({error.strerror}); check its rights")

    return sorted(
        Path(parent) / name
        for parent, _, names in os.walk(folder, onerror=refuse)
        for name in names
    )
