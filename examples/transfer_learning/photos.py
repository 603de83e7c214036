"""Class folders to train on, made from the user's copy of a data set, which is only read.

What is chosen lies beside --out: links to the user's photos, or PNG files where the data set has
no picture files at all.
"""

import hashlib
import os
import shutil
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import msgspec

from edgetl.dataset.listing import list_folder
from edgetl.dataset.photo import Photo
from edgetl_runtime.errors import DatasetError
from edgetl_runtime.system.storage import staged_folder

MARKER = ".chosen.json"


class Choice(msgspec.Struct, frozen=True):
    """What a folder of chosen photos was made from; an equal one is used again."""

    source: str
    photos_a_class: int
    seed: int
    names: dict[str, str]
    digest: str


def find_inside(data: Path, *names: str) -> Path:
    """The folder of one of these names inside `data`, as archives unpack it, or `data` itself."""
    return next((data / name for name in names if (data / name).is_dir()), data)


def choose_photos(
    data: Path, out: Path, photos_a_class: int, seed: int, names: Mapping[str, str] | None = None
) -> Path:
    """Chooses photos of each class, and gives classes other names.

    Args:
        data: CLASS/photo.jpg or {train,val,test}/CLASS/photo.jpg.
        out: The experiment's folder; links are made beside it.
        photos_a_class: At most so many of each class and part; 0: all.
        seed: Another one chooses others.
        names: Folder -> label; a folder that is not among them keeps its name.

    Returns:
        A folder to train on; `data` itself where nothing changes.

    Raises:
        DatasetError: If it holds no class folders.
        StorageError: If links cannot be made.
    """
    check_count(photos_a_class)
    listing = list_folder(data)
    renamed = {label: (names or {}).get(label, label) for label in listing.labels}
    _check_merged(renamed)
    chosen = _choose(listing.photos, photos_a_class, seed)
    if len(chosen) == len(listing.photos) and all(old == new for old, new in renamed.items()):
        return data
    targets = {_target(one, renamed[one.label]): one.file for one in chosen}
    digest = hashlib.sha256("\n".join(sorted(targets)).encode("utf-8", "surrogateescape"))
    choice = Choice(str(listing.root), photos_a_class, seed, renamed, digest.hexdigest())
    folder = beside(out, "photos")
    if not is_made(folder, choice):
        with staged_folder(folder, marker=MARKER, overwrite=True) as staging:
            for target, source in targets.items():
                _link(source, staging / target)
            mark(staging, choice)
    return folder


def beside(out: Path, suffix: str) -> Path:
    """A folder beside --out, such as runs/cifar10-photos."""
    return out.with_name(f"{out.name}-{suffix}")


def is_made(folder: Path, choice: Choice) -> bool:
    """True if an earlier call made this folder of the same choice."""
    try:
        return msgspec.json.decode((folder / MARKER).read_bytes(), type=Choice) == choice
    except (OSError, msgspec.MsgspecError):
        return False


def mark(folder: Path, choice: Choice) -> None:
    """Notes in a finished folder what it was made from."""
    (folder / MARKER).write_bytes(msgspec.json.encode(choice))


def check_count(photos_a_class: int) -> None:
    """Refuses a number of photos that leaves nothing to validate on.

    Raises:
        DatasetError: With what is allowed.
    """
    if photos_a_class < 0 or 0 < photos_a_class < 3:
        raise DatasetError(
            f"--photos-a-class {photos_a_class} is too few to learn from and to validate on; "
            "allowed are 3 and more, or 0 for all"
        )


def _choose(photos: list[Photo], count: int, seed: int) -> list[Photo]:
    """By the hash of seed and path, so that a file more or less moves hardly any other."""

    def rank(one: Photo) -> bytes:
        return hashlib.sha256(f"{seed}:{one.path}".encode()).digest()

    groups: dict[tuple[str | None, str], list[Photo]] = defaultdict(list)
    for one in photos:
        groups[one.split, one.label].append(one)
    return [one for own in groups.values() for one in sorted(own, key=rank)[: count or None]]


def _check_merged(renamed: Mapping[str, str]) -> None:
    if len(set(renamed.values())) < len(renamed):
        double = next(new for new in renamed.values() if list(renamed.values()).count(new) > 1)
        folders = ", ".join(old for old, new in renamed.items() if new == double)
        raise DatasetError(f"the folders {folders} all mean {double}; keep one of them")


def _target(one: Photo, label: str) -> str:
    """PART/CLASS/name; what lies in sub-folders gets their names in front."""
    inside = one.path.split("/")
    name = "__".join(inside[2 if one.split else 1 :])
    return "/".join(part for part in (one.split, label, name) if part)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.symlink(source, target)
    except OSError:
        # Windows lets only some users make links.
        print(f"copying {source.name}: no links here", file=sys.stderr)
        shutil.copyfile(source, target)
