"""The page of a data check: every finding with its photos, in one HTML file."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgetl.dataset.duplicates import MIN_AGREEMENT
from edgetl.dataset.place import check_outside
from edgetl.inspection.check import KINDS, SURE, DataReport
from edgetl.inspection.labels import NEIGHBOURS, OUTLIER
from edgetl.inspection.photos import FEW_PHOTOS, IMBALANCE, MAX_ASPECT, Issue, Kind
from edgetl.reporting.pages import render_page
from edgetl.reporting.thumbnails import thumbnail
from edgetl.reporting.wording import duration
from edgetl_runtime.errors import StorageError
from edgetl_runtime.system.storage import write_file
from edgetl_runtime.text.wording import count_noun

SUFFIXES = (".html", ".htm")
_THUMBNAIL_PX = 160
_ISSUES_SHOWN = 60
_PHOTOS_SHOWN = 6
_CLASSES_SHOWN = 200


class Section(msgspec.Struct, frozen=True):
    """Words of one kind of finding.

    Attributes:
        title: Of the section.
        lead: What it means.
        one: What a single finding is.
        many: What several are.
        comparing: Whether several photos are shown side by side.
        pictured: Whether photos are shown at all.
    """

    title: str
    lead: str
    one: str
    many: str
    comparing: bool = False
    pictured: bool = True

    def count(self, number: int) -> str:
        """`2 classes with few photos`."""
        return count_noun(number, self.one, self.many)


SECTIONS: dict[Kind, Section] = {
    "layout": Section(
        "Folders that may be meant otherwise",
        "Which folders are classes and which are parts of the data follows from their names.",
        "doubt about folders",
        "doubts about folders",
        pictured=False,
    ),
    "contradiction": Section(
        "One picture, two labels",
        "The same picture lies in two classes. Whatever a model answers, one of the two counts as "
        "a mistake.",
        "picture in two classes",
        "pictures in two classes",
        comparing=True,
    ),
    "leak": Section(
        "Validation photos that training sees",
        "A photo of the validation or test part has a twin in the training part, so its score "
        "measures memory instead of skill.",
        "photo seen in training",
        "photos seen in training",
        comparing=True,
    ),
    "wrong_label": Section(
        "Likely wrong labels",
        "A classifier that did not learn from the photo names it otherwise (confident learning on "
        "out-of-fold predictions). Likely: at most one of its "
        f"{NEIGHBOURS} nearest photos shares its label. Some are right and merely hard; only you "
        "can tell.",
        "label in doubt",
        "labels in doubt",
    ),
    "unreadable": Section(
        "Files that are no usable photo",
        "Training leaves them out.",
        "unusable file",
        "unusable files",
        pictured=False,
    ),
    "outlier": Section(
        "Unlike any other photo",
        f"Their distance to the {NEIGHBOURS} nearest photos is at least {OUTLIER:g} deviations "
        "above the usual one: a wrong picture, or a rare but valuable one.",
        "photo unlike any other",
        "photos unlike any other",
    ),
    "near_duplicate": Section(
        "Near-duplicates",
        "The same picture in another size, compression, light or cut: perceptual hashes name "
        f"candidates, and their details, laid over each other, agree by at least {MIN_AGREEMENT}. "
        "Possible ones are near in the features of the backbone only.",
        "group of near-duplicates",
        "groups of near-duplicates",
        comparing=True,
    ),
    "exact_duplicate": Section(
        "Copies",
        "Files with the very same bytes.",
        "group of copies",
        "groups of copies",
        comparing=True,
    ),
    "few_photos": Section(
        "Classes with few photos",
        f"Fewer than {FEW_PHOTOS}.",
        "class with few photos",
        "classes with few photos",
        pictured=False,
    ),
    "imbalance": Section(
        "Classes out of balance",
        f"{IMBALANCE} times fewer photos than the largest class, or fewer still.",
        "class out of balance",
        "classes out of balance",
        pictured=False,
    ),
    "odd_size": Section(
        "Odd sizes",
        "Much smaller than what the model sees, more than "
        f"{MAX_ASPECT:.0f} times as long as wide, or far from the usual size.",
        "photo of odd size",
        "photos of odd size",
    ),
    "animation": Section(
        "Files of several pictures",
        "Animations and pages: training sees the first picture of each.",
        "file of several pictures",
        "files of several pictures",
    ),
}


def check_target(data: Path, out: Path, *, overwrite: bool) -> None:
    """Refuses a page that would replace something else or lie among the photos.

    Raises:
        StorageError: With the remedy.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise StorageError(f"--out {out} is no page; give a name that ends in .html")
    check_outside(data, out)
    if out.is_dir():
        raise StorageError(f"{out} is a folder; choose another --out")
    if os.path.lexists(out) and not overwrite:
        raise StorageError(f"{out} exists; choose another --out or add --overwrite")


