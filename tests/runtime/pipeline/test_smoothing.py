import itertools

import numpy as np
import pytest

from edgetl_runtime.pipeline.smoothing import Smoother
from edgetl_runtime.prediction import Prediction
from edgetl_runtime.settings.sections import SmoothingSettings

LABELS = ("gear", "nut")


def seen(gear: float) -> Prediction:
    return Prediction(LABELS, np.array([gear, 1 - gear], np.float32), 0.6, 0.0, 0.0, 0.0, 0.0)


def run(settings, gears, period_s=0.1):
    smoother = Smoother(settings)
    return [smoother.update(seen(gear), n * period_s) for n, gear in enumerate(gears)]


def test_without_smoothing_each_frame_speaks_for_itself():
    out = run(SmoothingSettings(method="none"), [0.9, 0.1, 0.5])
    assert [one.label for one in out] == ["gear", "nut", None]


@pytest.mark.parametrize("method", ["average", "majority"])
def test_one_odd_frame_does_not_change_the_label(method):
    settings = SmoothingSettings(method=method, hold=2, frames=5)
    out = run(settings, [0.9] * 10 + [0.1] + [0.9] * 10)
    assert {one.label for one in out[4:]} == {"gear"}


@pytest.mark.parametrize("method", ["average", "majority"])
def test_a_change_that_stays_changes_the_label_once(method):
    settings = SmoothingSettings(method=method, hold=3, frames=5)
    labels = [one.label for one in run(settings, [0.9] * 10 + [0.1] * 15)]
    changes = [(a, b) for a, b in itertools.pairwise(labels) if a != b]
    assert changes == [(None, "gear"), ("gear", "nut")]


def test_a_new_label_must_lead_for_so_many_frames_in_a_row():
    settings = SmoothingSettings(method="average", half_life_s=0.001, hold=3)
    labels = [one.label for one in run(settings, [0.9] * 5 + [0.1, 0.1, 0.9, 0.1, 0.1, 0.1])]
    assert labels[4:] == ["gear"] * 6 + ["nut"]


def test_after_one_half_life_half_of_the_old_score_is_left():
    settings = SmoothingSettings(method="average", half_life_s=0.5)
    out = run(settings, [1.0, 0.0], period_s=0.5)
    assert out[1].scores == pytest.approx([0.5, 0.5])


def test_the_average_means_the_same_at_any_frame_rate():
    settings = SmoothingSettings(method="average", half_life_s=0.3)
    slow = run(settings, [1.0] + [0.0] * 5, period_s=0.2)
    fast = run(settings, [1.0] + [0.0] * 50, period_s=0.02)
    assert slow[-1].scores == pytest.approx(fast[-1].scores, abs=1e-5)


@pytest.mark.parametrize("method", ["average", "majority"])
def test_frames_of_nothing_known_end_in_no_label(method):
    settings = SmoothingSettings(method=method, hold=2, frames=5)
    out = run(settings, [0.9] * 8 + [0.5] * 20)
    assert out[7].label == "gear"
    assert out[-1].label is None


def test_a_reset_forgets_everything():
    smoother = Smoother(SmoothingSettings(method="average", hold=1))
    assert smoother.update(seen(0.9), 0.0).label == "gear"
    smoother.reset()
    assert smoother.update(seen(0.1), 0.01).scores == pytest.approx([0.1, 0.9])


def test_a_frame_from_the_past_does_not_push_the_average_beyond_the_scores():
    smoother = Smoother(SmoothingSettings(method="average"))
    smoother.update(seen(0.9), 100.0)
    scores = smoother.update(seen(0.1), 1.0).scores
    assert scores == pytest.approx([0.9, 0.1])


def test_the_score_belongs_to_the_stable_label():
    settings = SmoothingSettings(method="average", half_life_s=0.001, hold=3)
    out = run(settings, [0.9] * 5 + [0.2])
    assert (out[5].label, out[5].score) == ("gear", pytest.approx(0.2))


@pytest.mark.parametrize("method", ["average", "majority"])
def test_a_video_has_its_first_label_at_once_and_a_camera_has_not(method):
    for is_video, expected in ((True, ["gear", "gear"]), (False, [None, None])):
        smoother = Smoother(SmoothingSettings(method=method, hold=3))
        out = [smoother.update(seen(0.9), n / 10, is_video=is_video) for n in range(2)]
        assert [one.label for one in out] == expected


def test_a_video_whose_first_frame_shows_nothing_has_the_label_of_its_second():
    smoother = Smoother(SmoothingSettings(method="average", half_life_s=0.01, hold=3))
    out = [smoother.update(seen(gear), n / 10, is_video=True) for n, gear in enumerate((0.5, 0.9))]
    assert [one.label for one in out] == [None, "gear"]


def test_a_later_odd_frame_does_not_change_the_label_of_a_video():
    smoother = Smoother(SmoothingSettings(method="average", half_life_s=0.001, hold=3))
    gears = [0.5] * 5 + [0.9] + [0.5] * 5
    out = [smoother.update(seen(gear), n / 10, is_video=True) for n, gear in enumerate(gears)]
    assert {one.label for one in out} == {None}


def test_a_video_that_begins_again_begins_anew():
    smoother = Smoother(SmoothingSettings(method="average", half_life_s=0.5))
    for n in range(10):
        smoother.update(seen(0.9), n / 10, is_video=True)
    assert smoother.update(seen(0.1), 0.0, is_video=True).label == "nut"
