"""`edgetl data`: look at photos before training on them."""

from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgetl.commands.data_curve import curve
from edgetl.console import FOLDER, check_page, print_json, print_table
from edgetl_runtime.text.printable import make_printable
from edgetl_runtime.text.wording import count_noun

if TYPE_CHECKING:
    from edgetl.dataset.importing import ImportReport
    from edgetl.inspection.check import DataReport

EXIT_FOUND = 3
_ROWS_A_KIND = 8


@click.group()
def data() -> None:
    """Check, preview and import photos before training, and tell whether more would help."""


data.add_command(curve)


@data.command()
@click.argument("data", type=FOLDER)
@click.option(
    "--augment",
    default="light",
    show_default=True,
    help="A preset (none, light, camera, heavy), strengths (rotation=15,blur=1), or both "
    "(light,hue=10); an unknown name lists all.",
)
@click.option(
    "--out", default="preview.jpg", show_default=True, type=FOLDER, help="A .jpg or .png file."
)
@click.option(
    "--photos", default=8, show_default=True, type=click.IntRange(1, 64), help="Number of rows."
)
@click.option(
    "--views",
    default=6,
    show_default=True,
    type=click.IntRange(1, 16),
    help="Augmented views of each photo.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, 2**31 - 1),
    help="Random seed: another one shows other photos.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing sheet.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def preview(
    data: Path, augment: str, out: Path, *, overwrite: bool, as_json: bool, **options: int
) -> None:
    """Draw a contact sheet: photos of DATA beside their augmented views.

    Example: edgetl data preview photos --augment camera
    """
    from edgetl.augmentation.parsing import describe, parse_augmentation
    from edgetl.inspection.preview import check_sheet_target, draw_preview, write_preview
    from edgetl.targets import check_outside

    augmentation = parse_augmentation(augment)
    check_outside(data, out)
    check_sheet_target(out, overwrite=overwrite)
    sheet = draw_preview(data, augmentation, **options)
    write_preview(sheet, out, overwrite=overwrite)
    text = describe(augmentation)
    for one in sheet.skipped:
        click.echo(make_printable(f"edgetl: skipped {one.path}: {one.reason}"), err=True)
    if as_json:
        print_json(
            {
                "sheet": str(out),
                "augmentation": text,
                "views": options["views"],
                "photos": sheet.shown,
                "skipped": sheet.skipped,
            }
        )
        return
    photos = count_noun(len(sheet.shown), "photo")
    classes = count_noun(len({one.label for one in sheet.shown}), "class", "classes")
    click.echo(f"{out}: {photos} of {classes}, augmentation {text}")
    click.echo(f"next: edgetl train {data} --augment {text} --out runs/{data.resolve().stem}")


@data.command()
@click.argument("data", type=FOLDER)
@click.option(
    "--backbone",
    default="efficientnet_lite0",
    show_default=True,
    help="Backbone whose features are compared; `edgetl backbones` lists them.",
)
@click.option(
    "--weights",
    default="imagenet",
    show_default=True,
    help="Weights of the backbone: imagenet, FILE.weights.h5, or none, which skips the search for "
    "wrong labels and outliers.",
)
@click.option("--size", type=click.IntRange(32, 1024), help="Side of the model's input in pixels.")
@click.option(
    "--val-fraction",
    default=0.2,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Fraction of the photos for validation, as for training.",
)
@click.option(
    "--test-fraction",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 1, max_open=True),
    help="Fraction of the photos for testing, as for training.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, 2**31 - 1),
    help="Random seed of split and folds.",
)
@click.option(
    "--out", default="data_check.html", show_default=True, type=FOLDER, help="HTML file to write."
)
@click.option("--overwrite", is_flag=True, help="Replace an existing page.")
@click.option("--strict", is_flag=True, help="Exit with code 3 if anything is found.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with all findings.")
def check(
    data: Path, out: Path, *, overwrite: bool, strict: bool, as_json: bool, **options: object
) -> int:
    """Find problems of a data set: wrong labels, copies, leaks, unreadable files and more.

    DATA is CLASS/photo.jpg, {train,val,test}/CLASS/photo.jpg, or a .csv or .jsonl file of
    path,label[,split]. A folder _unknown_ beside the classes holds unknown photos.
    Writes an HTML page with the photos in question; DATA itself is not changed.

    Example: edgetl data check photos
    """
    from edgetl.inspection.page import check_page_target, write_page

    check_page_target(data, out, overwrite=overwrite)
    from edgetl.inspection.check import CheckOptions, check_data

    options["size_px"] = options.pop("size")
    report = check_data(data, CheckOptions(**options))  # type: ignore[arg-type]
    write_page(report, out)
    for one in report.passed_over[:_ROWS_A_KIND]:
        click.echo(f"edgetl: left out {one.path}: {one.reason}", err=True)
    if len(report.passed_over) > _ROWS_A_KIND:
        more = len(report.passed_over) - _ROWS_A_KIND
        click.echo(f"edgetl: {more} more left out; --json lists all", err=True)
    for text in report.left_out:
        click.echo(f"edgetl: not checked: {text}", err=True)
    if as_json:
        print_json({"page": str(out), "report": report})
    else:
        _print_check(report, out)
    return EXIT_FOUND if strict and report.issues else 0


