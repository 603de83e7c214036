"""The data set: which photos, which labels, which split; nothing of it is ever written to."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec

from edgetl.dataset.listing import EXPECTED, Listing
from edgetl.dataset.photo import Photo
from edgetl.dataset.scanning import IN_CLASS, IN_TRAIN, Scanned, scan_photos
from edgetl.dataset.split_folders import Split as Split
from edgetl.dataset.splitting import Half, choose_splits, halve
from edgetl.dataset.walking import is_expected
from edgetl_runtime.errors import DatasetError

# 2: an example has a group. 3: photos of other things are listed.
FORMAT_VERSION = 3
MIN_PHOTOS_A_CLASS = 3
NO_TRAINING = "its folders or its table name splits, but none is for training; name one train"
_log = logging.getLogger(__name__)


class Example(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One photo.

    Attributes:
        path: Relative to the data folder, with forward slashes.
        label: Its class.
        split: That it is in.
        sha256: Of its bytes.
        group: The smallest `sha256` among its near-duplicates, its own where it has none.
    """

    path: str
    label: str
    split: Split
    sha256: str
    group: str


class Unknown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One photo of something that is not a class.

    Attributes:
        path: Relative to the data folder, with forward slashes.
        sha256: Of its bytes.
        half: `choose`: the reject threshold is chosen by it; `measure`: it tells how well that
            threshold does.
    """

    path: str
    sha256: str
    half: Half


class Skipped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file that is not used, and why."""

    path: str
    reason: str


class DatasetManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every file of the data set, used or not.

    Attributes:
        format_version: Of this file.
        root: Absolute path of the data folder, or of the folder that holds the table.
        labels: Sorted; the order of the model's output.
        examples: Sorted by path. Near-duplicates are in the same split, where folders or table
            do not put them elsewhere (see `leaks`).
        skipped: Sorted by path.
        seed: Chose the splits.
        unknown: Photos of other things, from `_unknown_`; sorted by path. Nothing is trained on
            them.
    """

    format_version: int
    root: str
    labels: tuple[str, ...]
    examples: tuple[Example, ...]
    skipped: tuple[Skipped, ...]
    seed: int
    unknown: tuple[Unknown, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 over labels and examples; equal for equal photos wherever they lie.

        Photos of other things do not count: what is trained does not depend on them.
        """
        return hashlib.sha256(msgspec.json.encode((self.labels, self.examples))).hexdigest()

    @property
    def unusable(self) -> tuple[Skipped, ...]:
        """Those of `skipped` that were meant to be used: no hidden files, no runs of ours."""
        return tuple(one for one in self.skipped if not is_expected(one.reason))

    def select(self, *splits: Split) -> tuple[Example, ...]:
        """The examples of the given splits, in order."""
        return tuple(example for example in self.examples if example.split in splits)

    def unknown_files(self, half: Half) -> tuple[Path, ...]:
        """Paths of the unknown photos that set, or measure, the reject threshold."""
        return tuple(Path(self.root) / one.path for one in self.unknown if one.half == half)

    def leaks(self) -> tuple[Example, ...]:
        """Examples of `val` and `test` that have a near-duplicate in `train`, in order.

        Empty where `scan` chose the parts, unless a whole class is one group; see `splitting`.
        """
        learned = {example.group for example in self.select("train")}
        return tuple(one for one in self.select("val", "test") if one.group in learned)

    def count_scenes(self, paths: Iterable[str]) -> int:
        """How many different things photos show: near-duplicates, such as a burst, count once."""
        groups = {one.path: one.group for one in self.examples}
        return len({groups.get(path, path) for path in paths})

    def file(self, example: Example) -> Path:
        """The path of an example's photo."""
        return Path(self.root) / example.path

    def index(self, example: Example) -> int:
        """The position of an example's label in the model's output."""
        return self.labels.index(example.label)


def scan(
    data: Path | Listing,
    *,
    val_fraction: float = 0.2,
    test_fraction: float = 0.0,
    seed: int = 0,
) -> DatasetManifest:
    """Reads a data set to train on.

    Each photo is decoded fully. Near-duplicates form a group, which stays in one part. The part
    follows from the hash of the group's name, so that a new photo moves no old one, with one
    exception: a near-duplicate of old ones joins their group and may rename it, and the group
    then moves as a whole. Where a class would have no validation photo at all the nearest group
    is taken.

    Args:
        data: A folder, `CLASS/photo.jpg` or `{train,val,test}/CLASS/photo.jpg` (sub-folders of
            a class are read, too), or a CSV or JSONL file of path, label and split; see `tables`.
            A folder or label `_unknown_` is not a class; it holds photos of no class. Or a
            listing that `list_data` returned.
        val_fraction: Share for validation, where the data does not say, above 0 and below 1.
        test_fraction: Share for testing, from 0.
        seed: Another seed gives other splits.

    Raises:
        DatasetError: If it is unreadable, or a class has fewer than 3 photos.
    """
    check_fractions(val_fraction, test_fraction)
    scanned = scan_photos(data)
    _tell_doubts(scanned)
    manifest = split_photos(scanned, val_fraction, test_fraction, seed)
    check_trainable(scanned, manifest)
    return manifest


def scan_to_score(data: Path) -> DatasetManifest:
    """Reads a data set to score a model on: any number of classes and photos.

    Returns:
        A manifest with the parts that folders or table name; other photos are in `test`.

    Raises:
        DatasetError: If it is unreadable or a class is empty.
    """
    scanned = scan_photos(data)
    _tell_doubts(scanned)
    _check_not_empty(scanned)
    return _write_down(scanned, [photo.split or "test" for photo in scanned.usable], 0)


