"""Cross-validation: no row is predicted by what learned from it or from its copies."""

import numpy as np
import pytest

from edgetl.training.cross_validation import (
    FOLDS,
    L2_CANDIDATES,
    LabelledRows,
    _assign_folds,
    choose_epochs,
    choose_l2,
    predict_out_of_fold,
    sample_groups,
    standardize,
)

CLASSES = 3
Drawn = tuple[np.ndarray, np.ndarray]


def draw_clouds(rows: int, features: int, noise: float, seed: int = 0) -> Drawn:
    random = np.random.default_rng(seed)
    centres = random.normal(0, 1, (CLASSES, features))
    classes = np.arange(rows) % CLASSES
    drawn = centres[classes] + random.normal(0, noise, (rows, features))
    return drawn.astype(np.float32), classes


def as_rows(features: np.ndarray, classes: np.ndarray) -> LabelledRows:
    count = len(classes)
    return LabelledRows(features, classes, np.arange(count), np.ones(count, np.bool_))


@pytest.mark.parametrize("mixed_labels", [False, True])
def test_a_group_never_straddles_two_folds(mixed_labels: bool) -> None:
    random = np.random.default_rng(3)
    groups = random.integers(0, 40, 200)
    classes = random.integers(0, CLASSES, 200) if mixed_labels else groups % CLASSES
    folds = _assign_folds(classes, groups, np.random.default_rng(0))
    assert all(len(np.unique(folds[groups == one])) == 1 for one in np.unique(groups))
    assert set(folds) == set(range(FOLDS))


def test_each_fold_holds_its_share_of_each_class() -> None:
    classes = np.repeat([0, 1, 2], [40, 20, 8])
    folds = _assign_folds(classes, np.arange(68), np.random.default_rng(0))
    counts = [np.bincount(folds[classes == label], minlength=FOLDS) for label in range(3)]
    np.testing.assert_array_equal(counts, [[10] * 4, [5] * 4, [2] * 4])


def test_a_sample_is_of_whole_groups() -> None:
    groups = np.random.default_rng(1).permutation(np.repeat(np.arange(100), 5))
    chosen = sample_groups(groups, 100, seed=0)
    assert len(chosen) == 100
    _, counts = np.unique(groups[chosen], return_counts=True)
    assert (counts == 5).all()


def test_a_sample_follows_from_the_seed() -> None:
    groups = np.repeat(np.arange(50), 3)
    one, again, other = (sample_groups(groups, 30, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert one.tolist() != other.tolist()


def test_few_rows_are_all_taken() -> None:
    np.testing.assert_array_equal(sample_groups(np.array([4, 4, 2]), 3), [0, 1, 2])


def test_standardizing_in_chunks_equals_numpy() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(np.arange(7) * 3, np.arange(1, 8), (501, 7)).astype(np.float32)
    mean, deviation = standardize(rows[start : start + 64] for start in range(0, 501, 64))
    exact = rows.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(deviation, exact.std(axis=0), rtol=1e-5)
    assert mean.dtype == deviation.dtype == np.float32


def test_a_feature_that_hardly_varies_has_the_deviation_of_three_int8_steps() -> None:
    random = np.random.default_rng(0)
    rows = np.stack([random.uniform(0, 51, 300), np.full(300, 4.2)], axis=1).astype(np.float32)
    _, deviation = standardize([rows])
    assert deviation[1] == pytest.approx(3 * rows.max() / 255, rel=1e-4)
    assert deviation[0] == pytest.approx(rows[:, 0].std(), rel=1e-4)


def test_constant_zeros_have_a_deviation_to_divide_by() -> None:
    assert (standardize([np.zeros((9, 2), np.float32)])[1] > 0).all()


def test_separable_rows_are_predicted_right_out_of_fold() -> None:
    features, classes = draw_clouds(120, 12, noise=0.3)
    scores = predict_out_of_fold(features, classes, np.arange(120), CLASSES)
    assert scores.shape == (120, CLASSES)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    assert (scores.argmax(axis=1) == classes).mean() > 0.97


def test_random_labels_are_predicted_no_better_than_by_chance() -> None:
    random = np.random.default_rng(0)
    features = random.normal(0, 1, (300, 400)).astype(np.float32)
    classes = random.integers(0, CLASSES, 300)
    scores = predict_out_of_fold(features, classes, np.arange(300), CLASSES)
    assert (scores.argmax(axis=1) == classes).mean() < 0.45


def test_copies_with_random_labels_do_not_give_each_other_away() -> None:
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(100), 4)
    features = random.normal(0, 1, (100, 300)).astype(np.float32)[groups]
    classes = random.integers(0, CLASSES, 100)[groups]
    scores = predict_out_of_fold(features, classes, groups, CLASSES)
    assert (scores.argmax(axis=1) == classes).mean() < 0.45
    alone = predict_out_of_fold(features, classes, np.arange(400), CLASSES)
    assert (alone.argmax(axis=1) == classes).mean() > 0.8


def test_predictions_follow_from_the_seed() -> None:
    features, classes = draw_clouds(60, 8, noise=1.5)
    one, again, other = (
        predict_out_of_fold(features, classes, np.arange(60), CLASSES, seed=seed)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_noise_calls_for_stronger_decay_than_clean_data() -> None:
    noisy = choose_l2(as_rows(*draw_clouds(120, 300, noise=6.0)), CLASSES)
    # Overlapping directions: a strong penalty leaves only the loudest of them.
    random = np.random.default_rng(5)
    features = random.normal(0, 1, (900, 8)).astype(np.float32)
    features[:, 1] = 3 * features[:, 0] + 0.3 * features[:, 1]
    classes = (features[:, 1] - 3 * features[:, 0] > 0).astype(np.int64)
    clean = choose_l2(as_rows(features, classes), 2)
    assert noisy in L2_CANDIDATES
    assert clean in L2_CANDIDATES
    assert noisy >= 0.1
    assert clean <= 0.01


def test_the_stronger_of_equally_good_decays_is_chosen() -> None:
    features, classes = draw_clouds(120, 30, noise=0.05)
    assert choose_l2(as_rows(features, classes), CLASSES) == max(L2_CANDIDATES)


def test_views_do_not_judge() -> None:
    """Rows that do not count have labels by chance; what counts alone is separable."""
    features, classes = draw_clouds(120, 30, noise=0.05)
    noise, _ = draw_clouds(120, 30, noise=1.0, seed=8)
    rows = LabelledRows(
        np.concatenate([features, 1e-3 * noise]),
        np.concatenate([classes, classes]),
        np.concatenate([np.arange(120), np.arange(120)]),
        np.arange(240) < 120,
    )
    assert choose_l2(rows, CLASSES) == max(L2_CANDIDATES)


def test_few_rows_take_more_epochs() -> None:
    assert choose_epochs(100) == 140
    assert choose_epochs(100_000) == 12
