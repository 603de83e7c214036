"""The camera scripts run, on a video as a stand-in for the camera."""

import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from edgetl.drawings import draw_video

ROOT = Path(__file__).resolve().parent.parent
TINY = ROOT / "tests" / "data" / "tiny.bundle"


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    file = tmp_path_factory.mktemp("video") / "bench.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 30, (320, 240))
    for frame, _ in draw_video(("gear", "spring"), 6, 3):
        writer.write(frame)
    writer.release()
    return file


@pytest.mark.parametrize("script", ["usb_camera.py", "network_stream.py", "pi_camera.py"])
def test_a_camera_script_names_what_it_sees(script, video):
    command = [sys.executable, str(ROOT / "examples" / script), str(TINY), str(video)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert any(label in result.stdout for label in ("gear", "spring", "washer"))
