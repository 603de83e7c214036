"""What `edgetl-run bench --all` found, in its one JSON form; `kind` is `survey`."""

from typing import Annotated

import msgspec

from edgetl_runtime.benchmarking.fields import Count, Milliseconds, Sha256, Text
from edgetl_runtime.benchmarking.record import BoardBenchmark
from edgetl_runtime.bundle.manifest import Share
from edgetl_runtime.engines.engine import EngineName
from edgetl_runtime.system.board import Board
from edgetl_runtime.system.monitoring import Observation
from edgetl_runtime.text.wording import count_noun

Range = tuple[Milliseconds, Milliseconds]
Ratio = Annotated[float, msgspec.Meta(ge=0)]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Immutable, and an unknown key is an error."""


class SurveyedFile(_Strict, frozen=True):
    """A variant's file, by the bundle and on this machine.

    Attributes:
        variant: Name of the variant.
        engine: The engine that runs it.
        sha256: SHA-256 of the file.
        bytes: Its size.
        examples: Photos by which the bundle's metrics were measured.
        top1: Accuracy on them, 0..1.
        drop: Trained model's top-1 minus this file's.
        gate_failures: Why the gate of `edgetl export` rejects it; empty unless that was overridden.
        unsure: How much worse than allowed it is, where chance explains it.
        golden_failures: Why its golden frames are not reproduced on this machine, or cannot be
            replayed; empty if they are.
    """

    variant: Text
    engine: EngineName
    sha256: Sha256
    bytes: Count
    examples: int
    top1: Share
    drop: float
    gate_failures: tuple[str, ...]
    unsure: tuple[str, ...]
    golden_failures: tuple[str, ...]

    @property
    def is_eligible(self) -> bool:
        """Whether it may be recommended."""
        return not (self.gate_failures or self.golden_failures)


class SurveyRow(_Strict, frozen=True):
    """A variant with a number of threads, measured in processes of its own.

    Attributes:
        variant: Name of the variant.
        threads: Threads of the engine.
        report: Both passes together, without samples: its percentiles are of all samples, its
            cold start is the mean of both; null if it failed.
        range_ms: Between what the median of another survey of this machine is expected; null if
            it failed, or if there is too little to tell.
        passes_ms: The median of `total` of each pass, in the order in which they were made.
        failure: What went wrong, as one sentence; empty if nothing.
    """

    variant: Text
    threads: Count
    report: BoardBenchmark | None
    range_ms: Range | None
    passes_ms: tuple[Milliseconds, ...]
    failure: str

    @property
    def name(self) -> str:
        """Such as `litert-int8 with 2 threads`."""
        return f"{self.variant} with {count_noun(self.threads, 'thread')}"

    @property
    def p50_ms(self) -> float:
        """Median from frame to prediction; infinite if it failed."""
        return float("inf") if self.report is None else self.report.total_ms.p50

    @property
    def low_ms(self) -> float:
        """Lower end of the range; the median where there is none."""
        return self.range_ms[0] if self.range_ms else self.p50_ms

    @property
    def high_ms(self) -> float:
        """Upper end of the range; the median where there is none."""
        return self.range_ms[1] if self.range_ms else self.p50_ms


class Chosen(_Strict, frozen=True):
    """A row, by what it was measured with."""

    variant: Text
    threads: Count


class RunnerUp(Chosen, frozen=True):
    """The fastest row of another file that is slower beyond the noise.

    Attributes:
        ratio: Its median over that of the recommended row.
        low: The least that `ratio` may be: its range's lower end over the other's upper end.
        high: The most, likewise.
    """

    ratio: Ratio
    low: Ratio
    high: Ratio


class Recommendation(Chosen, frozen=True):
    """The fastest that may be used, or a better one that is about as fast.

    Attributes:
        variant: Name of the variant.
        threads: Threads of the engine.
        equals: Other rows that count as equally fast, the fastest first.
        unclear: Rows with a longer median whose ranges overlap that of the fastest, so that
            another survey may find them as fast; the fastest first.
        runner_up: The next file; null if there is none.
    """

    equals: tuple[Chosen, ...]
    unclear: tuple[Chosen, ...]
    runner_up: RunnerUp | None


class Survey(
    _Strict,
    frozen=True,
    tag="survey",
    tag_field="kind",
):
    """What `edgetl-run bench --all` writes; `kind` is `survey`.

    Attributes:
        format_version: Of this record, 2.
        bundle_sha256: SHA-256 of bundle.json: which bundle.
        taken_utc: When it was begun, by the machine's clock, ISO 8601.
        frame_px: Width and height of the frame.
        budget_s: Time that it was given, seconds.
        took_s: Time that it took, seconds.
        pass_s: Time for which each pass of a row took samples, at least, seconds.
        noise: Relative standard deviation of the median of a pass of this machine's, from how
            far the two passes of the rows lie apart; null if no row has two.
        software: Versions of what else is in the path: edgetl-runtime, numpy, opencv.
        board: The machine.
        observation: Clock, temperature, throttling and energy, from the first pass to the last;
            null if every row failed.
        files: The bundle's variants, in its order.
        rows: In the order of the first pass.
        recommendation: What to use; null if no row may be recommended.
    """

    format_version: int
    bundle_sha256: Sha256
    taken_utc: str
    frame_px: tuple[Count, Count]
    budget_s: Annotated[float, msgspec.Meta(gt=0)]
    took_s: Annotated[float, msgspec.Meta(ge=0)]
    pass_s: Annotated[float, msgspec.Meta(ge=0)]
    noise: Ratio | None
    software: dict[str, str]
    board: Board
    observation: Observation | None
    files: tuple[SurveyedFile, ...]
    rows: tuple[SurveyRow, ...]
    recommendation: Recommendation | None

    def find_file(self, variant: str) -> SurveyedFile:
        """The file of a row."""
        return next(one for one in self.files if one.variant == variant)

    def find_row(self, chosen: Chosen) -> SurveyRow:
        """The row that was chosen."""
        wanted = (chosen.variant, chosen.threads)
        return next(row for row in self.rows if (row.variant, row.threads) == wanted)

    def find_fault(self) -> str:
        """What in it cannot be true; empty if nothing."""
        names = [file.variant for file in self.files]
        keys = [(row.variant, row.threads) for row in self.rows]
        if len(set(names)) != len(names) or len(set(keys)) != len(keys):
            return "a file or a row is there twice"
        if not {variant for variant, _ in keys} <= set(names):
            return "a row is of a file that is not listed"
        faults = (fault for row in self.rows if (fault := self._find_fault_of_row(row)))
        return next(faults, "") or self._find_fault_of_recommendation()

    def _find_fault_of_row(self, row: SurveyRow) -> str:
        report = row.report
        if (report is None) != bool(row.failure):
            return f"{row.name} has either to be measured or to have failed"
        if report is None:
            return ""
        if (report.variant, report.threads) != (row.variant, row.threads):
            return f"the report of {row.name} is of something else"
        if report.model_sha256 != self.find_file(row.variant).sha256:
            return f"the report of {row.name} is of another file"
        if not row.low_ms <= row.p50_ms <= row.high_ms:
            return f"the range of {row.name} does not hold its median"
        return (fault := report.find_fault()) and f"{row.name}: {fault}"

    def _find_fault_of_recommendation(self) -> str:
        best = self.recommendation
        if best is None:
            return ""
        known = {(row.variant, row.threads) for row in self.rows if row.report is not None}
        named = (best, *best.equals, *best.unclear, *filter(None, (best.runner_up,)))
        if not {(one.variant, one.threads) for one in named} <= known:
            return "the recommendation names a row that was not measured"
        if not self.find_file(best.variant).is_eligible:
            return f"{best.variant} is recommended, but may not be used"
        return ""
