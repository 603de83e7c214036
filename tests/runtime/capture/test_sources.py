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
from edgetl_runtime.capture.greeting import Greeting
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
    print(json.dumps([status.state, status.delivered, status.dropped, status.bad, status.odd]))
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
    assert [f"bad{n}.jpg: a PNG image that is damaged" in notes[n] for n in range(3)] == 3 * [True]
    assert len(notes) == 3


@pytest.mark.parametrize("loop", [False, True])
def test_a_damaged_picture_alone_is_an_error(loop, tmp_path, wording):
    (tmp_path / "bad.jpg").write_bytes(CUT_PNG)
    with pytest.raises(CameraError, match=wording):
        list(Camera(str(tmp_path / "bad.jpg"), SourceSettings(loop=loop)))


def test_a_folder_without_pictures_is_refused(tmp_path, wording):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(CameraError, match=wording):
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


def test_jpegs_come_through_a_pipe(take_piped):
    *frames, status = take_piped(b"".join(map(jpeg_of, range(0, 100, 10))))
    # All came at once, and of a pipe only the newest frame counts.
    last, shape, level = frames[-1]
    assert (last, shape) == (9, [48, 64, 3])
    assert level == pytest.approx([90, 90, 90], abs=2)
    state, delivered, dropped, bad, _ = status
    assert (state, delivered, bad) == ("ended", 10, {})
    assert len(frames) + dropped == 10


def test_a_photo_with_bytes_after_its_end_comes_through_a_pipe(take_piped):
    notes = b"Image_UTC_Data1764200000000SEFHk" + bytes(300_000) + b"SEFT"
    *frames, (state, delivered, _, bad, odd) = take_piped(jpeg_of(80) + notes)
    assert [(index, shape) for index, shape, _ in frames] == [(0, [48, 64, 3])]
    assert (state, delivered, bad, odd) == ("ended", 1, {}, {"extra bytes": 1})
    *frames, (_, delivered, _, bad, odd) = take_piped((jpeg_of(80) + notes) * 3)
    assert frames[-1][2] == pytest.approx([80, 80, 80], abs=2)
    assert (delivered, bad) == (3, {})
    assert 1 <= odd["extra bytes"] <= len(frames)


def jpeg_of(level):
    return cv2.imencode(".jpg", np.full((48, 64, 3), level, np.uint8))[1].tobytes()


