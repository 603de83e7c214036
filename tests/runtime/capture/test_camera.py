"""Files, the pattern and what a camera promises, each through a real capture process."""

import itertools
import statistics
import time

import cv2
import numpy as np
import pytest

from edgetl_runtime.capture.camera import Camera
from edgetl_runtime.errors import CameraError
from edgetl_runtime.settings.sections import SourceSettings

REALTIME = SourceSettings(realtime=True)


def test_every_frame_of_a_video_arrives_in_order_and_whole(make_video):
    with Camera(str(make_video(60))) as camera:
        frames = list(camera)
    assert not camera.live
    assert [frame.index for frame in frames] == list(range(60))
    levels = [frame.image.mean() for frame in frames]
    assert levels == pytest.approx([10 + 3 * number for number in range(60)], abs=2)
    assert max(frame.image.std() for frame in frames) < 1
    status = camera.status()
    assert (status.state, status.delivered, status.dropped) == ("ended", 60, 0)
    assert (status.size_px, status.fps) == ((64, 48), 25.0)


def test_a_slow_taker_misses_no_frame_of_a_file(make_video):
    with Camera(str(make_video(10))) as camera:
        taken = []
        while (frame := camera.take(5.0)) is not None:
            time.sleep(0.02)
            taken.append((frame.index, round(float(frame.image.mean()))))
    assert taken == [(number, pytest.approx(10 + 3 * number, abs=2)) for number in range(10)]


def test_taking_waits_as_long_as_told_and_not_for_the_next_frame():
    fps = 0.02
    with Camera("pattern", SourceSettings(fps=fps)) as camera:
        assert camera.take(5.0) is not None
        start_s = time.monotonic()
        assert camera.take(0.2) is None
        assert 0.2 <= time.monotonic() - start_s < 1 / fps
        assert camera.status().state == "delivering"


def test_a_taken_frame_is_a_view_that_nobody_can_write_to():
    with Camera("pattern") as camera:
        frame = camera.take(5.0)
        assert not frame.image.flags.writeable
        assert not frame.image.flags.owndata


def test_a_held_frame_stays_as_it_is_while_newer_ones_come():
    with Camera("pattern", SourceSettings(fps=500, size="64x48")) as camera:
        for _ in range(5):
            frame = camera.take(5.0)
            before = frame.image.copy()
            time.sleep(0.05)
            assert (frame.image == before).all()
        assert camera.status().dropped > 20


def test_a_frame_outlives_its_camera():
    with Camera("pattern") as camera:
        frame = camera.take(5.0)
        copy = frame.image.copy()
    assert (frame.image == copy).all()


def test_the_pattern_moves_and_has_the_asked_size_and_rate():
    with Camera("pattern", SourceSettings(size="320x200", fps=100)) as camera:
        first, second = itertools.islice(camera, 2)
        status = camera.status()
    assert first.image.shape == (200, 320, 3)
    assert (first.image != second.image).any()
    assert (status.size_px, status.fps) == ((320, 200), 100.0)


def test_capture_times_are_monotonic_and_ages_small():
    before_s = time.monotonic()
    with Camera("pattern") as camera:
        frames = list(itertools.islice(camera, 10))
    times_s = [before_s, *(frame.captured_s for frame in frames), time.monotonic()]
    assert times_s == sorted(times_s)
    assert statistics.median(frame.age_s() for frame in frames) < 10


def test_a_video_plays_at_its_own_speed(make_video):
    fps, frames = 40.0, 20
    start_s = time.monotonic()
    with Camera(str(make_video(frames, fps)), REALTIME) as camera:
        (*_, last) = camera
    assert last.index == frames - 1
    assert last.captured_s - start_s >= (frames - 1) / fps


