"""One look at every photo of a data set: is it whole, and which others are the same picture?"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from edgetl.dataset.duplicates import Link, find_links, group
from edgetl.dataset.labels import UNKNOWN
from edgetl.dataset.listing import Doubt, Listed, Listing
from edgetl.dataset.parts import Split
from edgetl.dataset.tables import list_data
from edgetl.dataset.verification import Gist, Verdict, verify_file
from edgetl_export.progress import Track, silent
from edgetl_runtime.allotment import count_processors

IN_TRAIN = "the same picture is in train"
IN_CLASS = "the same picture is in a class"


class Photo(msgspec.Struct, frozen=True, eq=False):
    """One file of a data set; path relative to its root, with forward slashes."""

    path: str
    label: str
    split: Split | None
    verdict: Verdict


class Scanned(msgspec.Struct, frozen=True, eq=False):
    """What lies in a data set.

    Attributes:
        root: Absolute path of the data folder, or of the folder that holds the table.
        labels: Sorted; classes without a file are among them.
        usable: Whole photos.
        faulty: Files that are none; `verdict.reason` says why.
        leaks: Whole photos of `val` and `test` whose very bytes are in `train`, too.
        unknown: Whole photos of other things.
        misplaced: Whole photos of `_unknown_` whose very bytes are in a class, too.
        repeated: Paths that a table names again, and why that row is not used.
        left_out: What is no photo by its name or place, and why it was not read.
        doubts: About the folders.
        groups: SHA-256 -> name of the near-duplicate group, its smallest SHA-256.
        hashes: SHA-256 of each content, sorted; what `links` counts in.
        links: Near-duplicates among the contents, strongest first.
    """

    root: Path
    labels: tuple[str, ...]
    usable: list[Photo]
    faulty: list[Photo]
    leaks: list[Photo]
    unknown: list[Photo]
    misplaced: list[Photo]
    repeated: list[tuple[str, str]]
    left_out: list[tuple[str, str]]
    doubts: list[Doubt]
    groups: dict[str, str]
    hashes: list[str]
    links: list[Link]


def scan_photos(data: Path | Listing, *, track: Track = silent) -> Scanned:
    """Lists a data folder or table, decodes every photo and finds near-duplicates.

    Args:
        data: Folder, table, or what `list_data` found there.
        track: Shows progress.

    Raises:
        DatasetError: If `data` cannot be read, or has no class at all.
    """
    listing = data if isinstance(data, Listing) else list_data(data)
    photos = _verify(listing, track)
    whole = [photo for photo in photos if photo.verdict.reason is None]
    readable = [photo for photo in whole if photo.label != UNKNOWN]
    unknown = [photo for photo in whole if photo.label == UNKNOWN]
    in_train = {photo.verdict.sha256 for photo in readable if photo.split == "train"}

    def leaks(photo: Photo) -> bool:
        return photo.split not in (None, "train") and photo.verdict.sha256 in in_train

    gists = {photo.verdict.sha256: photo.verdict.gist for photo in readable}
    hashes, links = _link(gists, track)
    names = [hashes[n] for n in group(len(hashes), links)]
    return Scanned(
        root=listing.root,
        labels=listing.labels,
        usable=[photo for photo in readable if not leaks(photo)],
        faulty=[photo for photo in photos if photo.verdict.reason is not None],
        leaks=[photo for photo in readable if leaks(photo)],
        unknown=[photo for photo in unknown if photo.verdict.sha256 not in gists],
        misplaced=[photo for photo in unknown if photo.verdict.sha256 in gists],
        repeated=[(_relative(path, listing.root), why) for path, why in listing.repeated],
        left_out=[(_relative(path, listing.root), why) for path, why in listing.left_out],
        doubts=listing.doubts,
        groups=dict(zip(hashes, names, strict=True)),
        hashes=hashes,
        links=links,
    )


def _link(gists: dict[str, Gist | None], track: Track) -> tuple[list[str], list[Link]]:
    """Contents in order of their hash, so that the smallest of a group is its first."""
    hashes = sorted(gists)
    looks: Sequence[Gist] = [gist for sha in hashes if (gist := gists[sha]) is not None]
    return hashes, find_links(looks, track=track)


def _verify(listing: Listing, track: Track) -> list[Photo]:
    files = [*listing.files, *listing.unknown]
    with ThreadPoolExecutor(max_workers=count_processors()) as pool:
        verdicts = pool.map(verify_file, [listed.path for listed in files])
        tracked = track(zip(files, verdicts, strict=True), "verifying photos", len(files))
        try:
            return [_photo(listed, verdict, listing.root) for listed, verdict in tracked]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _photo(listed: Listed, verdict: Verdict, root: Path) -> Photo:
    path = _relative(listed.path, root)
    if path != listed.path.relative_to(root).as_posix():
        verdict = Verdict("", "its name is not UTF-8; rename it")
    return Photo(path, listed.label, listed.split, verdict)


def _relative(path: Path, root: Path) -> str:
    """With forward slashes; bytes of a name that are no UTF-8 become visible escapes."""
    return path.relative_to(root).as_posix().encode("utf-8", "backslashreplace").decode()
