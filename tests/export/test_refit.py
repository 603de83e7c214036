"""Refit: the head finds its way back when features are shifted, scaled and rounded."""

from typing import Any

import numpy as np

from edgetl_export.refit import Head, can_refit, refit, split_at_head, using_head

RANDOM = np.random.default_rng(0)
FEATURES, CLASSES = 20, 4
HEAD = Head(
    RANDOM.normal(0, 1, (FEATURES, CLASSES)).astype(np.float32),
    RANDOM.normal(0, 1, CLASSES).astype(np.float32),
)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def score(head: Head, features: np.ndarray) -> np.ndarray:
    return softmax(features @ head.kernel + head.bias)


def spoil(features: np.ndarray) -> np.ndarray:
    """What a bad quantization does: another scale and zero for each feature, coarse steps."""
    random = np.random.default_rng(1)
    scale, shift = random.uniform(0.5, 2, FEATURES), random.normal(0, 1, FEATURES)
    return (np.round((features * scale + shift) * 8) / 8).astype(np.float32)


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    return float((one.argmax(axis=1) == other.argmax(axis=1)).mean())


def test_shifted_and_rounded_features_give_the_trained_scores_again() -> None:
    features = RANDOM.normal(0, 1, (3000, FEATURES)).astype(np.float32)
    trained, spoilt = score(HEAD, features), spoil(features)
    fitted = refit(HEAD, spoilt[:1500], trained[:1500], seed=0)
    before = agreement(score(HEAD, spoilt[1500:]), trained[1500:])
    after = agreement(score(fitted, spoilt[1500:]), trained[1500:])
    assert before < 0.8
    assert after > 0.95


def test_features_as_they_were_leave_the_head_as_it_was() -> None:
    features = RANDOM.normal(0, 1, (600, FEATURES)).astype(np.float32)
    fitted = refit(HEAD, features, score(HEAD, features), seed=0)
    np.testing.assert_allclose(score(fitted, features), score(HEAD, features), atol=0.01)


def test_noise_on_few_photos_hardly_moves_the_head() -> None:
    features = RANDOM.normal(0, 1, (2030, FEATURES)).astype(np.float32)
    noisy = features + RANDOM.normal(0, 0.1, features.shape).astype(np.float32)
    trained = score(HEAD, features)
    fitted = refit(HEAD, noisy[:30], trained[:30], seed=0)
    before, after = (agreement(score(one, noisy[30:]), trained[30:]) for one in (HEAD, fitted))
    assert after > before - 0.02


def test_a_feature_that_never_changes_does_no_harm() -> None:
    features = RANDOM.normal(0, 1, (300, FEATURES)).astype(np.float32)
    features[:, 3] = 0
    fitted = refit(HEAD, features, score(HEAD, features), seed=0)
    assert np.isfinite(fitted.kernel).all()
    np.testing.assert_allclose(score(fitted, features), score(HEAD, features), atol=0.01)


def test_one_seed_gives_one_head() -> None:
    features = RANDOM.normal(0, 1, (200, FEATURES)).astype(np.float32)
    one, other = (refit(HEAD, features, score(HEAD, features), seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.kernel, other.kernel)


def test_a_head_is_put_in_for_a_while(tiny_model: Any, tiny_inputs: list[np.ndarray]) -> None:
    assert can_refit(tiny_model)
    extractor, head = split_at_head(tiny_model)
    batch = np.stack(tiny_inputs[:4]).astype(np.float32)
    before = tiny_model.predict_on_batch(batch)
    features = extractor.predict_on_batch(batch)
    np.testing.assert_allclose(score(head, features), before, atol=1e-5)
    with using_head(tiny_model, Head(head.kernel * 0, head.bias * 0)):
        np.testing.assert_allclose(tiny_model.predict_on_batch(batch), 1 / 3, atol=1e-6)
    np.testing.assert_array_equal(tiny_model.predict_on_batch(batch), before)


def test_a_model_without_our_head_cannot_be_refitted() -> None:
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="scores")])
    assert not can_refit(model)
