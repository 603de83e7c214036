"""Photos without labels, such as a camera kept: what a teacher may name and a student learn."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from edgetl.dataset.duplicates import find_links, group
from edgetl.dataset.manifest import DatasetManifest
from edgetl.dataset.photo import PhotoVerdict
from edgetl.dataset.verification import verify_file
from edgetl.dataset.walking import Walk
from edgetl_export.progress import track
from edgetl_runtime.errors import DatasetError
from edgetl_runtime.system.allotment import count_processors
from edgetl_runtime.text.wording import count_noun

_log = logging.getLogger(__name__)


class UnlabelledPhoto(msgspec.Struct, frozen=True):
    """One photo without a label.

    Attributes:
        file: Absolute path.
        sha256: Of its bytes.
    """

    file: Path
    sha256: str


def list_unlabelled(folder: Path, manifest: DatasetManifest) -> tuple[UnlabelledPhoto, ...]:
    """Finds the photos of a folder and all its sub-folders that a training may learn from.

    Each content counts once. Photos of the data set itself, and near-duplicates of those that a
    model is judged by, are left out.

    Args:
        folder: Any arrangement of photos.
        manifest: The data set.

    Returns:
        Sorted by `sha256`.

    Raises:
        DatasetError: If the folder cannot be read, or has no such photo.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder} is no folder; --unlabelled takes a folder of photos")
    root = folder.resolve()
    files = Walk(root).files(root)
    verdicts = _verify(files, "verifying unlabelled photos")
    known = {one.sha256 for one in manifest.examples}
    found = {
        verdict.sha256: (file, verdict)
        for file, verdict in zip(files, verdicts, strict=True)
        if verdict.reason is None and verdict.sha256 not in known
    }
    judged = _find_judged([verdict for _, verdict in found.values()], manifest)
    photos = [UnlabelledPhoto(file, sha) for sha, (file, _) in found.items() if sha not in judged]
    if judged:
        _log.warning(
            "%s of %s like validation or test photos and not used",
            "1 photo is" if len(judged) == 1 else f"{len(judged)} photos are",
            folder,
        )
    _log.info(
        "%s without labels from %s; of %s, %s",
        count_noun(len(photos), "photo"),
        folder,
        count_noun(len(files), "file"),
        _tell_unused(verdicts, known),
    )
    if not photos:
        raise DatasetError(
            f"{folder} has no photo to learn from: of {count_noun(len(files), 'file')}, "
            f"{_tell_unused(verdicts, known)}"
        )
    return tuple(sorted(photos, key=lambda one: one.sha256))


def _tell_unused(verdicts: Sequence[PhotoVerdict], known: set[str]) -> str:
    unreadable = sum(one.reason is not None for one in verdicts)
    already = sum(one.reason is None and one.sha256 in known for one in verdicts)
    return f"{unreadable} cannot be read as photos, {already} are already in the data set"


def _verify(files: Sequence[Path], description: str) -> list[PhotoVerdict]:
    with ThreadPoolExecutor(max_workers=count_processors()) as pool:
        return [*track(pool.map(verify_file, files), description, len(files))]


def _find_judged(verdicts: Sequence[PhotoVerdict], manifest: DatasetManifest) -> set[str]:
    """Contents that are near-duplicates of validation or test photos, also through one another."""
    files = [manifest.file(one) for one in manifest.select("val", "test")]
    held = _verify(files, "comparing with validation photos")
    looks = [one.thumbnail for one in (*held, *verdicts) if one.thumbnail is not None]
    names = [one.sha256 for one in (*held, *verdicts) if one.thumbnail is not None]
    barrier = len([one for one in held if one.thumbnail is not None])
    groups = group(len(looks), find_links(looks))
    taken = {groups[n] for n in range(barrier)}
    return {names[n] for n in range(barrier, len(names)) if groups[n] in taken}
