"""`edgetl-run bench`: time preprocessing and engine on this machine."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgetl_runtime.benchmarking.machine_wording import (
    describe_machine,
    describe_observation,
    tell_mib,
    warn_of_machine,
)
from edgetl_runtime.commands.arguments import (
    Subparsers,
    add_command,
    add_model_options,
    path,
    positive,
    seconds,
    size,
)
from edgetl_runtime.commands.bench_source import bench_source, is_asked, take_source
from edgetl_runtime.commands.printing import print_json, say, warn
from edgetl_runtime.commands.progress import ProgressLine
from edgetl_runtime.commands.report_files import check_writable, write_report
from edgetl_runtime.commands.survey import (
    add_survey_options,
    check_usage,
    survey_bundle,
)
from edgetl_runtime.text.wording import tell_joules

if TYPE_CHECKING:
    from edgetl_runtime.benchmarking.comparison import Comparison
    from edgetl_runtime.benchmarking.record import BoardBenchmark
    from edgetl_runtime.system.percentiles import Percentiles


def add(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    summary = "measure the latency on this machine"
    parser = add_command(commands, "bench", bench, summary, bundle=False)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="At least 128 runs and 10 s, instead of 1,024 and 60 s; with --source 10 s",
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
    take_source(parser)


def bench(options: argparse.Namespace) -> int:
    """Runs the command."""
    check_usage(options)
    if is_asked(options):
        return bench_source(options)
    if options.bundle is None:
        options.parser.error("expected BUNDLE, the folder or .zip that `edgetl export` wrote")
    return survey_bundle(options) if options.all else _bench_variant(options)


def _bench_variant(options: argparse.Namespace) -> int:
    import cv2

    from edgetl_runtime.benchmarking.comparison import compare
    from edgetl_runtime.benchmarking.reading import read_benchmark
    from edgetl_runtime.benchmarking.single_stream import benchmark, make_rules

    cv2.setNumThreads(1)
    check_writable(options.out)
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
    # Last, so that a disk that is full costs the file and not the figures.
    write_report(options.out, written)
    return 0


def describe(report: "BoardBenchmark") -> Iterator[str]:
    """The report in lines for people."""
    yield from describe_machine(report.board)
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
    yield f"memory: {tell_mib(report.rest_rss_mib)} at rest, {tell_mib(report.peak_rss_mib)} peak"
    yield from describe_observation(report.observation)
    if report.joules_per_run is not None:
        source = report.observation.energy_source
        yield f"energy: {tell_joules(report.joules_per_run)} per answer ({source})"


def _describe_range(report: "BoardBenchmark") -> Iterator[str]:
    from edgetl_runtime.benchmarking.record import find_range

    if found := find_range(report.drift):
        yield f"in nine of ten seconds the median was between {found[0]:.2f} and {found[1]:.2f} ms"


def _list_warnings(report: "BoardBenchmark") -> Iterator[str]:
    from edgetl_runtime.benchmarking.comparison import MUCH_WAITING

    yield from warn_of_machine(report.board, report.observation)
    if report.waited is not None and report.waited > MUCH_WAITING:
        yield (
            f"others had the processor for {report.waited:.0%} of the time; measure again when "
            "nothing else runs"
        )
        return
    if report.slowed and not report.throttled:
        yield "the last tenth of the run was slower than the first; does the machine get hot?"
    if not report.steady:
        yield "the times were not steady after the warm-up; does something else run?"


def _tell_comparison(found: "Comparison", file: Path) -> None:
    if found.word is None:
        say(f"against {file}: {found.ratio:.2f} times as fast; too short to tell how sure that is")
    elif found.word == "the same":
        say(
            f"against {file}: the same within the noise ({found.ratio:.2f} times as fast, it may "
            f"be {_tell_interval(found)})"
        )
    else:
        times = found.ratio if found.word == "faster" else 1 / found.ratio
        say(f"against {file}: {found.word}, {times:.2f} times ({_tell_interval(found)})")
    for note in found.notes:
        say(f"note: {note}")
    for doubt in found.doubts:
        warn(f"compare with care: {doubt}")


def _tell_interval(found: "Comparison") -> str:
    low, high = found.low or 0, found.high or 0
    if found.word == "slower":
        low, high = 1 / high, 1 / low
    return f"{low:.2f} to {high:.2f}"


def _suggest(options: argparse.Namespace) -> str:
    import shlex

    return f"next: edgetl-run bench {shlex.quote(str(options.bundle))} --all"
