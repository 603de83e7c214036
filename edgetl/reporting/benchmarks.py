"""Benchmarks of boards and phones side by side: as rows, as findings, as a page."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgetl.reporting.benchmark_plots import draw_drift, draw_stages
from edgetl.reporting.conditions import judge_conditions, list_conditions
from edgetl.reporting.findings import Finding
from edgetl.reporting.pages import mark_safe, render_page
from edgetl.reporting.remarks import Remark, merge_remarks
from edgetl.reporting.series import Series
from edgetl_runtime.benchmarking.comparison import have_same_network
from edgetl_runtime.benchmarking.reading import expect_benchmark, read_report
from edgetl_runtime.benchmarking.record import (
    SLOWED_ABOVE,
    STAGES,
    Benchmark,
    BoardBenchmark,
    find_range,
)
from edgetl_runtime.benchmarking.survey_record import Survey, SurveyRow
from edgetl_runtime.benchmarking.survey_wording import list_warnings, tell_headline
from edgetl_runtime.errors import BenchmarkError
from edgetl_runtime.system.percentiles import Percentiles
from edgetl_runtime.text.printable import make_printable
from edgetl_runtime.text.wording import count_noun

_FEW_RUNS = 300
# A time is read as a whole number of the timer's steps.
_COARSE = 0.1


class Measured(msgspec.Struct, frozen=True):
    """A report and where it was read.

    Attributes:
        file: Name of its file; with its folder where two have one name, and with the row of a
            survey.
        record: The report.
        survey_range_ms: The range that a survey expects of its row's median; None elsewhere.
        warnings: Why a survey's figures should be taken with care, one sentence each.
    """

    file: str
    record: Benchmark
    survey_range_ms: tuple[float, float] | None = None
    warnings: tuple[str, ...] = ()

    @property
    def device(self) -> str:
        """The board, or the phone and its browser."""
        if isinstance(self.record, BoardBenchmark):
            return make_printable(self.record.board.board or self.record.board.cpu)
        browser = self.record.browser
        # `Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) ...`, `(X11; Linux x86_64)`
        system = re.search(r"\((?:X11; )?([^;)]+)", browser.user_agent)
        model = browser.model or (system[1] if system else "")
        return make_printable(", ".join(filter(None, (model, browser.brand))))

    @property
    def machine(self) -> str:
        """What else there is to say about it."""
        if isinstance(self.record, BoardBenchmark):
            board = self.record.board
            facts = (f"{board.cores} cores", board.os, *board.limits)
            return make_printable(", ".join(facts))
        browser = self.record.browser
        memory = browser.memory_hint_gib
        facts = (
            f"{browser.cores} cores",
            *([f"about {memory:g} GiB memory"] if memory else []),
            f"{browser.wasm_build} WebAssembly",
        )
        return ", ".join(facts)

    @property
    def bundle(self) -> str:
        """The beginning of its bundle's SHA-256."""
        return self.record.bundle_sha256[:8]

    @property
    def network(self) -> str:
        """The network and its input, or the bundle where that does not tell."""
        return self.record.network or f"bundle {self.bundle}"

    @property
    def range_ms(self) -> tuple[float, float] | None:
        """Within what another run's median is expected; None if there is too little to tell."""
        # A survey compares passes, too, which lie further apart than the seconds of one run.
        return self.survey_range_ms or find_range(self.record.drift)

    @property
    def series(self) -> Series:
        """What a chart may say of it."""
        model = f"{self.record.variant}, {count_noun(self.record.threads, 'thread')}"
        # The row of a survey is in `model`.
        file = self.file.removesuffix(f" ({model})")
        printable = map(make_printable, (self.device, model, self.network, file))
        return Series(*printable)

    @property
    def throttled(self) -> bool | None:
        """Whether it was throttled or slowed down; None if not known."""
        told = [self.record.slowed]
        if isinstance(self.record, BoardBenchmark):
            told.append(self.record.throttled)
        known = [one for one in told if one is not None]
        return any(known) if known else None


def read_all(files: Sequence[Path]) -> list[Measured]:
    """Reads reports, in the order given; of `bench --all` the row that it recommends.

    Raises:
        BenchmarkError: If a file is not a report, or is there twice; the message names it.
    """
    _refuse_twins(files)
    names = [path.name for path in files]
    unique = len(set(names)) == len(names)
    return [_read(path, path.name if unique else str(path)) for path in files]


def _refuse_twins(files: Sequence[Path]) -> None:
    seen: dict[str, Path] = {}
    for path in files:
        first = seen.setdefault(os.path.realpath(path), path)
        if first is not path:
            named = f"as {first} as well" if first != path else "twice"
            raise BenchmarkError(f"{path} is given {named}; give each report once")


