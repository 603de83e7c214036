import statistics

import pytest

from edgetl_runtime.benchmark import benchmark
from edgetl_runtime.errors import BundleError

STAGES = ("preprocess", "invoke", "total")


@pytest.fixture(scope="module")
def report(tiny):
    return benchmark(tiny, variant="litert-int8", threads=2, frame_px=(320, 240), runs=50)


@pytest.mark.parametrize("stage", STAGES)
def test_percentiles_are_derived_from_the_samples(stage, report):
    samples = sorted(getattr(report, f"{stage}_samples_ms"))
    percentiles = getattr(report, f"{stage}_ms")
    assert len(samples) == 50
    assert percentiles.p50 == pytest.approx(statistics.median(samples))
    assert samples[43] <= percentiles.p90 <= samples[45]
    assert samples[48] <= percentiles.p99 <= samples[49]


def test_the_stages_fit_into_the_total(report):
    samples = zip(*(getattr(report, f"{stage}_samples_ms") for stage in STAGES), strict=True)
    assert all(0 < preprocess + invoke <= total for preprocess, invoke, total in samples)


def test_the_report_says_what_was_measured_and_on_what(report):
    assert report.variant == "litert-int8"
    assert report.engine.split()[0] in ("ai-edge-litert", "tflite-runtime")
    assert (report.threads, report.frame_px) == (2, (320, 240))
    assert report.warmup_runs >= 10
    assert report.load_ms > 0
    assert report.first_ms > 0
    assert report.peak_rss_mib > 0
    assert report.board.cores >= 1


def test_the_board_throttled_if_it_had_when_the_last_sample_was_taken(report):
    assert report.throttled is report.after.throttled


def test_a_larger_frame_is_what_is_measured(tiny, report):
    larger = benchmark(tiny, frame_px=(4000, 3000), runs=5)
    assert larger.frame_px == (4000, 3000)
    assert larger.preprocess_ms.p50 > report.preprocess_ms.p50


def test_no_bundle_is_refused(tmp_path):
    with pytest.raises(BundleError):
        benchmark(tmp_path, runs=1)
