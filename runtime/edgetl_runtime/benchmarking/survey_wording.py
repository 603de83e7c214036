"""A survey in sentences, for the terminal and the page alike."""

from collections.abc import Iterator, Sequence

from edgetl_runtime.benchmarking.comparison import MUCH_WAITING
from edgetl_runtime.benchmarking.machine_wording import warn_of_machine
from edgetl_runtime.benchmarking.survey_record import (
    Chosen,
    Recommendation,
    Survey,
    SurveyedFile,
    SurveyRow,
)
from edgetl_runtime.options.toml_file import encode_value
from edgetl_runtime.text.wording import count_noun

# Above it the machine does something else besides, or changes its clock.
_MUCH_NOISE = 0.05
_NAMED = 3


def tell_ms(ms: float) -> str:
    """Three digits: `0.412`, `8.13`, `12.8`, `134`."""
    return f"{ms:.0f}" if ms >= 100 else f"{ms:#.3g}"


def tell_range(row: SurveyRow) -> str:
    """`7.90 to 8.41`; nothing where there is none."""
    return f"{tell_ms(row.low_ms)} to {tell_ms(row.high_ms)}" if row.range_ms else ""


def tell_headline(survey: Survey) -> str:
    """What to use, such as `litert-int8 with 2 threads: 8.13 ms (7.90 to 8.41)`; or why nothing."""
    best = survey.recommendation
    if best is None:
        return f"there is nothing to recommend: {_explain_none(survey)}"
    row = survey.find_row(best)
    extent = f" ({tell_range(row)})" if row.range_ms else ""
    return f"{row.name}: {tell_ms(row.p50_ms)} ms{extent}"


def tell_doubt(survey: Survey) -> str:
    """Why the recommended row may not be the best, and what helps; empty if it is sure."""
    best = survey.recommendation
    if best is None or not best.unclear:
        return ""
    return "the noise hides which row is fastest; measure again when nothing else runs"


def list_grounds(survey: Survey) -> list[str]:
    """How sure the recommendation is, one sentence each."""
    best = survey.recommendation
    if best is None:
        return []
    found = []
    if best.equals:
        chosen = _explain_choice(survey, best)
        found.append(f"about as fast: {_list_rows(survey, best.equals)}; chosen for {chosen}")
    if best.unclear:
        found.append(
            f"slower, but not beyond the noise{_explain_noise(survey)}: "
            f"{_list_rows(survey, best.unclear)}"
        )
    if runner := best.runner_up:
        found.append(
            f"the next different file, {survey.find_row(runner).name}, takes {runner.ratio:.2f} "
            f"times as long ({runner.low:.2f} to {runner.high:.2f})"
        )
    if not found:
        found.append("there is nothing to compare it with")
    unsure = survey.find_file(best.variant).unsure
    found += [f"whether it passed the gate is not sure: {sentence}" for sentence in unsure]
    return found


def list_warnings(survey: Survey) -> list[str]:
    """Why the figures should be taken with care, one sentence each."""
    return list(_find_warnings(survey))


def remark(survey: Survey, row: SurveyRow) -> str:
    """A few words on a row; `list_failures` says more."""
    file = survey.find_file(row.variant)
    if row.failure:
        return "failed"
    if file.golden_failures:
        return "not to be used here"
    if file.gate_failures:
        return "rejected by the gate"
    return _remark_measured(file, row)


def list_failures(survey: Survey) -> list[str]:
    """What went wrong and what may not be used, one sentence each."""
    rows: dict[str, list[str]] = {}
    for row in survey.rows:
        if row.failure:
            rows.setdefault(row.failure, []).append(row.name)
    return [
        *(f"{', '.join(names)}: {failure}" for failure, names in rows.items()),
        *(
            _name_file(file, sentence)
            for file in survey.files
            for sentence in (*file.golden_failures, *file.gate_failures)
            if sentence not in rows
        ),
    ]


def list_settings(best: Recommendation) -> list[str]:
    """The lines of a settings file."""
    return [
        "[model]",
        f"variant = {encode_value(best.variant)}",
        f"threads = {best.threads}",
    ]