H264 = b"\0\0\0\x01\x67\x64\0\x1f" + bytes(range(1, 200)) * 20
TS = (b"\x47\x40\x11\x10" + bytes(184)) * 30
Y4M = b"YUV4MPEG2 W64 H48 F30:1 Ip A1:1 C420jpeg\nFRAME\n" + bytes(64 * 48 * 3 // 2)
STREAMS = {
    "bare H.264": H264,
    "bare HEVC": b"\0\0\0\x01\x40\x01\x0c\x01" + bytes(range(1, 200)) * 20,
    "transport stream": TS,
    "Matroska": b"\x1aE\xdf\xa3\xa3B\x86\x81\x01" + bytes(3000),
    "MP4": b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41" + bytes(3000),
    "AVI": b"RIFF\x00\x10\0\0AVI LIST" + bytes(3000),
    "Y4M": Y4M,
    "PNG": b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + bytes(3000),
    "GIF": b"GIF89a\x40\0\x30\0" + bytes(3000),
    "sound": b"RIFF\x24\x08\0\0WAVEfmt " + bytes(3000),
    "gzip": b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + bytes(range(256)) * 9,
    "web page": b"<!DOCTYPE html>\n<html><title>Log in</title></html>\n" * 40,
    'text: "ERROR: no cameras available"': b"\nERROR: no cameras available\n",
    "unknown type": bytes(range(7, 250)) * 400,
    "raw frames with --format": b"2" * 60 * 1024,
    "; expected consecutive JPEGs, or raw frames": b"\n" * 9216,
    "nothing arrived": b"",
}


@pytest.mark.parametrize("chunk", [1, 700, 10**6])
@pytest.mark.parametrize("name", STREAMS)
def test_what_is_no_stream_of_jpegs_is_named_with_the_remedy(name, chunk):
    greeting, data = Greeting(), STREAMS[name]

    def look():
        for at in range(0, len(data), chunk):
            greeting.feed(data[at : at + chunk])
        greeting.feed(b"")

    with pytest.raises(CameraError, match=name) as caught:
        look()
    without = ("sound", "gzip", "web page", "unknown type", "nothing arrived")
    expected = name not in without and "text" not in name and "raw" not in name
    assert ("ffmpeg -i - -f mjpeg" in str(caught.value)) == expected


@pytest.mark.parametrize("before", [b"", b"rubbish", bytes(range(200)), b"HTTP/1.0 200 OK\r\n\r\n"])
@pytest.mark.parametrize("chunk", [1, 100, 10**6])
def test_a_stream_of_jpegs_is_taken_whatever_comes_before_it(before, chunk):
    greeting, data = Greeting(), before + jpeg_of(3) * 2
    for at in range(0, len(data), chunk):
        greeting.feed(data[at : at + chunk])
    greeting.feed(b"")


@pytest.mark.parametrize("name", ["bare H.264", "no cameras available", "nothing arrived"])
def test_a_pipe_of_something_else_is_named(name, take_piped):
    (data,) = (data for kind, data in STREAMS.items() if name in kind)
    (message,) = take_piped(data)
    assert message.startswith("standard input delivered no frames: ")
    assert name in message


def test_standard_input_is_called_so_where_rubbish_looked_like_a_jpeg(take_piped):
    (message,) = take_piped(b"\x1f\x8b\x08\0" + bytes(600) + b"\xff\xd8\xff" + bytes(600))
    assert message == "standard input has no frames; a gzip archive, not a JPEG"


@pytest.mark.parametrize(
    ("name", "form"),
    [("bare H.264", "yuv420p"), ("MP4", "gray8"), ("Y4M", "yuv420p"), ("web page", "bgr24")],
)
def test_a_pipe_of_something_else_than_raw_frames_is_named(name, form, take_piped):
    (message,) = take_piped(STREAMS[name] * 4, format=form, size="16x12")
    assert name in message
    assert f"raw {form} frames were expected" in message


def test_a_closed_standard_input_is_nothing():
    code = f"import os, sys; os.close(0); os.open(os.devnull, 0); {TAKE_ALL}".replace("; \n", "\n")
    done = subprocess.run(
        [sys.executable, "-c", code, "{}"], capture_output=True, timeout=HANG_S, check=True
    )
    assert "nothing arrived" in done.stdout.decode()


def test_jpegs_for_raw_frames_are_named(take_piped):
    for data in (jpeg_of(7) * 20, jpeg_of(7)):
        (message,) = take_piped(data, format="yuv420p", size="64x48")
        assert "JPEGs, not raw yuv420p frames; leave out --format and --size" in message


def test_at_the_end_a_short_raw_frame_raises_the_question_of_size_and_format(
    tiny, tmp_path, edgetl_run
):
    path = tmp_path / "raw"
    path.write_bytes(photo_of(1, 64, 48).tobytes() * 3)
    flags = ("--source", "-", "--format", "gray8", "--size", "64x60")
    with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as reading:
        done = edgetl_run("camera", tiny, *flags, stdin=reading.stdout)
    # Of 27,648 bytes, seven frames of 3,840 are 26,880.
    assert done.returncode == 0
    assert "the last frame is 3072 bytes short" in done.stderr
    assert "one of 64x60 gray8 has 3840 bytes); are --size and --format correct?" in done.stderr


def test_a_pipe_that_ends_within_the_first_raw_frame_says_how_much_came(take_piped):
    (message,) = take_piped(bytes(range(128, 250)) * 9, format="bgr24", size="64x48")
    assert "after 1098 bytes" in message
    assert "64x48 bgr24 has 9216 bytes" in message
    (message,) = take_piped(b"ERROR: no cameras available\n", format="bgr24", size="64x48")
    assert "no cameras available" in message


def test_rubbish_before_jpegs_costs_nothing_but_itself(take_piped):
    *frames, status = take_piped(b"<html>" * 10 + jpeg_of(1) * 3)
    assert frames
    assert status[0] == "ended"


def photo_of(seed, width=200, height=120):
    """Smooth shapes with some noise, as a camera sees them."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (6, 8, 3), np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.uint8(np.clip(smooth + generator.normal(0, 3, smooth.shape), 0, 255))


def pad_rows(rows, stride):
    rows = rows.reshape(len(rows), -1)
    return np.pad(rows, ((0, 0), (0, stride - rows.shape[1]))).tobytes()


def as_raw(picture, form, stride):
    """The bytes of a frame whose rows are padded, as libcamera makes them."""
    height, width = picture.shape[:2]
    if form == "yuv420p":
        planes = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420).reshape(-1)
        luma, chroma = np.split(planes, [height * width])
        return pad_rows(luma.reshape(height, width), stride) + pad_rows(
            chroma.reshape(height, width // 2), stride // 2
        )
    converted = {"rgb24": picture[:, :, ::-1], "gray8": picture[:, :, 1]}.get(form, picture)
    return pad_rows(np.ascontiguousarray(converted), stride)


PADDED = [("yuv420p", 256), ("gray8", 256), ("bgr24", 640), ("rgb24", 640)]


@pytest.mark.parametrize(("form", "stride"), PADDED)
def test_padded_rows_of_raw_frames_are_taken_with_their_length(form, stride, take_piped):
    pictures = [photo_of(seed) for seed in range(4)]
    data = b"".join(as_raw(picture, form, stride) for picture in pictures)
    *frames, status = take_piped(data, format=form, size="200x120", stride=stride)
    assert status[1:] == [4, status[2], {}, {}]
    last, shape, level = frames[-1]
    assert (last, shape) == (3, [120, 200, 3])
    mean = pictures[-1].mean((0, 1))
    expected = [mean[1]] * 3 if form == "gray8" else mean
    assert level == pytest.approx(expected, abs=1.5)


@pytest.mark.parametrize(("form", "stride"), PADDED)
def test_padded_rows_of_raw_frames_are_noticed(form, stride, take_piped):
    data = b"".join(as_raw(photo_of(seed), form, stride) for seed in range(6))
    (message,) = take_piped(data, format=form, size="200x120")
    assert f"its rows seem to be {stride} bytes long" in message
    assert f"--stride {stride}" in message


@pytest.mark.parametrize("form", ["yuv420p", "gray8", "bgr24"])
def test_rows_of_the_told_length_raise_no_suspicion(form, take_piped):
    pictures = [photo_of(seed) for seed in range(8)]
    pictures += [np.full((120, 200, 3), 77, np.uint8)] * 4
    pictures += [np.random.default_rng(1).integers(0, 256, (120, 200, 3), np.uint8)] * 4
    stride = 600 if form == "bgr24" else 200
    data = b"".join(as_raw(picture, form, stride) for picture in pictures)
    assert take_piped(data, format=form, size="200x120")[-1][1] == 16


def test_a_wrong_width_of_raw_frames_is_noticed(take_piped):
    data = b"".join(as_raw(photo_of(seed, 320, 240), "gray8", 320) for seed in range(6))
    (message,) = take_piped(data, format="gray8", size="200x120")
    assert "seem to be 320 bytes long" in message
    assert "the correct --size" in message


def test_a_row_is_no_shorter_than_its_pixels(take_piped):
    (message,) = take_piped(b"", format="bgr24", size="64x48", stride=100)
    assert "--stride 100" in message
    assert "192 bytes" in message


def test_a_file_of_raw_frames_that_does_not_fit_is_refused(tmp_path):
    (tmp_path / "frames.raw").write_bytes(bytes(64 * 48 * 3 * 2 + 100))
    with (tmp_path / "frames.raw").open("rb") as file:
        done = subprocess.run(
            [sys.executable, "-c", TAKE_ALL, json.dumps({"format": "bgr24", "size": "64x48"})],
            stdin=file,
            capture_output=True,
            timeout=HANG_S,
            check=True,
        )
    assert "18532 bytes are not a whole number of frames" in done.stdout.decode()


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


def test_a_missing_pi_camera_is_an_error(picamera_python, wording):
    with pytest.raises(CameraError, match=wording):
        pi_camera(picamera_python, "picamera:1")


def test_a_missing_picamera2_is_an_error_with_the_remedy(picamera_python, wording):
    (fake,) = picamera_python.parents[1].glob("lib/python*/site-packages/picamera2.py")
    fake.unlink()
    with pytest.raises(CameraError, match=wording):
        pi_camera(picamera_python)
