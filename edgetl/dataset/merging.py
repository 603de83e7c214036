"""Groups of alike frames that a person has named become photos of their classes."""

import os
import re
from pathlib import Path
from typing import Final

import msgspec

from edgetl.dataset.labels import (
    MOST_NAME_BYTES,
    UNKNOWN,
    UNSORTED,
    find_obstacle,
    find_twin,
    normalize,
)
from edgetl.dataset.walking import Walk
from edgetl_runtime.errors import DatasetError, StorageError
from edgetl_runtime.image.folders import is_hidden

_GROUP: Final = re.compile(r"group-(\d{2,})(?:-(.+))?", re.ASCII | re.DOTALL)

# A slip of the pen, rather than a class.
_LIKE_A_GROUP: Final = re.compile(r"group-\d", re.ASCII)


class MergeReport(msgspec.Struct, frozen=True):
    """What was moved.

    Attributes:
        target: The folder of the import.
        moved: Photos that went into each label's folder.
        unnamed: Folders without a label, which stay.
        staying: Files that stay, since another file has their name.
        unsorted: Photos that are left in `_unsorted_`, those of `unnamed` and `staying` among them.
    """

    target: str
    moved: dict[str, int]
    unnamed: tuple[str, ...]
    staying: tuple[str, ...]
    unsorted: int = 0


def name_group(number: int, label: str) -> str:
    """The folder of a group, relative to that of the import: `_unsorted_/group-01-gear`."""
    name = f"group-{number:02d}"
    named = f"{name}-{label}"
    fits = label != UNSORTED and len(named.encode()) <= MOST_NAME_BYTES
    return f"{UNSORTED}/{named if fits else name}"


def list_groups(target: Path) -> list[Path]:
    """The folders of groups that wait for a name or a merge."""
    folder = target / UNSORTED
    found = [one for one in folder.glob("*") if _is_plain_folder(one)]
    return sorted(one for one in found if not is_hidden(one.name))


def find_folder(target: Path, label: str) -> Path:
    """The folder of a label; one that is there already may be spelled otherwise."""
    names = {normalize(path.name): path for path in sorted(target.glob("*")) if path.is_dir()}
    twin = label if label in names else find_twin(label, names)
    return names[twin] if twin else target / label


def merge_groups(target: Path) -> MergeReport:
    """Moves the photos of each group's folder into the folder of its label.

    The label is what stands after `group-01-`, or the whole name of a folder that begins
    otherwise. Nothing is overwritten.

    Raises:
        DatasetError: If there is no folder with groups, or a name cannot be a label; then nothing
            was moved.
        StorageError: If a file cannot be moved.
    """
    if not (target / UNSORTED).is_dir():
        raise DatasetError(
            f"{target} has no {UNSORTED} with groups; make them with: edgetl data import COLLECTED "
            f"--out {target} --group"
        )
    labels = {folder: _read_label(folder) for folder in list_groups(target)}
    moved: dict[str, int] = {}
    staying: list[str] = []
    for folder, label in labels.items():
        if label:
            goal = find_folder(target, label)
            count = _move(folder, goal, staying)
            moved[goal.name] = moved.get(goal.name, 0) + count
    return MergeReport(
        target=str(target),
        moved=moved,
        unnamed=tuple(folder.name for folder, label in labels.items() if not label),
        staying=tuple(staying),
        # What is counted is what training refuses.
        unsorted=len(Walk(target).files(target / UNSORTED)),
    )


def _read_label(folder: Path) -> str:
    """Empty where there is none yet."""
    match = _GROUP.fullmatch(folder.name)
    label = normalize((match[2] or "") if match else folder.name)
    obstacle = "is not a class" if label == UNSORTED else find_obstacle(label)
    if not match and _LIKE_A_GROUP.match(label):
        obstacle = "is neither group-NUMBER-LABEL, such as group-01-gear, nor a label"
    if label and label != UNKNOWN and obstacle:
        raise DatasetError(f"{folder}: the label {label!r} {obstacle}; rename the folder")
    return label


def _move(folder: Path, goal: Path, staying: list[str]) -> int:
    count = 0
    try:
        goal.mkdir(exist_ok=True)
        # A link could lead anywhere.
        if goal.is_symlink():
            raise StorageError(f"{goal} is a link; remove it")
        for file in sorted(folder.iterdir()):
            if (goal / file.name).exists() or file.is_symlink() or not file.is_file():
                staying.append(f"{folder.name}/{file.name}")
            else:
                file.rename(goal / file.name)
                count += 1
        if not os.listdir(folder):
            folder.rmdir()
    except OSError as error:
        raise StorageError(
            f"cannot move {folder} into {goal}: {error.strerror}; check permissions"
        ) from error
    return count


def _is_plain_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