def list_flags(best: Recommendation) -> list[str]:
    """The same as flags of a command."""
    return ["--variant", best.variant, "--threads", str(best.threads)]


def _list_rows(survey: Survey, chosen: Sequence[Chosen]) -> str:
    """The first rows with their medians, and how many more there are."""
    rows = [survey.find_row(one) for one in chosen]
    more = len(rows) - _NAMED
    named = [f"{row.name} ({tell_ms(row.p50_ms)} ms)" for row in rows[:_NAMED]]
    return ", ".join(named) + (f" and {count_noun(more, 'more row')}" if more > 0 else "")


def _explain_none(survey: Survey) -> str:
    measured = {row.variant for row in survey.rows if row.report is not None}
    if not measured:
        reasons = sorted({row.failure for row in survey.rows})
        return f"no row could be measured ({'; '.join(reasons)})"
    reasons = [
        _name_file(file, sentence)
        for file in survey.files
        for sentence in (file.golden_failures or file.gate_failures)[:1]
        if file.variant in measured
    ]
    return f"no file that was measured may be used ({'; '.join(reasons)})"


def _name_file(file: SurveyedFile, sentence: str) -> str:
    """The sentence with the file's name before it, as some have it already."""
    name = f"{file.variant}: "
    return name + sentence.removeprefix(name)


def _explain_choice(survey: Survey, best: Recommendation) -> str:
    """By what the recommended row is better than those that are as fast."""
    mine = survey.find_file(best.variant)
    others = [(one, survey.find_file(one.variant)) for one in best.equals]
    alike = [(one, file) for one, file in others if one.threads == best.threads]
    found = []
    if len(alike) < len(others):
        found.append("fewer threads (which leaves processors for the camera)")
    if any(file.top1 < mine.top1 for _, file in alike):
        found.append("higher accuracy")
    if any(file.top1 == mine.top1 and file.bytes > mine.bytes for _, file in alike):
        found.append("a smaller file")
    return " and ".join(filter(None, (", ".join(found[:-1]), *found[-1:]))) or "its speed"


def _explain_noise(survey: Survey) -> str:
    waited = _find_waiting(survey)
    if waited <= MUCH_WAITING:
        return ""
    return f" (others had the processor for up to {waited:.0%} of the time)"


def _find_waiting(survey: Survey) -> float:
    """The largest share of a row's time in which others had the processor, where it is known."""
    return max(
        (row.report.waited or 0.0 for row in survey.rows if row.report is not None), default=0.0
    )


def _find_warnings(survey: Survey) -> Iterator[str]:
    rows = [(row, row.report) for row in survey.rows if row.report is not None]
    waited = _find_waiting(survey)
    slowed = [row.name for row, report in rows if report.slowed]
    yield from warn_of_machine(survey.board, survey.observation)
    is_throttled = survey.observation is not None and survey.observation.throttled
    if slowed and not is_throttled and waited <= MUCH_WAITING:
        yield f"slower at the end than at first: {', '.join(slowed)}{_ask_heat(survey)}"
    if waited > MUCH_WAITING:
        yield (
            f"others had the processor for up to {waited:.0%} of the time, so the ranges "
            "are wide; measure again when nothing else runs"
        )
    elif survey.noise is not None and survey.noise > _MUCH_NOISE:
        yield (
            f"medians vary by {survey.noise:.0%} from pass to pass, so the ranges are wide; "
            "measure again when nothing else runs"
        )
    elif unsteady := sum(not report.steady for _, report in rows):
        yield (
            f"the times of {count_noun(unsteady, 'row')} were not steady after the warm-up; does "
            "something else run?"
        )


def _ask_heat(survey: Survey) -> str:
    """A question that only a machine whose temperature is known can answer."""
    seen = survey.observation
    return "" if seen is None or seen.highest_c is None else "; does the machine get hot?"


def _remark_measured(file: SurveyedFile, row: SurveyRow) -> str:
    found = []
    if file.unsure:
        found.append("not sure to pass the gate")
    if row.report is not None and row.report.throttled:
        found.append("throttled")
    elif row.report is not None and row.report.slowed:
        found.append("slowed down")
    return ", ".join(found)
