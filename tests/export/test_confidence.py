"""Confidence: the temperature is the one that fits, whatever the logits."""

import math

import numpy as np
import pytest

from edgetl_export.confidence import cross_entropy, fit_temperature


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
