"""The page of a learning curve over photos."""

from pathlib import Path

from edgetl.inspection.curve import DataCurve
from edgetl.reporting.pages import render_page, save_page
from edgetl.reporting.photo_curve import make_section
from edgetl.reporting.photo_map import draw_photo_map
from edgetl.reporting.wording import duration
from edgetl_runtime.text.wording import count_noun


def write_page(found: DataCurve, out: Path) -> None:
    """Writes the page.

    Raises:
        StorageError: If it cannot be written.
    """
    save_page(render_curve(found), out)


def render_curve(found: DataCurve) -> str:
    """The page as text: HTML without network or file beside it."""
    manifest = found.manifest
    return render_page(
        "data_curve.html.j2",
        title=f"Do more photos help? {Path(manifest.root).name}",
        summary=_summarize(found),
        photo_curve=make_section(found.curve),
        photo_map=draw_photo_map(
            manifest, found.features, found.predicted, judge="the head of all training photos"
        ),
        took=f"Measured in {duration(found.seconds)}.",
    )


def _summarize(found: DataCurve) -> str:
    manifest = found.manifest
    parts = (
        f"frozen {found.backbone}",
        count_noun(len(manifest.labels), "class", "classes"),
        count_noun(len(manifest.select("train")), "training photo"),
        count_noun(len(manifest.select("val")), "validation photo"),
    )
    return " · ".join(parts)