def _print_check(report: "DataReport", out: Path) -> None:
    from edgetl.inspection.check import KINDS
    from edgetl.inspection.page import SECTIONS, count_sure

    rows: list[tuple[str, str, str, str]] = []
    summary = []
    for kind in KINDS:
        issues = report.of_kind(kind)
        if issues:
            doubts = f" ({count_sure(issues)})" if issues[0].sure != "certain" else ""
            summary.append(f"{SECTIONS[kind].count(len(issues))}{doubts}")
        for issue in issues[:_ROWS_A_KIND]:
            photo = issue.paths[0] if issue.paths else issue.label or ""
            others = f" (+{len(issue.paths) - 1})" if len(issue.paths) > 1 else ""
            rows.append((SECTIONS[kind].title, issue.sure, photo + others, issue.what))
        if len(issues) > _ROWS_A_KIND:
            rows.append(("", "", "", f"... and {len(issues) - _ROWS_A_KIND} more on the page"))
    if rows:
        print_table(("finding", "sure", "photo or class", "what"), rows)
    other = f", {report.unknown} unknown" if report.unknown else ""
    found = ", ".join(summary) or "nothing found"
    photos = count_noun(report.photos, "photo")
    classes = count_noun(len(report.classes), "class", "classes")
    click.echo(f"{photos} of {classes}{other}, {report.skipped} left out: {found}")
    click.echo(f"page: {out}")
    if report.hindrance:
        click.echo(f"before training: {report.hindrance}")
        return
    click.echo(f"next: edgetl train {report.data} --out runs/{Path(report.data).resolve().stem}")


