"""Drift: the device's answers against the validation photos."""

import math
import time

import msgspec
import numpy as np
import pytest

from edgetl_runtime.bundle.manifest import VariantMetrics
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.errors import BundleError
from edgetl_runtime.pipeline.drift import (
    DAY_S,
    LEAST_VISITS,
    Drift,
    find_chance_limit,
    measure_stability_index,
)
from edgetl_runtime.prediction import Prediction

LABELS = ("gear", "spring", "washer")
EXPECTED = VariantMetrics(
    examples=300,
    top1=0.95,
    drop=0.0,
    agreement=1.0,
    recall=dict.fromkeys(LABELS, 0.95),
    mean_confidence=0.9,
    reject_rate=0.05,
    label_shares={"gear": 0.4, "spring": 0.3, "washer": 0.3},
)


@pytest.fixture
def show():
    """Adds answers, ten seconds apart unless said otherwise."""

    def show(drift, labels, *, score=0.9, start_s=0.0, step_s=10.0):
        for n, label in enumerate(labels):
            scores = np.full(3, (1 - score) / 2, np.float32)
            scores[LABELS.index(label or "gear")] = score
            answered_s = start_s + n * step_s
            threshold = 1.0 if label is None else 0.5
            drift.add(Prediction(LABELS, scores, threshold, answered_s, answered_s, 1.0, 1.0))

    return show


def draw(shares, count, seed=0):
    """Labels in random order, in visits of three."""
    names = np.random.default_rng(seed).choice(list(shares), count // 3, p=list(shares.values()))
    return [str(name) for name in np.repeat(names, 3)]


def test_answers_like_the_photos_give_no_verdict(show):
    drift = Drift(EXPECTED)
    show(drift, draw(EXPECTED.label_shares, 900))
    report = drift.report()
    assert report.answers == 900
    assert report.stability_index < report.chance_limit
    assert report.mean_confidence == pytest.approx(0.9)
    assert report.reject_rate == 0.0
    assert report.verdicts == ()
    assert any("may differ without drift" in note for note in report.notes)


def test_chance_alone_gives_a_verdict_in_few_of_a_hundred_cases(show):
    found = 0
    for seed in range(200):
        drift = Drift(EXPECTED)
        show(drift, draw(EXPECTED.label_shares, 300, seed))
        found += bool(drift.report().verdicts)
    assert found <= 6


def test_other_shares_of_labels_are_said_with_the_label(show):
    drift = Drift(EXPECTED)
    show(drift, draw({"gear": 0.1, "spring": 0.1, "washer": 0.8}, 900))
    (verdict,) = drift.report().verdicts
    assert verdict.startswith("labels differ much")
    assert "washer is" in verdict
    assert "expected 30%" in verdict


def test_less_confidence_and_more_rejections_are_said(show):
    drift = Drift(EXPECTED)
    labels = draw(EXPECTED.label_shares, 600)
    show(drift, [None if n % 5 == 0 else label for n, label in enumerate(labels)], score=0.7)
    sure, rejected = drift.report().verdicts
    assert "mean confidence is lower than on the photos: 70%, expected 90%" in sure
    assert "20% of the answers have no label, expected 5%" in rejected


def test_one_thing_before_the_camera_for_hours_is_one_observation(show):
    drift = Drift(EXPECTED)
    show(drift, ["washer"] * 2000)
    report = drift.report()
    assert (report.answers, report.visits) == (2000, 1)
    assert report.verdicts == ()
    assert any(f": 1 visit of {LEAST_VISITS}" in note for note in report.notes)


def test_only_one_answer_in_ten_seconds_counts(show):
    drift = Drift(EXPECTED)
    show(drift, ["gear", "washer"] * 1500, step_s=1 / 30)
    assert drift.report().answers == 10


def test_single_pictures_all_count_if_asked(show):
    drift = Drift(EXPECTED, spacing_s=0)
    show(drift, ["gear", "washer"] * 500, step_s=0.0)
    assert drift.report().answers == 1000


def test_what_is_older_than_a_day_is_forgotten_and_memory_is_bounded(show):
    drift = Drift(EXPECTED)
    show(drift, ["gear"] * 20_000)
    assert drift.report().answers == DAY_S / 10
    show(drift, ["washer"] * 5, start_s=200_000 + 2 * DAY_S)
    assert drift.report().label_shares == {"washer": 1.0}


def test_an_answer_costs_the_same_however_many_there_were(show):
    def cpu_s(drift, start_s):
        began_s = time.process_time()
        show(drift, ["gear"] * 2000, start_s=start_s)
        return time.process_time() - began_s

    full = Drift(EXPECTED)
    show(full, ["gear"] * 20_000)
    pairs = [(cpu_s(Drift(EXPECTED), 0), cpu_s(full, (n + 1) * 1e6)) for n in range(5)]
    first_s, last_s = (min(each) for each in zip(*pairs, strict=True))
    assert last_s < 3 * first_s


def test_nothing_seen_and_nothing_expected_is_said_so():
    bare = msgspec.structs.replace(
        EXPECTED, mean_confidence=None, reject_rate=None, label_shares=None
    )
    report = Drift(bare).report()
    assert (report.mean_confidence, report.reject_rate, report.stability_index) == (None,) * 3
    assert any("export it again" in note for note in report.notes)
    assert msgspec.json.decode(msgspec.json.encode(report))["answers"] == 0


def test_the_index_is_that_of_the_book():
    """Worked by hand: (0.5 - 0.25) ln 2 + (0.5 - 0.75) ln (2/3)."""
    index = measure_stability_index({"a": 0.5, "b": 0.5}, {"a": 0.25, "b": 0.75})
    assert index == pytest.approx(0.25 * math.log(2) - 0.25 * math.log(2 / 3))
    assert measure_stability_index({"a": 1.0}, {"a": 1.0}) == 0.0
    assert math.isfinite(measure_stability_index({"a": 1.0}, {"b": 1.0}))


def test_the_limit_of_chance_is_the_quantile_of_chi_squared():
    """Tables: 99 % of chi-squared with 2 and 9 degrees of freedom lie below 9.210 and 21.666."""
    assert find_chance_limit(3, 100, 400) == pytest.approx(9.210 * (1 / 100 + 1 / 400), rel=0.01)
    assert find_chance_limit(10, 50, 50) == pytest.approx(21.666 * 2 / 50, rel=0.01)


def test_a_bundle_without_expectations_is_read(edit):
    def forget(manifest):
        for name in ("mean_confidence", "reject_rate", "label_shares"):
            del manifest["variants"][0]["metrics"][name]

    metrics = Bundle.open(edit(forget)).manifest.variants[0].metrics
    assert (metrics.mean_confidence, metrics.reject_rate, metrics.label_shares) == (None,) * 3


def test_a_bundle_tells_what_to_expect(bundle):
    for variant in bundle.manifest.variants:
        assert Drift(variant.metrics).report().expected_mean_confidence > 0.5
        assert sum(variant.metrics.label_shares.values()) == pytest.approx(1)


def test_expectations_of_other_labels_are_refused(edit, wording):
    wrong = edit(lambda manifest: manifest["variants"][0]["metrics"].update(label_shares={"x": 1}))
    with pytest.raises(BundleError, match=wording):
        Bundle.open(wrong)
