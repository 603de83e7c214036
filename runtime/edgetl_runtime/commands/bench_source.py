"""`edgetl-run bench --source`: how fast the whole path is, and what limits it."""

import argparse
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgetl_runtime.benchmarking.machine_wording import (
    describe_machine,
    describe_observation,
    tell_mib,
    warn_of_machine,
)
from edgetl_runtime.commands.arguments import path
from edgetl_runtime.commands.printing import print_json, say, warn
from edgetl_runtime.commands.progress import ProgressLine
from edgetl_runtime.commands.report_files import check_writable, write_report
from edgetl_runtime.commands.settings import check_bundle, take_settings, warn_of_readers
from edgetl_runtime.text.wording import tell_joules

if TYPE_CHECKING:
    from edgetl_runtime.benchmarking.path_record import Limit, PathBenchmark
    from edgetl_runtime.settings.sections import Settings
    from edgetl_runtime.system.percentiles import Percentiles

_SECTIONS = ("source", "view")
# What says how a single frame is measured: name among the flags given, and the flag.
_OF_FRAMES = {"runs": "--runs", "frame_size": "--frame-size", "against": "--against"}
_WHOLE = 0.99
_FEW = 0.01
_ROWS = {
    "age": "age",
    "capture": "capture",
    "preprocess": "preprocess",
    "invoke": "invoke",
    "hand_over": "hand over",
    "write": "outputs",
}


def take_source(parser: argparse.ArgumentParser) -> None:
    """Lets `bench` take BUNDLE, and the settings of a source and of the view of it."""
    parser.add_argument(
        "bundle",
        type=path,
        nargs="?",
        help="Folder or .zip that `edgetl export` wrote (default: that of --config)",
    )
    parser.epilog = (
        "With --source or --config, frames of that source go through the whole path for 60 s "
        "(--quick: 10 s), to an output of its own, as fast as that is possible; the report says "
        "what limits it. Pace, outputs and page of the settings are left out."
    )
    take_settings(parser, _SECTIONS)


def is_asked(options: argparse.Namespace) -> bool:
    """Whether the whole path is to be measured; ends with 2 where flags contradict one another."""
    from edgetl_runtime.options.flags import collect_flags

    given = collect_flags(options)
    asked = options.config is not None or "address" in given.get("source", {})
    if not asked and (given.get("source") or given.get("view")):
        options.parser.error("flags of a source or view need a source: --source, or --config FILE")
    if asked:
        _refuse(options)
    return asked


def _refuse(options: argparse.Namespace) -> None:
    flags = [
        _OF_FRAMES[name] for name in _OF_FRAMES if name in vars(options).get("flags_given", {})
    ]
    flags += [f"--{name}" for name in ("raw", "all") if getattr(options, name)]
    if flags:
        options.parser.error(f"{', '.join(flags)}: not with a source, whose frames are measured")


def bench_source(options: argparse.Namespace) -> int:
    """Runs the command."""
    import cv2

    from edgetl_runtime.benchmarking.whole_path import make_path_rules, measure_settings

    cv2.setNumThreads(1)
    check_writable(options.out)
    settings = _read_settings(options)
    rules = make_path_rules(options.seconds, quick=options.quick)
    with ProgressLine() as line:
        report = measure_settings(settings, rules, line.tell)
    write_report(options.out, report)
    if options.json:
        print_json(report)
    else:
        for text in describe(report):
            say(text)
        say(_suggest(report, settings, options.config))
    for sentence in _list_warnings(report, rules.seconds):
        warn(sentence)
    return 0


def _read_settings(options: argparse.Namespace) -> "Settings":
    """The settings of the file, with flags and BUNDLE over them; a video begins again."""
    from edgetl_runtime.options.flags import collect_flags
    from edgetl_runtime.settings.file import load_settings

    overrides = collect_flags(options)
    named = {name: getattr(options, name) for name in ("bundle", "engine", "variant", "threads")}
    overrides["model"] = {name: value for name, value in named.items() if value is not None}
    if options.bundle is not None:
        overrides["model"]["bundle"] = str(options.bundle)
    # Else a video of ten seconds could not be measured for a minute.
    overrides.setdefault("source", {}).setdefault("loop", True)
    settings = load_settings(options.config, overrides)
    if options.config is not None:
        warn_of_readers(options.config, load_settings(options.config))
    check_bundle(settings)
    return settings


