import time

import cv2
import numpy as np
import pytest

from edgetl_runtime.errors import CameraError, FrameError
from edgetl_runtime.image.frames import read_frames


def write_picture(path, level=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((8, 8, 3), level, np.uint8))
    return path


def test_a_picture_is_one_frame(tmp_path):
    path = write_picture(tmp_path / "a.png")
    before = time.monotonic()
    (frame,) = read_frames(path)
    assert (frame.source, frame.index) == (str(path), 0)
    assert (frame.image == 100).all()
    assert before <= frame.captured_s <= time.monotonic()


def test_a_video_gives_all_its_frames_in_order(make_video):
    path = make_video(20)
    frames = list(read_frames(path))
    assert [frame.index for frame in frames] == list(range(20))
    assert {frame.source for frame in frames} == {str(path)}
    levels = [frame.image.mean() for frame in frames]
    assert levels == pytest.approx([10 + 3 * number for number in range(20)], abs=2)


@pytest.mark.parametrize("name", ["a.mp4", "a.avi", "a.mkv"])
@pytest.mark.parametrize("data", [b"", b"this is no video" * 1000])
def test_a_garbage_video_is_refused(name, data, tmp_path):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FrameError, match=f"{name}: .*(an empty file|a text file)"):
        list(read_frames(tmp_path / name))


def test_a_damaged_video_is_refused(make_video):
    path = make_video(20)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CameraError, match=str(path)):
        list(read_frames(path))


@pytest.mark.parametrize("name", ["missing.png", "broken.png"])
def test_a_broken_picture_is_refused_and_named(name, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"<html>")
    with pytest.raises(FrameError, match=name):
        list(read_frames(tmp_path / name))