def test_a_slow_consumer_gets_young_frames(make_video):
    fps, frames = 25.0, 50
    ages_s, delays_s, taken = [], [], []
    with Camera(str(make_video(frames, fps)), REALTIME) as camera:
        for frame in camera:
            start_s = time.monotonic()
            ages_s.append(start_s - frame.captured_s)
            taken.append(frame)
            time.sleep(4 / fps)
            delays_s.append(time.monotonic() - start_s)
    # In a queue the age would grow with every frame, to many times the consumer's delay.
    assert statistics.median(ages_s) < min(delays_s)
    assert statistics.median(ages_s[-4:]) < statistics.median(delays_s)
    assert any(b.index - a.index > 1 for a, b in itertools.pairwise(taken))
    assert camera.status().dropped > 0


def test_no_frame_is_lost_from_the_count(make_video):
    with Camera(str(make_video(30, 60.0)), REALTIME) as camera:
        taken = []
        for frame in camera:
            taken.append(frame.index)
            time.sleep(0.05)
    assert taken == sorted(set(taken))
    assert taken[-1] == 29
    status = camera.status()
    assert status.delivered == 30
    assert len(taken) + status.dropped == 30


def test_the_frames_image_fits_its_index(make_video):
    with Camera(str(make_video(20, 60.0)), REALTIME) as camera:
        for frame in camera:
            assert frame.image.mean() == pytest.approx(10 + 3 * frame.index, abs=2)


def test_a_looped_video_begins_again(make_video):
    with Camera(str(make_video(5)), SourceSettings(loop=True)) as camera:
        frames = list(itertools.islice(camera, 12))
    assert [frame.index for frame in frames] == list(range(12))
    levels = [frame.image.mean() for frame in frames]
    assert levels == pytest.approx([10 + 3 * (number % 5) for number in range(12)], abs=2)


def test_closing_a_long_video_does_not_wait_for_its_end(make_video):
    frames = 100
    with Camera(str(make_video(frames, fps=10.0)), REALTIME) as camera:
        camera.take(5.0)
    assert 0 < camera.status().delivered < frames
    camera.close()
    assert camera.take(0.1) is None


@pytest.mark.parametrize(
    "source",
    ["missing.mp4", "", "²", "99999999999999999999", "-1", "http://[::1", "rtsp://cam:99999/s"],
)
def test_a_wrong_address_is_refused_at_once(source, wording):
    with pytest.raises(CameraError, match=wording):
        Camera(source, keep_trying=True)


@pytest.mark.parametrize("name", ["a.mp4", "a.avi"])
@pytest.mark.parametrize("data", [b"", b"this is no video" * 1000])
def test_a_garbage_video_is_no_camera(name, data, tmp_path):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CameraError, match=name):
        Camera(str(tmp_path / name))


def test_a_garbage_video_is_an_error_even_if_a_camera_would_be_waited_for(tmp_path, wording):
    (tmp_path / "a.avi").write_bytes(b"this is no video" * 1000)
    with pytest.raises(CameraError, match=wording):
        Camera(str(tmp_path / "a.avi"), keep_trying=True)


def test_a_large_frame_needs_no_setting(tmp_path):
    path = tmp_path / "large.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (4000, 3000))
    writer.write(np.full((3000, 4000, 3), 77, np.uint8))
    writer.release()
    with Camera(str(path)) as camera:
        (frame,) = camera
    assert frame.image.shape == (3000, 4000, 3)
    assert frame.image.mean() == pytest.approx(77, abs=2)


def test_waiting_for_the_next_frame_is_no_work(opened):
    camera = opened("pattern", SourceSettings(fps=20, size="160x120"))
    frames = [frame for frame in (camera.take(5.0) for _ in range(12)) if frame]
    moments = [frame.captured_s for frame in frames]
    apart_s = statistics.median(after - before for before, after in itertools.pairwise(moments))
    assert 0 < statistics.median(frame.capture_ms for frame in frames) / 1e3 < apart_s / 2
    assert camera.status().worked_s > frames[-1].capture_ms / 1e3
    assert camera.pid
    camera.close()
    assert camera.pid is None
