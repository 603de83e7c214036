"""The head: as good as a well-tuned logistic regression, and the same in every run."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from edgetl.head import WEIGHT_DECAYS, Fitted, TrainingRows, choose_epochs, fit_head
from edgetl.model import Array

CLASSES, FEATURES = 4, 60
Labelled = tuple[Array, np.ndarray]


def draw(rows: int, seed: int) -> Labelled:
    """Overlapping clouds; features on different scales, like pooled maps."""
    world = np.random.default_rng(7)
    centres = world.normal(0, 0.55, (CLASSES, FEATURES))
    scale, shift = 2 ** world.uniform(-1, 1, FEATURES), world.normal(0, 1, FEATURES)
    random = np.random.default_rng(seed)
    classes = random.integers(0, CLASSES, rows)
    noisy = centres[classes] + random.normal(0, 1.2, (rows, FEATURES))
    return ((noisy + shift) * scale).astype(np.float32), classes.astype(np.int64)


def as_rows(part: Labelled) -> TrainingRows:
    count = len(part[1])
    return TrainingRows(part[0], part[1], np.arange(count), np.ones(count, np.bool_))


def fit(part: Labelled, seed: int = 0, epochs: int | None = None) -> Fitted:
    return fit_head(as_rows(part), draw(50, seed=3), CLASSES, epochs=epochs, seed=seed)


def accuracy(fitted: Fitted, part: Labelled) -> float:
    return float((fitted.head.probabilities(part[0]).argmax(axis=1) == part[1]).mean())


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return fit(draw(1500, seed=1))


def score_of_logistic_regression(learned: Labelled, unseen: Labelled) -> float:
    """The peer: standardized, strength of the regularization chosen by cross-validation."""
    regression = LogisticRegressionCV(
        Cs=np.logspace(-4, 2, 8),
        cv=4,
        max_iter=2000,
        l1_ratios=(0,),
        scoring="accuracy",
        use_legacy_attributes=False,
    )
    return float(make_pipeline(StandardScaler(), regression).fit(*learned).score(*unseen))


@pytest.mark.parametrize(
    "rows",
    [
        1500,
        120,
    ],
)
def test_head_is_as_accurate_as_a_tuned_logistic_regression(rows: int) -> None:
    learned, unseen = draw(rows, seed=1), draw(4000, seed=2)
    peer = score_of_logistic_regression(learned, unseen)
    assert 0.5 < peer < 0.97
    assert accuracy(fit(learned), unseen) > peer - 0.02


def test_same_seed_gives_the_same_weights(fitted: Fitted) -> None:
    again = fit(draw(1500, seed=1))
    np.testing.assert_array_equal(again.head.kernel, fitted.head.kernel)
    np.testing.assert_array_equal(again.head.bias, fitted.head.bias)


def test_weight_decay_is_one_of_the_list(fitted: Fitted) -> None:
    assert any(fitted.head.weight_decay == pytest.approx(decay) for decay in WEIGHT_DECAYS)


def test_history_has_one_value_an_epoch(fitted: Fitted) -> None:
    assert {"accuracy", "loss", "val_accuracy", "val_loss"} <= fitted.history.keys()
    assert {len(values) for values in fitted.history.values()} == {choose_epochs(1500)}
    assert fitted.history["loss"][-1] < fitted.history["loss"][0]


def test_probabilities_sum_to_one(fitted: Fitted) -> None:
    scores = fitted.head.probabilities(draw(20, seed=9)[0])
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)


def test_constant_features_do_no_harm(fitted: Fitted) -> None:
    def widen(part: Labelled) -> Labelled:
        return np.pad(part[0], ((0, 0), (0, 20)), constant_values=4.2), part[1]

    head = fit_head(
        as_rows(widen(draw(1500, seed=1))), widen(draw(50, seed=3)), CLASSES, epochs=20, seed=0
    ).head
    assert np.isfinite(head.kernel).all()
    features, classes = widen(draw(4000, seed=2))
    found = (head.probabilities(features).argmax(axis=1) == classes).mean()
    assert found == pytest.approx(accuracy(fitted, draw(4000, seed=2)), abs=0.01)


def test_all_features_constant_is_no_error() -> None:
    same = np.full((40, 8), 3, np.float32)
    classes = np.arange(40) % CLASSES
    head = fit_head(as_rows((same, classes)), (same, classes), CLASSES, epochs=2, seed=0).head
    assert np.isfinite(head.probabilities(same)).all()


def test_a_class_with_a_single_row_is_no_error() -> None:
    features, classes = draw(40, seed=1)
    classes = np.where(np.arange(40) == 0, CLASSES - 1, classes % (CLASSES - 1))
    part = as_rows((features, classes))
    head = fit_head(part, (features, classes), CLASSES, epochs=3, seed=0).head
    assert np.isfinite(head.kernel).all()
