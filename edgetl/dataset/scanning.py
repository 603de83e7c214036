"""One look at every photo of a data set: is it whole, and which others are the same image?"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from edgetl.dataset.duplicates import Link, find_links, group
from edgetl.dataset.labels import UNKNOWN
from edgetl.dataset.listing import LayoutDoubt, Listing
from edgetl.dataset.photo import Photo, PhotoVerdict, Thumbnail, show_path
from edgetl.dataset.tables import list_data
from edgetl.dataset.verification import verify_file
from edgetl_export.progress import track
from edgetl_runtime.system.allotment import count_processors

IN_TRAIN = "the same image is in train"
IN_CLASS = "the same image is in a class"


class Scanned(msgspec.Struct, frozen=True, eq=False):
    """The content of a data set.

    Attributes:
        root: Absolute path of the data folder, or of the folder that holds the table.
        labels: Sorted; classes without a file are among them.
        usable: Whole photos.
        faulty: Files that are none; `verdict.reason` says why.
        leaks: Whole photos of `val` and `test` whose very bytes are in `train`, too.
        unknown: Whole photos of other things.
        misplaced: Whole photos of `_unknown_` whose very bytes are in a class, too.
        repeated: Paths that a table names again, and why that row is not used.
        left_out: What is not a photo by its name or place, and why it was not read.
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
    doubts: list[LayoutDoubt]
    groups: dict[str, str]
    hashes: list[str]
    links: list[Link]


def scan_photos(data: Path | Listing) -> Scanned:
    """Lists a data folder or table, decodes every photo and finds near-duplicates.

    Args:
        data: Folder, table, or what `list_data` found there.

    Raises:
        DatasetError: If `data` cannot be read, or has no class at all.
    """
    listing = data if isinstance(data, Listing) else list_data(data)
    photos = _verify(listing)
    readable = [photo for photo in photos if photo.is_usable and photo.label != UNKNOWN]
    unknown = [photo for photo in photos if photo.is_usable and photo.label == UNKNOWN]
    thumbnails = {photo.sha256: photo.verdict.thumbnail for photo in readable}
    hashes, links = _link(thumbnails)
    names = [hashes[n] for n in group(len(hashes), links)]
    groups = dict(zip(hashes, names, strict=True))
    grouped = [msgspec.structs.replace(one, group=groups[one.sha256]) for one in readable]
    in_train = {photo.sha256 for photo in readable if photo.split == "train"}

    def leaks(photo: Photo) -> bool:
        return photo.split not in (None, "train") and photo.sha256 in in_train

    return Scanned(
        root=listing.root,
        labels=listing.labels,
        usable=[photo for photo in grouped if not leaks(photo)],
        faulty=[photo for photo in photos if not photo.is_usable],
        leaks=[photo for photo in grouped if leaks(photo)],
        unknown=[photo for photo in unknown if photo.sha256 not in thumbnails],
        misplaced=[photo for photo in unknown if photo.sha256 in thumbnails],
        repeated=[(show_path(file, listing.root), why) for file, why in listing.repeated],
        left_out=[(show_path(file, listing.root), why) for file, why in listing.left_out],
        doubts=listing.doubts,
        groups=groups,
        hashes=hashes,
        links=links,
    )


def _link(thumbnails: dict[str, Thumbnail | None]) -> tuple[list[str], list[Link]]:
    """Contents in order of their hash, so that the smallest of a group is its first."""
    hashes = sorted(thumbnails)
    looks: Sequence[Thumbnail] = [
        thumbnail for sha in hashes if (thumbnail := thumbnails[sha]) is not None
    ]
    return hashes, find_links(looks)


def _verify(listing: Listing) -> list[Photo]:
    photos = [*listing.photos, *listing.unknown]
    with ThreadPoolExecutor(max_workers=count_processors()) as pool:
        verdicts = pool.map(_verify_one, photos)
        tracked = track(zip(photos, verdicts, strict=True), "verifying photos", len(photos))
        try:
            return [msgspec.structs.replace(photo, verdict=verdict) for photo, verdict in tracked]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _verify_one(photo: Photo) -> PhotoVerdict:
    if not photo.file.as_posix().endswith(photo.path):
        return PhotoVerdict("", "its name is not UTF-8; rename it")
    return verify_file(photo.file)
