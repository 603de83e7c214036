"""Problems of photos that can be found without a network."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec
import numpy as np

from edgetl.dataset.labels import UNKNOWN
from edgetl.dataset.manifest import MIN_PHOTOS_A_CLASS, DatasetManifest, lacks_training
from edgetl.dataset.photo import Photo
from edgetl.dataset.scanning import Scanned
from edgetl.dataset.walking import HIDDEN
from edgetl_runtime.text.wording import count_noun

Kind = Literal[
    "unreadable",
    "contradiction",
    "leak",
    "wrong_label",
    "exact_duplicate",
    "near_duplicate",
    "layout",
    "few_photos",
    "imbalance",
    "outlier",
    "odd_size",
    "animation",
]
Sure = Literal["certain", "likely", "possible"]

FEW_PHOTOS = 20
IMBALANCE = 4
MAX_ASPECT = 3.0
# Sides, as a share of the model's input and of the usual photo.
SMALL_INPUT, UNUSUAL_SIDE = 0.5, 4.0


class Issue(msgspec.Struct, frozen=True):
    """One finding.

    Attributes:
        kind: What sort of finding.
        paths: Relative to the data folder: the photo in question first, then those it is
            compared with; empty where a whole class is meant.
        what: What was found, with figures.
        sure: `certain`: counted or compared byte by byte; `likely`: look and you will mostly
            agree; `possible`: worth a look.
        advice: What to do.
        label: The class in question.
        suggested: The class that a likely wrong label should perhaps be.
        score: 0..1, higher is surer, within one kind; None where there is nothing to weigh.
    """

    kind: Kind
    paths: tuple[str, ...]
    what: str
    sure: Sure
    advice: str
    label: str | None = None
    suggested: str | None = None
    score: float | None = None


def inspect(scanned: Scanned, manifest: DatasetManifest, size_px: int) -> list[Issue]:
    """Finds all that needs no network.

    Args:
        scanned: The photos.
        manifest: The same photos with their parts.
        size_px: Side of the model's input.
    """
    return [
        *_find_unreadable(scanned),
        *_find_misplaced(scanned),
        *_find_copies(scanned),
        *_find_leaks(scanned, manifest),
        *_find_odd_layout(scanned),
        *_find_few_photos(scanned),
        *_find_imbalance(scanned),
        *_find_odd_sizes(scanned.usable, size_px),
        *_find_animations(scanned.usable),
    ]


def _find_unreadable(scanned: Scanned) -> Iterator[Issue]:
    for photo in scanned.faulty:
        if photo.verdict.reason != HIDDEN:
            yield Issue(
                "unreadable",
                (photo.path,),
                f"cannot be used: {photo.verdict.reason}",
                "certain",
                "Replace it by an intact image or delete it; training leaves it out.",
                label=photo.label,
            )
    for path, why in scanned.repeated:
        yield Issue("unreadable", (path,), why, "certain", "Remove one of the two lines.")


def _find_misplaced(scanned: Scanned) -> Iterator[Issue]:
    where = {photo.sha256: photo for photo in scanned.usable}
    for photo in scanned.misplaced:
        twin = where[photo.sha256]
        yield Issue(
            "contradiction",
            (photo.path, twin.path),
            f"the same image is in {twin.label} and among the unknown photos, where it is left out",
            "certain",
            f"Delete one of the two: {UNKNOWN} is for images of no class.",
            label=twin.label,
            score=1.0,
        )


def _find_copies(scanned: Scanned) -> Iterator[Issue]:
    """Photos of one content, and groups of contents that are near-duplicates."""
    by_content: dict[str, list[Photo]] = defaultdict(list)
    for photo in scanned.usable:
        by_content[photo.sha256].append(photo)
    groups: dict[str, list[str]] = defaultdict(list)
    for sha in by_content:
        groups[scanned.groups[sha]].append(sha)
    agreement = _weakest_agreement(scanned)
    for name, contents in groups.items():
        photos = [photo for sha in contents for photo in by_content[sha]]
        if len(contents) > 1:
            yield _describe_group(photos, agreement[name])
        else:
            yield from _describe_same_bytes(photos)
    yield from _describe_overflow(scanned)


def _weakest_agreement(scanned: Scanned) -> dict[str, float]:
    """Group -> agreement of its best links' weakest."""
    best: dict[str, float] = defaultdict(float)
    for link in scanned.links:
        for end in (link.first, link.second):
            best[scanned.hashes[end]] = max(best[scanned.hashes[end]], link.agreement)
    weakest: dict[str, float] = {}
    for sha, agreement in best.items():
        name = scanned.groups[sha]
        weakest[name] = min(agreement, weakest.get(name, 1.0))
    return weakest


