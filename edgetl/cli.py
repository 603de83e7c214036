"""`edgetl`: train, evaluate, export, backbones, demo.

Each command parses, makes one call and prints. Heavy imports are inside the commands, so that
`--help` answers at once. Results go to stdout (`--json`: one object), progress and warnings to
stderr. Exit code 0: done, 1: our error, 2: usage, 3: ran, but a quality gate failed.
"""

import errno
import io
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgetl import __version__
from edgetl.commands.backbones import backbones
from edgetl.commands.bench_report import bench_report
from edgetl.commands.compare import compare
from edgetl.commands.data import data
from edgetl.commands.evaluate import evaluate
from edgetl.commands.explain import explain
from edgetl.commands.export import export, recipes
from edgetl.commands.inspect import inspect
from edgetl.commands.phone import phone
from edgetl.commands.quantize_report import quantize_report
from edgetl.commands.train import train
from edgetl.console import (
    FOLDER,
    find_command,
    print_json,
    print_table,
)
from edgetl.progress import follow
from edgetl_runtime.image.limits import MAX_PIXELS

if TYPE_CHECKING:
    from edgetl.demo import DemoResult

EXIT_GATE = 3
SEED = click.IntRange(0, 2**31 - 1)
# That of `edgetl.demo`, which is slow to import: a test compares them.
DEMO_MARKER = "edgetl-demo.json"
# Older versions of click print the help themselves.
_NO_WORDS = getattr(click.exceptions, "NoArgsIsHelpError", ())


def main() -> None:
    """Entry point: turns our errors into one line and an exit code."""
    _prepare_environment()
    from edgetl_runtime.errors import EdgetlError, GateError
    from edgetl_runtime.system.interruption import EXIT_INTERRUPTED
    from edgetl_runtime.text.printable import make_printable

    try:
        with follow(True):
            code = cli(prog_name="edgetl", standalone_mode=False)
    except click.ClickException as error:
        _complain(error)
        sys.exit(error.exit_code)
    except EdgetlError as error:
        click.echo(f"edgetl: {make_printable(str(error))}", err=True)
        sys.exit(EXIT_GATE if isinstance(error, GateError) else 1)
    except (click.Abort, KeyboardInterrupt):
        click.echo("edgetl: interrupted; computed features stay in the cache", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except OSError as error:
        click.echo(f"edgetl: {make_printable(describe_failure(error))}", err=True)
        sys.exit(1)
    sys.exit(code or 0)


def describe_failure(error: OSError) -> str:
    """Describes a system error that nothing else has explained, and what to do."""
    said = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        temporary = (
            f"temporary files in {os.environ.get('TMPDIR', '/tmp')}; set TMPDIR to move them"
        )
        return f"{said}: {error.filename or temporary}. Existing files are intact"
    return f"{said}{f': {error.filename}' * bool(error.filename)}. Existing files are intact"


def _complain(error: click.ClickException) -> None:
    """One line on what is wrong and one on where help is; a command without words shows help."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None or isinstance(error, _NO_WORDS):
        error.show()
        return
    name = context.command_path
    click.echo(f"{name}: {' '.join(error.format_message().split())}", err=True)
    click.echo(f"try: {name} --help", err=True)


def _prepare_environment() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # What the locale cannot show is spelled out.
            stream.reconfigure(errors="backslashreplace")
    # TensorFlow and OpenCV read these when they are imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))
    logging.basicConfig(format="edgetl: %(message)s", level=logging.WARNING)
    # What ours tell is for users; what libraries tell is not.
    logging.getLogger("edgetl").setLevel(logging.INFO)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="edgetl")
def cli() -> None:
    """From a folder of photos to a camera that names what it sees."""


@cli.command()
@click.option("--out", default="edgetl-demo", show_default=True, type=FOLDER, help="Folder.")
@click.option(
    "--seed", default=0, show_default=True, type=SEED, help="Random seed of the training."
)
@click.option("--overwrite", is_flag=True, help="Replace the folder of an earlier demo.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def demo(out: Path, *, seed: int, overwrite: bool, as_json: bool) -> int:
    """Run the main job on images that it draws: train, export, verify, classify, benchmark.

    Example: edgetl demo
    """
    from edgetl_runtime.system.storage import check_replaceable

    check_replaceable(out, marker=DEMO_MARKER, overwrite=overwrite)
    from edgetl.demo import GOAL_TOP1, explain_video, run_demo, summarize

    result = run_demo(out, seed=seed, overwrite=overwrite)
    header = ("file", "bytes", "validation", "held-out", "video", "ms/frame")
    if as_json:
        print_json(_demo_record(result))
    else:
        print_table(header, summarize(result))
        click.echo(explain_video(result.variants[0]))
        click.echo(f"network: {result.plan.network}")
        click.echo(f"{result.seconds:.0f} s; everything is in {out}:")
        click.echo("  photos, held_out, bench.avi  drawn images and video")
        click.echo("  run                          the trained model; its report: run/report.html")
        click.echo("  parts.bundle                 the bundle for a device")
        click.echo("  sheet.png                    video frames with their predicted labels")
        video = f"{out}/parts.bundle --source {out}/bench.avi"
        click.echo(f"next: {find_command('edgetl-run')} serve {video} --realtime --loop")
        click.echo("      (a page in the browser that shows the video and its labels)")
    if not result.passed:
        click.echo(
            f"edgetl: not every file is above {GOAL_TOP1:.0%} on images and video, and verified",
            err=True,
        )
    return 0 if result.passed else EXIT_GATE


cli.add_command(backbones)
cli.add_command(train)
cli.add_command(evaluate)
cli.add_command(export)
cli.add_command(recipes)
cli.add_command(quantize_report)
cli.add_command(inspect)
cli.add_command(explain)
cli.add_command(phone)
cli.add_command(data)
cli.add_command(compare)
cli.add_command(bench_report)


def _demo_record(result: "DemoResult") -> dict[str, object]:
    return {
        "folder": str(result.folder),
        "backbone": result.run.spec.backbone,
        "network": result.plan.network,
        "seconds": result.seconds,
        "verified": result.verification.ok,
        "variants": [
            {
                "name": one.variant.name,
                "bytes": one.variant.bytes,
                "top1": one.variant.metrics.top1,
                "held_out_top1": one.held_out_top1,
                "video_frames": one.video.frames,
                "video_correct": one.video.correct_share,
                "video_rejected": one.video.rejected_share,
                "frame_ms": one.report.total_ms.p50,
            }
            for one in result.variants
        ],
    }


if __name__ == "__main__":
    main()
