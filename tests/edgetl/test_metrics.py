"""Metrics against an example worked out by hand."""

import numpy as np
import pytest

from edgetl.metrics import (
    Interval,
    estimate_share,
    measure,
    measure_loss,
    measure_reliability,
)

LABELS = ("bolt", "gear", "nut", "washer")
# washer: no photo, named once; nut: two photos, never named.
TRUTH = np.array([0, 0, 0, 1, 1, 2, 2])
NAMED = np.array([0, 0, 1, 1, 3, 0, 1])


def test_confusion_has_a_row_for_each_true_label() -> None:
    assert measure(LABELS, TRUTH, NAMED).confusion == [
        [2, 1, 0, 0],
        [0, 1, 0, 1],
        [1, 1, 0, 0],
        [0, 0, 0, 0],
    ]


def test_top1_is_the_share_named_right() -> None:
    metrics = measure(LABELS, TRUTH, NAMED)
    assert metrics.examples == 7
    assert metrics.top1 == pytest.approx(3 / 7)


def test_a_class_is_judged_against_all_others() -> None:
    bolt = measure(LABELS, TRUTH, NAMED).classes["bolt"]
    assert bolt.support == 3
    assert bolt.recall == pytest.approx(2 / 3)
    assert bolt.precision == pytest.approx(2 / 3)
    assert bolt.specificity == pytest.approx(3 / 4)


def test_precision_of_a_label_never_named_is_none() -> None:
    nut = measure(LABELS, TRUTH, NAMED).classes["nut"]
    assert nut.precision is None
    assert (nut.recall, nut.specificity, nut.support) == (0, 1, 2)


def test_recall_of_a_label_without_photos_is_none() -> None:
    washer = measure(LABELS, TRUTH, NAMED).classes["washer"]
    assert washer.recall is None
    assert washer.precision == 0
    assert washer.specificity == pytest.approx(6 / 7)


def test_specificity_without_other_photos_is_none() -> None:
    only_bolts = measure(LABELS, np.array([0, 0]), np.array([0, 1]))
    assert only_bolts.classes["bolt"].specificity is None


def test_no_photos_at_all_is_no_division_by_zero() -> None:
    nothing = measure(LABELS, np.array([], np.int64), np.array([], np.int64))
    assert (nothing.top1, nothing.examples) == (0, 0)


def test_f1_is_the_harmonic_mean_of_precision_and_recall() -> None:
    gear = measure(LABELS, TRUTH, NAMED).classes["gear"]
    assert (gear.precision, gear.recall) == (pytest.approx(1 / 3), pytest.approx(1 / 2))
    assert gear.f1 == pytest.approx(2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2))


def test_f1_of_a_label_never_named_is_zero_but_without_photos_none() -> None:
    assert measure(LABELS, TRUTH, NAMED).classes["nut"].f1 == 0
    unused = measure(("bolt", "gear"), np.array([0]), np.array([0]))
    assert unused.classes["gear"].f1 is None


def test_means_over_classes_count_each_class_once() -> None:
    metrics = measure(LABELS, TRUTH, NAMED)
    # washer has no photos, so no recall; it was named once, so its F1 is 0.
    assert metrics.balanced_accuracy == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert metrics.macro_f1 == pytest.approx((2 / 3 + 2 / 5 + 0 + 0) / 4)


def test_metrics_agree_with_scikit_learn() -> None:
    from sklearn.metrics import balanced_accuracy_score, f1_score

    random = np.random.default_rng(0)
    truth, named = random.integers(0, 4, 200), random.integers(0, 4, 200)
    metrics = measure(LABELS, truth, named)
    assert metrics.macro_f1 == pytest.approx(f1_score(truth, named, average="macro"))
    assert metrics.balanced_accuracy == pytest.approx(balanced_accuracy_score(truth, named))


