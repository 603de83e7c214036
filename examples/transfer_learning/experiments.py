"""What the experiments share: their arguments, and how they start and end."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from photos import MARKER

from edgetl.networks.backbones import DEFAULT_BACKBONE
from edgetl.progress import follow
from edgetl_runtime.errors import EdgetlError


def run_script(main: Callable[[], None]) -> None:
    """Runs an experiment; a user's mistake is one line, not a traceback."""
    # TensorFlow and OpenCV read these when they are imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    try:
        with follow(True):
            main()
    except EdgetlError as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted; give the same command again to go on", file=sys.stderr)
        sys.exit(130)


def parser_for(doc: str, name: str, *, epochs: int) -> argparse.ArgumentParser:
    """A parser of what every experiment takes.

    Args:
        doc: The script's docstring.
        name: Of the experiment; its default folder is runs/NAME.
        epochs: Default of --epochs.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    folder = Path("runs") / name
    parser.add_argument("--out", type=Path, default=folder, help=f"[{folder}]")
    parser.add_argument("--epochs", type=_count, default=epochs, help=f"[{epochs}]")
    parser.add_argument("--seed", type=int, default=0, help="[0]")
    return parser


def photo_parser_for(
    doc: str, name: str, *, epochs: int, photos: int, size_px: int
) -> argparse.ArgumentParser:
    """A parser of what every experiment on photos takes; see `parser_for`."""
    parser = parser_for(doc, name, epochs=epochs)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument(
        "--photos-a-class",
        type=int,
        default=photos,
        metavar="N",
        help=f"of each part at most so many of each class; 0: all  [{photos}]",
    )
    parser.add_argument("--size", type=int, default=size_px, help=f"px  [{size_px}]")
    parser.add_argument("--weights", default="imagenet", help="or a file  [imagenet]")
    return parser


def add_backbone(parser: argparse.ArgumentParser) -> None:
    """Adds the option of scripts that take one backbone."""
    parser.add_argument("--backbone", default=DEFAULT_BACKBONE, help=f"[{DEFAULT_BACKBONE}]")


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def show_skipped(skipped: Sequence[Any], most: int = 10) -> None:
    """Prints files of the user that are not used, and why."""
    skipped = [one for one in skipped if one.path != MARKER]
    for one in skipped[:most]:
        print(f"skipped {one.path}: {one.reason}")
    if len(skipped) > most:
        print(f"... and {len(skipped) - most} more; manifest.json of each run lists them all")
