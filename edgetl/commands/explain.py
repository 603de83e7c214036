"""`edgetl explain`: where in a photo the evidence for a class lies."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgetl.console import FOLDER, print_json, print_table
from edgetl_export.wording import percent

if TYPE_CHECKING:
    from edgetl.explaining.photos import ExplainedPhoto


@click.command()
@click.argument("model", type=FOLDER)
@click.argument("photos", nargs=-1, required=True, type=FOLDER)
@click.option(
    "--out", default="explained", show_default=True, type=FOLDER, help="Folder for images and page."
)
@click.option("--label", help="Class to explain.  [the best one of each photo, rejected or not]")
@click.option("--variant", help="Variant of a bundle, such as litert-int8.  [its first]")
@click.option("--overwrite", is_flag=True, help="Replace an existing --out.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def explain(
    model: Path,
    photos: tuple[Path, ...],
    out: Path,
    *,
    label: str | None,
    variant: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Draw heat maps: where in PHOTOS a run or a bundle (MODEL) sees evidence for a class.

    PHOTOS are images or folders of images. Each is drawn beside its heat map, as an image and on
    one HTML page, both in --out. Lessons beside a bundle are applied, as on a device.

    Example: edgetl explain runs/parts photo.jpg
    """
    from edgetl.explaining.page import PAGE
    from edgetl_runtime.system.storage import check_replaceable

    check_replaceable(out, marker=PAGE, overwrite=overwrite)
    files = _list_photos(photos)
    from edgetl.explaining.models import open_explainer
    from edgetl.explaining.photos import explain_photos

    explained = list(explain_photos(open_explainer(model, variant), files, label))
    _write(out, explained, model.resolve().name, overwrite=overwrite)
    found = [one for one, _ in explained]
    if as_json:
        print_json({"page": str(out / PAGE), "photos": found})
        return
    _print(found)
    click.echo(f"page: {out / PAGE}")


def _list_photos(paths: Sequence[Path]) -> list[Path]:
    from edgetl_runtime.errors import FrameError
    from edgetl_runtime.image.folders import read_folder

    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        try:
            pictures = [entry.path for entry in read_folder(path).pictures]
        except FrameError as error:
            raise FrameError(f"{path}: {error}") from error
        if not pictures:
            raise FrameError(f"{path} contains no images; give images, or a folder of them")
        files += pictures
    return files


def _write(
    out: Path, explained: "list[tuple[ExplainedPhoto, bytes]]", model: str, *, overwrite: bool
) -> None:
    from edgetl.explaining.page import PAGE, render_explained
    from edgetl_runtime.system.storage import staged_folder

    with staged_folder(out, marker=PAGE, overwrite=overwrite) as folder:
        for one, jpeg in explained:
            (folder / one.picture).write_bytes(jpeg)
        page = render_explained(explained, model)
        (folder / PAGE).write_bytes(page.encode("utf-8", "backslashreplace"))


def _print(found: "Sequence[ExplainedPhoto]") -> None:
    rows = [
        (
            one.path,
            f"{_name_predicted(one)} {percent(one.predicted_score, 0)}",
            f"{one.label} {percent(one.score, 0)}",
            "{:.0f}, {:.0f}".format(*one.hottest_px),
        )
        for one in found
    ]
    print_table(("photo", "predicted", "explained", "hottest (x, y px)"), rows)


def _name_predicted(photo: "ExplainedPhoto") -> str:
    return f"(unknown), most like {photo.predicted}" if photo.is_unknown else photo.predicted
