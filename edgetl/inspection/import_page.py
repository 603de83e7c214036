"""The contact sheet of an import: each photo with what the device said about it."""

from itertools import groupby
from pathlib import Path

from edgetl.dataset.importing import Imported, ImportReport
from edgetl.dataset.labels import UNKNOWN, UNSORTED
from edgetl.reporting.pages import render_page, save_page
from edgetl.reporting.thumbnails import thumbnail
from edgetl_runtime.text.wording import count_noun

_THUMBNAIL_PX = 180
_PHOTOS_SHOWN = 120
_WORDS = {
    "picked": "picked by hand",
    "rejected": "rejected",
    "unsure": "unsure",
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
    folders = [
        _fill_folder(name, list(photos), Path(report.target))
        for name, photos in groupby(report.imported, key=lambda one: one.suggested)
    ]
    return render_page(
        "import.html.j2",
        title=f"Imported: {Path(report.collected).resolve().name}",
        report=report,
        lead=f"{count_noun(len(report.imported), 'new photo')} in {report.target}.",
        folders=sorted(folders, key=lambda one: (one["name"] != UNSORTED, str(one["name"]))),
        unsorted=UNSORTED,
        unknown=UNKNOWN,
        words=_WORDS,
    )


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
