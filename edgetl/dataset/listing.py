"""Which files a folder of classes names."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from edgetl.dataset.labels import UNKNOWN, UNSORTED, check_label, find_twin
from edgetl.dataset.photo import Photo
from edgetl.dataset.split_folders import (
    class_folders,
    find_shared_folders,
    find_split_folders,
    name_split,
)
from edgetl.dataset.walking import LOOSE, Walk, name_ours
from edgetl_runtime.errors import DatasetError
from edgetl_runtime.text.wording import count_noun

EXPECTED = "CLASS/photo.jpg, {train,val,test}/CLASS/photo.jpg, or a .csv or .jsonl of path,label"
_SHOWN = 4


class LayoutDoubt(msgspec.Struct, frozen=True):
    """An ambiguity: one sentence about it, and one on what to do."""

    what: str
    advice: str


class Listing(msgspec.Struct, frozen=True):
    """All that a data set names.

    Attributes:
        root: Absolute; every path lies in it.
        labels: Sorted; classes without a file are among them.
        photos: Files of a class, in the order in which they were found.
        unknown: Files of `_unknown_`, which is not a class, in the same order.
        repeated: Paths that a table names again, and why that row is not used.
        left_out: Hidden files and folders, runs and bundles of ours, and why they are not read.
        doubts: About the folders.
    """

    root: Path
    labels: tuple[str, ...]
    photos: list[Photo]
    unknown: list[Photo] = []
    repeated: list[tuple[Path, str]] = []
    left_out: list[tuple[Path, str]] = []
    doubts: list[LayoutDoubt] = []


def list_folder(root: Path) -> Listing:
    """Lists `CLASS/...` or `{train,val,test}/CLASS/...`; sub-folders of a class are read, too.

    A folder `_unknown_` beside class folders, or beside `train`, holds photos of other things;
    one called `_unsorted_` must be empty. Hidden folders, runs and bundles of edgetl are left out.

    Raises:
        DatasetError: If a folder is unreadable, there are no class folders, it is not plain
            which folders are classes and which are splits, or a label has two spellings.
    """
    root = Path(os.path.abspath(root)).resolve()
    _check_root(root)
    walk = Walk(root)
    labels: dict[str, Path] = {}
    photos: list[Photo] = []
    doubts: list[LayoutDoubt] = []
    parts = find_split_folders(root, walk)
    holders = list(dict.fromkeys([root, *(folder for _, folder in parts)]))
    for holder in holders:
        _refuse_unsorted(holder)
    for split, folder in parts:
        classes = _list_classes(folder, walk)
        doubts += _doubt_classes(folder, classes, walk)
        for entry in classes:
            label = check_label(entry.name, str(entry))
            found = walk.files(entry)
            # A folder with nothing in it but what is left out, such as `runs`, is not a class.
            if found or not _holds(entry, walk):
                _check_spelling(label, entry, labels)
                labels.setdefault(label, entry)
            photos += [Photo.list(path, root, label, split) for path in found]
    unknown = [
        Photo.list(path, root, UNKNOWN)
        for holder in holders
        if (folder := holder / UNKNOWN).is_dir()
        for path in walk.files(folder)
    ]
    for holder in holders:
        walk.leave_files(holder, LOOSE)
    return Listing(
        root, tuple(sorted(labels)), photos, unknown, left_out=walk.left_out, doubts=doubts
    )


def show_names(names: Iterable[str]) -> str:
    """The first few, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more


def _check_root(root: Path) -> None:
    if not root.is_dir():
        raise DatasetError(f"{root} is not a folder; expected {EXPECTED}")
    if what := name_ours(root):
        raise DatasetError(f"{root} is {what}, not a folder of photos; expected {EXPECTED}")


def _refuse_unsorted(holder: Path) -> None:
    """Refuses unsorted photos, which would become a class."""
    folder = holder / UNSORTED
    waiting = len(Walk(holder).files(folder)) if folder.is_dir() else 0
    if waiting:
        raise DatasetError(
            f"{folder} holds {count_noun(waiting, 'photo')} to sort: move each to the folder of "
            f"its class, to {UNKNOWN} if it has none, or delete it"
        )


def _list_classes(folder: Path, walk: Walk) -> list[Path]:
    if classes := class_folders(folder, walk):
        return classes
    raise DatasetError(
        f"{folder} has no class folders; expected {folder.name}/CLASS/photo.jpg (photos without a "
        "label cannot be used here: move them away)"
    )


def _check_spelling(label: str, folder: Path, labels: dict[str, Path]) -> None:
    if twin := find_twin(label, labels):
        raise DatasetError(
            f"{labels[twin]} and {folder} look like one class in two spellings, {twin} and "
            f"{label}; give both the same name, or clearly different ones"
        )


def _holds(folder: Path, walk: Walk) -> bool:
    return any(path.is_relative_to(folder) for path, _ in walk.left_out)


def _doubt_classes(folder: Path, classes: list[Path], walk: Walk) -> Iterator[LayoutDoubt]:
    """Class folders that look like something else."""
    names = show_names(one.name for one in classes)
    if shared := find_shared_folders(classes, walk):
        yield LayoutDoubt(
            f"the class folders of {folder.name} ({names}) all contain folders with the same names "
            f"({show_names(shared)})",
            f"If {show_names(shared)} are the classes, swap the levels: CLASS/.../photo.jpg",
        )
        return
    parts = [one.name for one in classes if name_split(one.name) and walk.holds_files(one)]
    if parts and len(classes) > 1:
        taken = "is treated as a class" if len(parts) == 1 else "are treated as classes"
        what = "it is a split" if len(parts) == 1 else "they are splits"
        yield LayoutDoubt(
            f"{show_names(parts)} of {folder.name} {taken}",
            f"If {what} of the data, put the photos into {{train,val,test}}/CLASS/.",
        )
    for one in classes:
        inside = [inner.name for inner in walk.folders(one)]
        unusual = len(inside) > 1 and (len(classes) == 1 or name_split(one.name))
        if unusual and not walk.holds_files(one):
            yield LayoutDoubt(
                f"{one.name} is treated as a class, but contains only folders "
                f"({show_names(inside)})",
                f"If those are the classes, give {one}, or move the folders beside it away.",
            )
