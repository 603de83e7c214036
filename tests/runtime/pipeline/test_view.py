import numpy as np
import pytest

from edgetl_runtime.errors import OptionsError
from edgetl_runtime.pipeline.view import View
from edgetl_runtime.settings.sections import ViewSettings

FRAME = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def view(**fields):
    return View.of(ViewSettings(**fields))


def test_the_whole_frame_is_handed_on_without_a_copy():
    assert view().is_whole
    assert view().apply(FRAME) is FRAME


def test_a_region_is_a_share_of_the_frame():
    assert np.array_equal(view(region="0.5,0.25,0.5,0.5").apply(FRAME), FRAME[1:3, 3:6])


@pytest.mark.parametrize(("degrees", "turns"), [(90, -1), (180, 2), (270, 1)])
def test_rotation_is_clockwise(degrees, turns):
    assert np.array_equal(view(rotate=degrees).apply(FRAME), np.rot90(FRAME, turns))


def test_a_mirror_swaps_left_and_right_after_rotation():
    expected = np.rot90(FRAME, -1)[:, ::-1]
    assert np.array_equal(view(rotate=90, mirror=True).apply(FRAME), expected)


def test_a_region_of_a_tiny_frame_has_at_least_one_pixel():
    tiny = np.zeros((1, 1, 3), np.uint8)
    assert view(region="0.9,0.9,0.1,0.1").apply(tiny).shape == (1, 1, 3)


def test_grey_frames_are_taken_too():
    assert view(region="0,0,0.5,1", rotate=90).apply(FRAME[:, :, 0]).shape == (3, 4)


@pytest.mark.parametrize("region", ["0.6,0,0.5,1", "0,0.9,1,0.2", "0,0,0,1"])
def test_a_region_beyond_the_frame_is_refused(region, wording):
    with pytest.raises(OptionsError, match=wording):
        view(region=region)