def describe(report: "PathBenchmark") -> Iterator[str]:
    """The report in lines for people."""
    yield from describe_machine(report.board)
    width, height = report.frame_px
    yield (
        f"{report.variant} on {report.engine}, threads {report.threads}, "
        f"source {report.source}, {width}x{height}"
    )
    yield (
        f"answered {report.answered_fps:.1f} frames a second of {report.delivered_fps:.1f} that "
        f"the source delivered ({report.answered:,} in {report.duration_s:.0f} s)"
    )
    lost = f"; the output lost {report.output_lost:,} answers" if report.output_lost else ""
    yield f"skipped for a newer one: {report.skipped:,}, lost: {report.lost:,}{lost}"
    yield from _describe_times(report)
    yield f"limited by: {explain_limit(report)}"
    if report.limit == "source" and report.skipped > _FEW * report.delivered:
        yield (
            f"but {report.skipped / report.delivered:.0%} of its frames were skipped: now and then "
            "a frame takes longer than the next one takes to come"
        )
    yield (
        f"memory: {tell_mib(report.peak_rss_mib)} peak, and "
        f"{tell_mib(report.capture_peak_rss_mib)} of the capture process"
    )
    yield (
        f"processors: {_tell_share(report.processor_share)} of the machine, and "
        f"{_tell_share(report.capture_processor_share)} by the capture process"
    )
    yield from describe_observation(report.observation)
    if report.joules_per_answer is not None:
        source = report.observation.energy_source
        yield f"energy: {tell_joules(report.joules_per_answer)} per answer ({source})"
    yield f"the answers went to {report.output}, and to no output of the settings"


def explain_limit(report: "PathBenchmark") -> str:
    """What limits the rate of answers, and how that is seen."""
    stage, share = report.busy.find_busiest()
    names: dict[Limit, str] = {
        "capture": "capture, which decodes the frames",
        "preprocess": "preprocessing",
        "invoke": "the model",
        "outputs": "the output",
    }
    if report.limit == "source":
        return (
            f"the source, which delivers {report.delivered_fps:.1f} frames a second (the busiest "
            f"stage, {stage}, is busy {_tell_share(share)} of the time)"
        )
    if report.limit == "hand_over":
        return (
            f"handing frames from stage to stage (the busiest one, {stage}, is busy "
            f"{_tell_share(share)} of the time)"
        )
    return f"{names[report.limit]} ({stage} is busy {_tell_share(share)} of the time)"


def _describe_times(report: "PathBenchmark") -> Iterator[str]:
    names = ("p50", "p90", "p95", "p99", "mean")
    yield f"{'ms':<12}{''.join(f'{name:>8}' for name in names)}    busy"
    shares = {
        "capture": report.busy.capture,
        "preprocess": report.busy.preprocess,
        "invoke": report.busy.invoke,
        "write": report.busy.outputs,
    }
    for field, name in _ROWS.items():
        found: Percentiles | None = getattr(report, f"{field}_ms")
        if found is not None:
            times = "".join(f"{getattr(found, one):8.2f}" for one in names)
            busy = f"{_tell_share(shares[field]):>8}" if field in shares else ""
            yield f"{name:<12}{times}{busy}"
    if report.age_ms is None:
        yield (
            "the age of a frame is not measured: files are read as fast as they go; "
            "--realtime plays a video as a camera would"
        )


def _list_warnings(report: "PathBenchmark", wanted_s: float) -> Iterator[str]:
    yield from warn_of_machine(report.board, report.observation)
    if report.duration_s < _WHOLE * wanted_s:
        yield f"the source ended after {report.duration_s:.1f} of {wanted_s:g} s"
    if report.reconnects:
        yield f"the source was opened again {report.reconnects} times; is its connection poor?"


def _tell_share(share: float | None) -> str:
    return "an unknown share" if share is None else f"{share:.0%}".replace("%", " %")


def _suggest(report: "PathBenchmark", settings: "Settings", config: Path | None) -> str:
    bundle = shlex.quote(settings.model.bundle)
    if report.limit == "invoke":
        return f"next: edgetl-run bench {bundle} --all"
    if config is not None:
        return f"next: edgetl-run camera --config {shlex.quote(str(config))}"
    return f"next: edgetl-run camera {bundle} --source {shlex.quote(report.source)}"
