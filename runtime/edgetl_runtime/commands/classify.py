"""`edgetl-run classify`: name what is on images or in videos, frame by frame."""

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
from edgetl_runtime.commands.printing import print_json, warn
from edgetl_runtime.errors import CameraError, FrameError
from edgetl_runtime.text.printable import make_printable, show_path
from edgetl_runtime.text.wording import count_noun

if TYPE_CHECKING:
    from edgetl_runtime.answers import Recorder
    from edgetl_runtime.classifier import Classifier
    from edgetl_runtime.image.frames import CapturedFrame
    from edgetl_runtime.prediction import Prediction


def add(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    summary = "classify images and videos"
    parser = add_command(commands, "classify", classify, summary)
    parser.add_argument(
        "sources", nargs="+", type=path, metavar="IMAGE|FOLDER|VIDEO", help="Files to classify"
    )
    add_model_options(parser)
    parser.set_defaults(find_elsewhere=_find_elsewhere)
    parser.add_argument(
        "--top", type=positive, default=3, help="Number of labels to list (default: 3)"
    )
    parser.add_argument(
        "--explain",
        type=path,
        metavar="FOLDER",
        help="Folder for an image of each frame with the heat map of its best label",
    )


def _find_elsewhere(flag: str) -> str:
    """Where a flag is that `classify` has not; empty if nowhere."""
    from edgetl_runtime.options.option import list_options
    from edgetl_runtime.settings.sections import Settings

    known = any(option.flag == flag for option in list_options(Settings).values())
    return f" here; `edgetl-run camera BUNDLE --source FILE {flag} ...` has it" if known else ""


def classify(options: argparse.Namespace) -> int:
    """Runs the command."""
    classifier = _open_classifier(options)
    from edgetl_runtime.answers import Recorder

    recorder, count = Recorder(options.top), Counter[str]()
    bad = sum(
        _classify_source(classifier, source, recorder, options, count) for source in options.sources
    )
    if any(source.is_dir() for source in options.sources):
        warn(_sum_up(count, bad))
    return EXIT_ERROR if bad or not count["answered"] else 0


def _open_classifier(options: argparse.Namespace) -> "Classifier":
    """The model, which runs alone on this machine."""
    import cv2

    from edgetl_runtime.classifier import Classifier

    # Preprocessing takes a fraction of a millisecond: waking more threads would cost more.
    cv2.setNumThreads(1)
    classifier = Classifier.open(
        options.bundle, engine=options.engine, variant=options.variant, threads=options.threads
    )
    if classifier.fault:
        warn(classifier.fault)
    if classifier.lessons:
        from edgetl_runtime.learning.place import describe_lessons

        warn(describe_lessons(classifier.lessons))
    return classifier


def _classify_source(
    classifier: "Classifier",
    source: Path,
    recorder: "Recorder",
    options: argparse.Namespace,
    count: "Counter[str]",
) -> bool:
    """Answers a file or folder; returns whether it is bad, which of a folder no file makes it."""
    from edgetl_runtime.answers import VERSION, UnusedRecord
    from edgetl_runtime.image.folders import UNREADABLE, list_inputs
    from edgetl_runtime.image.frames import read_frames

    def leave(file: Path, kind: str, why: str) -> None:
        count[kind] += 1
        if options.json:
            name, reason = show_path(file), show_path(why)
            print_json(UnusedRecord(VERSION, name, name, None, None, (), kind, reason))

    try:
        files = list_inputs(source, warn, leave)
    except FrameError as error:
        warn(f"{source}: {error}")
        return True
    for file in files:
        try:
            count["answered"] += _answer(classifier, read_frames(file, warn), recorder, options) > 0
        except (FrameError, CameraError) as error:
            # One bad file among many must not lose the answers to the others.
            warn(str(error))
            if not source.is_dir():
                return True
            leave(file, UNREADABLE, str(error))
    return False


def _sum_up(count: "Counter[str]", bad: int) -> str:
    """`12 files: 9 answered, 2 unreadable, 1 no image`; those named by themselves count, too."""
    from edgetl_runtime.image.folders import NO_PICTURE, UNREADABLE

    count[UNREADABLE] += bad
    kinds = [f"{count[kind]} {kind}" for kind in ("answered", UNREADABLE, NO_PICTURE)]
    total = count.total()
    return f"{count_noun(total, 'file')}: {', '.join(kinds)}"


def _answer(
    classifier: "Classifier",
    frames: Iterable["CapturedFrame"],
    recorder: "Recorder",
    options: argparse.Namespace,
) -> int:
    from edgetl_runtime.answers import answer_alone
    from edgetl_runtime.heatmaps.files import write_explained

    answered = 0
    for frame in frames:
        prediction = classifier(frame.image, captured_s=frame.captured_s)
        if options.json:
            print_json(recorder.describe(answer_alone(frame, prediction)))
        else:
            _print(frame, prediction, options.top)
        if options.explain:
            drawn = write_explained(classifier.explainer, frame, options.explain)
            if options.json:
                warn(f"{make_printable(frame.source)}#{frame.index}: heat map {show_path(drawn)}")
            else:
                print(f"  heat map: {show_path(drawn)}", flush=True)
        answered += 1
    return answered


def _print(frame: "CapturedFrame", prediction: "Prediction", top: int) -> None:
    from edgetl_runtime.outputs.phrases import show_prediction

    took_ms = prediction.preprocess_ms + prediction.invoke_ms
    source = make_printable(frame.source)
    at = "" if frame.position_s is None else f" ({frame.position_s:.2f} s)"
    print(
        f"{source}#{frame.index}{at}  {show_prediction(prediction, top)}  "
        f"{took_ms:.1f} ms, age {prediction.age_ms:.1f} ms",
        flush=True,
    )