def test_an_interval_is_wilsons() -> None:
    # Newcombe 1998, table I, method 3: 81 of 263 -> 0.2553 to 0.3662.
    interval = estimate_share(81, 263)
    assert (interval.lower, interval.upper) == (
        pytest.approx(0.2553, abs=5e-5),
        pytest.approx(0.3662, abs=5e-5),
    )


def test_an_interval_of_no_photos_is_everything() -> None:
    assert estimate_share(0, 0) == Interval(0, 1)


def test_an_interval_stays_within_all_and_none() -> None:
    assert estimate_share(10, 10).upper == 1
    assert 0.6 < estimate_share(10, 10).lower < 0.8
    assert estimate_share(0, 10).lower == 0


def test_more_looks_widen_an_interval() -> None:
    once, often = estimate_share(30, 40), estimate_share(30, 40, looks=10)
    assert often.lower < once.lower < once.upper < often.upper


SCORES = np.array([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7], [0.6, 0.4]], np.float32)
CLASSES = np.array([0, 1, 1, 0])


def test_calibration_error_weighs_the_distance_in_each_bin() -> None:
    reliability = measure_reliability(SCORES, CLASSES)
    # 0.9 twice, one right: off by 0.4; 0.7 right: off by 0.3; 0.6 right: off by 0.4.
    assert reliability.expected_calibration_error == pytest.approx(
        (2 * 0.4 + 0.3 + 0.4) / 4, abs=1e-6
    )
    assert reliability.confidence == pytest.approx(0.775, abs=1e-6)
    assert reliability.accuracy == 0.75


def test_bins_are_fifteen_and_closed_above() -> None:
    bins = measure_reliability(np.array([[0.8, 0.2]]), np.array([0])).bins
    assert len(bins) == 15
    filled = [one for one in bins if one.count]
    # 0.8 = 12 / 15 is the upper end of its bin.
    assert [(one.upper, one.accuracy) for one in filled] == [(pytest.approx(12 / 15), 1)]
    assert bins[0].confidence is None


def test_loss_is_the_mean_of_minus_log_scores() -> None:
    expected = -np.log([0.9, 0.1, 0.7, 0.6]).mean()
    assert measure_loss(SCORES, CLASSES) == pytest.approx(expected, rel=1e-5)


def test_loss_of_a_score_of_zero_is_large_but_finite() -> None:
    assert measure_loss(np.array([[1.0, 0.0]]), np.array([1])) == pytest.approx(-np.log(1e-7))


def draw_outcomes(*, honest: bool, photos: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of two classes, and truths that follow them or are a coin's."""
    random = np.random.default_rng(3)
    sure = random.uniform(0.5, 1, photos)
    right = random.random(photos) < (sure if honest else 0.5)
    return np.stack([sure, 1 - sure], axis=1), np.where(right, 0, 1)


def test_right_scores_are_off_by_no_more_than_chance() -> None:
    for photos in (30, 300, 3000):
        reliability = measure_reliability(*draw_outcomes(honest=True, photos=photos))
        assert reliability.expected_calibration_error <= reliability.chance_error
        assert abs(reliability.confidence - reliability.accuracy) <= reliability.noise


def test_wrong_scores_are_off_by_more_than_chance() -> None:
    reliability = measure_reliability(*draw_outcomes(honest=False, photos=300))
    assert reliability.expected_calibration_error > 2 * reliability.chance_error
    assert reliability.confidence - reliability.accuracy > 2 * reliability.noise


def test_few_photos_leave_more_to_chance() -> None:
    few, many = (
        measure_reliability(*draw_outcomes(honest=True, photos=photos)) for photos in (30, 3000)
    )
    assert few.chance_error > 5 * many.chance_error


def test_reliability_is_the_same_twice() -> None:
    scores, truth = draw_outcomes(honest=True, photos=100)
    assert measure_reliability(scores, truth) == measure_reliability(scores, truth)


def test_reliability_of_no_photos_is_no_division_by_zero() -> None:
    nothing = measure_reliability(np.zeros((0, 2)), np.zeros(0, np.int64))
    assert nothing.expected_calibration_error == 0
