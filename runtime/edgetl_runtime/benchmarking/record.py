"""A benchmark's one JSON form, whoever measured it: a board, or a phone's browser.

`edgetl-run bench --json` and the phone's page write it, `reading.py` reads it.
"""

import math
import statistics
from collections.abc import Sequence
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
import numpy as np

from edgetl_runtime.benchmarking.fields import (
    PERCENTILES,
    Count,
    Milliseconds,
    RulesName,
    Sha256,
    Text,
    find_disorder,
)
from edgetl_runtime.system.board import Board
from edgetl_runtime.system.monitoring import Observation
from edgetl_runtime.system.percentiles import Percentiles, compute_percentiles

FORMAT_VERSION: Final = 2
STAGES: Final = ("preprocess", "invoke", "total")
SLOWED_ABOVE: Final = 1.2
"""How many times as long the last tenth of a long run may take as the first."""
# Figures may be rounded when they are written.
_ROUNDING_MS: Final = 0.01

WasmBuild: TypeAlias = Literal["plain", "compat"]
Drift: TypeAlias = tuple[tuple[Annotated[float, msgspec.Meta(ge=0)], Milliseconds], ...]
DRIFT_STEP_S: Final = 1.0
# Below it, what nine of ten seconds had says little.
_LEAST_PAIRS: Final = 8


class _Benchmark(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="kind",
):
    """What a board and a browser have in common; see `BoardBenchmark`."""

    format_version: int
    bundle_sha256: Sha256
    model_sha256: Sha256
    variant: Text
    engine: Text
    threads: Count
    load_ms: Milliseconds
    first_ms: Milliseconds
    preprocess_ms: Percentiles
    invoke_ms: Percentiles
    total_ms: Percentiles
    runs: Count
    warmup_runs: Annotated[int, msgspec.Meta(ge=0)]
    frame_px: tuple[Count, Count]
    drift: Drift
    slowed: bool | None
    network: str = ""
    preprocess_samples_ms: tuple[Milliseconds, ...] | None = None
    invoke_samples_ms: tuple[Milliseconds, ...] | None = None
    total_samples_ms: tuple[Milliseconds, ...] | None = None

    def find_fault(self) -> str:
        """What in it cannot be true; empty if nothing."""
        numbers = [self.load_ms, self.first_ms]
        for stage in STAGES:
            found: Percentiles = getattr(self, f"{stage}_ms")
            numbers += msgspec.structs.astuple(found)
            disorder = find_disorder(f"{stage}_ms", found)
            if fault := disorder or self._compare_samples(stage, found):
                return fault
        if not all(map(math.isfinite, numbers)):
            return "a figure is not finite"
        return self._find_fault_of_drift()

    def _find_fault_of_drift(self) -> str:
        seconds = [second for second, _ in self.drift]
        if seconds != sorted(set(seconds)):
            return "drift is not in order of time"
        expected = find_slowed(self.drift)
        if self.slowed != expected:
            return f"slowed is {_say(self.slowed)}, its drift says {_say(expected)}"
        return ""

    def _compare_samples(self, stage: str, found: Percentiles) -> str:
        samples: tuple[float, ...] | None = getattr(self, f"{stage}_samples_ms")
        if samples is None:
            return ""
        if len(samples) != self.runs:
            return f"{stage}_samples_ms has {len(samples)} samples, runs is {self.runs}"
        derived = compute_percentiles(samples)
        names = (*PERCENTILES, "mean")
        apart = max(abs(getattr(found, name) - getattr(derived, name)) for name in names)
        if apart <= _ROUNDING_MS:
            return ""
        return f"{stage}_ms is up to {apart:.3g} ms away from the percentiles of its samples"


