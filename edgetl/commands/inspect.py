"""`edgetl inspect`: everything that is in a bundle."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgetl.console import FOLDER, print_json, print_table
from edgetl_export.wording import percent, signed_points
from edgetl_runtime.text.printable import make_printable
from edgetl_runtime.text.wording import count_noun

if TYPE_CHECKING:
    from edgetl_runtime.bundle.manifest import BundleManifest, Variant
    from edgetl_runtime.bundle.reader import Bundle


@click.command()
@click.argument("bundle", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: its bundle.json.")
@click.option(
    "--app-json",
    is_flag=True,
    help="Print one JSON object for writers of apps: labels, input, rules, test vectors.",
)
@click.option("--variant", help="Variant for --app-json, such as litert-int8.  [first of LiteRT]")
def inspect(bundle: Path, *, as_json: bool, app_json: bool, variant: str | None) -> None:
    """Show the content of a BUNDLE, a folder or .zip, after checking the hash of every file.

    Lessons that lie beside it are mentioned.

    Example: edgetl inspect parts.bundle
    """
    if app_json and as_json:
        raise click.UsageError("give --json or --app-json, not both")
    if variant and not app_json:
        raise click.UsageError("--variant is for --app-json")
    from edgetl_runtime.bundle.reader import Bundle

    opened = Bundle.open(bundle)
    if app_json:
        _print_for_apps(opened, variant)
    else:
        _print_bundle(opened, as_json=as_json)


def _print_for_apps(bundle: "Bundle", variant: str | None) -> None:
    from edgetl_export.package.app_description import describe_for_apps

    print_json(describe_for_apps(bundle, variant))


def _print_bundle(bundle: "Bundle", *, as_json: bool) -> None:
    import msgspec

    manifest = bundle.manifest
    if as_json:
        print_json(msgspec.to_builtins(manifest))
    else:
        _print_origin(manifest)
        _print_files(manifest)
        print_scores(manifest)
        _print_recall(manifest)
    _tell_doubts(manifest)
    if unlisted := bundle.find_unlisted():
        click.echo(
            f"edgetl: not checked: {count_noun(len(unlisted), 'file')} in {bundle.path} not listed "
            "in the bundle: " + ", ".join(map(repr, unlisted[:5])),
            err=True,
        )
    if not as_json:
        _tell_lessons(bundle)
        click.echo(f"next: edgetl-run verify {bundle.path}  (on the device, too)")


def _tell_lessons(bundle: "Bundle") -> None:
    """Names the lessons, which are not part of the bundle but change a device's answers."""
    from edgetl.lessons import find_lessons

    if lessons := find_lessons(bundle):
        labels = ", ".join(dict.fromkeys(one.label or "(nothing known)" for one in lessons))
        click.echo(
            make_printable(
                f"{count_noun(len(lessons), 'lesson')} beside the bundle: {labels}; to list them: "
                f"edgetl-run learned {bundle.path}"
            )
        )


def _tell_doubts(manifest: "BundleManifest") -> None:
    for variant in manifest.variants:
        for sentence in variant.failures:
            click.echo(f"the gate rejected {variant.name}: {sentence}", err=True)
        for sentence in variant.unsure:
            click.echo(f"the gate is unsure of {variant.name}: {sentence}", err=True)
    for one in manifest.provenance.left_out:
        click.echo(f"the gate left {one.name} out: {one.reason}", err=True)


def _print_origin(manifest: "BundleManifest") -> None:
    made, frame = manifest.provenance, manifest.preprocessing
    date = f" on {made.created_utc}" if made.created_utc else ""
    stated = ("name", "version", "author", "license", "description")
    rows = [
        *((key, text) for key in stated if (text := getattr(made, key))),
        ("backbone", made.backbone),
        ("made", f"by edgetl {made.edgetl_version}{date}"),
        ("labels", ", ".join(manifest.labels)),
        *([("unknown output", manifest.unknown_label)] if manifest.unknown_label else []),
        ("input", f"{frame.width_px}x{frame.height_px} px {frame.color}, {frame.fit}"),
        ("format", str(manifest.format_version)),
        ("model card", f"{manifest.card.file}, {manifest.card.bytes:,} bytes"),
        ("golden frames", str(len(manifest.golden))),
        ("calibration photos", str(len(made.calibration_photos))),
        ("data", made.dataset_digest[:12]),
        ("weights", made.weights_digest[:12]),
        ("trained model", made.model_sha256[:12]),
        ("made with", ", ".join(f"{name} {number}" for name, number in made.versions.items())),
    ]
    print_table(("what", "is"), rows)


def _print_files(manifest: "BundleManifest") -> None:
    rows = [
        (
            one.file,
            f"{one.bytes:,}",
            one.input.dtype,
            percent(one.metrics.top1),
            percent(one.test_metrics.top1 if one.test_metrics else None),
            signed_points(one.metrics.drop),
            percent(one.metrics.agreement),
            one.repair or "-",
        )
        for one in manifest.variants
    ]
    header = ("file", "bytes", "input", "top-1", "test", "drop (points)", "agreement", "repair")
    print_table(header, rows)


def print_scores(manifest: "BundleManifest") -> None:
    """Prints how sure the scores of each file are, and what it makes of unknown things."""
    rows = [
        (
            one.name,
            f"{one.calibration.temperature:.3g}",
            percent(one.calibration.calibration_error_before),
            percent(one.calibration.calibration_error),
            percent(one.test_metrics.calibration_error if one.test_metrics else None),
            f"{one.calibration.reject_threshold:.3g}" if one.calibration.reject_threshold else "-",
        )
        for one in manifest.variants
    ]
    print_table(("scores", "temperature", "error before", "after", "test", "threshold"), rows)
    print_table(
        ("labelled or not", "unknown", "similar", "known", "other camera"),
        [_describe_rejection(one) for one in manifest.variants],
    )
    click.echo(
        "unknown: photos of _unknown_ that get a label; similar: photos that do where their class "
        "is left out; known: photos of the classes that get none; other camera: those that get "
        "none as another camera would have taken them; -: not measured"
    )


def _describe_rejection(variant: "Variant") -> tuple[str, ...]:
    found = variant.calibration
    by_classes = found.unknown == "held-out classes"
    return (
        variant.name,
        percent(None if by_classes else found.false_accept_rate),
        percent(found.false_accept_rate if by_classes else found.held_out_accept_rate),
        percent(found.false_reject_rate),
        percent(found.view_reject_rate),
    )


def _print_recall(manifest: "BundleManifest") -> None:
    rows = [
        (label, *(percent(one.metrics.recall[label]) for one in manifest.variants))
        for label in manifest.labels
    ]
    print_table(("recall", *(one.name for one in manifest.variants)), rows)
