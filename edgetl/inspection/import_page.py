"""The contact sheet of an import: each photo with what the device said about it."""

from itertools import groupby
from pathlib import Path

from edgetl.dataset.importing import Imported, ImportReport, PhotoGroup
from edgetl.dataset.labels import UNKNOWN, UNSORTED
from edgetl.reporting.pages import render_page, save_page
from edgetl.reporting.thumbnails import thumbnail
from edgetl_runtime.text.wording import count_noun

_THUMBNAIL_PX = 180
_PHOTOS_SHOWN = 120
_TYPICAL_SHOWN = 8
_MEANS = {
    "bundle": "by the features of the bundle",
    "record": "by the features that the device stored",
    "thumbnail": "by small images only: for better groups, give the bundle with --bundle",
}
_WORDS = {
    "picked": "picked by hand",
    "rejected": "rejected",
    "unsure": "unsure",
    "diverse": "unlike others",
    "sampled": "sampled",
    "": "no record",
}


def write_page(report: ImportReport, out: Path) -> None:
    """Writes the page.

    Raises:
        StorageError: If it cannot be written.
    """
    save_page(render_import(report), out)


def render_import(report: ImportReport) -> str:
    """The page as text: HTML without network, script or file beside it."""
    grouped = {path for group in report.groups for path in group.paths}
    others = sorted(
        (one for one in report.imported if one.path not in grouped), key=lambda one: one.suggested
    )
    folders = [
        _fill_folder(name, list(photos), Path(report.target))
        for name, photos in groupby(others, key=lambda one: one.suggested)
    ]
    photos = {one.path: one for one in report.imported}
    return render_page(
        "import.html.j2",
        title=f"Imported: {Path(report.collected).resolve().name}",
        report=report,
        lead=f"{count_noun(len(report.imported), 'new photo')} in {report.target}.",
        folders=sorted(folders, key=lambda one: (one["name"] != UNSORTED, str(one["name"]))),
        unsorted=UNSORTED,
        unknown=UNKNOWN,
        words=_WORDS,
        groups=[_fill_group(one, photos, Path(report.target)) for one in report.groups],
        means=_MEANS.get(report.grouped_by, ""),
    )


def _fill_group(group: PhotoGroup, photos: dict[str, Imported], target: Path) -> dict[str, object]:
    shown = [photos[path] for path in group.paths[:_TYPICAL_SHOWN]]
    return {
        "name": group.folder.rpartition("/")[2],
        "folder": group.folder,
        "label": "" if group.label == UNSORTED else group.label,
        "agreeing": group.agreeing,
        "count": len(group.paths),
        "more": len(group.paths) - len(shown),
        "cards": [(one, thumbnail(target / one.path, _THUMBNAIL_PX)) for one in shown],
    }


def _fill_folder(name: str, photos: list[Imported], target: Path) -> dict[str, object]:
    # The least sure first: there a look is worth most.
    photos.sort(key=lambda one: (one.score is not None, one.score or 0.0, one.path))
    shown = photos[:_PHOTOS_SHOWN]
    return {
        "name": name,
        "count": len(photos),
        "more": len(photos) - len(shown),
        "cards": [(one, thumbnail(target / one.path, _THUMBNAIL_PX)) for one in shown],
    }
