"""What the page computes of scores and times is what the device computes of them."""

import math

import msgspec
import numpy as np
import pytest

from edgetl_runtime.bundle.golden_frames import measure_deviation
from edgetl_runtime.image.one_colour import is_of_one_colour
from edgetl_runtime.pipeline.smoothing import Smoother
from edgetl_runtime.prediction import Prediction, calibrate, check_probabilities, rank
from edgetl_runtime.settings.sections import SmoothingSettings
from edgetl_runtime.system.percentiles import compute_percentiles
from tests.phone.twin import to_json

# One unit in the last place of float32 or so: powers differ in their last bit.
NEARLY = {"rel": 1e-6, "abs": 1e-9}
LABELS = ("gear", "spring", "washer", "nut")


@pytest.fixture
def chance() -> np.random.Generator:
    return np.random.default_rng(0)


def draw_scores(chance: np.random.Generator, sharpness: float = 1.0) -> np.ndarray:
    powers = np.exp(sharpness * chance.normal(size=len(LABELS)))
    return (powers / powers.sum()).astype(np.float32)


def predict(scores: np.ndarray, threshold: float) -> Prediction:
    return Prediction(LABELS, scores, threshold, 0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("temperature", [1.0, 0.01, 0.3, 0.99, 1.7, 20.0])
def test_a_temperature_softens_alike(temperature, node, chance):
    for sharpness in (0.1, 1, 10, 50):
        scores = draw_scores(chance, sharpness)
        found = node("soften", to_json(scores), temperature)
        assert found == pytest.approx(calibrate(scores, temperature), **NEARLY)


def test_scores_of_zero_soften_alike(node):
    scores = np.array([0, 1, 0, 1e-30], np.float32)
    found = node("soften", to_json(scores), 2.0)
    assert found == pytest.approx(calibrate(scores, 2.0), **NEARLY)


def test_labels_are_ranked_alike_ties_included(node, chance):
    for _ in range(30):
        scores = chance.integers(0, 3, len(LABELS)).astype(np.float32) / 4
        count = int(chance.integers(0, 6))
        expected = [label for label, _ in rank(LABELS, scores, count)]
        assert node("order", LABELS, to_json(scores), count) == expected


def test_the_unknown_is_always_among_what_is_shown(node):
    labels = [*"abcdef", "unknown"]
    scores = [0.3, 0.2, 0.2, 0.1, 0.1, 0.06, 0.04]
    assert node("orderShown", labels, scores, 6) == [*"abcd", "unknown"]
    assert node("orderShown", labels, scores[::-1], 6) == ["unknown", *"efcd"]
    assert node("orderShown", labels, scores, None) == [*"abcde"]


def test_a_frame_is_rejected_alike_also_exactly_at_the_threshold(node, chance):
    for _ in range(30):
        scores = draw_scores(chance)
        for threshold in (float(scores.max()), 0.5, math.nextafter(float(scores.max()), 2), 0.0):
            expected = predict(scores, threshold).label
            assert node("name", LABELS, to_json(scores), threshold) == expected


def test_a_frame_whose_best_output_is_the_unknown_is_rejected_alike(node, chance):
    unknown = len(LABELS) - 1
    for _ in range(30):
        scores = draw_scores(chance)
        one = msgspec.structs.replace(predict(scores, 0.0), unknown=unknown)
        assert node("name", LABELS, to_json(scores), 0.0, unknown) == one.label
        assert (one.label is None) == (scores.argmax() == unknown)


def test_smoothing_holds_no_label_for_the_unknown_alike(node, chance):
    unknown = len(LABELS) - 1
    updates = [
        (draw_scores(chance) * 0.2 + 0.8 * np.eye(len(LABELS), dtype=np.float32)[n // 9 % 4], n / 9)
        for n in range(72)
    ]
    smoother = Smoother(SmoothingSettings(method="average"))
    given = [(to_json(one), at_s) for one, at_s in updates]
    found = [one["label"] for one in node("smooth", LABELS, 0.0, given, unknown)]
    expected = [
        smoother.update(msgspec.structs.replace(predict(one, 0.0), unknown=unknown), at_s).label
        for one, at_s in updates
    ]
    assert found == expected
    assert set(found) == {None, *LABELS[:unknown]}


def test_the_first_of_equals_is_named(node):
    for scores in ([0.4, 0.2, 0.4, 0.0], [0.25] * 4, [0.0, 0.5, 0.5, 0.0]):
        expected = predict(np.array(scores, np.float32), 0.1).label
        assert node("name", LABELS, scores, 0.1) == expected


@pytest.mark.parametrize(
    "scores",
    [
        *([0.2, 0.8], [0.5, 0.6], [0.5, 0.52], [1.02, -0.02], [1.009, -0.009], [-0.011, 1.0]),
        *([math.nan, 1], [math.inf, 0], [-math.inf, math.inf], [0.0, 0.0], [3.4e38, 3.4e38]),
        *([1 / 300] * 300, [1 / 250] * 300, [123456.0, 1.0], [1e-7, 5.0], [-1.0, 1.25]),
    ],
)
def test_what_is_no_probability_is_described_alike(scores, node):
    with np.errstate(over="ignore", invalid="ignore"):
        expected = check_probabilities(np.array(scores, np.float32))
    assert bool(node("check", to_json(scores))) == bool(expected)


@pytest.mark.parametrize("threshold", [0.0, 0.4, 0.7])
def test_smoothing_shows_the_same_labels_and_scores(threshold, node, chance):
    # Runs of one label with noise, now and then a pause or a clock that goes back.
    moments = np.cumsum(chance.choice([0.0, 0.01, 0.033, 0.1, 0.5, 5.0, -0.2], 400))
    favorites = np.repeat(chance.integers(0, len(LABELS), 40), 10)
    updates = []
    for at_s, favorite in zip(moments.tolist(), favorites, strict=True):
        logits = chance.normal(size=len(LABELS))
        logits[favorite] += 1.5
        scores = (np.exp(logits) / np.exp(logits).sum()).astype(np.float32)
        updates.append((scores, at_s))
    smoother = Smoother(SmoothingSettings(method="average"))
    found = node("smooth", LABELS, threshold, [(to_json(one), at_s) for one, at_s in updates])
    for (scores, at_s), shown in zip(updates, found, strict=True):
        expected = smoother.update(predict(scores, threshold), at_s)
        assert shown["label"] == expected.label
        assert shown["score"] == pytest.approx(expected.score, **NEARLY)
        assert shown["scores"] == pytest.approx(expected.scores, **NEARLY)
    # All of them, and at the start none.
    assert {one["label"] for one in found} == {*LABELS, None}


def test_golden_scores_deviate_alike(node, chance):
    for sharpness in (0.01, 1, 5, 30):
        expected = np.stack([draw_scores(chance, sharpness) for _ in range(5)])
        for found in (expected, expected[:, ::-1], np.roll(expected, 1, axis=0)):
            deviation = node("deviate", list(map(to_json, expected)), list(map(to_json, found)))
            assert deviation == pytest.approx(measure_deviation(expected, found), **NEARLY)


def test_a_score_that_is_none_deviates_by_nan(node):
    assert node("deviate", [[0.5, 0.5]], [["NaN", 0.5]]) == "NaN"


def test_percentiles_are_alike(node, chance):
    for count in (1, 2, 3, 10, 99, 300, 1001):
        samples = chance.lognormal(2, 1, count).tolist()
        expected = compute_percentiles(samples)
        found = node("percentiles", samples)
        assert [found["p50"], found["p90"], found["p99"]] == pytest.approx(
            [expected.p50, expected.p90, expected.p99], rel=1e-12
        )


@pytest.mark.parametrize("noise", [0, 2, 4, 5, 6, 8, 30])
def test_a_covered_camera_is_noticed_alike(noise, node, chance):
    pixels = chance.integers(100, 101 + noise, (37, 53, 3)).astype(np.uint8)
    found = node("ofOneColor", pixels.ravel().tolist(), 53)
    assert found == is_of_one_colour(pixels)