def _describe_same_bytes(photos: list[Photo]) -> Iterator[Issue]:
    if len(photos) > 1:
        yield _contradict(photos, None) or Issue(
            "exact_duplicate",
            _paths(photos),
            f"{count_noun(len(photos), 'file')} have the same bytes",
            "certain",
            "Keep one; a photo with copies counts more than once.",
            label=photos[0].label,
            score=1.0,
        )


def _describe_group(photos: list[Photo], agreement: float) -> Issue:
    return _contradict(photos, agreement) or Issue(
        "near_duplicate",
        _paths(photos),
        f"{len(photos)} photos show the same image (agreement {agreement:.2f})",
        "likely",
        "Keep the best one. A split by edgetl keeps them together.",
        label=photos[0].label,
        score=round(agreement, 4),
    )


def _contradict(photos: list[Photo], agreement: float | None) -> Issue | None:
    """The issue of copies with several labels; `agreement` is None for the same bytes."""
    labels = sorted({photo.label for photo in photos})
    if len(labels) < 2:
        return None
    return Issue(
        "contradiction",
        _paths(photos),
        f"the same image is labelled {' and '.join(labels)} "
        + ("(equal bytes)" if agreement is None else f"(agreement {agreement:.2f})"),
        "certain" if agreement is None else "likely",
        "Keep it in the correct class and delete the other; with both, the model learns nothing "
        "from it.",
        label=labels[0],
        score=1.0 if agreement is None else round(agreement, 4),
    )


def _describe_overflow(scanned: Scanned) -> Iterator[Issue]:
    """Links between groups: `duplicates.group` refused to let a group grow without end."""
    names = [scanned.groups[sha] for sha in scanned.hashes]
    loose = [one for one in scanned.links if names[one.first] != names[one.second]]
    if not loose:
        return
    where = {photo.sha256: photo.path for photo in scanned.usable}
    ends = list(dict.fromkeys(end for one in loose for end in (one.first, one.second)))
    yield Issue(
        "near_duplicate",
        tuple(where[sha] for end in ends if (sha := scanned.hashes[end]) in where),
        f"{count_noun(len(loose), 'further pair')} of photos are similar, like frames of a fixed "
        "camera or a video; the split cannot keep all of them together",
        "likely",
        "Take fewer frames of one scene, or put whole scenes into train, val and test folders.",
    )


def _find_leaks(scanned: Scanned, manifest: DatasetManifest) -> Iterator[Issue]:
    # By the parts that were given: those that edgetl chooses could have moved the twin.
    given = [photo for photo in scanned.usable if photo.split == "train"]
    twins = {photo.sha256: photo.path for photo in reversed(given)}
    train = {example.group: example.path for example in reversed(manifest.select("train"))}
    for photo in scanned.leaks:
        twin = twins[photo.sha256]
        yield Issue(
            "leak",
            (photo.path, twin),
            f"the same image is in train; it is left out of {photo.split}",
            "certain",
            "Delete one of the two.",
            label=photo.label,
            score=1.0,
        )
    for example in manifest.leaks():
        yield Issue(
            "leak",
            (example.path, train[example.group]),
            f"a near-duplicate in {example.split} of a photo in train: it overstates accuracy",
            "likely",
            "Move both into the same split.",
            label=example.label,
        )


