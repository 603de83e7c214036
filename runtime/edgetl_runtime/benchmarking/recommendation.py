"""Which of the measured rows to use."""

from collections.abc import Sequence

from edgetl_runtime.benchmarking.survey_record import (
    Chosen,
    Recommendation,
    RunnerUp,
    SurveyedFile,
    SurveyRow,
)

# On a busy machine nearly all ranges overlap, and the median is the best that is known.
_ALIKE = 1.1


def recommend(files: Sequence[SurveyedFile], rows: Sequence[SurveyRow]) -> Recommendation | None:
    """Picks the fastest row that may be used, or a better one that is about as fast.

    A file may be used if it passed the gate and reproduces its golden frames here. A row counts as
    equally fast if its range overlaps that of the fastest, and its median is at most a tenth
    longer. Of these fewer threads win, since the camera needs processors, too; then the higher
    accuracy; then the smaller file.

    Args:
        files: The bundle's variants.
        rows: What was measured.

    Returns:
        None if no row may be used.
    """
    by_name = {file.variant: file for file in files}
    usable = sorted(
        (row for row in rows if row.report is not None and by_name[row.variant].is_eligible),
        key=lambda row: row.p50_ms,
    )
    if not usable:
        return None
    overlapping = [row for row in usable if row.low_ms <= usable[0].high_ms]
    alike = [row for row in overlapping if row.p50_ms <= _ALIKE * usable[0].p50_ms]

    def rank(row: SurveyRow) -> tuple[float, ...]:
        file = by_name[row.variant]
        return row.threads, -file.top1, file.bytes, row.p50_ms

    best = min(alike, key=rank)
    others = (row for row in usable if row not in overlapping and row.variant != best.variant)
    return Recommendation(
        variant=best.variant,
        threads=best.threads,
        equals=tuple(_name(row) for row in alike if row is not best),
        unclear=tuple(_name(row) for row in overlapping if row not in alike),
        runner_up=_compare(next(others, None), best),
    )


def _name(row: SurveyRow) -> Chosen:
    return Chosen(variant=row.variant, threads=row.threads)


def _compare(row: SurveyRow | None, best: SurveyRow) -> RunnerUp | None:
    if row is None:
        return None
    return RunnerUp(
        variant=row.variant,
        threads=row.threads,
        ratio=row.p50_ms / max(best.p50_ms, 1e-9),
        low=row.low_ms / max(best.high_ms, 1e-9),
        high=row.high_ms / max(best.low_ms, 1e-9),
    )
