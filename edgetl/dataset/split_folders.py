"""Which folders are splits of the data, such as `train` and `test`, and which are classes."""

import re
from pathlib import Path
from typing import Literal

from edgetl.dataset.labels import UNKNOWN, UNSORTED
from edgetl.dataset.walking import Walk
from edgetl_runtime.errors import DatasetError

Split = Literal["train", "val", "test"]
_NAMES: dict[str, Split] = {
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
# `training_set`, `test-images`, `seg_train`, `x_train`: words that say nothing of the part.
_FILLERS = re.compile(r"\d+|set|data|dataset|images?|imgs?|photos?|pictures?|split|seg|the|[xy]")
_ENDINGS = re.compile(r"(?<=.)(set|data|images?|imgs?|photos?)$")
_WORD = re.compile(r"[^\W_\d]+|\d+")
# So many sub-folders of one name in each "class" are no accident.
_SHARED = 2
_SHOWN = 4


def name_split(name: str) -> Split | None:
    """The split that a folder's name says, such as `train` of `Training_Set`, or None."""
    words = [_ENDINGS.sub("", word.lower()) for word in _WORD.findall(name)]
    telling = [word for word in words if not _FILLERS.fullmatch(word)]
    return _NAMES.get(telling[0]) if len(telling) == 1 else None


def find_split_folders(root: Path, walk: Walk) -> list[tuple[Split | None, Path]]:
    """The folders that hold class folders, with the split that each names.

    Raises:
        DatasetError: If some are named like splits of the data and others are not, or splits and
            classes are the wrong way round, or there is nothing but parts without classes.
    """
    folders = class_folders(root, walk)
    named = {folder: part for folder in folders if (part := name_split(folder.name))}
    several = len(set(named.values())) > 1
    if not named or not (several or set(named) == set(folders)):
        _refuse_splits_in_classes(root, folders, walk)
        _refuse_a_folder_beside_splits(root, folders, list(named), walk)
        return [(None, root)]
    if not any(walk.folders(folder) for folder in named):
        if several and set(named) == set(folders):
            raise DatasetError(
                f"{_name(named)} of {root} are splits by their names, but contain no class "
                f"folders; put the photos into {{train,val,test}}/CLASS/, or list them in a table "
                "of path,label,split"
            )
        return [(None, root)]
    others = [folder for folder in folders if folder not in named and walk.files(folder)]
    if others:
        raise DatasetError(
            f"{root} holds {_name(named)}, which look like splits, and {_name(others)}; "
            "rename the folders to train, val and test, or move the others away"
        )
    return [(part, _unpack(folder, part, walk)) for folder, part in named.items()]


def class_folders(folder: Path, walk: Walk) -> list[Path]:
    """The sub-folders, without those whose photos are of no class."""
    return [one for one in walk.folders(folder) if one.name not in (UNKNOWN, UNSORTED)]


def find_shared_folders(classes: list[Path], walk: Walk) -> list[str]:
    """Names of sub-folders that all of several classes hold, where few others are there.

    Such "classes" are likelier splits, sessions or cameras, with the classes inside.
    """
    names = [{one.name for one in walk.folders(folder)} for folder in classes]
    shared = set.intersection(*names) if len(names) > 1 else set()
    enough = len(shared) >= _SHARED and 2 * len(shared) >= len(set.union(*names))
    return sorted(shared) if enough else []


def _refuse_a_folder_beside_splits(
    root: Path, folders: list[Path], named: list[Path], walk: Walk
) -> None:
    """`train` beside a folder of the same classes is not a class."""
    for part in named:
        inside = {one.name for one in walk.folders(part)}
        if len(beside := inside & {one.name for one in folders}) >= _SHARED:
            raise DatasetError(
                f"{part.name} of {root} holds folders with the same names as those beside it "
                f"({_list(sorted(beside))}), so it looks like a split; put the others into a "
                "folder train"
            )
        for other in folders:
            shared = inside & {one.name for one in walk.folders(other)}
            if other != part and len(shared) >= _SHARED:
                raise DatasetError(
                    f"{part.name} and {other.name} of {root} both hold {_list(sorted(shared))}, so "
                    "they look like splits; rename the folders to train, val and test, or move one "
                    "away"
                )


def _refuse_splits_in_classes(root: Path, classes: list[Path], walk: Walk) -> None:
    """`CLASS/train/...` would put the photos of all splits into one heap."""
    parts = [{name_split(folder.name) for folder in walk.folders(one)} for one in classes]
    several = all("train" in one and len(one - {None}) > 1 for one in parts)
    nothing_else = all(one and None not in one for one in parts)
    if not parts or not (several or nothing_else):
        return
    if len(classes) == 1:
        raise DatasetError(
            f"{root} holds {classes[0].name}, which holds the splits; give {classes[0]}"
        )
    raise DatasetError(
        f"{root} holds folders ({_name(classes)}) that each hold splits, such as train; swap the "
        "levels: {train,val,test}/CLASS/photo.jpg"
    )


def _unpack(folder: Path, part: Split, walk: Walk) -> Path:
    """Archives often unpack to `seg_train/seg_train/CLASS`."""
    inside = walk.folders(folder)
    if len(inside) == 1 and name_split(inside[0].name) == part and walk.folders(inside[0]):
        return _unpack(inside[0], part, walk)
    return folder


def _name(folders: "list[Path] | dict[Path, Split]") -> str:
    return _list([folder.name for folder in sorted(folders)])


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
