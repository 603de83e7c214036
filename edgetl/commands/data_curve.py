"""`edgetl data curve`: would more photos help?"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgetl.console import FOLDER, check_page, print_json, print_table

if TYPE_CHECKING:
    from edgetl.inspection.curve import DataCurve

_CLASSES = 20


@click.command()
@click.argument("data", type=FOLDER)
@click.option(
    "--backbone",
    default="efficientnet_lite0",
    show_default=True,
    help="Backbone whose features heads learn from; `edgetl backbones` lists them.",
)
@click.option(
    "--weights",
    default="imagenet",
    show_default=True,
    help="Weights of the backbone: imagenet or FILE.weights.h5.",
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
    help="Fraction of the photos for testing, as for training; they are not used.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, 2**31 - 1),
    help="Random seed of split and draws.",
)
@click.option("--out", type=FOLDER, help="HTML file to write the curve and a map of photos to.")
@click.option("--overwrite", is_flag=True, help="Replace an existing page.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def curve(
    data: Path, out: Path | None, *, overwrite: bool, as_json: bool, **options: object
) -> None:
    """Tell whether more photos would help: accuracy over the number of training photos.

    Heads learn from 10, 20, 40, 70 and 100% of the training photos, in several random draws, on
    the cached features of a frozen backbone; they are evaluated on the validation photos.

    Example: edgetl data curve photos --out curve.html
    """
    from edgetl.targets import check_outside

    if out is not None:
        check_outside(data, out)
        check_page(out, overwrite=overwrite)
    from edgetl.inspection.curve import CurveOptions, draw_curve

    options["size_px"] = options.pop("size")
    found = draw_curve(data, CurveOptions(**options))  # type: ignore[arg-type]
    if out is not None:
        from edgetl.inspection.curve_page import write_page

        write_page(found, out)
    if as_json:
        print_json(_record_curve(found, out))
    else:
        _print_curve(found, data, out)


def _record_curve(found: "DataCurve", out: Path | None) -> dict[str, object]:
    from edgetl.reporting.photo_curve import conclude_curve

    return {
        "page": None if out is None else str(out),
        "backbone": found.backbone,
        "verdict": found.curve.verdict,
        "conclusions": conclude_curve(found.curve),
        "curve": found.curve,
        "seconds": found.seconds,
    }


def _print_curve(found: "DataCurve", data: Path, out: Path | None) -> None:
    from edgetl.reporting.photo_curve import conclude_curve, list_classes, list_points

    record = found.curve
    print_table(("training photos", "share", "top-1", "95% interval"), list_points(record))
    click.echo()
    recalls = (f"at {one.photos:,}" for one in record.points)
    rise = (f"rise since {record.since:.0%}", "95% interval")
    header = ("recall of class", "photos", *recalls, *rise)
    print_table(header, list_classes(record, _CLASSES))
    if len(record.classes) > _CLASSES:
        more = len(record.classes) - _CLASSES
        click.echo(f"... and {more} more classes; --out writes a page with all")
    click.echo()
    for sentence in conclude_curve(record):
        click.echo(sentence)
    click.echo(f"{found.backbone}, {found.seconds:.1f} s")
    if out is not None:
        click.echo(f"page: {out}")
    # Where more of the same help little, wrong labels are what is left to find.
    if record.verdict == "flat":
        click.echo(f"next: edgetl data check {data}")
    else:
        click.echo(f"next: edgetl train {data} --out runs/{data.resolve().stem}")