class BoardBenchmark(_Benchmark, frozen=True, tag="board"):
    """What `edgetl-run bench --json` prints; `kind` is `board`.

    The scenario is MLPerf's single stream: the next frame is handed over when the last one was
    answered.

    Attributes:
        format_version: Of this record, 2.
        bundle_sha256: SHA-256 of bundle.json: which bundle.
        model_sha256: SHA-256 of the variant's file: which model.
        variant: Name of the variant, such as `litert-int8`.
        engine: Engine and its version, such as `ai-edge-litert 2.3.0`.
        threads: Threads of the engine; preprocessing uses one.
        load_ms: From imported modules to a loaded model in a process of its own, hash checks and
            the engine's import included; as `first_ms` and `start_ms` the median of the processes.
        first_ms: There, the first frame after loading, from frame to prediction.
        preprocess_ms: Percentiles and mean from frame to model input, linear between samples.
        invoke_ms: The same inside the engine.
        total_ms: The same from frame to prediction.
        runs: Number of samples.
        warmup_runs: Runs before the first sample.
        frame_px: Width and height of the frame.
        drift: A pair for each second or so: seconds since the first sample, and the median of
            `total` since the pair before, ms.
        slowed: Whether the run slowed down (see `find_slowed`); null where there are fewer than 10
            pairs.
        network: Which network it is, and its input, such as `mobilenet_v2_0.35 at 224x224`; the
            key is missing if the bundle does not tell. Latency depends on it, not on the weights.
        preprocess_samples_ms: Every sample, in order, with `--raw`; else the key is missing.
        invoke_samples_ms: The same inside the engine.
        total_samples_ms: The same from frame to prediction.
        rules: `full`: at least 1,024 runs and 60 s; `quick`: 128 and 10 s; `custom`: the caller's;
            `survey`: the passes of `bench --all`.
        duration_s: From the first sample to the last.
        warmup_s: Of the runs before.
        steady: Whether the median was steady when the first sample was taken.
        start_ms: From the start of a process to its first prediction, Python and imports included;
            its files are in the page cache. Null if not measured.
        rest_rss_mib: Resident memory of that process after its first prediction, MiB.
        peak_rss_mib: Peak memory of the process that measured, MiB; null if not known.
        joules_per_run: `observation.energy_j` by `runs`: what the whole processor or board took,
            with what else ran on it; null where energy cannot be read.
        software: Versions of what else is in the path: edgetl-runtime, numpy, opencv.
        board: The machine.
        observation: Clock, temperature, throttling and energy before, during and after.
        throttled: That of `observation`: true if the figures are not comparable, null if not known.
        waited: Share of the time in which the measuring thread was ready to run, but others had
            the processor, 0..1; null where the system does not tell.
    """

    rules: RulesName
    duration_s: Annotated[float, msgspec.Meta(ge=0)]
    warmup_s: Annotated[float, msgspec.Meta(ge=0)]
    steady: bool
    start_ms: Milliseconds | None
    rest_rss_mib: float | None
    peak_rss_mib: float | None
    joules_per_run: Annotated[float, msgspec.Meta(ge=0)] | None
    software: dict[str, str]
    board: Board
    observation: Observation
    throttled: bool | None
    waited: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None

    def find_fault(self) -> str:
        """See `_Benchmark`."""
        expected = self.observation.throttled
        if self.throttled != expected:
            return f"throttled is {_say(self.throttled)}, observation says {_say(expected)}"
        return super().find_fault()

    def without_samples(self) -> "BoardBenchmark":
        """The same report without its samples."""
        return msgspec.structs.replace(self, **{f"{stage}_samples_ms": None for stage in STAGES})


