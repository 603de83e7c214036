"""Which files a data set names: a folder of classes, or a table of paths and labels."""

import os
import re
from pathlib import Path
from typing import Literal

import msgspec

from edgetl.dataset.walking import Walk
from edgetl_runtime.errors import DatasetError

Split = Literal["train", "val", "test"]
SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "dev": "val",
    "development": "val",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
    "holdout": "test",
}
# `training_set`, `test-images`, `seg_train`: words that say nothing of the part.
_FILLERS = re.compile(r"\d+|set|data|dataset|images?|imgs?|photos?|pictures?|split|seg|the")
_WORD = re.compile(r"[^\W_\d]+|\d+")
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
        left_out: Hidden files and folders, runs and bundles of ours, and why they are not read.
    """

    root: Path
    labels: tuple[str, ...]
    files: list[Listed]
    unknown: list[Listed] = []
    repeated: list[tuple[Path, str]] = []
    left_out: list[tuple[Path, str]] = []


def list_folder(root: Path) -> Listing:
    """Lists `CLASS/...` or `{train,val,test}/CLASS/...`; sub-folders of a class are read, too.

    A folder `_unknown_` beside class folders, or beside `train`, holds photos of other things;
    one called `_unsorted_` must be empty. Hidden folders, runs and bundles of edgetl are left out.

    Raises:
        DatasetError: If a folder is unreadable, there are no class folders, or it is not plain
            which folders are classes and which are splits.
    """
    root = Path(os.path.abspath(root)).resolve()
    if not root.is_dir():
        raise DatasetError(f"{root} is no folder; expected {EXPECTED}")
    walk = Walk()
    _refuse_unsorted(root)
    labels: set[str] = set()
    files: list[Listed] = []
    parts = split_folders(root, walk)
    for split, folder in parts:
        for entry in _class_folders(folder, walk):
            label = check_label(entry.name, str(entry))
            found = walk.files(entry)
            # A folder with nothing in it but what is left out, such as `runs`, is no class.
            if found or not _holds(entry, walk):
                labels.add(label)
            files += [Listed(path, label, split) for path in found]
    unknown = [
        Listed(path, UNKNOWN)
        for holder in dict.fromkeys([root, *(folder for _, folder in parts)])
        if (folder := holder / UNKNOWN).is_dir()
        for path in walk.files(folder)
    ]
    return Listing(root, tuple(sorted(labels)), files, unknown, left_out=walk.left_out)


def _holds(folder: Path, walk: Walk) -> bool:
    return any(path.is_relative_to(folder) for path, _ in walk.left_out)


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


def name_split(name: str) -> Split | None:
    """The part that a folder's name says, such as `train` of `Training_Set`; None: it says none."""
    words = [word.lower() for word in _WORD.findall(name)]
    words = [re.sub(r"(?<=.)(set|data)$", "", word) for word in words]
    telling = [word for word in words if not _FILLERS.fullmatch(word)]
    return SPLIT_NAMES.get(telling[0]) if len(telling) == 1 else None


def split_folders(root: Path, walk: Walk) -> list[tuple[Split | None, Path]]:
    """The folders that hold class folders, with the part that each names.

    Raises:
        DatasetError: If some are named like parts of the data, and others are not.
    """
    folders = _without_unknown(walk.folders(root))
    named = {folder: part for folder in folders if (part := name_split(folder.name))}
    # A class may be called `train`, such as beside `bus`.
    if len(set(named.values())) < 2 and set(named) != set(folders):
        _refuse_parts_of_classes(root, folders, walk)
        return [(None, root)]
    if not named or not any(walk.folders(folder) for folder in named):
        return [(None, root)]
    others = [folder.name for folder in folders if folder not in named and walk.files(folder)]
    if others or "train" not in named.values():
        parts = ", ".join(sorted(folder.name for folder in named))
        problem = f"and {', '.join(others)}" if others else "but none for training"
        raise DatasetError(
            f"{root} holds {parts}, which look like parts of the data, {problem}; rename the "
            "folders to train, val and test, or move the others away"
        )
    return [(part, folder) for folder, part in named.items()]


def _refuse_parts_of_classes(root: Path, classes: list[Path], walk: Walk) -> None:
    """`CLASS/train/...` would put the photos of all parts into one heap."""
    parts = [{name_split(folder.name) for folder in walk.folders(one)} for one in classes]
    if parts and all(one >= {"train"} and len(one - {None}) > 1 for one in parts):
        raise DatasetError(
            f"{root} holds class folders which hold train and other parts each; turn it round: "
            "{train,val,test}/CLASS/photo.jpg"
        )


def _class_folders(folder: Path, walk: Walk) -> list[Path]:
    if classes := _without_unknown(walk.folders(folder)):
        return classes
    raise DatasetError(f"{folder} has no class folders; expected {folder.name}/CLASS/photo.jpg")


def _without_unknown(folders: list[Path]) -> list[Path]:
    return [folder for folder in folders if folder.name not in (UNKNOWN, UNSORTED)]


def _refuse_unsorted(root: Path) -> None:
    """Photos that nobody has sorted would be a class of their own."""
    folder = root / UNSORTED
    waiting = len(Walk().files(folder)) if folder.is_dir() else 0
    if waiting:
        raise DatasetError(
            f"{folder} holds {waiting} photos that nobody has sorted: move each to the folder of "
            f"its class, to {UNKNOWN} if it is none, or delete it"
        )
