"""Surveys for tests, of a real report and figures of the test's own."""

from collections.abc import Iterable
from typing import Any

import msgspec

from edgetl_runtime.benchmarking.recommendation import recommend
from edgetl_runtime.benchmarking.record import FORMAT_VERSION, BoardBenchmark
from edgetl_runtime.benchmarking.survey_record import Survey, SurveyedFile, SurveyRow
from edgetl_runtime.system.percentiles import Percentiles

replace = msgspec.structs.replace


def make_file(variant: str, **changes: Any) -> SurveyedFile:
    """A file that may be used."""
    plain = {
        "engine": variant.partition("-")[0],
        "sha256": "ab" * 32,
        "bytes": 1000,
        "examples": 48,
        "top1": 0.9,
        "drop": 0.0,
        "gate_failures": (),
        "unsure": (),
        "golden_failures": (),
    }
    return SurveyedFile(variant=variant, **{**plain, **changes})


def make_row(
    report: BoardBenchmark,
    file: SurveyedFile,
    threads: int,
    p50_ms: float | None,
    reach: float = 1.03,
) -> SurveyRow:
    """A row; without a median it failed."""
    if p50_ms is None:
        return SurveyRow(
            variant=file.variant,
            threads=threads,
            report=None,
            range_ms=None,
            passes_ms=(),
            failure="ended by signal 11 (SIGSEGV)",
        )
    measured = replace(
        report.without_samples(),
        variant=file.variant,
        threads=threads,
        model_sha256=file.sha256,
        waited=0.0,
        total_ms=Percentiles(p50_ms, p50_ms * 1.1, p50_ms * 1.2, p50_ms * 1.3, p50_ms * 1.05),
    )
    return SurveyRow(
        variant=file.variant,
        threads=threads,
        report=measured,
        range_ms=(p50_ms / reach, p50_ms * reach),
        passes_ms=(p50_ms, p50_ms),
        failure="",
    )


def make_survey(
    report: BoardBenchmark, files: Iterable[SurveyedFile], rows: Iterable[SurveyRow], **changes: Any
) -> Survey:
    """A survey with the recommendation that follows."""
    files, rows = tuple(files), tuple(rows)
    survey = Survey(
        format_version=FORMAT_VERSION,
        bundle_sha256=report.bundle_sha256,
        taken_utc="2026-01-02T03:04:05+00:00",
        frame_px=report.frame_px,
        budget_s=60.0,
        took_s=58.0,
        pass_s=2.0,
        noise=0.01,
        software=report.software,
        board=report.board,
        observation=report.observation,
        files=files,
        rows=rows,
        recommendation=recommend(files, rows),
    )
    return replace(survey, **changes)
