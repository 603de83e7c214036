"""The camera scripts run, each on a stand-in: a video, a network camera, a pin that is none."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

ROOT = Path(__file__).resolve().parent.parent
TINY = ROOT / "tests" / "data" / "tiny.bundle"
LABELS = ("gear", "spring", "washer")
# As much of picamera2's interface as we use: twenty frames, then the cable comes loose.
PICAMERA2 = """
import json, time
import cv2

class Picamera2:
    def __init__(self, number):
        self._video = cv2.VideoCapture({video!r})

    def create_video_configuration(self, main, controls):
        return {{"main": main}}

    def configure(self, configuration):
        self._configuration = configuration
        assert configuration["main"]["format"] == "RGB888"

    def camera_configuration(self):
        return self._configuration

    def start(self):
        pass

    def capture_request(self):
        time.sleep(0.02)
        return Request(self._video.read()[1])

    def stop(self):
        pass

    def close(self):
        self._video.release()

class Request:
    def __init__(self, picture):
        self._picture = picture

    def make_array(self, name):
        if self._picture is None:
            raise RuntimeError("the cable is loose")
        return self._picture

    def get_metadata(self):
        return {{}}

    def release(self):
        pass
"""


def run(script: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "examples" / script), *map(str, arguments)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A second of each of the tiny bundle's golden pictures, which it names for sure."""
    file = tmp_path_factory.mktemp("video") / "bench.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 30, (320, 240))
    for picture in sorted((TINY / "golden").iterdir()):
        for _ in range(30):
            writer.write(cv2.resize(cv2.imread(str(picture)), (320, 240)))
    writer.release()
    return file


def names_a_label(text: str) -> bool:
    return any(label in text for label in LABELS)


@pytest.mark.parametrize("script", ["usb_camera.py", "network_stream.py"])
def test_a_camera_script_names_what_it_sees(script, video):
    done = run(script, TINY, video)
    assert done.returncode == 0, done.stderr
    assert names_a_label(done.stdout)


def test_the_pi_camera_script_names_what_it_sees_until_the_cable_is_loose(video, tmp_path):
    (tmp_path / "picamera2.py").write_text(PICAMERA2.format(video=str(video)))
    done = run("pi_camera.py", TINY, PYTHONPATH=f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    assert names_a_label(done.stdout), done.stderr
    assert "the cable is loose" in done.stderr


def test_two_lines_are_enough_for_a_picture():
    done = run("two_lines.py", TINY, TINY / "golden" / "0.png")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[('")
    assert names_a_label(done.stdout)


def test_a_video_is_copied_with_the_answers_drawn_into_it(video, tmp_path):
    labelled = tmp_path / "labelled.avi"
    done = run("video_overlay.py", TINY, video, labelled)
    assert done.returncode == 0, done.stderr
    frames = [count_frames(file) for file in (video, labelled)]
    assert frames[0] == frames[1] > 20
    plain, drawn = (read_frame(file, 10) for file in (video, labelled))
    assert cv2.absdiff(plain, drawn).max() > 100


def test_a_relay_switches_when_the_label_comes_and_goes(video):
    pytest.importorskip("gpiozero")
    done = run("relay.py", TINY, "gear", "--source", video, GPIOZERO_PIN_FACTORY="mock")
    assert done.returncode == 0, done.stderr
    assert "gear: relay on" in done.stdout
    assert "relay off" in done.stdout


@pytest.mark.parametrize("script", sorted(ROOT.glob("examples/*.py")), ids=lambda path: path.stem)
def test_the_scripts_need_no_more_than_the_public_names(script):
    assert "edgetl_runtime." not in script.read_text().replace("edgetl_runtime import", "")


def count_frames(file: Path) -> int:
    capture = cv2.VideoCapture(str(file))
    count = 0
    while capture.grab():
        count += 1
    capture.release()
    return count


def read_frame(file: Path, number: int):
    capture = cv2.VideoCapture(str(file))
    for _ in range(number + 1):
        _, frame = capture.read()
    capture.release()
    return frame
