"""The page of a data check: every finding with its photos, in one HTML file."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgetl.dataset.duplicates import MIN_AGREEMENT
from edgetl.inspection.check import KINDS, SURE, DataReport
from edgetl.inspection.labels import NEIGHBOURS, OUTLIER
from edgetl.inspection.photos import FEW_PHOTOS, IMBALANCE, MAX_ASPECT, Issue, Kind
from edgetl.reporting.pages import render_page, save_page
from edgetl.reporting.thumbnails import thumbnail
from edgetl.reporting.wording import duration
from edgetl.targets import PAGE_SUFFIXES, check_free, check_outside
from edgetl_runtime.errors import StorageError
from edgetl_runtime.text.wording import count_noun

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
        "Ambiguous folders",
        "Folder names decide which folders are classes and which are splits.",
        "ambiguous folder",
        "ambiguous folders",
        pictured=False,
    ),
    "contradiction": Section(
        "One image, two labels",
        "The same image is in two classes, so the model is always wrong about one of the two.",
        "image in two classes",
        "images in two classes",
        comparing=True,
    ),
    "leak": Section(
        "Leaks from training into validation",
        "A photo of the validation or test split has a duplicate in the training split, so its "
        "accuracy measures memory.",
        "photo seen in training",
        "photos seen in training",
        comparing=True,
    ),
    "wrong_label": Section(
        "Likely wrong labels",
        "A classifier trained without the photo predicts another label (confident learning on "
        f"out-of-fold predictions). Likely: at most one of its {NEIGHBOURS} nearest photos shares "
        "its label. Some labels are correct and the photo is merely hard; only you can tell.",
        "label in doubt",
        "labels in doubt",
    ),
    "unreadable": Section(
        "Unusable files",
        "Training leaves them out.",
        "unusable file",
        "unusable files",
        pictured=False,
    ),
    "outlier": Section(
        "Unlike any other photo",
        f"Their distance to the {NEIGHBOURS} nearest photos is at least {OUTLIER:g} deviations "
        "above the usual one: a wrong image, or a rare but valuable one.",
        "photo unlike any other",
        "photos unlike any other",
    ),
    "near_duplicate": Section(
        "Near-duplicates",
        "The same image in another size, compression, light or crop: perceptual hashes find "
        f"candidates, whose details correlate by at least {MIN_AGREEMENT}. Possible ones are close "
        "only in the features of the backbone.",
        "group of near-duplicates",
        "groups of near-duplicates",
        comparing=True,
    ),
    "exact_duplicate": Section(
        "Copies",
        "Files with the same bytes.",
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
        f"{IMBALANCE} times fewer photos than the largest class, or more.",
        "class out of balance",
        "classes out of balance",
        pictured=False,
    ),
    "odd_size": Section(
        "Odd sizes",
        "Much smaller than the model's input, more than "
        f"{MAX_ASPECT:.0f} times as long as wide, or far from the usual size.",
        "photo of odd size",
        "photos of odd size",
    ),
    "animation": Section(
        "Files with several images",
        "Animations and multi-page files: training uses the first image of each.",
        "file with several images",
        "files with several images",
    ),
}


def check_page_target(data: Path, out: Path, *, overwrite: bool) -> None:
    """Refuses a page that would replace something else or lie among the photos.

    Raises:
        StorageError: With the remedy.
    """
    if out.suffix.lower() not in PAGE_SUFFIXES:
        raise StorageError(f"--out {out} is not an HTML file; give a name that ends in .html")
    check_outside(data, out)
    check_free(out, overwrite=overwrite)


def write_page(report: DataReport, out: Path) -> None:
    """Writes the page.

    Raises:
        StorageError: If it cannot be written.
    """
    save_page(render_check(report), out)


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
    found = count_noun(len(report.issues), "finding") if report.issues else "no findings"
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
            "note": f"{report.skipped} left out; fewest: {smallest.photos} of {smallest.label}",
        },
        {
            "name": "Labels to check",
            "figure": f"{len(mislabelled) + count('contradiction'):,}" if searched else "?",
            "note": f"{count_sure(mislabelled) or 'none'} wrong; "
            f"{count('contradiction')} contradicting"
            if searched
            else "not checked, see below",
        },
        {
            "name": "Groups of copies",
            "figure": f"{len(copies):,}",
            "note": f"{perhaps} of them only possible; the split keeps the others together",
        },
        {
            "name": "Leaks between splits",
            "figure": f"{count('leak'):,}",
            "note": "photos shared by training and evaluation",
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
