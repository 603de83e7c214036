import numpy as np
import pytest

from edgetl_runtime.prediction import Prediction, calibrate


def predict(*scores: float, reject_threshold: float = 0.0) -> Prediction:
    return Prediction(
        labels=("bolt", "gear", "nut")[: len(scores)],
        scores=np.array(scores, np.float32),
        reject_threshold=reject_threshold,
        captured_s=10.0,
        answered_s=10.25,
        preprocess_ms=1.0,
        invoke_ms=2.0,
    )


def softmax(logits: np.ndarray) -> np.ndarray:
    exponents = np.exp(logits - logits.max())
    return exponents / exponents.sum()


def test_the_label_is_the_most_likely_one():
    prediction = predict(0.1, 0.7, 0.2)
    assert (prediction.label, prediction.index) == ("gear", 1)
    assert prediction.score == pytest.approx(0.7)


def test_the_first_label_wins_a_tie():
    assert predict(0.2, 0.4, 0.4).label == "gear"
    assert [label for label, _ in predict(0.2, 0.4, 0.4).top()] == ["gear", "nut", "bolt"]


def test_a_score_below_the_threshold_has_no_label():
    prediction = predict(0.1, 0.7, 0.2, reject_threshold=0.75)
    assert prediction.label is None
    assert prediction.score == pytest.approx(0.7)


def test_a_score_at_the_threshold_has_a_label():
    assert predict(0.25, 0.75, reject_threshold=0.75).label == "gear"


def test_top_lists_the_best_first():
    top = predict(0.1, 0.7, 0.2).top(2)
    assert [label for label, _ in top] == ["gear", "nut"]
    assert [score for _, score in top] == pytest.approx([0.7, 0.2])


@pytest.mark.parametrize(("count", "length"), [(-1, 0), (0, 0), (2, 2), (99, 3)])
def test_top_lists_no_more_than_there_are(count, length):
    assert len(predict(0.1, 0.7, 0.2).top(count)) == length


def test_age_counts_from_capture_to_answer():
    assert predict(0.5, 0.5).age_ms == pytest.approx(250)


@pytest.mark.parametrize("temperature", [0.3, 0.9, 1.0, 1.7, 12.0])
def test_calibrate_equals_softmax_of_divided_logits(temperature):
    for logits in np.random.default_rng(0).normal(0, 3, (50, 10)):
        found = calibrate(softmax(logits).astype(np.float32), temperature)
        assert found == pytest.approx(softmax(logits / temperature), abs=2e-6)
        assert found.dtype == np.float32


def test_a_low_temperature_does_not_turn_scores_into_nan():
    found = calibrate(np.array([0.3, 0.4, 0.3], np.float32), 1e-4)
    assert found.tolist() == [0, 1, 0]


def test_calibrate_keeps_the_order_and_the_scores_handed_in():
    scores = np.array([0.2, 0.5, 0.3], np.float32)
    assert np.argsort(calibrate(scores, 3.0)).tolist() == [0, 2, 1]
    assert scores.tolist() == np.array([0.2, 0.5, 0.3], np.float32).tolist()