@data.command("import")
@click.argument("collected", type=FOLDER)
@click.option(
    "--out", required=True, type=FOLDER, help="Folder to write LABEL/photo.jpg to; may exist."
)
@click.option(
    "--known", type=FOLDER, help="Existing training data; photos already in it are left out."
)
@click.option(
    "--keep-similar", is_flag=True, help="Leave out identical files only, not similar ones."
)
@click.option(
    "--group",
    is_flag=True,
    help="Put alike frames, 3 or more, into a folder of their own, to be labelled at once.",
)
@click.option(
    "--bundle",
    type=FOLDER,
    help="Bundle by whose features frames are alike.  [default: those that the device stored, "
    "else small images]",
)
@click.option(
    "--page",
    type=FOLDER,
    help="HTML contact sheet to write.  [default: OUT-import.html, or -2, -3 ...]",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing page.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def import_photos(
    collected: Path,
    out: Path,
    known: Path | None,
    bundle: Path | None,
    page: Path | None,
    *,
    keep_similar: bool,
    group: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Import frames that a device collected, to be labelled and trained on.

    COLLECTED is the folder that `edgetl-run --collect` filled, copied from the board, or the zip
    that a phone's page or `edgetl-run learned --export` saved. Each frame is copied into the folder
    of the label that a person chose, else of its predicted label, so that only wrong ones have to
    be moved, or into _unsorted_ if it was rejected. Nothing is overwritten.

    With --group, alike frames whose label nobody corrected go into _unsorted_/group-01-LABEL
    instead, with the label that most of them were predicted as, or into _unsorted_/group-01 if all
    were rejected. Change a wrong label in the name of the folder, add a missing one, then run
    edgetl data merge.

    Example: edgetl data import collected --out new_photos --known photos --group
    """
    if bundle is not None and not group:
        raise click.UsageError("--bundle is for --group; give both")
    page = page or _find_free_page(out)
    check_page(page, overwrite=overwrite, option="--page")
    from edgetl.dataset.importing import import_collected
    from edgetl.inspection.import_page import write_page

    report = import_collected(
        collected, out, known=known, keep_similar=keep_similar, group=group, bundle=bundle
    )
    write_page(report, page)
    for one in report.refused:
        click.echo(make_printable(f"edgetl: left out {one.path}: {one.reason}"), err=True)
    for one in report.doubted:
        click.echo(make_printable(f"edgetl: record ignored {one.path}: {one.reason}"), err=True)
    if report.unmoved:
        frames = count_noun(len(report.unmoved), "frame")
        names = ", ".join(report.unmoved[:_ROWS_A_KIND])
        click.echo(
            make_printable(
                f"edgetl: {frames} with a person's label left out, known already or like another: "
                f"{names}; check that what stands for them has that label, or add --keep-similar"
            ),
            err=True,
        )
    if group and report.imported and not report.groups:
        click.echo(f"edgetl: {_explain_no_groups(len(report.imported))}", err=True)
    if as_json:
        print_json({"page": str(page), "report": report})
    else:
        _print_import(report, page)


@data.command()
@click.argument("folder", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def merge(folder: Path, *, as_json: bool) -> None:
    """Move grouped photos to the folders of their labels, after a look at the groups.

    FOLDER is what `edgetl data import --group` wrote to. The photos of
    FOLDER/_unsorted_/group-01-LABEL go to FOLDER/LABEL, and so do those of a folder that was
    renamed to LABEL. Others stay in FOLDER/_unsorted_ and are counted. Nothing is overwritten.

    Example: edgetl data merge new_photos
    """
    from edgetl.dataset.labels import UNKNOWN, UNSORTED
    from edgetl.dataset.merging import merge_groups

    report = merge_groups(folder)
    for name in report.unnamed:
        click.echo(
            make_printable(
                f"edgetl: {report.target}/{UNSORTED}/{name} has no label yet; rename it to "
                f"{name}-LABEL ({name}-{UNKNOWN} if its photos are of no class), then merge again"
            ),
            err=True,
        )
    for name in report.staying:
        click.echo(
            make_printable(f"edgetl: {name} stays: no plain file, or its name is taken"), err=True
        )
    if as_json:
        print_json({"report": report})
        return
    if report.moved:
        rows = [(label, str(number)) for label, number in sorted(report.moved.items())]
        print_table(("folder", "photos moved"), rows)
    click.echo(f"{count_noun(sum(report.moved.values()), 'photo')} moved in {report.target}")
    if not report.unsorted:
        click.echo(f"next: edgetl data check {report.target}")
        return
    click.echo(
        f"{count_noun(report.unsorted, 'photo')} left in {report.target}/{UNSORTED}: move each to "
        f"the folder of its class, to {UNKNOWN} if it has none, or delete it"
    )
    click.echo(f"next, when none is left: edgetl data check {report.target}")


def _find_free_page(out: Path) -> Path:
    """A name beside the photos that no earlier import's page has."""
    folder = out.resolve()
    names = chain([""], (f"-{number}" for number in count(2)))
    pages = (folder.with_name(f"{folder.name}-import{suffix}.html") for suffix in names)
    return next(page for page in pages if not page.exists())


def _explain_no_groups(new: int) -> str:
    from edgetl.dataset.grouping import LEAST

    if new < LEAST:
        return f"no groups: a group has at least {LEAST} alike frames, found {new} new"
    return (
        f"no groups: among {new} new frames there are no {LEAST} alike ones whose label nobody "
        "corrected"
    )


def _print_import(report: "ImportReport", page: Path) -> None:
    from collections import Counter

    from edgetl.dataset.labels import UNKNOWN, UNSORTED

    counts = Counter(one.path.rpartition("/")[0] for one in report.imported)
    if counts:
        rows = [(name, str(counts[name])) for name in sorted(counts)]
        print_table(("folder", "new photos"), rows)
    left = f"{len(report.copies)} already known, {len(report.similar)} similar to another"
    click.echo(f"{count_noun(len(report.imported), 'new photo')} in {report.target}; {left}")
    if corrected := sum(one.corrected for one in report.imported):
        click.echo(f"{corrected} of them with a label that a person chose")
    click.echo(f"page: {page}")
    if not report.imported:
        return
    if report.groups:
        _print_groups(report)
        return
    advice = f"move wrong ones to the folder of their class, or to {UNKNOWN}"
    if counts[UNSORTED]:
        advice += f", and all of {UNSORTED}"
    click.echo(advice)
    click.echo(f"next: edgetl data check {report.target}")


def _print_groups(report: "ImportReport") -> None:
    from edgetl.dataset.labels import UNKNOWN, UNSORTED

    click.echo(
        f"{count_noun(len(report.groups), 'group')} in {report.target}/{UNSORTED}: look at the "
        "page, and change the label in the name of a folder where it is wrong"
    )
    for one in report.groups:
        if one.label == UNSORTED:
            name = one.folder.rpartition("/")[2]
            click.echo(
                f"{name} has no label yet: rename it to {name}-LABEL, or to {name}-{UNKNOWN} if "
                "its photos are of no class"
            )
    click.echo(f"next: edgetl data merge {report.target}")
