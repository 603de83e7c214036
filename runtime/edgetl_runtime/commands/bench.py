"""`edgetl-run bench`: time preprocessing and engine on this machine."""

import argparse
import sys
from typing import TYPE_CHECKING

from edgetl_runtime.commands.arguments import (
    Subparsers,
    add_command,
    add_model_options,
    positive,
    size,
)
from edgetl_runtime.commands.printing import print_json, say

if TYPE_CHECKING:
    from edgetl_runtime.benchmark import BenchmarkReport
    from edgetl_runtime.system.percentiles import Percentiles


def add(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    summary = "measure the latency on this machine"
    parser = add_command(commands, "bench", bench, summary)
    parser.add_argument("--runs", type=positive, default=300, help="Number of runs (default: 300)")
    parser.add_argument(
        "--frame-size",
        type=size,
        default=(640, 480),
        metavar="WxH",
        help="Size of the frame (default: 640x480)",
    )
    parser.add_argument("--raw", action="store_true", help="Add every sample to the --json output")
    add_model_options(parser)


def bench(options: argparse.Namespace) -> int:
    """Runs the command."""
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
        print_json(report.describe(raw=options.raw))
    else:
        _print(report)
    if report.throttled:
        print("edgetl-run: the board was throttled; do not compare these figures", file=sys.stderr)
    return 0


def _print(report: "BenchmarkReport") -> None:
    board = report.board
    say(f"{board.board or board.cpu}, {board.cores} cores, {board.os}, Python {board.python}")
    if board.limits:
        say(f"this process may not use all of it: {', '.join(board.limits)}")
    say(f"{report.variant} on {report.engine}, threads {report.threads}, frame {report.frame_px}")
    say(f"{'ms':<12}{'p50':>8}{'p90':>8}{'p99':>8}   ({len(report.total_samples_ms)} runs)")
    for name in ("preprocess", "invoke", "total"):
        stage: Percentiles = getattr(report, f"{name}_ms")
        say(f"{name:<12}{stage.p50:8.2f}{stage.p90:8.2f}{stage.p99:8.2f}")
    memory = f"{report.peak_rss_mib:.0f} MiB" if report.peak_rss_mib else "unknown"
    say(f"load {report.load_ms:.0f} ms, first {report.first_ms:.1f} ms, peak memory {memory}")