def _read(path: Path, name: str) -> Measured:
    found = read_report(path)
    if not isinstance(found, Survey):
        return Measured(make_printable(name), expect_benchmark(path, found))
    measured = [row for row in found.rows if row.report is not None]
    if not measured:
        raise BenchmarkError(
            f"{path}: every row failed, so there is nothing to compare; leave it out"
        )
    warnings = tuple(list_warnings(found))
    if found.recommendation is not None:
        return _take_row(name, found.find_row(found.recommendation), warnings)
    why = f"{tell_headline(found)}; its fastest row is shown"
    return _take_row(name, min(measured, key=lambda row: row.p50_ms), (why, *warnings))


def _take_row(name: str, row: SurveyRow, warnings: tuple[str, ...]) -> Measured:
    assert row.report is not None
    file = make_printable(f"{name} ({row.variant}, {count_noun(row.threads, 'thread')})")
    return Measured(file, row.report, row.range_ms, tuple(map(make_printable, warnings)))


def judge(reports: Sequence[Measured]) -> list[Finding]:
    """Says what makes the reports hard to compare, the worst first; empty if nothing does."""
    found = [
        *_judge_models(reports),
        *_judge_frames(reports),
        *_judge_threads(reports),
        *merge_remarks(_remark_throttling(reports)),
        *merge_remarks(_remark_surveys(reports)),
        *judge_conditions([(one.file, one.device, one.record) for one in reports]),
        *_judge_runs(reports),
        *merge_remarks(_remark_timers(reports)),
    ]
    return sorted(found, key=lambda one: one.kind != "warning")


def list_facts(one: Measured) -> dict[str, str]:
    """What a table says about a report, by row."""
    record = one.record
    width, height = record.frame_px
    return {
        "device": one.device,
        "engine": make_printable(record.engine),
        "network": make_printable(record.network) or "unknown",
        "variant": make_printable(record.variant),
        "bundle": one.bundle,
        "threads": str(record.threads),
        "frame": f"{width}x{height}",
        **{f"{stage} p50/p90/p99": tell_ms(getattr(record, f"{stage}_ms")) for stage in STAGES},
        "total p95, mean": f"{_tell(record.total_ms.p95)}, {_tell(record.total_ms.mean)}",
        "range": tell_range(one) or "unknown",
        "load": f"{record.load_ms:.0f}",
        "first": f"{record.first_ms:.1f}",
        "runs": str(record.runs),
        **list_conditions(record),
        "throttled": say(one.throttled),
    }


def tell_range(one: Measured) -> str:
    """Within what another run's median is expected, such as `9.1 to 9.4`; empty: unknown."""
    return " to ".join(map(_tell, one.range_ms)) if one.range_ms else ""


def tell_ms(found: Percentiles) -> str:
    """p50, p90 and p99 in milliseconds, such as `2.4 / 2.9 / 4.2`."""
    return " / ".join(map(_tell, (found.p50, found.p90, found.p99)))


def say(throttled: bool | None) -> str:
    """`yes`, `no` or `unknown`."""
    return "unknown" if throttled is None else "yes" if throttled else "no"


def record_benchmarks(reports: Sequence[Measured]) -> dict[str, object]:
    """The `--json` output: reports without their samples, and findings."""
    return {"reports": [_record(one) for one in reports], "findings": judge(reports)}


def render_benchmarks(reports: Sequence[Measured]) -> str:
    """Renders one HTML page that needs no network; equal input gives equal text."""
    lines = [(one.series, one.record.drift) for one in reports if len(one.record.drift) > 1]
    return render_page(
        "benchmarks.html.j2",
        title=count_noun(len(reports), "benchmark"),
        reports=reports,
        facts=[list_facts(one) for one in reports],
        ranges=[tell_range(one) for one in reports],
        conditions=[list_conditions(one.record) for one in reports],
        ratios=[find_ratio(one, reports) for one in reports],
        stages=STAGES,
        findings=judge(reports),
        bars=mark_safe(draw_stages([(one.series, one.record) for one in reports])),
        drift=mark_safe(draw_drift(lines)) if lines else "",
        slowed_above=SLOWED_ABOVE,
    )


def find_ratio(one: Measured, reports: Sequence[Measured]) -> float | None:
    """Its median time over the shortest of the reports of the same network.

    Returns:
        None if no other report is of this network and variant, or if a coarse timer read 0.
    """
    same = [
        other.record.total_ms.p50
        for other in reports
        if have_same_network(other.record, one.record)
    ]
    return one.record.total_ms.p50 / min(same) if len(same) > 1 and min(same) else None


