import statistics

import pytest

from edgetl_runtime.benchmarking.cold_start import measure_cold_start
from edgetl_runtime.benchmarking.record import find_range, find_slowed, follow_drift
from edgetl_runtime.benchmarking.single_stream import (
    FULL,
    QUICK,
    Rules,
    benchmark,
    is_steady,
    make_rules,
)
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.errors import BundleError, EngineError

STAGES = ("preprocess", "invoke", "total")
SHORT = Rules("custom", runs=50, seconds=0.0, warmup_s=0.5, cold_starts=1)


@pytest.fixture(scope="module")
def report(tiny):
    return benchmark(tiny, variant="litert-int8", threads=2, frame_px=(320, 240), rules=SHORT)


@pytest.mark.parametrize("stage", STAGES)
def test_percentiles_and_mean_are_derived_from_the_samples(stage, report):
    samples = sorted(getattr(report, f"{stage}_samples_ms"))
    percentiles = getattr(report, f"{stage}_ms")
    assert len(samples) == 50
    assert percentiles.p50 == pytest.approx(statistics.median(samples))
    assert samples[43] <= percentiles.p90 <= samples[45]
    assert samples[45] <= percentiles.p95 <= samples[47]
    assert samples[48] <= percentiles.p99 <= samples[49]
    assert percentiles.mean == pytest.approx(statistics.mean(samples))


def test_the_stages_fit_into_the_total(report):
    samples = zip(*(getattr(report, f"{stage}_samples_ms") for stage in STAGES), strict=True)
    assert all(0 < preprocess + invoke <= total for preprocess, invoke, total in samples)


def test_the_report_says_what_was_measured_and_on_what(report):
    assert report.variant == "litert-int8"
    assert report.engine.split()[0] in ("ai-edge-litert", "tflite-runtime")
    assert (report.threads, report.frame_px) == (2, (320, 240))
    assert report.warmup_runs >= 5
    assert report.warmup_s > 0
    assert report.board.cores >= 1
    assert set(report.software) == {"edgetl-runtime", "numpy", "opencv"}
    assert report.find_fault() == ""


def test_the_first_answer_is_that_of_a_process_of_its_own(report):
    # Python, numpy, OpenCV and the engine are loaded there.
    assert report.start_ms > report.load_ms > 0
    assert report.first_ms > 0
    assert 10 < report.rest_rss_mib < report.peak_rss_mib + 100


def test_energy_is_shared_out_among_the_runs(report):
    energy_j = report.observation.energy_j
    shared = None if energy_j is None else pytest.approx(energy_j / report.runs)
    assert report.joules_per_run == shared


def test_the_board_throttled_if_it_did_while_samples_were_taken(report):
    assert report.throttled is report.observation.throttled


def test_a_larger_frame_is_what_is_measured(tiny, report):
    larger = benchmark(tiny, frame_px=(4000, 3000), rules=make_rules(5, None))
    assert larger.frame_px == (4000, 3000)
    assert larger.preprocess_ms.p50 > report.preprocess_ms.p50


def test_no_bundle_is_refused(tmp_path):
    with pytest.raises(BundleError):
        benchmark(tmp_path, rules=SHORT)


def test_runs_and_seconds_are_both_least_numbers(tiny):
    long = benchmark(tiny, rules=Rules("custom", runs=5, seconds=1.2, warmup_s=0.5, cold_starts=1))
    assert long.runs > 5
    assert long.duration_s >= 1.2
    assert long.drift[0][0] >= 1


def test_the_usual_rules_are_those_of_mlperf_and_runs_or_seconds_make_ones_own():
    assert (make_rules(None, None), make_rules(None, None, quick=True)) == (FULL, QUICK)
    assert (FULL.runs, FULL.seconds) == (1024, 60)
    own = make_rules(7, None, quick=True)
    assert (own.name, own.runs, own.seconds) == ("custom", 7, 0)
    assert (make_rules(None, 3.0).runs, make_rules(None, 3.0).seconds) == (1, 3)


def test_progress_is_told_and_ends_with_the_whole(tiny):
    told = []
    rules = Rules("custom", runs=1, seconds=1.5, warmup_s=0.3, cold_starts=1)
    benchmark(tiny, rules=rules, tell=lambda share, doing: told.append((share, doing)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert 0.3 < shares[-1] <= 1
    assert [doing for _, doing in told][:2] == ["cold start 1 of 1", "warming up"]


def test_a_median_is_steady_once_four_windows_are_alike():
    assert not is_steady([10.0, 10.0, 10.0])
    assert is_steady([50.0, 10.0, 10.2, 10.1, 10.3])
    assert not is_steady([10.0, 10.2, 10.1, 10.4])


def test_a_run_without_an_answer_is_one_sentence(tiny_copy):
    classifier = Classifier.open(tiny_copy)
    (tiny_copy / "bundle.json").unlink()
    with pytest.raises(EngineError, match=r"ended with exit code 1 before it answered: .*bundle"):
        measure_cold_start(classifier, (320, 240))


def test_each_second_of_a_run_has_its_median():
    moments = [0.25 * number for number in range(1, 14)]  # 0.25 .. 3.25 s
    samples = [1, 1, 2, 9, 3, 3, 3, 3, 5, 6, 7, 8, 99]
    assert follow_drift(moments, samples) == ((1.0, 1.5), (2.0, 3.0), (3.0, 6.5))
    assert follow_drift([0.5], [1.0]) == ()


def test_nine_of_ten_seconds_lie_in_the_range():
    drift = [(second, 10.0 + second / 10) for second in range(21)]  # 10.0 .. 12.0 ms
    assert find_range(drift) == pytest.approx((10.1, 11.9))
    assert find_range(drift[:7]) is None
    # A single second that was disturbed does not widen it much.
    calm = [(second, 10.0) for second in range(60)]
    assert find_range([*calm[:-1], (59, 500.0)]) == pytest.approx((10.0, 10.0))
    assert find_slowed([*calm[:-1], (59, 500.0)]) is False