def write_page(report: DataReport, out: Path) -> None:
    """Writes the page.

    Raises:
        StorageError: If it cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make {out.parent} ({error.strerror})") from error
    write_file(out, render_check(report).encode("utf-8", "backslashreplace"))


def render_check(report: DataReport) -> str:
    """The page as text: HTML without network, script or file beside it."""
    return render_page(
        "data_check.html.j2",
        title=f"Data check: {Path(report.data).resolve().name}",
        report=report,
        summary=_summarize(report),
        tiles=_make_tiles(report),
        sections=[_fill_section(kind, report) for kind in KINDS if report.of_kind(kind)],
        quiet=[SECTIONS[kind].title for kind in KINDS if not report.of_kind(kind)],
        largest=max(one.photos for one in report.classes),
        classes=report.classes[:_CLASSES_SHOWN],
        more_classes=max(0, len(report.classes) - _CLASSES_SHOWN),
        took=duration(report.seconds),
    )


def _summarize(report: DataReport) -> str:
    classes = count_noun(len(report.classes), "class", "classes")
    found = (
        count_noun(len(report.issues), "finding") if report.issues else "nothing to complain about"
    )
    other = f" and {report.unknown:,} unknown ones" if report.unknown else ""
    return f"{count_noun(report.photos, 'photo')} of {classes}{other} in {report.root}: {found}."


def _make_tiles(report: DataReport) -> list[dict[str, str]]:
    def count(*kinds: Kind) -> int:
        return sum(len(report.of_kind(kind)) for kind in kinds)

    smallest = min(report.classes, key=lambda one: one.photos)
    mislabelled = report.of_kind("wrong_label")
    copies = (*report.of_kind("exact_duplicate"), *report.of_kind("near_duplicate"))
    perhaps = sum(one.sure == "possible" for one in copies)
    searched = report.backbone is not None
    return [
        {
            "name": "Usable photos",
            "figure": f"{report.photos:,}",
            "note": f"{report.skipped} left out; {smallest.label} has fewest: {smallest.photos}",
        },
        {
            "name": "Labels to look at",
            "figure": f"{len(mislabelled) + count('contradiction'):,}" if searched else "?",
            "note": f"{count_sure(mislabelled) or 'none'} wrong; "
            f"{count('contradiction')} contradicting"
            if searched
            else "not searched, see below",
        },
        {
            "name": "Groups of copies",
            "figure": f"{len(copies):,}",
            "note": f"{perhaps} of them only perhaps; the split keeps the others together",
        },
        {
            "name": "Leaks between parts",
            "figure": f"{count('leak'):,}",
            "note": "photos that training and scoring share",
        },
    ]


def _fill_section(kind: Kind, report: DataReport) -> dict[str, object]:
    issues = report.of_kind(kind)
    shown = issues[:_ISSUES_SHOWN]
    pictured = SECTIONS[kind].pictured
    return {
        "kind": kind,
        "words": SECTIONS[kind],
        "count": len(issues),
        "counts": count_sure(issues),
        "pictured": pictured,
        "cards": [_fill_card(issue, report, pictured) for issue in shown],
        "more": len(issues) - len(shown),
    }


def count_sure(issues: Sequence[Issue]) -> str:
    """`54 likely, 70 possible`."""
    counts = Counter(issue.sure for issue in issues)
    return ", ".join(f"{counts[sure]} {sure}" for sure in SURE if counts[sure])


def _fill_card(issue: Issue, report: DataReport, pictured: bool) -> dict[str, object]:
    shown = issue.paths[:_PHOTOS_SHOWN] if pictured else ()
    photos = [(path, thumbnail(Path(report.root) / path, _THUMBNAIL_PX)) for path in shown]
    return {"issue": issue, "photos": photos, "more": len(issue.paths) - len(shown)}
