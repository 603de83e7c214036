"""Rejection: the threshold is the smallest that does, whatever scores there are."""

from functools import partial

import numpy as np
import pytest

from edgetl_export.evaluate import rejection
from edgetl_export.evaluate.rejection import hold_out_classes, measure_rejection
from edgetl_runtime.prediction import Prediction

choose_threshold = partial(
    rejection.choose_threshold, false_accept_rate=0.1, max_false_rejects=0.05
)


def with_top(*top: float, classes: int = 3) -> np.ndarray:
    """Scores whose first class has the given score, and the others the rest of it."""
    first = np.array(top, np.float32)[:, np.newaxis]
    rest = np.repeat((1 - first) / (classes - 1), classes - 1, axis=1)
    return np.hstack([first, rest]).astype(np.float32)


def firsts(scores: np.ndarray) -> np.ndarray:
    return np.zeros(len(scores), np.int64)


NONE = np.zeros((0, 3), np.float32)
SURE = with_top(*np.linspace(0.8, 0.99, 20))


def draw(photos: int, seed: int, steps: int) -> np.ndarray:
    """Scores of any kind; few steps make many ties, as an int8 file does."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3, (photos, 4))
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return (np.round(scores * steps) / steps).astype(np.float32)


def is_named(scores: np.ndarray, threshold: float) -> bool:
    labels = tuple(f"class {n}" for n in range(len(scores)))
    return Prediction(labels, scores, threshold, 0, 0, 0, 0).label is not None


def test_the_smallest_threshold_that_is_strict_enough_is_chosen() -> None:
    unknown = with_top(*np.linspace(0.4, 0.59, 20))
    chosen = choose_threshold(SURE, firsts(SURE), unknown, false_accept_rate=0.1)
    # Two of twenty may pass: the third highest, 0.57, must not.
    assert chosen.threshold == np.nextafter(np.float32(0.57), np.float32(1))
    assert (chosen.false_accept_rate, chosen.false_reject_rate) == (0.1, 0)
    assert (chosen.unknown, chosen.known, chosen.limited) == (20, 20, False)


def test_known_photos_come_first_where_both_cannot_be_had() -> None:
    unknown = with_top(*np.linspace(0.85, 0.9, 10))
    chosen = choose_threshold(SURE, firsts(SURE), unknown, max_false_rejects=0.05)
    # One of twenty may be rejected, so the second lowest, 0.81, must pass.
    assert chosen.threshold == np.float32(0.81)
    assert chosen.limited
    assert chosen.false_reject_rate == 0.05
    assert chosen.false_accept_rate == 1


@pytest.mark.parametrize("steps", [4, 256, 10**6])
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("target", "cap"), [(0.1, 0.05), (0.0, 0.3), (0.3, 0.0), (0.29, 1.0)])
def test_no_other_threshold_does_better(steps: int, seed: int, target: float, cap: float) -> None:
    known, unknown = draw(100, seed, steps), draw(70, seed + 100, steps)
    truth = np.where(np.arange(100) % 5, known.argmax(axis=1), 0)
    chosen = choose_threshold(
        known, truth, unknown, false_accept_rate=target, max_false_rejects=cap
    )
    # Rates change right above the scores of unknown photos, and at those of known ones.
    above = np.nextafter(unknown.max(axis=1), np.float32(2)).clip(max=1)
    places = np.concatenate([[0, 1], known.max(axis=1), above])
    rates = {t: measure_rejection(t, known, truth, unknown) for t in map(float, places)}
    within = {t: one for t, one in rates.items() if one.false_reject_rate <= cap + 1e-9}
    strict = [t for t, one in within.items() if one.false_accept_rate <= target + 1e-9]
    assert chosen.threshold == (min(strict) if strict else max(within))
    assert chosen.limited == (not strict)
    assert chosen.false_reject_rate == rates[chosen.threshold].false_reject_rate


def test_a_score_at_the_threshold_is_named_by_the_device_too() -> None:
    known, unknown = draw(60, 1, 64), draw(60, 2, 64)
    truth = known.argmax(axis=1)
    for target in (0.0, 0.1, 0.5, 1.0):
        chosen = choose_threshold(
            known, truth, unknown, false_accept_rate=target, max_false_rejects=1
        )
        named = [is_named(scores, chosen.threshold) for scores in unknown]
        assert np.mean(named) == chosen.false_accept_rate
        named = [is_named(scores, chosen.threshold) for scores in known]
        assert 1 - np.mean(named) == pytest.approx(chosen.false_reject_rate)


def test_scores_that_are_all_equal_are_all_named() -> None:
    same = with_top(*[0.5] * 30)
    chosen = choose_threshold(same, firsts(same), same)
    assert chosen.threshold == 0.5
    assert (chosen.false_accept_rate, chosen.false_reject_rate, chosen.limited) == (1, 0, True)


def test_unknown_photos_with_full_scores_leave_the_threshold_within_one() -> None:
    certain = with_top(1, 1, 1)
    chosen = choose_threshold(certain, firsts(certain), certain, max_false_rejects=1)
    assert (chosen.threshold, chosen.limited) == (1, True)


def test_without_unknown_photos_nothing_is_rejected() -> None:
    chosen = choose_threshold(SURE, firsts(SURE), NONE)
    assert (chosen.threshold, chosen.false_accept_rate, chosen.limited) == (0, None, False)
    assert chosen.false_reject_rate == 0


def test_without_known_photos_the_unknown_ones_decide() -> None:
    chosen = choose_threshold(NONE, firsts(NONE), with_top(0.4, 0.6), false_accept_rate=0.5)
    assert np.float32(0.4) < chosen.threshold < 0.41
    assert (chosen.false_reject_rate, chosen.known) == (None, 0)


def test_known_photos_named_wrongly_have_no_say() -> None:
    unsure = with_top(0.4, 0.45, 0.5)
    known, truth = np.vstack([SURE, unsure]), np.append(firsts(SURE), [1, 1, 1])
    unknown = with_top(*np.linspace(0.6, 0.7, 10))
    chosen = choose_threshold(known, truth, unknown, false_accept_rate=0, max_false_rejects=0)
    assert 0.7 < chosen.threshold <= 0.8
    assert chosen.known == 20


def test_easy_unknown_photos_ask_for_no_more_than_they_need() -> None:
    unknown = with_top(0.34, 0.35, 0.36)
    chosen = choose_threshold(SURE, firsts(SURE), unknown, false_accept_rate=0)
    assert 0.36 < chosen.threshold < 0.361
    assert choose_threshold(SURE, firsts(SURE), unknown, false_accept_rate=1).threshold == 0


def test_other_photos_are_measured_at_the_same_threshold() -> None:
    known = with_top(0.5, 0.7, 0.9, 0.95)
    rates = measure_rejection(0.6, known, firsts(known), with_top(0.5, 0.55, 0.8))
    assert rates.false_accept_rate == pytest.approx(1 / 3)
    assert rates.false_reject_rate == 0.25
    assert (rates.unknown, rates.known) == (3, 4)


def test_a_class_held_out_is_the_softmax_over_the_others() -> None:
    logits = np.random.default_rng(0).normal(0, 2, (30, 5))
    scores = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
    truth = np.arange(30) % 5
    held_out = hold_out_classes(scores, truth)
    assert held_out is not None
    assert held_out.dtype == np.float32
    for row, one, own in zip(logits, held_out, truth, strict=True):
        rest = np.exp(np.delete(row, own))
        assert one == pytest.approx(rest / rest.sum(), rel=1e-5)


def test_a_class_held_out_of_two_says_nothing() -> None:
    assert hold_out_classes(with_top(0.6, 0.7, classes=2), np.array([0, 1])) is None


def test_where_nothing_is_left_of_a_score_the_others_are_equal() -> None:
    certain = np.array([[1, 0, 0, 0], [0.5, 0.25, 0.25, 0]], np.float32)
    held_out = hold_out_classes(certain, np.array([0, 0]))
    assert held_out is not None
    assert held_out[0] == pytest.approx(np.full(3, 1 / 3))


def test_a_class_held_out_of_an_int8_file_is_as_sure_as_of_a_float_one() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (2000, 6))
    logits[:, 0] += 4
    exact = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    coarse = (np.round(exact * 256) / 256).astype(np.float32)
    truth = np.zeros(2000, np.int64)
    sure = [hold_out_classes(one, truth) for one in (exact.astype(np.float32), coarse)]
    assert sure[0] is not None
    assert sure[1] is not None
    precise, rough = (np.quantile(one.max(axis=1), 0.9) for one in sure)
    assert rough == pytest.approx(precise, abs=0.03)


def test_no_photos_are_no_trouble() -> None:
    held_out = hold_out_classes(NONE, firsts(NONE))
    assert held_out is not None
    assert held_out.shape == (0, 2)
    nothing = measure_rejection(0.5, NONE, firsts(NONE), NONE)
    assert (nothing.false_accept_rate, nothing.false_reject_rate) == (None, None)
    assert choose_threshold(NONE, firsts(NONE), NONE).threshold == 0


def test_a_share_of_photos_is_counted_and_not_rounded_down() -> None:
    # 0.29 * 100 is less than 29 in floats.
    unknown = with_top(*np.linspace(0.4, 0.7, 100))
    chosen = choose_threshold(SURE, firsts(SURE), unknown, false_accept_rate=0.29)
    assert chosen.false_accept_rate == 0.29
