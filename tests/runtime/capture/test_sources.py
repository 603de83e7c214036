"""Pictures, standard input and the Pi camera, each in a real capture process."""

import itertools
import json
import subprocess
import sys
import time
import venv
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from edgetl_runtime.capture.address import plan_source
from edgetl_runtime.capture.camera import Camera
from edgetl_runtime.errors import CameraError
from edgetl_runtime.settings.sections import SourceSettings

HANG_S = 30
TAKE_ALL = """
import json, sys
from edgetl_runtime.capture.camera import Camera
from edgetl_runtime.errors import CameraError
from edgetl_runtime.settings.sections import SourceSettings
try:
    with Camera("-", SourceSettings(**json.loads(sys.argv[1]))) as camera:
        for frame in camera:
            print(json.dumps([frame.index, frame.image.shape, frame.image.mean((0, 1)).tolist()]))
    status = camera.status()
    print(json.dumps([status.state, status.delivered, status.dropped, status.bad]))
except CameraError as error:
    print(json.dumps(str(error)))
"""
TELL_STATES = """
import json, sys
from edgetl_runtime.capture.camera import Camera
from edgetl_runtime.settings.sections import SourceSettings
camera = Camera("-", SourceSettings(**json.loads(sys.argv[1])))
while camera.status().state != "ended":
    camera.take(0.1)
    print(camera.status().state, flush=True)
"""
FAKE_PICAMERA2 = """
import json, sys, time
from pathlib import Path
import numpy as np

class Request:
    def make_array(self, name):
        assert name == "main"
        picture = np.empty((*Picamera2.size[::-1], 3), np.uint8)
        picture[:] = (10, 20, 30)  # blue, green, red
        picture[0, 0] = Picamera2.number % 250
        Picamera2.number += 1
        return picture

    def get_metadata(self):
        boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return {"SensorTimestamp": boot_ns - 5_000_000, "ExposureTime": 9000}

    def release(self):
        Picamera2.held -= 1

class Picamera2:
    number = held = 0

    def __init__(self, camera_num=0):
        if camera_num > 0:
            raise IndexError("list index out of range")

    def create_video_configuration(self, main={}, lores=None, raw=None, controls={}):
        assert main["format"] == "RGB888"
        return {"main": {**main, "size": tuple(main["size"])}, "controls": controls}

    def configure(self, configuration):
        self.configuration = configuration
        Picamera2.size = configuration["main"]["size"]

    def camera_configuration(self):
        return self.configuration

    def start(self):
        self.rate = self.configuration["controls"].get("FrameRate", 100)

    def capture_request(self):
        assert Picamera2.held == 0, "a request was not released"
        Picamera2.held += 1
        time.sleep(1 / self.rate)
        return Request()

    def stop(self):
        pass

    def close(self):
        Path(__file__).with_name("closed.json").write_text(json.dumps(sorted(sys.modules)))
"""


CUT_PNG = cv2.imencode(".png", np.full((48, 64, 3), 9, np.uint8))[1].tobytes()[:60]


def write_picture(path, level, size=(48, 64)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3), level, np.uint8))
    return path


def test_a_picture_is_one_frame(tmp_path):
    with Camera(str(write_picture(tmp_path / "a.png", 100))) as camera:
        (frame,) = camera
    assert not camera.live
    assert (frame.image == 100).all()


def test_the_pictures_of_a_folder_come_in_order_whatever_their_sizes(tmp_path):
    for number, size in enumerate([(48, 64), (480, 640), (30, 30), (48, 64)]):
        write_picture(tmp_path / f"{number}.png", 10 * number, size)
    (tmp_path / "notes.txt").touch()
    with Camera(str(tmp_path)) as camera:
        frames = list(camera)
    assert [frame.image.mean() for frame in frames] == [0, 10, 20, 30]
    assert [frame.image.shape[:2] for frame in frames] == [(48, 64), (480, 640), (30, 30), (48, 64)]


def test_a_damaged_picture_among_good_ones_is_counted(tmp_path):
    for number in range(12):
        (tmp_path / f"bad{number}.jpg").write_bytes(CUT_PNG)
    write_picture(tmp_path / "good.png", 7)
    with Camera(str(tmp_path)) as camera:
        (frame,) = camera
    assert frame.index == 12
    assert camera.status().bad == {"unreadable": 12}
    # The first are named, all are counted.
    notes = camera.status().notes
    assert [f"bad{n}.jpg: a PNG picture that is damaged" in notes[n] for n in range(3)] == 3 * [
        True
    ]
    assert len(notes) == 3


