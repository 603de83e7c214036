"""Views of a photo: other, but the same ones in every run."""

import numpy as np
import pytest

from edgetl.augmentation import make_view
from edgetl.drawings import draw_part

PHOTO = draw_part("gear", 3, 160)
SHA, OTHER_SHA = "ab" * 32, "cd" * 32


def test_a_view_is_repeatable() -> None:
    np.testing.assert_array_equal(make_view(PHOTO, SHA, 1), make_view(PHOTO, SHA, 1))


def test_views_differ_by_number() -> None:
    assert np.any(make_view(PHOTO, SHA, 1) != make_view(PHOTO, SHA, 2))


def test_views_differ_by_photo() -> None:
    assert np.any(make_view(PHOTO, SHA, 1) != make_view(PHOTO, OTHER_SHA, 1))


def test_a_view_is_no_copy_yet_still_the_same_scene() -> None:
    for number in range(1, 20):
        view = make_view(PHOTO, SHA, number)
        assert view.shape == PHOTO.shape
        assert view.dtype == np.uint8
        assert 1 < np.abs(view.astype(float) - PHOTO).mean() < 80


def test_the_photo_is_left_alone() -> None:
    before = PHOTO.copy()
    make_view(PHOTO, SHA, 1)
    np.testing.assert_array_equal(PHOTO, before)


def test_a_large_photo_is_reduced_to_what_is_needed() -> None:
    large = np.zeros((1200, 1600, 3), np.uint8)
    assert make_view(large, SHA, 1).shape == (512, 683, 3)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 900, 3), (3000, 2, 3)])
def test_odd_shapes_do_no_harm(shape: tuple[int, int, int]) -> None:
    view = make_view(np.full(shape, 100, np.uint8), SHA, 1)
    assert view.ndim == 3
    assert view.size > 0
