"""MixUp and CutMix: inputs and targets are mixed in one and the same proportion."""

import numpy as np
import pytest
from numpy.typing import NDArray

from edgetl.augmentation.mixing import check_mixing, mix
from edgetl.augmentation.strengths import NONE, Augmentation
from edgetl_runtime.errors import OptionsError

ROWS, CLASSES = 8, 8
MIXUP, CUTMIX, BOTH = Augmentation(mixup=1), Augmentation(cutmix=1), Augmentation(mixup=1, cutmix=1)
TARGETS = np.eye(CLASSES, dtype=np.float32)
Maps = NDArray[np.float32]


def random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def maps_of_their_own_class(height: int = 14, width: int = 10) -> Maps:
    """Each row is filled with the number of its class, so that its mean tells its mixture."""
    return np.broadcast_to(
        np.arange(ROWS, dtype=np.float32)[:, None, None, None], (ROWS, height, width, 3)
    ).copy()


@pytest.mark.parametrize("augmentation", [MIXUP, CUTMIX, BOTH], ids=["mixup", "cutmix", "both"])
@pytest.mark.parametrize("size", [(14, 10), (7, 7), (1, 1)])
def test_targets_are_mixed_as_the_inputs_are(
    augmentation: Augmentation, size: tuple[int, int]
) -> None:
    for seed in range(50):
        inputs, targets = mix(maps_of_their_own_class(*size), TARGETS, augmentation, random(seed))
        np.testing.assert_allclose(
            inputs.mean(axis=(1, 2, 3)), targets @ np.arange(CLASSES), atol=1e-4
        )
        np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
        assert targets.min() >= 0


def test_features_are_mixed_by_mixup() -> None:
    features = maps_of_their_own_class()[:, 0, 0]
    inputs, targets = mix(features, TARGETS, MIXUP, random(0))
    np.testing.assert_allclose(inputs[:, 0], targets @ np.arange(CLASSES), atol=1e-5)
    assert np.any(inputs != features)


def test_cutmix_pastes_one_box_from_the_same_place() -> None:
    places = np.arange(14 * 10, dtype=np.float32).reshape(1, 14, 10, 1)
    inputs = 1000 * np.arange(ROWS, dtype=np.float32)[:, None, None, None] + places
    mixed, targets = mix(inputs, TARGETS, CUTMIX, random(3))
    np.testing.assert_array_equal(mixed % 1000, np.broadcast_to(places, mixed.shape))
    pasted = mixed != inputs
    row = next(n for n in range(ROWS) if pasted[n].any())
    ys, xs = np.nonzero(pasted[row, ..., 0])
    box = (np.ptp(ys) + 1) * (np.ptp(xs) + 1)
    assert box == len(ys)
    assert 1 - targets[row, row] == pytest.approx(box / 140, abs=1e-6)


def test_only_cutmix_leaves_each_pixel_of_one_photo() -> None:
    for seed in range(20):
        cut, _ = mix(maps_of_their_own_class(), TARGETS, CUTMIX, random(seed))
        assert set(np.unique(cut)) <= set(range(ROWS))
    blended, _ = mix(maps_of_their_own_class(), TARGETS, MIXUP, random(0))
    assert not set(np.unique(blended)) <= set(range(ROWS))


def test_with_both_on_each_takes_about_half_of_the_batches() -> None:
    cut = sum(
        set(np.unique(mix(maps_of_their_own_class(), TARGETS, BOTH, random(seed))[0]))
        <= set(range(ROWS))
        for seed in range(200)
    )
    assert 70 < cut < 130


def test_a_larger_alpha_mixes_more() -> None:
    def purity(alpha: float) -> float:
        mixed = [
            mix(maps_of_their_own_class(), TARGETS, Augmentation(mixup=alpha), random(seed))[1]
            for seed in range(100)
        ]
        return float(np.mean([targets.max(axis=1).mean() for targets in mixed]))

    assert purity(0.1) > purity(1) > purity(10)


def test_nothing_is_mixed_where_both_are_off() -> None:
    inputs = maps_of_their_own_class()
    mixed, targets = mix(inputs, TARGETS, NONE, random(0))
    assert mixed is inputs
    assert targets is TARGETS


def test_a_lone_photo_stays_as_it_is() -> None:
    inputs, targets = mix(maps_of_their_own_class()[:1], TARGETS[:1], BOTH, random(0))
    np.testing.assert_allclose(inputs, maps_of_their_own_class()[:1])
    np.testing.assert_allclose(targets, TARGETS[:1])


@pytest.mark.parametrize("augmentation", [MIXUP, CUTMIX], ids=["mixup", "cutmix"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_given_batch_is_left_alone_and_the_dtype_kept(
    augmentation: Augmentation, dtype: type[np.floating]
) -> None:
    given = maps_of_their_own_class().astype(dtype)
    before, before_targets = given.copy(), TARGETS.copy()
    inputs, targets = mix(given, TARGETS, augmentation, random(1))
    assert inputs.dtype == dtype
    assert targets.dtype == np.float32
    assert np.any(inputs != given)
    np.testing.assert_array_equal(given, before)
    np.testing.assert_array_equal(TARGETS, before_targets)


@pytest.mark.parametrize("augmentation", [MIXUP, CUTMIX, BOTH], ids=["mixup", "cutmix", "both"])
def test_the_same_seed_mixes_the_same(augmentation: Augmentation) -> None:
    first = mix(maps_of_their_own_class(), TARGETS, augmentation, random(5))
    second = mix(maps_of_their_own_class(), TARGETS, augmentation, random(5))
    other = mix(maps_of_their_own_class(), TARGETS, augmentation, random(6))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert np.any(first[1] != other[1])


@pytest.mark.parametrize("augmentation", [CUTMIX, BOTH], ids=["cutmix", "both"])
def test_cutmix_on_features_is_refused_with_the_remedy(
    augmentation: Augmentation, wording: list[str]
) -> None:
    features = np.zeros((ROWS, 1280), np.float32)
    with pytest.raises(OptionsError, match=wording[0]):
        mix(features, TARGETS, augmentation, random(0))
    with pytest.raises(OptionsError, match=wording[1]):
        check_mixing(augmentation, features.ndim)
    check_mixing(MIXUP, features.ndim)


def test_targets_of_another_length_are_refused(wording: str) -> None:
    with pytest.raises(ValueError, match=wording):
        mix(maps_of_their_own_class(), TARGETS[:7], MIXUP, random(0))