def _record(one: Measured) -> dict[str, Any]:
    record = msgspec.to_builtins(one.record)
    kept = {key: value for key, value in record.items() if not key.endswith("_samples_ms")}
    return {"file": one.file, "device": one.device, **kept}


def _tell(ms: float) -> str:
    return f"{ms:.3g}" if ms < 100 else f"{ms:.0f}"


def _judge_models(reports: Sequence[Measured]) -> Iterator[Finding]:
    if len(networks := {one.network for one in reports}) > 1:
        yield Finding(
            "warning",
            f"The reports are of {len(networks)} networks",
            f"{_group(reports, lambda one: one.network)}. The times of different networks do not "
            "tell which device is faster",
        )
    elif len(bundles := {one.bundle for one in reports}) > 1:
        yield Finding(
            "note",
            f"The reports are of {len(bundles)} bundles of one network",
            f"{_group(reports, lambda one: one.bundle)}. Their weights differ, which changes no "
            "time",
        )
    if len({one.record.variant for one in reports}) > 1:
        yield Finding(
            "note",
            f"The reports are of {len({one.record.variant for one in reports})} variants",
            f"{_group(reports, lambda one: one.record.variant)}. Compare devices by the same one",
        )


def _judge_frames(reports: Sequence[Measured]) -> Iterator[Finding]:
    sizes = {one.record.frame_px for one in reports}
    if len(sizes) > 1:
        by_size = _group(reports, lambda one: "x".join(map(str, one.record.frame_px)))
        yield Finding(
            "warning",
            f"The frames have {len(sizes)} sizes",
            f"{by_size}. Preprocessing takes longer for a larger frame",
        )


def _judge_threads(reports: Sequence[Measured]) -> Iterator[Finding]:
    numbers = {one.record.threads for one in reports}
    if len(numbers) > 1:
        by_number = _group(reports, lambda one: count_noun(one.record.threads, "thread"))
        paged = any(not isinstance(one.record, BoardBenchmark) for one in reports)
        advice = (
            "A page has one; compare it with edgetl-run bench --threads 1"
            if paged
            else "Compare devices by the same number, with edgetl-run bench --threads"
        )
        yield Finding(
            "note",
            f"The engines had {' and '.join(map(str, sorted(numbers)))} threads",
            f"{by_number}. {advice}",
        )


def _remark_throttling(reports: Sequence[Measured]) -> Iterator[Remark]:
    for one in reports:
        if not one.throttled:
            continue
        if isinstance(one.record, BoardBenchmark) and one.record.throttled:
            what = ", ".join(one.record.observation.throttling) or "throttled"
            yield Remark("warning", f"{one.device} was throttled", one.file, what)
        else:
            yield Remark(
                "warning",
                f"{one.device} slowed down",
                one.file,
                f"the last tenth of a long run took more than {SLOWED_ABOVE:g} times as long as "
                "the first",
            )


def _remark_surveys(reports: Sequence[Measured]) -> Iterator[Remark]:
    for one in reports:
        if one.warnings:
            headline = f"Take the survey of {one.device} with care"
            yield Remark("warning", headline, one.file, "; ".join(one.warnings))


def _judge_runs(reports: Sequence[Measured]) -> Iterator[Finding]:
    if few := [f"{one.file} ({one.record.runs})" for one in reports if one.record.runs < _FEW_RUNS]:
        yield Finding(
            "note",
            f"p99 rests on few runs in {count_noun(len(few), 'report')}",
            f"{', '.join(few)}. Take at least {_FEW_RUNS} runs",
        )


def _remark_timers(reports: Sequence[Measured]) -> Iterator[Remark]:
    for one in reports:
        if isinstance(one.record, BoardBenchmark):
            continue
        step_ms = one.record.browser.timer_step_ms
        coarse = [
            stage for stage in STAGES if step_ms > _COARSE * getattr(one.record, f"{stage}_ms").p50
        ]
        if coarse:
            yield Remark(
                "note",
                f"The timer of {one.device} is coarse",
                one.file,
                f"it steps by {step_ms:g} ms, more than a tenth of {', '.join(coarse)}",
            )


def _group(reports: Sequence[Measured], key: Callable[[Measured], str]) -> str:
    """`A: a.json, b.json; B: c.json`."""
    groups: dict[str, list[str]] = {}
    for one in reports:
        groups.setdefault(make_printable(key(one)), []).append(one.file)
    return "; ".join(f"{name}: {', '.join(files)}" for name, files in groups.items())
