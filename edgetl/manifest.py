"""The data set: which photos, which labels, which part; nothing of it is ever written to."""

import hashlib
import os
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import msgspec

from edgetl.verification import Verdict, verify_file
from edgetl_export.progress import Track, silent
from edgetl_runtime.errors import DatasetError

FORMAT_VERSION = 1
MIN_PHOTOS_A_CLASS = 3
Split = Literal["train", "val", "test"]
_SPLIT_FOLDERS: dict[str, Split] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


class Example(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One photo: path relative to the data folder, label, part, and the hash of its bytes."""

    path: str
    label: str
    split: Split
    sha256: str


class Skipped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file that is not used, and why."""

    path: str
    reason: str


class DatasetManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every file of the data folder, used or not.

    Attributes:
        format_version: Of this file.
        root: Absolute path of the data folder.
        labels: Sorted; the order of the model's output.
        examples: Sorted by path. Photos with the same bytes are in the same part.
        skipped: Sorted by path.
        seed: Chose the parts.
    """

    format_version: int
    root: str
    labels: tuple[str, ...]
    examples: tuple[Example, ...]
    skipped: tuple[Skipped, ...]
    seed: int

    @property
    def digest(self) -> str:
        """SHA-256 over labels and examples; equal for equal photos wherever they lie."""
        return hashlib.sha256(msgspec.json.encode((self.labels, self.examples))).hexdigest()

    def part(self, *splits: Split) -> tuple[Example, ...]:
        """The examples of the given parts, in order."""
        return tuple(example for example in self.examples if example.split in splits)

    def file(self, example: Example) -> Path:
        """Where an example's photo lies."""
        return Path(self.root) / example.path

    def index(self, example: Example) -> int:
        """The position of an example's label in the model's output."""
        return self.labels.index(example.label)


class _Photo(msgspec.Struct, frozen=True):
    path: Path
    label: str
    split: Split | None
    verdict: Verdict


class _Found(msgspec.Struct, frozen=True):
    """What lies in a data folder; `leaks` are validation photos that `train` holds, too."""

    root: Path
    labels: tuple[str, ...]
    usable: list[_Photo]
    faulty: list[_Photo]
    leaks: list[_Photo]


def scan(
    root: Path,
    *,
    val_fraction: float = 0.2,
    test_fraction: float = 0.0,
    seed: int = 0,
    track: Track = silent,
) -> DatasetManifest:
    """Reads a data folder to train on, `class/*.jpg` or `{train,val,test}/class/*.jpg`.

    Each photo is decoded fully. The part of a photo follows from the hash of its bytes, so that
    a new photo moves no old one; only where a class would have no validation photo at all is
    the nearest one taken.

    Args:
        root: The data folder; sub-folders of a class are read, too.
        val_fraction: Share for validation, where the folders do not say, above 0 and below 1.
        test_fraction: Share for testing, from 0.
        seed: Another seed gives other parts.
        track: Shows progress.

    Raises:
        DatasetError: If a folder is unreadable, or a class has fewer than 3 photos.
    """
    if not (0 < val_fraction < 1 and 0 <= test_fraction < 1 and val_fraction + test_fraction < 1):
        raise DatasetError(
            f"validation and test share must be above 0 and together below 1, got {val_fraction} "
            f"and {test_fraction}"
        )
    found = _find(root, track)
    _check_classes(found)
    parts = _choose_parts(found.usable, val_fraction, test_fraction, seed)
    manifest = _write_down(found, parts, seed)
    _check_parts(manifest)
    return manifest


def scan_to_score(root: Path, *, track: Track = silent) -> DatasetManifest:
    """Reads a data folder to score a model on: any number of classes and photos.

    Returns:
        A manifest with the parts that the folders name; photos of a plain folder are in `test`.

    Raises:
        DatasetError: If a folder is unreadable or a class is empty.
    """
    found = _find(root, track)
    return _write_down(found, {photo.path: photo.split or "test" for photo in found.usable}, 0)


def _find(root: Path, track: Track) -> _Found:
    root = root.resolve()
    files = [
        (split, label, path)
        for split, folder in _split_folders(root)
        for label, path in _class_files(folder)
    ]
    labels = tuple(sorted({label for _, label, _ in files}))
    photos = _verify(files, track)
    readable = [photo for photo in photos if photo.verdict.reason is None]
    in_train = {photo.verdict.sha256 for photo in readable if photo.split == "train"}

    def leaks(photo: _Photo) -> bool:
        return photo.split not in (None, "train") and photo.verdict.sha256 in in_train

    return _Found(
        root,
        labels,
        usable=[photo for photo in readable if not leaks(photo)],
        faulty=[photo for photo in photos if photo.verdict.reason is not None],
        leaks=[photo for photo in readable if leaks(photo)],
    )


def _write_down(found: _Found, parts: dict[Path, Split], seed: int) -> DatasetManifest:
    def relative(photo: _Photo) -> str:
        return photo.path.relative_to(found.root).as_posix()

    examples = [
        Example(relative(photo), photo.label, parts[photo.path], photo.verdict.sha256)
        for photo in found.usable
    ]
    skipped = [Skipped(relative(photo), photo.verdict.reason or "") for photo in found.faulty]
    skipped += [Skipped(relative(photo), "the same picture is in train") for photo in found.leaks]
    return DatasetManifest(
        FORMAT_VERSION,
        str(found.root),
        found.labels,
        tuple(sorted(examples, key=lambda one: one.path)),
        tuple(sorted(skipped, key=lambda one: one.path)),
        seed,
    )


def _split_folders(root: Path) -> list[tuple[Split | None, Path]]:
    folders = _subfolders(root)
    named = {folder.name.lower() for folder in folders}
    if "train" in named and named <= _SPLIT_FOLDERS.keys():
        return [(_SPLIT_FOLDERS[folder.name.lower()], folder) for folder in folders]
    return [(None, root)]


def _subfolders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DatasetError(f"{folder} is no folder; expected a folder with one folder a class")
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DatasetError(
            f"{folder} is unreadable ({error.strerror}); check its rights"
        ) from error
    return [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]


def _class_files(folder: Path) -> list[tuple[str, Path]]:
    classes = _subfolders(folder)
    if not classes:
        raise DatasetError(f"{folder} has no class folders; expected {folder.name}/CLASS/photo.jpg")
    return [(entry.name, path) for entry in classes for path in _files(entry)]


def _files(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise DatasetError(f"{error.filename} is unreadable ({error.strerror}); check its rights")

    found = [
        Path(parent) / name
        for parent, _, names in os.walk(folder, onerror=refuse)
        for name in names
    ]
    if not found:
        raise DatasetError(f"class {folder.name} is empty: put photos into {folder} or remove it")
    return sorted(found)


def _verify(files: list[tuple[Split | None, str, Path]], track: Track) -> list[_Photo]:
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        verdicts = pool.map(verify_file, [path for _, _, path in files])
        tracked = track(zip(files, verdicts, strict=True), "verifying photos", len(files))
        try:
            return [
                _Photo(path, label, split, verdict) for (split, label, path), verdict in tracked
            ]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _check_classes(found: _Found) -> None:
    if len(found.labels) < 2:
        raise DatasetError(
            f"{found.root} has the one class {found.labels[0]}; a classifier needs at least two "
            "class folders"
        )
    counts = Counter(photo.label for photo in found.usable)
    for label in found.labels:
        if counts[label] < MIN_PHOTOS_A_CLASS:
            bad = next((photo for photo in found.faulty if photo.label == label), None)
            why = f" (skipped {bad.path.name}: {bad.verdict.reason})" if bad else ""
            raise DatasetError(
                f"class {label} has {counts[label]} usable photos, at least {MIN_PHOTOS_A_CLASS} "
                f"are needed{why}; add photos or remove the folder"
            )


def _choose_parts(
    photos: list[_Photo], val_fraction: float, test_fraction: float, seed: int
) -> dict[Path, Split]:
    parts: dict[Path, Split] = {}
    by_label: dict[str, set[str]] = defaultdict(set)
    given_val = any(photo.split == "val" for photo in photos)
    for photo in photos:
        if photo.split is None or (photo.split == "train" and not given_val):
            by_label[photo.label].add(photo.verdict.sha256)
        else:
            parts[photo.path] = photo.split
    given_splits = any(photo.split for photo in photos)
    chosen = _split_hashes(by_label, val_fraction, 0.0 if given_splits else test_fraction, seed)
    free = (photo for photo in photos if photo.path not in parts)
    return parts | {photo.path: chosen[photo.verdict.sha256] for photo in free}


def _split_hashes(
    by_label: dict[str, set[str]], val_fraction: float, test_fraction: float, seed: int
) -> dict[str, Split]:
    """Assigns contents to parts; equal contents are one member, of one class or of several."""
    owners = Counter(sha for members in by_label.values() for sha in members)
    position = {sha: _position(sha, seed) for sha in owners}
    chosen: dict[str, Split] = {}
    for sha, place in position.items():
        chosen[sha] = "train"
        if place < val_fraction:
            chosen[sha] = "val"
        elif place < val_fraction + test_fraction:
            chosen[sha] = "test"
    forced: list[tuple[int, Split]] = [(0, "val"), (-1, "train")]
    if test_fraction:
        forced.insert(1, (1, "test"))
    for members in by_label.values():
        # A photo that lies in two classes stays where its hash says: another class counts on it.
        own = sorted((sha for sha in members if owners[sha] == 1), key=lambda sha: position[sha])
        for rank, split in forced:
            if len(own) > abs(rank) and all(chosen[sha] != split for sha in members):
                chosen[own[rank]] = split
    return chosen


def _position(sha256: str, seed: int) -> float:
    """A number in 0..1 that depends on content and seed only."""
    return int(hashlib.sha256(f"{seed}:{sha256}".encode()).hexdigest()[:13], 16) / 16**13


def _check_parts(manifest: DatasetManifest) -> None:
    for split in ("train", "val"):
        present = {example.label for example in manifest.part(split)}
        missing = [label for label in manifest.labels if label not in present]
        if missing:
            raise DatasetError(
                f"class {missing[0]} has no photo in the {split} part (photos with the same bytes "
                "stay together); add different photos"
            )
