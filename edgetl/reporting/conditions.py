"""Under what conditions a benchmark was taken, and whether others may rely on it."""

from collections.abc import Iterator, Sequence

from edgetl.reporting.findings import Finding
from edgetl.reporting.remarks import Remark, merge_remarks
from edgetl_runtime.benchmarking.record import Benchmark, BoardBenchmark
from edgetl_runtime.system.monitoring import Observation
from edgetl_runtime.text.printable import make_printable
from edgetl_runtime.text.wording import tell_joules

_UNKNOWN = "unknown"
Named = tuple[str, str, Benchmark]
"""Name of the file, name of the device, report."""


def list_conditions(record: Benchmark) -> dict[str, str]:
    """What a table says about how a report was taken, by row; `unknown` of a browser."""
    if not isinstance(record, BoardBenchmark):
        names = ("rules", "cold start", "memory", "energy", "clock", "temperature", "software")
        return dict.fromkeys(names, _UNKNOWN)
    seen = record.observation
    return {
        "rules": record.rules,
        "cold start": _tell(record.start_ms, "{:.0f}"),
        "memory": (
            f"{_tell(record.rest_rss_mib, '{:.0f} MiB')} at rest, "
            f"{_tell(record.peak_rss_mib, '{:.0f} MiB')} peak"
        ),
        "energy": _tell_energy(record),
        "clock": _tell_clock(seen),
        "temperature": _tell_temperature(seen),
        "software": make_printable(
            ", ".join(f"{name} {version}" for name, version in sorted(record.software.items()))
        ),
    }


def judge_conditions(reports: Sequence[Named]) -> Iterator[Finding]:
    """What makes figures worthless, or hard to repeat."""
    yield from merge_remarks(_remark(reports))
    yield from _judge_rules(reports)
    yield from _judge_software(reports)


def _remark(reports: Sequence[Named]) -> Iterator[Remark]:
    for file, device, record in reports:
        if not isinstance(record, BoardBenchmark):
            continue
        if record.board.emulated:
            yield Remark("warning", f"{device} was emulated", file, "such times mean nothing")
        if not record.steady:
            yield Remark(
                "note",
                f"{device} was not steady when the run began",
                f"{file} (after {record.warmup_s:.0f} s)",
                "the median still moved after the warm-up, perhaps because something else ran",
            )


def find_flaws(record: Benchmark) -> list[str]:
    """Why others should not rely on a report, one sentence each; empty if they may.

    This is what a report in `benchmarks/reference` must be.
    """
    if not isinstance(record, BoardBenchmark):
        flaws = [] if record.drift else ["it is of a short run; run it for 60 seconds"]
        return flaws + (["it slowed down"] if record.slowed else [])
    told = {
        f"it was taken by {record.rules} rules; leave out --quick, --runs and --seconds": (
            record.rules != "full"
        ),
        f"it was throttled ({', '.join(record.observation.throttling)})": bool(record.throttled),
        "the processor was emulated": record.board.emulated,
        "it was not steady when it began; end what else runs": not record.steady,
        "it slowed down from its first tenth to its last; cool the board": bool(record.slowed),
        "the bundle does not tell which network it is": not record.network,
        "the process could not use the whole machine": bool(record.board.processor_limits),
    }
    return [sentence for sentence, holds in told.items() if holds]


def _judge_rules(reports: Sequence[Named]) -> Iterator[Finding]:
    found = [(file, one.rules) for file, _, one in reports if isinstance(one, BoardBenchmark)]
    short = [f"{file} ({rules})" for file, rules in found if rules != "full"]
    if short and len(short) < len(found):
        yield Finding(
            "note",
            "Not all runs are full ones",
            f"{', '.join(short)}. A full run has at least 1,024 answers and 60 seconds, in which a "
            "device gets as hot as it will",
        )


def _judge_software(reports: Sequence[Named]) -> Iterator[Finding]:
    versions: dict[str, dict[str, list[str]]] = {}
    for file, _, record in reports:
        if not isinstance(record, BoardBenchmark):
            continue
        engine, _, version = record.engine.rpartition(" ")
        for name, one in (record.software | {engine: version}).items():
            versions.setdefault(name, {}).setdefault(one, []).append(file)
    odd = {name: found for name, found in versions.items() if len(found) > 1}
    if odd:
        told = "; ".join(f"{name} {_list_versions(found)}" for name, found in odd.items())
        yield Finding("note", "The versions of the software differ", make_printable(told))


def _list_versions(found: dict[str, list[str]]) -> str:
    return ", ".join(f"{version} ({', '.join(files)})" for version, files in found.items())


def _tell(value: float | None, form: str) -> str:
    return _UNKNOWN if value is None else form.format(value)


def _tell_energy(record: BoardBenchmark) -> str:
    if record.joules_per_run is None:
        return _UNKNOWN
    source = record.observation.energy_source
    return f"{tell_joules(record.joules_per_run)} ({make_printable(source or _UNKNOWN)})"


def _tell_clock(seen: Observation) -> str:
    if seen.lowest_clock_mhz is None or seen.highest_clock_mhz is None:
        return _UNKNOWN
    governor = f", {make_printable(seen.before.governor)}" if seen.before.governor else ""
    return f"{seen.lowest_clock_mhz:.0f} to {seen.highest_clock_mhz:.0f} MHz{governor}"


def _tell_temperature(seen: Observation) -> str:
    if seen.highest_c is None:
        return _UNKNOWN
    before = _tell(seen.before.temperature_c, "{:.0f} °C")
    return f"{before} before, {seen.highest_c:.0f} °C at most"
