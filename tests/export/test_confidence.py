"""Confidence: the temperature is the one that fits, whatever the logits."""

import math

import numpy as np
import pytest

from edgetl_export.evaluate.confidence import (
    cross_entropy,
    fit_temperature,
    fit_temperature_of_scores,
    measure_calibration_error,
    raise_zeros,
)
from edgetl_runtime.prediction import calibrate
from tests.export.formulas import softmax


def draw(rows: int, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits too large by a factor, and labels drawn from the distribution before it."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (rows, 4))
    noise = random.gumbel(size=logits.shape)
    return (logits * temperature).astype(np.float32), (logits + noise).argmax(axis=1)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5, 8.0])
def test_the_temperature_that_spoilt_the_scores_is_found(temperature: float) -> None:
    logits, classes = draw(20_000, temperature)
    assert fit_temperature(logits, classes) == pytest.approx(temperature, rel=0.05)


def test_no_other_temperature_has_a_lower_loss() -> None:
    logits, classes = draw(5000, 3.0)
    best = cross_entropy(logits / fit_temperature(logits, classes), classes)
    for other in np.geomspace(0.1, 30, 40):
        assert best <= cross_entropy(logits / other, classes) + 1e-4


def test_log_odds_count_as_two_classes() -> None:
    odds = np.random.default_rng(1).normal(0, 3, (40, 1)).astype(np.float32)
    classes = (np.arange(40) % 2).astype(np.int64)
    both = np.hstack([np.zeros_like(odds), odds])
    assert cross_entropy(odds, classes) == pytest.approx(cross_entropy(both, classes))
    assert fit_temperature(odds, classes) == pytest.approx(fit_temperature(both, classes))


def test_the_loss_is_that_of_the_formula_and_does_not_overflow() -> None:
    logits = np.array([[0, math.log(3)], [1e4, -1e4]], np.float32)
    assert cross_entropy(logits, np.array([1, 0])) == pytest.approx(math.log(4 / 3) / 2)
    assert cross_entropy(logits, np.array([1, 1])) == pytest.approx((math.log(4 / 3) + 2e4) / 2)


@pytest.mark.parametrize("rows", [2, 20, 2000])
def test_few_photos_all_named_right_do_not_end_in_certainty(rows: int) -> None:
    classes = np.arange(rows) % 3
    logits = 20 * np.eye(3)[classes]
    score = np.exp(-cross_entropy(logits / fit_temperature(logits, classes), classes))
    assert score == pytest.approx(1 - 2 / 3 / (rows + 2), rel=1e-3)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5, 8.0])
def test_scores_lead_to_the_temperature_of_their_logits(temperature: float) -> None:
    logits, classes = draw(2000, temperature)
    expected = fit_temperature(logits, classes)
    assert fit_temperature_of_scores(softmax(logits), classes) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_the_temperature_of_scores_mends_what_the_device_shows(temperature: float) -> None:
    logits, classes = draw(4000, temperature)
    scores = softmax(logits)
    fitted = fit_temperature_of_scores(scores[:2000], classes[:2000])
    after = np.stack([calibrate(one, fitted) for one in scores[2000:]])
    assert measure_calibration_error(scores[2000:], classes[2000:]) > 0.1
    assert measure_calibration_error(after, classes[2000:]) < 0.04


def test_a_true_class_that_int8_scores_0_does_not_decide_the_temperature() -> None:
    logits, classes = draw(400, 1.0)
    scores = np.round(softmax(logits) * 256).astype(np.float32) / 256
    without = fit_temperature_of_scores(scores, classes)
    sure = int(scores.max(axis=1).argmax())
    classes[sure] = scores[sure].argmin()
    assert scores[sure, classes[sure]] == 0
    assert fit_temperature_of_scores(scores, classes) == pytest.approx(without, rel=0.1)


def test_zeros_become_half_the_smallest_score_and_nothing_else_changes() -> None:
    scores = np.array([[0, 0.25, 0.75], [0.5, 0.5, 0]], np.float32)
    raised = raise_zeros(scores)
    assert raised.tolist() == [[0.125, 0.25, 0.75], [0.5, 0.5, 0.125]]
    assert raised.dtype == np.float32
    tiny = np.array([[1e-45, 1, 0]], np.float32)
    assert np.isfinite(np.log(raise_zeros(tiny))).all()


def test_calibration_error_weighs_the_distance_in_each_bin() -> None:
    scores = np.array([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7], [0.6, 0.4]], np.float32)
    # 0.9 twice, one right: off by 0.4; 0.7 right: off by 0.3; 0.6 right: off by 0.4.
    error = measure_calibration_error(scores, np.array([0, 1, 1, 0]))
    assert error == pytest.approx((2 * 0.4 + 0.3 + 0.4) / 4, abs=1e-6)
    assert measure_calibration_error(np.zeros((0, 2), np.float32), np.zeros(0, np.int64)) == 0