def check_fractions(val_fraction: float, test_fraction: float) -> None:
    """Refuses shares that leave nothing to learn from or to judge by.

    Raises:
        DatasetError: With the values.
    """
    if not (0 < val_fraction < 1 and 0 <= test_fraction < 1 and val_fraction + test_fraction < 1):
        raise DatasetError(
            "validation and test fraction must be above 0 and sum to less than 1, got "
            f"{val_fraction} and {test_fraction}"
        )


def check_trainable(scanned: Scanned, manifest: DatasetManifest) -> None:
    """Refuses photos that nothing can be learned from.

    Args:
        scanned: The photos.
        manifest: The same photos with their splits.

    Raises:
        DatasetError: With what is missing.
    """
    _check_classes(scanned)
    _check_given_splits(scanned)
    _check_splits(manifest, scanned)


def split_photos(
    scanned: Scanned, val_fraction: float, test_fraction: float, seed: int
) -> DatasetManifest:
    """The manifest of photos already looked at, whether or not it is fit to train on."""
    parts = choose_splits(scanned.usable, val_fraction, test_fraction, seed)
    return _write_down(scanned, parts, seed)


def _write_down(scanned: Scanned, parts: list[Split], seed: int) -> DatasetManifest:
    examples = [
        Example(photo.path, photo.label, part, photo.sha256, photo.group)
        for photo, part in zip(scanned.usable, parts, strict=True)
    ]
    skipped = [Skipped(photo.path, photo.verdict.reason or "") for photo in scanned.faulty]
    skipped += [Skipped(photo.path, IN_TRAIN) for photo in scanned.leaks]
    skipped += [Skipped(photo.path, IN_CLASS) for photo in scanned.misplaced]
    skipped += [Skipped(path, why) for path, why in (*scanned.repeated, *scanned.left_out)]
    return DatasetManifest(
        FORMAT_VERSION,
        str(scanned.root),
        scanned.labels,
        tuple(sorted(examples, key=lambda one: one.path)),
        tuple(sorted(skipped, key=lambda one: (one.path, one.reason))),
        seed,
        _list_unknown(scanned, seed),
    )


def _list_unknown(scanned: Scanned, seed: int) -> tuple[Unknown, ...]:
    halves = halve((photo.sha256 for photo in scanned.unknown), seed)
    listed = [Unknown(photo.path, photo.sha256, halves[photo.sha256]) for photo in scanned.unknown]
    return tuple(sorted(listed, key=lambda one: one.path))


def _tell_doubts(scanned: Scanned) -> None:
    for doubt in scanned.doubts:
        _log.warning("%s. %s", doubt.what, doubt.advice)


def _check_not_empty(scanned: Scanned) -> None:
    filled = {photo.label for photo in _all(scanned)}
    for label in scanned.labels:
        if label not in filled:
            raise DatasetError(
                f"class {label} is empty: put photos into its folder in {scanned.root}, or remove "
                "the empty folder if it is not a class"
            )


def _all(scanned: Scanned) -> list[Photo]:
    return [*scanned.usable, *scanned.faulty, *scanned.leaks]


def _check_classes(scanned: Scanned) -> None:
    _check_not_empty(scanned)
    if lacks_training(scanned):
        raise DatasetError(f"{scanned.root}: {NO_TRAINING}")
    if len(scanned.labels) < 2:
        raise DatasetError(
            f"{scanned.root} has only the class {scanned.labels[0]}; a classifier needs at least "
            f"two classes; expected {EXPECTED}"
        )
    counts = Counter(photo.label for photo in scanned.usable)
    for label in scanned.labels:
        if counts[label] < MIN_PHOTOS_A_CLASS:
            bad = next((photo for photo in scanned.faulty if photo.label == label), None)
            name = bad and bad.path.rsplit("/", 1)[-1]
            why = f" (skipped {name}: {bad.verdict.reason})" if bad else ""
            raise DatasetError(
                f"class {label} has {counts[label]} usable photo{'s' * (counts[label] != 1)}, at "
                f"least {MIN_PHOTOS_A_CLASS} are needed{why}; add photos, or remove the class "
                "(move its folder away)"
            )


def _check_given_splits(scanned: Scanned) -> None:
    """A split that was given and holds nothing but training photos would silently be another."""
    left = {photo.split for photo in scanned.usable}
    for photo in scanned.leaks:
        if photo.split not in left:
            raise DatasetError(
                f"{scanned.root}: all photos of {photo.split} are also in train (equal bytes), so "
                f"none is left for evaluation; remove them from train, or remove {photo.split}"
            )


def lacks_training(scanned: Scanned) -> bool:
    """Whether all photos are in splits that nothing is learned from."""
    return not {photo.split for photo in _all(scanned)} & {None, "train"}


def _check_splits(manifest: DatasetManifest, scanned: Scanned) -> None:
    for split in ("train", "val"):
        present = {example.label for example in manifest.select(split)}
        missing = [label for label in manifest.labels if label not in present]
        if missing:
            raise DatasetError(
                f"class {missing[0]} has no photo in the {split} split: "
                f"{_explain_gap(missing[0], split, scanned)}"
            )


def _explain_gap(label: str, split: Split, scanned: Scanned) -> str:
    own = [photo for photo in scanned.usable if photo.label == label]
    fixed = {photo.split for photo in own}
    if not any(photo.split == "val" for photo in scanned.usable):
        fixed.discard("train")
    if any(photo.label == label and photo.split == split for photo in scanned.leaks):
        return "all of them have the same bytes as photos in train; add others"
    if fixed and None not in fixed:
        where = " and ".join(sorted(part for part in fixed if part))
        return f"its photos are in {where} only; move some to {split}, or remove the class"
    contents = len({photo.sha256 for photo in own})
    return (
        f"its {len(own)} photos are {contents} different ones, and photos with the same bytes stay "
        "together, even across classes; add different photos"
    )
