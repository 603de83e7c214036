"""`edgetl-run classify`: name what is on pictures or in videos, frame by frame."""

import argparse
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from edgetl_runtime.commands.arguments import (
    Subparsers,
    add_command,
    add_model_options,
    path,
    positive,
)
from edgetl_runtime.commands.exits import EXIT_ERROR
from edgetl_runtime.commands.opening import open_classifier
from edgetl_runtime.commands.printing import print_json, show_path, warn
from edgetl_runtime.errors import CameraError, FrameError
from edgetl_runtime.printable import make_printable
from edgetl_runtime.wording import count_noun

if TYPE_CHECKING:
    from edgetl_runtime.classifier import Classifier
    from edgetl_runtime.frames import CapturedFrame
    from edgetl_runtime.prediction import Prediction


def add(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    summary = "name what is on pictures or in videos"
    parser = add_command(commands, "classify", classify, summary)
    parser.add_argument("sources", nargs="+", type=path, metavar="IMAGE|FOLDER|VIDEO")
    add_model_options(parser)
    parser.set_defaults(find_elsewhere=_find_elsewhere)
    parser.add_argument("--top", type=positive, default=3, help="labels to list (default 3)")


def _find_elsewhere(flag: str) -> str:
    """Where a flag is that `classify` has not; empty if nowhere."""
    from edgetl_runtime.settings.options import list_options

    known = any(option.flag == flag for option in list_options().values())
    return f" here; `edgetl-run camera BUNDLE --source FILE {flag} ...` has it" if known else ""


def classify(options: argparse.Namespace) -> int:
    """Runs the command."""
    classifier = open_classifier(options.bundle, options.engine, options.variant, options.threads)
    count: Counter[str] = Counter()
    bad = sum(_classify_source(classifier, source, options, count) for source in options.sources)
    if any(source.is_dir() for source in options.sources):
        warn(_sum_up(count, bad))
    return EXIT_ERROR if bad or not count["answered"] else 0


def _classify_source(
    classifier: "Classifier", source: Path, options: argparse.Namespace, count: "Counter[str]"
) -> bool:
    """Answers a file or folder; returns whether it is bad, which of a folder no file makes it."""
    from edgetl_runtime.folders import UNREADABLE, list_inputs
    from edgetl_runtime.frames import read_frames

    def leave(file: Path, kind: str, why: str) -> None:
        count[kind] += 1
        if options.json:
            print_json(_describe_unused(file, kind, why))

    try:
        files = list_inputs(source, warn, leave)
    except FrameError as error:
        warn(f"{source}: {error}")
        return True
    for file in files:
        try:
            count["answered"] += _answer(classifier, read_frames(file, warn), options) > 0
        except (FrameError, CameraError) as error:
            # One bad file among many must not lose the answers to the others.
            warn(str(error))
            if not source.is_dir():
                return True
            leave(file, UNREADABLE, str(error))
    return False


def _sum_up(count: "Counter[str]", bad: int) -> str:
    """`12 files: 9 answered, 2 unreadable, 1 no picture`; those named by themselves count, too."""
    from edgetl_runtime.folders import NO_PICTURE, UNREADABLE

    count[UNREADABLE] += bad
    kinds = [f"{count[kind]} {kind}" for kind in ("answered", UNREADABLE, NO_PICTURE)]
    total = count.total()
    return f"{count_noun(total, 'file')}: {', '.join(kinds)}"


def _describe_unused(file: Path, kind: str, why: str) -> dict[str, object]:
    """A file of a folder that gets no answer, with the keys of one."""
    empty = ("frame", "position_s", "label", "score", "preprocess_ms", "invoke_ms", "age_ms")
    told: dict[str, object] = {"source": show_path(file), **dict.fromkeys(empty), "top": []}
    return told | {"unused": kind, "reason": show_path(why)}


def _answer(
    classifier: "Classifier", frames: Iterable["CapturedFrame"], options: argparse.Namespace
) -> int:
    answered = 0
    for frame in frames:
        prediction = classifier(frame.image, captured_s=frame.captured_s)
        if options.json:
            print_json(_record(frame, prediction, options.top))
        else:
            _print(frame, prediction, options.top)
        answered += 1
    return answered


def _record(frame: "CapturedFrame", prediction: "Prediction", top: int) -> dict[str, object]:
    return {
        "source": show_path(frame.source),
        "frame": frame.index,
        "position_s": frame.position_s,
        "label": prediction.label,
        "score": prediction.score,
        "top": [{"label": label, "score": score} for label, score in prediction.top(top)],
        "preprocess_ms": prediction.preprocess_ms,
        "invoke_ms": prediction.invoke_ms,
        "age_ms": prediction.age_ms,
    }


def _print(frame: "CapturedFrame", prediction: "Prediction", top: int) -> None:
    from edgetl_runtime.outputs.records import show_prediction

    took_ms = prediction.preprocess_ms + prediction.invoke_ms
    source = make_printable(frame.source)
    at = "" if frame.position_s is None else f" ({frame.position_s:.2f} s)"
    print(
        f"{source}#{frame.index}{at}  {show_prediction(prediction, top)}  "
        f"{took_ms:.1f} ms, age {prediction.age_ms:.1f} ms",
        flush=True,
    )