@pytest.mark.parametrize("loop", [False, True])
def test_a_damaged_picture_alone_is_an_error(loop, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(CUT_PNG)
    with pytest.raises(CameraError, match=r"holds no frame; not used: .*bad\.jpg: a PNG picture"):
        list(Camera(str(tmp_path / "bad.jpg"), SourceSettings(loop=loop)))


def test_a_folder_without_pictures_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(CameraError, match="no picture"):
        Camera(str(tmp_path))


def test_a_folder_is_listed_for_as_long_as_that_takes(tmp_path):
    write_picture(tmp_path / "a.png", 7)
    # A process alone takes longer to start.
    with Camera(str(tmp_path), SourceSettings(open_timeout_s=0.01)) as camera:
        assert len(list(camera)) == 1


def test_a_looped_folder_begins_again(tmp_path):
    for level in (1, 2, 3):
        write_picture(tmp_path / f"{level}.png", level)
    with Camera(str(tmp_path), SourceSettings(loop=True)) as camera:
        levels = [frame.image[0, 0, 0] for frame in itertools.islice(camera, 7)]
    assert levels == [1, 2, 3, 1, 2, 3, 1]


@pytest.fixture
def take_piped():
    """Sends bytes to a program that takes frames from its standard input."""

    def take(data, **settings):
        done = subprocess.run(
            [sys.executable, "-c", TAKE_ALL, json.dumps(settings)],
            input=data,
            capture_output=True,
            timeout=HANG_S,
            check=True,
        )
        return [json.loads(line) for line in done.stdout.splitlines()]

    return take


def jpeg_of(level):
    return cv2.imencode(".jpg", np.full((48, 64, 3), level, np.uint8))[1].tobytes()


def test_jpegs_come_through_a_pipe(take_piped):
    *frames, status = take_piped(b"".join(map(jpeg_of, range(0, 100, 10))))
    # All came at once, and of a pipe only the newest frame counts.
    last, shape, level = frames[-1]
    assert (last, shape) == (9, [48, 64, 3])
    assert level == pytest.approx([90, 90, 90], abs=2)
    state, delivered, dropped, bad = status
    assert (state, delivered, bad) == ("ended", 10, {})
    assert len(frames) + dropped == 10


def test_rubbish_in_a_pipe_is_counted(take_piped):
    (message,) = take_piped(b"<html>" * 10)
    assert "holds no frame" in message


def bgr_frames(count):
    for number in range(count):
        yield np.full((48, 64, 3), (number, 100, 200), np.uint8)


@pytest.mark.parametrize(
    ("form", "encode", "expected"),
    [
        ("bgr24", lambda frame: frame, (4, 100, 200)),
        ("rgb24", lambda frame: frame[:, :, ::-1], (4, 100, 200)),
        ("gray8", lambda frame: frame[:, :, 2], (200, 200, 200)),
        ("yuv420p", lambda frame: cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420), (4, 100, 200)),
    ],
)
def test_raw_frames_come_through_a_pipe(form, encode, expected, take_piped):
    data = b"".join(encode(frame).tobytes() for frame in bgr_frames(5))
    *frames, status = take_piped(data, format=form, size="64x48")
    last, shape, level = frames[-1]
    assert (last, shape) == (4, [48, 64, 3])
    assert level == pytest.approx(expected, abs=3)
    assert status[1] == 5


def test_raw_frames_need_a_size(take_piped):
    (message,) = take_piped(b"", format="bgr24")
    assert "--size" in message


def test_a_cut_raw_frame_is_counted(take_piped):
    data = b"".join(frame.tobytes() for frame in bgr_frames(3))[:-7]
    *frames, status = take_piped(data, format="bgr24", size="64x48")
    assert frames[-1][0] == 1
    assert status[3] == {"truncated": 1}


def test_a_silent_pipe_is_lost_until_it_speaks_again():
    settings = json.dumps({"read_timeout_s": 0.3})
    process = subprocess.Popen(
        [sys.executable, "-c", TELL_STATES, settings], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    seen = []

    def read_until(state):
        give_up_s = time.monotonic() + HANG_S
        while not seen or seen[-1] != state:
            assert time.monotonic() < give_up_s, seen
            seen.append(process.stdout.readline().decode().strip())

    with process:
        process.stdin.write(jpeg_of(1))
        process.stdin.flush()
        read_until("delivering")
        read_until("lost")
        process.stdin.write(jpeg_of(2))
        process.stdin.flush()
        read_until("delivering")
        process.stdin.close()
        read_until("ended")


@pytest.fixture
def picamera_python(tmp_path):
    """A Python with a stand-in for picamera2 and a numpy, as Raspberry Pi OS has one."""
    venv.create(tmp_path / "system")
    (site,) = (tmp_path / "system").glob("lib/python*/site-packages")
    (site / "picamera2.py").write_text(FAKE_PICAMERA2)
    (site / "numpy.pth").write_text(str(Path(np.__file__).parents[1]))
    return tmp_path / "system" / "bin" / "python"


def pi_camera(python, address="picamera", **settings):
    settings = SourceSettings(**settings)
    plan = plan_source(address, settings)
    return Camera(
        address, settings, _plan=msgspec.structs.replace(plan, python=(str(python), "-I"))
    )


def test_the_pi_camera_runs_on_the_python_that_has_picamera2(picamera_python):
    with pi_camera(picamera_python, size="128x64", fps=50) as camera:
        frames = list(itertools.islice(camera, 5))
        status = camera.status()
    assert (status.size_px, status.fps) == ((128, 64), 50.0)
    assert frames[0].image.shape == (64, 128, 3)
    # What picamera2 calls RGB888 is blue, green, red in memory.
    assert frames[0].image[9, 9].tolist() == [10, 20, 30]
    assert all(frame.age_s() >= 0.005 for frame in frames)
    (closed,) = picamera_python.parents[1].glob("lib/python*/site-packages/closed.json")
    imported = json.loads(closed.read_text())
    assert {"cv2", "msgspec"}.isdisjoint(imported)
    assert "edgetl_runtime.capture.sources.picamera" in imported


def test_a_missing_pi_camera_is_an_error(picamera_python):
    with pytest.raises(CameraError, match="cannot open picamera:1: the camera does not start"):
        pi_camera(picamera_python, "picamera:1")


def test_a_missing_picamera2_is_an_error_with_the_remedy(picamera_python):
    (fake,) = picamera_python.parents[1].glob("lib/python*/site-packages/picamera2.py")
    fake.unlink()
    with pytest.raises(CameraError, match="apt install python3-picamera2"):
        pi_camera(picamera_python)
