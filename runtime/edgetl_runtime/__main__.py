"""`edgetl-run`: verify, classify, camera and bench on the device.

Results go to stdout (`--json` for machines), warnings to stderr. Exit code 0: done, 1: our
error, 2: usage, 3: ran, but the golden frames were not reproduced.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from edgetl_runtime import __version__
from edgetl_runtime.errors import BundleError, CameraError, EdgetlError, FrameError

if TYPE_CHECKING:
    from edgetl_runtime.benchmark import BenchmarkReport, Percentiles
    from edgetl_runtime.classifier import Classifier
    from edgetl_runtime.frames import CapturedFrame
    from edgetl_runtime.prediction import Prediction

EXIT_ERROR = 1
EXIT_GATE = 3
_MAX_PIXELS = "200000000"
_MAX_THREADS = 1024


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    _prepare_opencv()
    try:
        options = _parser().parse_args(arguments)
        command: Callable[[argparse.Namespace], int] = options.command
        code = command(options)
        sys.stdout.flush()
        return code
    except EdgetlError as error:
        print(f"edgetl-run: {error}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        # Without this Python complains once more when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        # A reader that has gone, as `| head` does, needs no message.
        if not isinstance(error, BrokenPipeError):
            print(f"edgetl-run: cannot write the results: {error}", file=sys.stderr)
        return EXIT_ERROR


def _prepare_opencv() -> None:
    # OpenCV and its FFmpeg read these when they are imported: our own messages say what failed.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", _MAX_PIXELS)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgetl-run",
        description="Classify pictures, videos and cameras with an edgetl bundle.",
    )
    parser.add_argument("--version", action="version", version=f"edgetl-run {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    verify = _add(commands, "verify", _verify, "check hashes, then replay the golden frames")
    _add_json(verify)

    classify = _add(commands, "classify", _classify, "name what is on pictures or in videos")
    classify.add_argument("sources", nargs="+", type=Path, metavar="IMAGE|FOLDER|VIDEO")
    _add_model_options(classify)
    classify.add_argument("--top", type=_positive, default=3, help="labels to list (default 3)")

    camera = _add(commands, "camera", _camera, "name what a camera sees, newest frame only")
    camera.add_argument("--source", default="0", help="0, /dev/videoN, FILE or URL (default 0)")
    camera.add_argument("--size", type=_size, metavar="WxH", help="ask the camera for this size")
    camera.add_argument("--max-frames", type=_positive, metavar="N", help="stop after N answers")
    camera.add_argument("--top", type=_positive, default=3, help="labels to list (default 3)")
    _add_model_options(camera)

    bench = _add(commands, "bench", _bench, "time preprocessing and engine on this machine")
    bench.add_argument("--runs", type=_positive, default=300, help="samples (default 300)")
    bench.add_argument(
        "--frame-size", type=_size, default=(640, 480), metavar="WxH", help="default 640x480"
    )
    bench.add_argument("--raw", action="store_true", help="with --json: every sample, too")
    _add_model_options(bench)
    return parser


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    function: Callable[[argparse.Namespace], int],
    summary: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=summary.capitalize() + ".")
    parser.set_defaults(command=function)
    parser.add_argument("bundle", type=Path, help="the folder or .zip that `edgetl export` wrote")
    return parser


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON for machines")


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--engine", choices=("litert", "onnx"), help="default: the bundle's first")
    parser.add_argument("--variant", help="such as litert-int8")
    parser.add_argument(
        "--threads", type=_threads, help="of the engine (default: cores, at most 4)"
    )
    _add_json(parser)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def _threads(text: str) -> int:
    if _positive(text) > _MAX_THREADS:
        raise argparse.ArgumentTypeError(f"expected at most {_MAX_THREADS} threads, got {text}")
    return int(text)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and 1 <= int(width) * int(height) <= 10**8):
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT such as 640x480, got {text!r}")
    return int(width), int(height)


def _verify(options: argparse.Namespace) -> int:
    from edgetl_runtime.bundle import Bundle
    from edgetl_runtime.golden import Verification, verify

    try:
        result = verify(Bundle.open(options.bundle))
        code = 0 if result.ok else EXIT_GATE
    except BundleError as error:
        result, code = Verification(False, [], [str(error)], []), EXIT_ERROR
    if options.json:
        _print_json(result)
    else:
        print(f"{options.bundle}: {'ok' if result.ok else 'FAILED'}, {len(result.checked)} checks")
    for line in result.failures:
        print(f"edgetl-run: {line}", file=sys.stderr)
    for line in result.skipped:
        print(f"edgetl-run: not checked: {line}", file=sys.stderr)
    return code


def _classify(options: argparse.Namespace) -> int:
    from edgetl_runtime.frames import find_files, read_frames

    classifier = _open_classifier(options)
    bad = answered = 0
    for source in options.sources:
        try:
            files = find_files(source)
        except FrameError as error:
            print(f"edgetl-run: {error}", file=sys.stderr)
            bad += 1
            continue
        for file in files:
            try:
                answered += _answer(classifier, read_frames(file), options)
            except (FrameError, CameraError) as error:
                # One bad file among many must not lose the answers to the others.
                print(f"edgetl-run: {error}", file=sys.stderr)
                bad += not source.is_dir()
    return EXIT_ERROR if bad or not answered else 0


def _camera(options: argparse.Namespace) -> int:
    from edgetl_runtime.capture.camera import Camera
    from edgetl_runtime.settings import SourceSettings

    classifier = _open_classifier(options)
    size = options.size and "{}x{}".format(*options.size)
    with Camera(options.source, SourceSettings(size=size, realtime=True)) as camera:
        try:
            answered = _answer(classifier, camera, options, limit=options.max_frames)
        except KeyboardInterrupt:
            # Ctrl-C is how a person ends a camera: no error.
            return 0
    print(
        f"edgetl-run: {answered} answers, {camera.status().dropped} older frames dropped",
        file=sys.stderr,
    )
    return 0


def _bench(options: argparse.Namespace) -> int:
    import cv2

    from edgetl_runtime.benchmark import benchmark

    cv2.setNumThreads(1)
    report = benchmark(
        options.bundle,
        engine=options.engine,
        variant=options.variant,
        threads=options.threads,
        frame_px=options.frame_size,
        runs=options.runs,
    )
    if options.json:
        _print_json(_benchmark_record(report, raw=options.raw))
    else:
        _print_benchmark(report)
    if report.throttled:
        print("edgetl-run: the board throttled: do not compare these figures", file=sys.stderr)
    return 0


def _open_classifier(options: argparse.Namespace) -> "Classifier":
    import cv2

    from edgetl_runtime.classifier import Classifier

    # Preprocessing takes a fraction of a millisecond: waking more threads would cost more.
    cv2.setNumThreads(1)
    return Classifier.open(
        options.bundle, engine=options.engine, variant=options.variant, threads=options.threads
    )


def _answer(
    classifier: "Classifier",
    frames: Iterable["CapturedFrame"],
    options: argparse.Namespace,
    limit: int | None = None,
) -> int:
    answered = 0
    for frame in frames:
        prediction = classifier(frame.image, captured_s=frame.captured_s)
        if options.json:
            _print_json(_prediction_record(frame, prediction, options.top))
        else:
            _print_prediction(frame, prediction, options.top)
        answered += 1
        if answered == limit:
            break
    return answered


def _prediction_record(
    frame: "CapturedFrame", prediction: "Prediction", top: int
) -> dict[str, object]:
    return {
        "source": frame.source,
        "frame": frame.index,
        "label": prediction.label,
        "score": prediction.score,
        "top": [{"label": label, "score": score} for label, score in prediction.top(top)],
        "preprocess_ms": prediction.preprocess_ms,
        "invoke_ms": prediction.invoke_ms,
        "age_ms": prediction.age_ms,
    }


def _print_prediction(frame: "CapturedFrame", prediction: "Prediction", top: int) -> None:
    others = ", ".join(f"{label} {score:.0%}" for label, score in prediction.top(top)[1:])
    label = prediction.label or "(nothing known)"
    took_ms = prediction.preprocess_ms + prediction.invoke_ms
    print(
        f"{frame.source}#{frame.index}  {label} {prediction.score:.0%}  [{others}]  "
        f"{took_ms:.1f} ms, age {prediction.age_ms:.1f} ms",
        flush=True,
    )


def _benchmark_record(report: "BenchmarkReport", *, raw: bool) -> dict[str, object]:
    stages = ("preprocess", "invoke", "total")
    record: dict[str, object] = {
        "variant": report.variant,
        "engine": report.engine,
        "threads": report.threads,
        "load_ms": report.load_ms,
        "first_ms": report.first_ms,
        **{f"{stage}_ms": getattr(report, f"{stage}_ms") for stage in stages},
        "runs": len(report.total_samples_ms),
        "warmup_runs": report.warmup_runs,
        "frame_px": report.frame_px,
        "peak_rss_mib": report.peak_rss_mib,
        "board": report.board,
        "before": report.before,
        "after": report.after,
        "throttled": report.throttled,
    }
    if raw:
        record |= {f"{s}_samples_ms": getattr(report, f"{s}_samples_ms") for s in stages}
    return record


def _print_benchmark(report: "BenchmarkReport") -> None:
    board = report.board
    print(f"{board.board or board.cpu}, {board.cores} cores, {board.os}, Python {board.python}")
    print(f"{report.variant} on {report.engine}, threads {report.threads}, frame {report.frame_px}")
    print(f"{'ms':<12}{'p50':>8}{'p90':>8}{'p99':>8}   ({len(report.total_samples_ms)} runs)")
    for name in ("preprocess", "invoke", "total"):
        stage: Percentiles = getattr(report, f"{name}_ms")
        print(f"{name:<12}{stage.p50:8.2f}{stage.p90:8.2f}{stage.p99:8.2f}")
    memory = f"{report.peak_rss_mib:.0f} MiB" if report.peak_rss_mib else "unknown"
    print(f"load {report.load_ms:.0f} ms, first {report.first_ms:.1f} ms, peak memory {memory}")


def _print_json(record: object) -> None:
    import msgspec

    print(msgspec.json.encode(record).decode(), flush=True)


if __name__ == "__main__":
    sys.exit(main())
