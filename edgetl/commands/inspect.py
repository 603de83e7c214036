"""`edgetl inspect`: everything that is in a bundle."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgetl.console import FOLDER, print_json, print_table

if TYPE_CHECKING:
    from edgetl_runtime.bundle import BundleManifest


@click.command()
@click.argument("bundle", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: its bundle.json.")
def inspect(bundle: Path, *, as_json: bool) -> None:
    """Show everything that is in a BUNDLE, after checking every file's hash.

    Example: edgetl inspect parts.bundle
    """
    import msgspec

    from edgetl_runtime.bundle import Bundle

    manifest = Bundle.open(bundle).manifest
    if as_json:
        print_json(msgspec.to_builtins(manifest))
        return
    _print_origin(manifest)
    _print_files(manifest)
    _print_recall(manifest)
    for variant in manifest.variants:
        for sentence in variant.failures:
            click.echo(f"the gate refused {variant.name}: {sentence}", err=True)
    click.echo(f"next: edgetl-run verify {bundle}  (on the device, too)")


def _print_origin(manifest: "BundleManifest") -> None:
    made, frame = manifest.provenance, manifest.preprocessing
    rows = [
        ("backbone", made.backbone),
        ("made", f"{made.created_utc} by edgetl {made.edgetl_version}"),
        ("labels", ", ".join(manifest.labels)),
        ("input", f"{frame.width_px}x{frame.height_px} px {frame.color}, {frame.fit}"),
        ("temperature", f"{manifest.calibration.temperature:g}"),
        ("rejects scores below", f"{manifest.calibration.reject_threshold:g}"),
        ("golden frames", str(len(manifest.golden))),
        ("calibration photos", str(len(made.calibration_photos))),
        ("data", made.dataset_digest[:12]),
        ("weights", made.weights_digest[:12]),
        ("trained model", made.model_sha256[:12]),
    ]
    print_table(("what", "is"), rows)


def _print_files(manifest: "BundleManifest") -> None:
    rows = [
        (
            one.file,
            f"{one.bytes:,}",
            one.input.dtype,
            f"{one.metrics.top1:.1%}",
            f"{100 * one.metrics.drop:+.1f}",
            f"{one.metrics.agreement:.1%}",
            one.repair or "-",
        )
        for one in manifest.variants
    ]
    print_table(("file", "bytes", "input", "top-1", "drop (points)", "agreement", "repair"), rows)


def _print_recall(manifest: "BundleManifest") -> None:
    rows = [
        (
            label,
            *(
                "-" if (share := one.metrics.recall[label]) is None else f"{share:.1%}"
                for one in manifest.variants
            ),
        )
        for label in manifest.labels
    ]
    print_table(("recall", *(one.name for one in manifest.variants)), rows)
