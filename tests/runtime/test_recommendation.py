"""Which row is recommended, and in which words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetl_runtime.benchmarking.isolation import Pass
from edgetl_runtime.benchmarking.merging import find_reach, find_span, measure_noise
from edgetl_runtime.benchmarking.recommendation import recommend
from edgetl_runtime.benchmarking.single_stream import benchmark, make_rules
from edgetl_runtime.benchmarking.survey_wording import (
    list_failures,
    list_grounds,
    list_settings,
    list_warnings,
    remark,
    tell_doubt,
    tell_headline,
)
from tests.surveys import make_file, make_row, make_survey, replace


@pytest.fixture(scope="module")
def report(tiny):
    return benchmark(tiny, variant="litert-int8", rules=make_rules(1, None))


@pytest.fixture
def take(report):
    """A survey of files, given as (file, {threads: median or None})."""

    def take(*measured, **changes):
        files = [file for file, _ in measured]
        rows = [
            make_row(report, file, threads, p50_ms)
            for file, times in measured
            for threads, p50_ms in times.items()
        ]
        return make_survey(report, files, rows, **changes)

    return take


INT8 = make_file("litert-int8", bytes=500)
FLOAT = make_file("litert-float32", bytes=2000, top1=0.92)
ONNX = make_file("onnx-int8", bytes=600)


def disturb(row):
    """As if others had had the processor for two fifths of the time."""
    return replace(row, report=replace(row.report, waited=0.4))


def pick(survey):
    best = survey.recommendation
    return best and (best.variant, best.threads)


def test_the_fastest_is_recommended_and_the_next_file_named(take):
    found = take((INT8, {1: 12.0, 2: 8.0}), (ONNX, {1: 13.0, 2: 9.0}))
    assert pick(found) == ("litert-int8", 2)
    assert found.recommendation.equals == ()
    runner = found.recommendation.runner_up
    assert (runner.variant, runner.threads) == ("onnx-int8", 2)
    assert tell_headline(found) == "litert-int8 with 2 threads: 8.00 ms (7.77 to 8.24)"
    assert list_grounds(found) == [
        "the next different file, onnx-int8 with 2 threads, takes 1.12 times as long (1.06 to 1.19)"
    ]
    assert list_settings(found.recommendation) == [
        "[model]",
        'variant = "litert-int8"',
        "threads = 2",
    ]


@pytest.mark.parametrize(
    ("measured", "expected", "ground"),
    [
        ([(INT8, {1: 8.2, 2: 8.0})], ("litert-int8", 1), "fewer threads"),
        ([(INT8, {1: 8.0}), (FLOAT, {1: 8.2})], ("litert-float32", 1), "higher accuracy"),
        ([(ONNX, {1: 8.0}), (INT8, {1: 8.2})], ("litert-int8", 1), "a smaller file"),
        ([(INT8, {1: 8.2}), (FLOAT, {2: 8.0})], ("litert-int8", 1), "fewer threads"),
    ],
)
def test_among_the_equally_fast_threads_accuracy_and_size_decide_in_this_order(
    take, measured, expected, ground
):
    found = take(*measured)
    assert pick(found) == expected
    (said,) = list_grounds(found)
    assert said.startswith("about as fast: ")
    assert f"; chosen for {ground}" in said


def test_a_row_that_is_much_slower_wins_nothing_by_a_wide_range(take):
    found = take((FLOAT, {1: 8.0}), (INT8, {1: 12.0}))
    noisy = [replace(row, range_ms=(row.p50_ms / 2, row.p50_ms * 2)) for row in found.rows]
    found = replace(found, rows=tuple(noisy), recommendation=recommend(found.files, noisy))
    assert pick(found) == ("litert-float32", 1)
    assert found.recommendation.equals == ()
    (said,) = list_grounds(found)
    assert said.startswith("slower, but not beyond the noise: litert-int8 with 1 thread (12.0 ms)")
    assert tell_doubt(found).startswith("the noise hides which row is fastest; measure")
    busy = replace(found, rows=tuple(map(disturb, found.rows)))
    (said,) = list_grounds(busy)
    assert said.startswith(
        "slower, but not beyond the noise (others had the processor for up to 40% of the time): l"
    )


def test_what_decided_is_a_list_with_and(take):
    large = make_file("onnx-float32", bytes=4000)
    found = take((ONNX, {1: 8.0, 2: 7.9}), (large, {1: 8.1}))
    assert list_grounds(found)[0].endswith(
        "chosen for fewer threads (which leaves processors for the camera) and a smaller file"
    )
    poor = make_file("litert-float16", top1=0.8)
    found = take((ONNX, {1: 8.0, 2: 7.9}), (large, {1: 8.1}), (poor, {1: 8.1}))
    assert list_grounds(found)[0].endswith("camera), higher accuracy and a smaller file")
    assert tell_doubt(found) == ""


@pytest.mark.parametrize("degrees", [None, 71.0])
def test_heat_is_asked_for_only_where_a_temperature_is_known(take, report, degrees):
    seen = replace(report.observation, throttled=None, highest_c=degrees)
    found = take((INT8, {1: 9.0}), observation=seen)
    slower = tuple((float(at), 8.0 + at) for at in range(10))
    rows = [
        replace(row, report=replace(row.report, drift=slower, slowed=True)) for row in found.rows
    ]
    (warning, *_) = list_warnings(replace(found, rows=tuple(rows)))
    heat = "; does the machine get hot?" if degrees else ""
    assert warning == f"slower at the end than at first: litert-int8 with 1 thread{heat}"


def test_what_the_gate_or_the_golden_frames_reject_is_never_recommended(take):
    rejected = replace(ONNX, gate_failures=("it lost 9 points, allowed are 2",))
    wrong = replace(FLOAT, golden_failures=("its scores differ",))
    found = take((rejected, {1: 1.0}), (wrong, {1: 2.0}), (INT8, {1: 9.0}))
    assert pick(found) == ("litert-int8", 1)
    assert found.recommendation.runner_up is None
    assert [remark(found, row) for row in found.rows] == [
        "rejected by the gate",
        "not to be used here",
        "",
    ]
    assert list_failures(found) == [
        "onnx-int8: it lost 9 points, allowed are 2",
        "litert-float32: its scores differ",
    ]
    none = take((rejected, {1: 1.0}), (wrong, {1: 2.0}))
    assert pick(none) is None
    assert "onnx-int8: it lost 9 points" in tell_headline(none)
    assert "litert-float32: its scores differ" in tell_headline(none)


def test_a_file_that_may_have_lost_too_much_is_recommended_and_marked(take):
    unsure = replace(INT8, unsure=("it lost 2 points",))
    found = take((unsure, {1: 5.0}), (ONNX, {1: 9.0}))
    assert pick(found) == ("litert-int8", 1)
    assert list_grounds(found)[-1] == "whether it passed the gate is not sure: it lost 2 points"


def test_rows_that_failed_are_passed_over(take):
    found = take((INT8, {1: 9.0, 2: None}), (ONNX, {1: None}))
    assert pick(found) == ("litert-int8", 1)
    assert remark(found, found.rows[1]) == "failed"
    assert list_failures(found) == [
        "litert-int8 with 2 threads, onnx-int8 with 1 thread: ended by signal 11 (SIGSEGV)"
    ]
    assert list_grounds(found) == ["there is nothing to compare it with"]


def test_much_noise_and_an_emulated_processor_are_warned_of(take, report):
    found = take((INT8, {1: 9.0}), noise=0.2, board=replace(report.board, emulated=True))
    emulated, noisy = list_warnings(found)
    assert "emulated: the times mean nothing" in emulated
    assert "medians vary by 20% from pass to pass" in noisy


files = st.builds(
    lambda top1, bytes_, gate, golden: {
        "top1": top1,
        "bytes": bytes_,
        "gate_failures": ("x",) * gate,
        "golden_failures": ("y",) * golden,
    },
    st.sampled_from([0.8, 0.9]),
    st.sampled_from([100, 200]),
    *(st.sampled_from([False, False, False, True]),) * 2,
)
medians = st.one_of(st.none(), st.sampled_from([4.0, 5.0, 5.1, 8.0]))


@given(st.lists(st.tuples(files, st.lists(medians, min_size=1, max_size=3)), max_size=4))
def test_nothing_that_may_be_used_beats_the_recommendation(report, measured):
    listed = [make_file(f"onnx-{number}", **facts) for number, (facts, _) in enumerate(measured)]
    rows = [
        make_row(report, file, threads, p50_ms)
        for file, (_, times) in zip(listed, measured, strict=True)
        for threads, p50_ms in enumerate(times, start=1)
    ]
    by_name = {file.variant: file for file in listed}
    usable = [row for row in rows if row.report and by_name[row.variant].is_eligible]
    best = recommend(listed, rows)
    assert (best is None) == (not usable)
    if best is None:
        return
    (chosen,) = (
        row for row in usable if (row.variant, row.threads) == (best.variant, best.threads)
    )
    fastest = min(row.p50_ms for row in usable)
    assert chosen.low_ms <= fastest * 1.03
    # None that is surely faster, and none that is as fast with fewer threads.
    assert not any(row.high_ms < chosen.low_ms and row.p50_ms > fastest for row in usable)
    assert not any(row.threads < chosen.threads and row.low_ms <= fastest * 1.03 for row in usable)
    if best.runner_up:
        assert best.runner_up.variant != best.variant
        assert best.runner_up.low <= best.runner_up.ratio <= best.runner_up.high
    assert make_survey(report, listed, rows).find_fault() == ""


def test_noise_is_how_far_passes_lie_apart():
    assert measure_noise([]) is None
    assert measure_noise([[8.0]]) is None
    assert measure_noise([[8.0, 8.0], [3.0, 3.0]]) == 0
    assert measure_noise([[10.0, 11.0], [110.0, 100.0]]) == pytest.approx(0.0674, abs=1e-4)


@pytest.mark.parametrize(("rows", "t"), [(8, 2.306), (30, 2.042), (1000, 1.962)])
def test_the_reach_of_few_rows_is_wider(rows, t):
    assert find_reach(0.1, rows) == pytest.approx(2.718281828 ** (0.1 * t), rel=1e-3)
    assert find_reach(None, 0) == 1.0


def test_a_processor_that_others_use_is_warned_of(take):
    found = take((INT8, {1: 9.0}), noise=0.2)
    busy = replace(found, rows=tuple(map(disturb, found.rows)))
    (warning,) = list_warnings(busy)
    assert warning.startswith("others had the processor for up to 40% of the time")


def test_the_range_holds_what_the_median_would_be_without_others(report):
    full = replace(report, total_samples_ms=(8.0,) * 4)
    passes = [Pass(replace(full, waited=waited), ((0.1, 8.0),)) for waited in (0.6, 0.4)]
    assert find_span(8.0, passes, 1.0) == pytest.approx(
        (min(4.0, report.total_ms.p50), max(16.0, report.total_ms.p50))
    )
    quiet = [replace(one, report=replace(full, waited=None)) for one in passes]
    assert find_span(report.total_ms.p50, quiet, 2.0) == pytest.approx(
        (report.total_ms.p50 / 2, report.total_ms.p50 * 2)
    )