def _find_odd_layout(scanned: Scanned) -> Iterator[Issue]:
    for doubt in scanned.doubts:
        yield Issue("layout", (), doubt.what, "possible", doubt.advice)
    if lacks_training(scanned):
        yield Issue("layout", (), "no split is for training", "certain", "Name one split train.")
    if len(scanned.labels) < 2:
        advice = "Add at least one other class."
        yield _class_issue("layout", scanned.labels[0], "it is the only class", advice)


def _find_few_photos(scanned: Scanned) -> Iterator[Issue]:
    counts = Counter(photo.label for photo in scanned.usable)
    for label in scanned.labels:
        found = count_noun(counts[label], "usable photo")
        if counts[label] < MIN_PHOTOS_A_CLASS:
            advice = f"Add photos: training needs at least {MIN_PHOTOS_A_CLASS}."
            yield _class_issue("few_photos", label, f"it has {found}", advice)
        elif counts[label] < FEW_PHOTOS:
            advice = f"Add photos: {FEW_PHOTOS} per class are a start, 100 are good."
            yield _class_issue("few_photos", label, f"it has only {found}", advice)


def _find_imbalance(scanned: Scanned) -> Iterator[Issue]:
    counts = Counter(photo.label for photo in scanned.usable)
    largest = max(scanned.labels, key=lambda label: counts[label])
    for label in scanned.labels:
        if 0 < counts[label] * IMBALANCE <= counts[largest]:
            yield _class_issue(
                "imbalance",
                label,
                f"it has {count_noun(counts[label], 'usable photo')}, {largest} has "
                f"{counts[largest]:,}",
                f"Add photos of {label}, or let each count more (balanced class weights).",
            )


def _class_issue(kind: Kind, label: str, what: str, advice: str) -> Issue:
    return Issue(kind, (), what, "certain", advice, label=label)


def _find_odd_sizes(photos: Sequence[Photo], size_px: int) -> Iterator[Issue]:
    if not photos:
        return
    usual = float(np.median([_side(photo) for photo in photos]))
    for photo in photos:
        if reason := _judge_size(photo, size_px, usual):
            what, advice = reason
            size = f"{photo.verdict.width_px} x {photo.verdict.height_px} px"
            yield Issue(
                "odd_size", (photo.path,), f"{size}: {what}", "certain", advice, label=photo.label
            )


def _judge_size(photo: Photo, size_px: int, usual: float) -> tuple[str, str] | None:
    short, long = sorted((photo.verdict.width_px, photo.verdict.height_px))
    if long > MAX_ASPECT * short:
        return f"{long / short:.1f} times as long as wide", "Crop it to the object."
    if short < SMALL_INPUT * size_px:
        return f"less than half the model's input of {size_px} px", "Use a larger image."
    ratio = _side(photo) / usual
    if not 1 / UNUSUAL_SIDE <= ratio <= UNUSUAL_SIDE:
        times = f"{ratio:.1f}" if ratio > 1 else f"1/{1 / ratio:.1f}"
        return f"{times} of the usual side ({usual:.0f} px)", "Check that it belongs here."
    return None


def _find_animations(photos: Sequence[Photo]) -> Iterator[Issue]:
    for photo in photos:
        if photo.verdict.several:
            yield Issue(
                "animation",
                (photo.path,),
                "it contains several images; only the first is used",
                "certain",
                "Save the images that matter as separate files.",
                label=photo.label,
            )


def _side(photo: Photo) -> float:
    """The side of a square of the same area, px."""
    return float(np.sqrt(photo.verdict.width_px * photo.verdict.height_px))


def _paths(photos: Iterable[Photo]) -> tuple[str, ...]:
    return tuple(sorted(photo.path for photo in photos))