class Browser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A browser and its machine, as far as a page can know them.

    Attributes:
        brand: Name and major version, such as `Chrome 156` or `Safari 26`.
        user_agent: `navigator.userAgent`.
        model: Device model from the User-Agent Client Hints (`getHighEntropyValues`), such as
            `Pixel 8`; empty where the browser does not tell it, as Safari and Firefox.
        cores: `navigator.hardwareConcurrency`; browsers may report fewer than there are.
        memory_hint_gib: `navigator.deviceMemory`, a rounded value with an upper limit; null where
            there is none.
        wasm_build: The build of LiteRT.js that runs: `plain` (relaxed SIMD) or `compat`.
        wasm_memory_mib: Size of the WebAssembly memory after the last sample, MiB; null if not
            known.
        timer_step_ms: Smallest step of `performance.now()` that was seen: times below it are 0.
    """

    brand: Text
    user_agent: Text
    model: str
    cores: Count
    memory_hint_gib: Annotated[float, msgspec.Meta(gt=0)] | None
    wasm_build: WasmBuild
    wasm_memory_mib: Annotated[float, msgspec.Meta(gt=0)] | None
    timer_step_ms: Annotated[float, msgspec.Meta(gt=0)]


class BrowserBenchmark(_Benchmark, frozen=True, tag="browser"):
    """What the phone's page writes; `kind` is `browser`.

    Attributes:
        format_version: Of this record, 2.
        bundle_sha256: SHA-256 of the bundle's bundle.json, as `edgetl export` wrote it.
        model_sha256: SHA-256 of the variant's file: which model.
        variant: Name of the variant, such as `litert-int8`.
        engine: Engine and its version, such as `LiteRT.js 2.5.3`.
        threads: Threads of the engine.
        load_ms: From an empty worker to a compiled model: bytes from network or cache, hash
            checks, start of the WebAssembly, compiling. Golden frames are not in it.
        first_ms: The first frame after loading, from frame to label: a golden frame.
        preprocess_ms: Percentiles and mean from the frame's pixels to the model's input, linear
            between samples (numpy's default).
        invoke_ms: The same inside the engine, input and output copied.
        total_ms: The same from the frame's pixels to the label, within the worker.
        runs: Number of samples.
        warmup_runs: Runs before the first sample, golden frames not counted.
        frame_px: Width and height of the frame.
        network: See `BoardBenchmark`.
        preprocess_samples_ms: Every sample, in order; the key may be missing.
        invoke_samples_ms: The same inside the engine.
        total_samples_ms: The same from frame to label.
        compile_ms: Part of `load_ms`: WebAssembly runs, until the model is compiled.
        browser: The browser and its machine.
        drift: Of a long run, a pair for each second or so: seconds since its start, and the
            median of `total` since the pair before, ms. Empty without a long run.
        slowed: Whether the long run slowed down (see `find_slowed`); null where it has fewer
            than 10 pairs.
    """

    compile_ms: Milliseconds
    browser: Browser

    def find_fault(self) -> str:
        """See `_Benchmark`."""
        if self.compile_ms > self.load_ms:
            return "compile_ms is longer than load_ms"
        return super().find_fault()


Benchmark: TypeAlias = BoardBenchmark | BrowserBenchmark


def follow_drift(
    moments_s: Sequence[float], samples_ms: Sequence[float], step_s: float = DRIFT_STEP_S
) -> Drift:
    """Medians over the seconds of a run.

    Args:
        moments_s: When each sample ended, seconds since the first one began.
        samples_ms: The samples, milliseconds.
        step_s: The shortest time between two pairs, seconds.

    Returns:
        A pair for each step or so: when its last sample ended, and the median within it.
    """
    pairs: list[tuple[float, float]] = []
    first = 0
    for number, moment_s in enumerate(moments_s, start=1):
        if moment_s - (pairs[-1][0] if pairs else 0.0) >= step_s:
            pairs.append((moment_s, statistics.median(samples_ms[first:number])))
            first = number
    return tuple(pairs)


def find_range(drift: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    """Between what the median of nine of ten seconds lay, milliseconds.

    This is how far the median of another run on the same machine may be off, as long as what
    disturbs the machine comes and goes within a run.

    Args:
        drift: Pairs of seconds and milliseconds.

    Returns:
        Their 5th and 95th percentile, linear between values; None for fewer than 8 pairs.
    """
    if len(drift) < _LEAST_PAIRS:
        return None
    low, high = np.percentile([ms for _, ms in drift], (5, 95))
    return float(low), float(high)


def find_slowed(drift: Sequence[tuple[float, float]]) -> bool | None:
    """Whether a long run slowed down, as throttling does.

    True if the median of the last tenth of its values is more than 1.2 times that of the first
    tenth; a tenth is the number of values divided by 10, rounded down.

    Args:
        drift: Pairs of seconds and milliseconds, in order.

    Returns:
        None for fewer than 10 pairs.
    """
    tenth = len(drift) // 10
    if not tenth:
        return None
    values = [ms for _, ms in drift]
    first, last = statistics.median(values[:tenth]), statistics.median(values[-tenth:])
    return last > SLOWED_ABOVE * first


def _say(value: bool | None) -> str:
    return "null" if value is None else str(value).lower()
