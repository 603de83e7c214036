"""Refit: the head finds its way back when features are shifted, scaled and rounded."""

import numpy as np
import pytest

from edgetl_export.graph.head_refit import PENALTY, refit
from edgetl_runtime.bundle.head import Head

RANDOM = np.random.default_rng(0)
FEATURES, CLASSES = 20, 4
HEAD = Head(
    RANDOM.normal(0, 1, (FEATURES, CLASSES)).astype(np.float32),
    RANDOM.normal(0, 1, CLASSES).astype(np.float32),
)


def choose(head: Head, features: np.ndarray) -> np.ndarray:
    return np.asarray((features @ head.kernel + head.bias).argmax(axis=1))


def spoil(features: np.ndarray) -> np.ndarray:
    """What a bad quantization does: another scale and zero for each feature, coarse steps."""
    random = np.random.default_rng(1)
    scale, shift = random.uniform(0.5, 2, FEATURES), random.normal(0, 1, FEATURES)
    return (np.round((features * scale + shift) * 8) / 8).astype(np.float32)


def test_spoilt_features_give_most_trained_labels_again() -> None:
    features = RANDOM.normal(0, 1, (3000, FEATURES)).astype(np.float32)
    spoilt, wanted = spoil(features), choose(HEAD, features)
    fitted = refit(HEAD, features[:1500], spoilt[:1500])
    before = (choose(HEAD, spoilt[1500:]) == wanted[1500:]).mean()
    after = (choose(fitted, spoilt[1500:]) == wanted[1500:]).mean()
    assert before < 0.8
    assert after > 0.87


def test_a_shift_of_the_features_is_taken_back_exactly() -> None:
    features = RANDOM.normal(0, 1, (600, FEATURES)).astype(np.float32)
    shift = RANDOM.normal(0, 3, FEATURES).astype(np.float32)
    fitted = refit(HEAD, features, features + shift)
    np.testing.assert_allclose(fitted.kernel, HEAD.kernel, atol=1e-4)
    assert (choose(fitted, features + shift) == choose(HEAD, features)).all()


def test_features_as_they_were_leave_the_head_as_it_was() -> None:
    features = RANDOM.normal(0, 1, (600, FEATURES)).astype(np.float32)
    fitted = refit(HEAD, features, features)
    np.testing.assert_allclose(fitted.kernel, HEAD.kernel, atol=1e-5)
    assert (choose(fitted, features) == choose(HEAD, features)).all()


def test_noise_on_fewer_photos_than_features_hardly_moves_the_head() -> None:
    features = RANDOM.normal(0, 1, (2010, FEATURES)).astype(np.float32)
    noisy = features + RANDOM.normal(0, 0.1, features.shape).astype(np.float32)
    wanted = choose(HEAD, features)
    fitted = refit(HEAD, features[:10], noisy[:10])
    before, after = ((choose(one, noisy[10:]) == wanted[10:]).mean() for one in (HEAD, fitted))
    assert after > before - 0.02


@pytest.mark.parametrize("photos", [5, 20, 600])
def test_it_is_the_regression_along_the_principal_axes(photos: int) -> None:
    features = RANDOM.normal(0, 1, (photos, FEATURES)).astype(np.float32)
    spoilt = spoil(features)
    fitted = refit(HEAD, features, spoilt)
    centered = spoilt - spoilt.mean(axis=0, dtype=np.float64)
    left, spread, right = np.linalg.svd(centered, full_matrices=False)
    missing = (features.astype(np.float64) - spoilt) @ HEAD.kernel
    missing -= missing.mean(axis=1, keepdims=True)
    shrunk = spread / (spread**2 + PENALTY * np.mean(spread**2))
    change = right.T @ (shrunk[:, np.newaxis] * (left.T @ (missing - missing.mean(axis=0))))
    np.testing.assert_allclose(fitted.kernel - HEAD.kernel, change, atol=1e-5)
