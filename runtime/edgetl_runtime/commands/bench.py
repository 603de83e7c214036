"""`edgetl-run bench`: time preprocessing and engine on this machine."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgetl_runtime.commands.arguments import (
    Subparsers,
    add_command,
    add_model_options,
    path,
    positive,
    seconds,
    size,
)
from edgetl_runtime.commands.printing import print_json, say, warn
from edgetl_runtime.commands.progress import ProgressLine
from edgetl_runtime.commands.survey import add_survey_options, check_usage, survey_bundle

if TYPE_CHECKING:
    from edgetl_runtime.benchmarking.comparison import Comparison
    from edgetl_runtime.benchmarking.record import BoardBenchmark
    from edgetl_runtime.system.monitoring import Observation
    from edgetl_runtime.system.percentiles import Percentiles


def add(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    summary = "measure the latency on this machine"
    parser = add_command(commands, "bench", bench, summary)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="At least 128 runs and 10 s, instead of 1,024 and 60 s",
    )
    parser.add_argument("--runs", type=positive, help="Number of runs, at least")
    parser.add_argument("--seconds", type=seconds, help="Seconds to measure, at least")
    parser.add_argument(
        "--frame-size",
        type=size,
        default=(640, 480),
        metavar="WxH",
        help="Size of the frame (default: 640x480)",
    )
    parser.add_argument(
        "--against", type=path, metavar="FILE", help="Compare with a report that --out wrote"
    )
    parser.add_argument("--out", type=path, metavar="FILE", help="Write the report, as JSON")
    parser.add_argument("--raw", action="store_true", help="Keep every sample in the report")
    add_survey_options(parser)
    add_model_options(parser)


def bench(options: argparse.Namespace) -> int:
    """Runs the command."""
    check_usage(options)
    if options.all:
        return survey_bundle(options)
    import cv2
    import msgspec

    from edgetl_runtime.benchmarking.comparison import compare
    from edgetl_runtime.benchmarking.reading import read_benchmark
    from edgetl_runtime.benchmarking.single_stream import benchmark, make_rules
    from edgetl_runtime.system.storage import write_file

    cv2.setNumThreads(1)
    other = None if options.against is None else read_benchmark(options.against)
    with ProgressLine() as line:
        report = benchmark(
            options.bundle,
            engine=options.engine,
            variant=options.variant,
            threads=options.threads,
            frame_px=options.frame_size,
            rules=make_rules(options.runs, options.seconds, quick=options.quick),
            tell=line.tell,
        )
    written = report if options.raw else report.without_samples()
    if options.out is not None:
        write_file(options.out, msgspec.json.encode(written) + b"\n")
    found = None if other is None else compare(report, other)
    if options.json:
        print_json(written if found is None else {"benchmark": written, "comparison": found})
    else:
        for text in describe(report):
            say(text)
        if found is not None:
            _tell_comparison(found, options.against)
        say(_suggest(options))
    for sentence in _list_warnings(report):
        warn(sentence)
    return 0


def describe(report: "BoardBenchmark") -> Iterator[str]:
    """The report in lines for people."""
    board = report.board
    yield f"{board.board or board.cpu}, {board.cores} cores, {board.os}, Python {board.python}"
    if board.limits:
        yield f"this process may not use all of it: {', '.join(board.limits)}"
    yield (
        f"{report.variant} on {report.engine}, threads {report.threads}, "
        f"frame {report.frame_px[0]}x{report.frame_px[1]}"
    )
    names = ("p50", "p90", "p95", "p99", "mean")
    took = f"({report.runs:,} runs in {report.duration_s:.0f} s)"
    yield f"{'ms':<12}{''.join(f'{name:>8}' for name in names)}   {took}"
    for stage in ("preprocess", "invoke", "total"):
        found: Percentiles = getattr(report, f"{stage}_ms")
        yield f"{stage:<12}" + "".join(f"{getattr(found, name):8.2f}" for name in names)
    yield from _describe_range(report)
    yield (
        f"cold start: first label after {report.start_ms or 0:.0f} ms "
        f"(load {report.load_ms:.0f}, first frame {report.first_ms:.1f})"
    )
    yield f"memory: {_tell_mib(report.rest_rss_mib)} at rest, {_tell_mib(report.peak_rss_mib)} peak"
    yield from _describe_observation(report.observation)
    if report.joules_per_run is not None:
        source = report.observation.energy_source
        yield f"energy: {report.joules_per_run * 1e3:.3g} mJ per answer ({source})"


def _describe_range(report: "BoardBenchmark") -> Iterator[str]:
    from edgetl_runtime.benchmarking.record import find_range

    if found := find_range(report.drift):
        yield f"in nine of ten seconds the median was between {found[0]:.2f} and {found[1]:.2f} ms"


def _describe_observation(seen: "Observation") -> Iterator[str]:
    facts = []
    if seen.before.governor:
        facts.append(f"governor {seen.before.governor}")
    if seen.lowest_clock_mhz is not None:
        facts.append(f"{seen.lowest_clock_mhz:.0f} to {seen.highest_clock_mhz:.0f} MHz")
    if seen.highest_c is not None and seen.before.temperature_c is not None:
        facts.append(f"{seen.before.temperature_c:.0f} °C before, {seen.highest_c:.0f} °C at most")
    throttled = {None: "throttling not known", False: "not throttled", True: "THROTTLED"}
    yield ", ".join([*facts, throttled[seen.throttled]])


def _list_warnings(report: "BoardBenchmark") -> Iterator[str]:
    if report.board.emulated:
        yield "the processor is emulated: the times mean nothing"
    if report.throttled:
        why = ", ".join(report.observation.throttling)
        yield f"the board was throttled ({why}); do not compare these figures"
    elif report.slowed:
        yield "the last tenth of the run was slower than the first; does the machine get hot?"
    if not report.steady:
        yield "the times were not steady after the warm-up; does something else run?"


def _tell_comparison(found: "Comparison", file: Path) -> None:
    if found.word is None:
        say(f"against {file}: {found.ratio:.2f} times as fast; too short to tell how sure that is")
    elif found.word == "the same":
        say(f"against {file}: the same ({found.ratio:.2f} times as fast, {_tell_interval(found)})")
    else:
        times = found.ratio if found.word == "faster" else 1 / found.ratio
        say(f"against {file}: {found.word}, {times:.2f} times ({_tell_interval(found)})")
    for doubt in found.doubts:
        warn(f"compare with care: {doubt}")


def _tell_interval(found: "Comparison") -> str:
    low, high = found.low or 0, found.high or 0
    if found.word == "slower":
        low, high = 1 / high, 1 / low
    return f"{low:.2f} to {high:.2f}"


def _tell_mib(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0f} MiB"


def _suggest(options: argparse.Namespace) -> str:
    import shlex

    return f"next: edgetl-run bench {shlex.quote(str(options.bundle))} --all"
