import http.server
import itertools
import statistics
import threading
import time

import cv2
import numpy as np
import pytest

from edgetl_runtime.errors import CameraError, FrameError
from edgetl_runtime.frames import Camera, find_files, read_frames


def write_picture(path, level=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((8, 8, 3), level, np.uint8))
    return path


@pytest.fixture
def mjpeg_url():
    """An address that sends frames of rising level for as long as someone looks."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            for number in range(60):
                jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), number * 4, np.uint8))[1]
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg.tobytes() + b"\r\n")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.handle_error = lambda *_: None
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/stream.mjpg"
        server.shutdown()


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
    with pytest.raises(CameraError, match=name):
        list(read_frames(tmp_path / name))


@pytest.mark.parametrize("name", ["missing.png", "broken.png"])
def test_a_broken_picture_is_refused_and_named(name, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"<html>")
    with pytest.raises(FrameError, match=name):
        list(read_frames(tmp_path / name))


def test_a_folders_pictures_and_videos_are_found_sorted(tmp_path):
    for name in ("b.JPG", "a/2.png", "a/1.mp4", "a/.hidden.png", "notes.txt", "c.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    found = [str(file.relative_to(tmp_path)) for file in find_files(tmp_path)]
    assert found == ["a/1.mp4", "a/2.png", "b.JPG", "c.webp"]


def test_a_file_is_itself_whatever_its_name(tmp_path):
    (tmp_path / "photo").touch()
    assert find_files(tmp_path / "photo") == [tmp_path / "photo"]


@pytest.mark.parametrize(("name", "reason"), [("missing", "does not exist"), (".", "no picture")])
def test_a_folder_without_pictures_is_refused(name, reason, tmp_path):
    with pytest.raises(FrameError, match=reason):
        find_files(tmp_path / name)


def test_a_video_plays_at_its_own_speed(make_video):
    fps, frames = 40.0, 20
    start_s = time.monotonic()
    with Camera(str(make_video(frames, fps))) as camera:
        (*_, last) = camera
    assert last.index == frames - 1
    assert last.captured_s - start_s >= (frames - 1) / fps


def test_a_slow_consumer_gets_young_frames(make_video):
    fps, frames = 25.0, 50
    ages_s, delays_s, taken = [], [], []
    with Camera(str(make_video(frames, fps))) as camera:
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
    assert camera.dropped > 0


def test_no_frame_is_lost_from_the_count(make_video):
    with Camera(str(make_video(30, 60.0))) as camera:
        taken = []
        for frame in camera:
            taken.append(frame.index)
            time.sleep(0.05)
    assert taken == sorted(set(taken))
    assert taken[-1] == 29
    assert len(taken) + camera.dropped == 30


def test_the_frames_image_fits_its_index(make_video):
    with Camera(str(make_video(20, 60.0))) as camera:
        for frame in camera:
            assert frame.image.mean() == pytest.approx(10 + 3 * frame.index, abs=2)


def test_closing_ends_the_reader_at_once(make_video):
    before = set(threading.enumerate())
    fps, frames = 10.0, 100
    start_s = time.monotonic()
    with Camera(str(make_video(frames, fps))) as camera:
        next(iter(camera))
    assert time.monotonic() - start_s < frames / fps
    assert set(threading.enumerate()) == before


def test_a_stream_gives_frames_and_its_end_is_an_error(mjpeg_url):
    images = []
    with (
        Camera(mjpeg_url) as camera,
        pytest.raises(CameraError, match="stopped delivering after 60 frames"),
    ):
        for frame in camera:
            images.append(frame.image)
    assert images[-1].shape == (48, 64, 3)
    assert images[-1].mean() == pytest.approx(59 * 4, abs=3)


@pytest.mark.parametrize(
    "source",
    [
        *("7", "/dev/video77", "/dev/null", "missing.mp4", "http://127.0.0.1:9/stream"),
        *("", "²", "99999999999999999999", "-1"),
    ],
)
def test_a_missing_camera_is_named_with_the_remedy(source):
    with pytest.raises(CameraError, match=r"cannot open .*expected a camera number"):
        Camera(source)


def test_a_garbage_video_is_no_camera(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"this is no video" * 1000)
    with pytest.raises(CameraError, match=r"a\.mp4"):
        Camera(str(tmp_path / "a.mp4"))
