"""Which split a photo is in: it follows from the photo's content, not from its neighbours."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal

from edgetl.dataset.labels import UNKNOWN
from edgetl.dataset.photo import Photo
from edgetl.dataset.split_folders import Split

Half = Literal["choose", "measure"]


def choose_splits(
    photos: Sequence[Photo], val_fraction: float, test_fraction: float, seed: int
) -> list[Split]:
    """Chooses the split of each photo.

    Photos whose folder names a split keep it, but for those in `train` where there is no `val`.
    Among the others a group stays together; its place follows from the hash of its name, so that
    a photo more or less moves no other group. Where a class would have no photo in a part, its
    group nearest to that part is moved there; a class that is one single group, such as the
    frames of one fixed camera, is split by content instead.

    Returns:
        One part a photo, in order.
    """
    given_val = any(photo.split == "val" for photo in photos)
    given = any(photo.split for photo in photos)
    wanted = 2 if given or not test_fraction else 3
    free = [p for p in photos if p.split is None or (p.split == "train" and not given_val)]
    members = _choose_members(free, wanted)
    by_label: dict[str, set[str]] = defaultdict(set)
    for photo in free:
        by_label[photo.label].add(members[photo.sha256])
    chosen = _split(by_label, val_fraction, 0.0 if given else test_fraction, seed)
    is_free = {id(photo) for photo in free}
    return [
        chosen[members[photo.sha256]] if id(photo) in is_free else photo.split or "train"
        for photo in photos
    ]


def halve(contents: Iterable[str], seed: int) -> dict[str, Half]:
    """Divides unknown photos by content, as `choose_splits` divides those of a class.

    Returns:
        SHA-256 -> what the photo does to the reject threshold; neither half is empty where there
        are two contents, and a single one chooses.
    """
    parts = _split({UNKNOWN: set(contents)}, 0.5, 0.0, seed)
    return {sha: "choose" if part == "val" else "measure" for sha, part in parts.items()}


def _choose_members(photos: Sequence[Photo], wanted: int) -> dict[str, str]:
    """What moves as one, by content: the group, or the content where a class has too few groups."""
    groups: dict[str, set[str]] = defaultdict(set)
    for photo in photos:
        groups[photo.label].add(photo.group)
    dissolved = {name for names in groups.values() if len(names) < wanted for name in names}
    return {
        photo.sha256: photo.sha256 if photo.group in dissolved else photo.group for photo in photos
    }


def _split(
    by_label: dict[str, set[str]], val_fraction: float, test_fraction: float, seed: int
) -> dict[str, Split]:
    """Assigns members to splits; one member may be of one class or of several."""
    owners = Counter(member for members in by_label.values() for member in members)
    position = {member: _position(member, seed) for member in owners}
    chosen: dict[str, Split] = {}
    for member, place in position.items():
        chosen[member] = "train"
        if place < val_fraction:
            chosen[member] = "val"
        elif place < val_fraction + test_fraction:
            chosen[member] = "test"
    forced: list[tuple[int, Split]] = [(0, "val"), (-1, "train")]
    if test_fraction:
        forced.insert(1, (1, "test"))
    for members in by_label.values():
        # What lies in two classes stays where its hash says: another class counts on it.
        own = sorted((one for one in members if owners[one] == 1), key=lambda one: position[one])
        for rank, split in forced:
            if len(own) > abs(rank) and all(chosen[one] != split for one in members):
                chosen[own[rank]] = split
    return chosen


def _position(member: str, seed: int) -> float:
    """A number in 0..1 that depends on content and seed only."""
    return int(hashlib.sha256(f"{seed}:{member}".encode()).hexdigest()[:13], 16) / 16**13
