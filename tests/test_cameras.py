"""USB and network cameras, through OpenCV's real V4L2 and FFmpeg.

A preloaded library answers for the USB camera (fake_v4l2.c); ffmpeg and GStreamer are the network
cameras.
"""

import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgetl_runtime.capture.backoff import Backoff
from edgetl_runtime.capture.camera import Camera
from edgetl_runtime.errors import CameraError
from edgetl_runtime.settings.sections import SourceSettings

HANG_S = 20.0
DEVICE = "/dev/video77"
SHIM = Path(__file__).with_name("fake_v4l2.c")
IMPATIENT = SourceSettings(open_timeout_s=8, read_timeout_s=1.0, frozen_after_s=0.5)
RTSP_SERVER = """
import sys, gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer
Gst.init(None)
server = GstRtspServer.RTSPServer(address="127.0.0.1", service=sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory(shared=True)
factory.set_launch(
    "( videotestsrc is-live=true pattern=ball "
    "! video/x-raw,format=I420,width=320,height=240,framerate=30/1 "
    "! jpegenc ! rtpjpegpay name=pay0 )"
)
if len(sys.argv) > 2:
    access, permissions = GstRtspServer.RTSPAuth(), GstRtspServer.RTSPPermissions()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    access.set_supported_methods(getattr(GstRtsp.RTSPAuthMethod, sys.argv[2]))
    if sys.argv[2] == "BASIC":
        access.add_basic(GstRtspServer.RTSPAuth.make_basic("me", sys.argv[3]), token)
    else:
        access.add_digest("me", sys.argv[3], token)
    server.set_auth(access)
    for name in ("access", "construct"):
        permissions.add_permission_for_role("viewer", f"media.factory.{name}", True)
    factory.set_permissions(permissions)
server.get_mount_points().add_factory("/camera", factory)
server.attach(None)
print("ready", flush=True)
GLib.MainLoop().run()
"""


def take_until(camera, wanted):
    frames = []
    give_up_s = time.monotonic() + HANG_S
    while not wanted(camera.status()):
        assert time.monotonic() < give_up_s, camera.status()
        if (frame := camera.take(0.05)) is not None:
            frames.append((frame.index, frame.image.shape, float(frame.image.mean())))
    return frames


@pytest.fixture
def opened():
    cameras = []

    def open_camera(address, settings=IMPATIENT, **options):
        options = {"keep_trying": True, "_backoff": Backoff(0.1, 0.5)} | options
        cameras.append(Camera(address, settings, **options))
        return cameras[-1]

    yield open_camera
    for camera in cameras:
        camera.close()


@pytest.fixture
def start():
    """Starts programs, and ends them with the test."""
    processes = []

    def run(*command, **options):
        processes.append(
            subprocess.Popen(
                command, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, **options
            )
        )
        return processes[-1]

    yield run
    for process in processes:
        with process:
            process.kill()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    library = tmp_path_factory.mktemp("shim") / "fake_v4l2.so"
    command = ("gcc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, SHIM)
    subprocess.run(command, check=True)
    return library


class UsbCamera:
    """What the preloaded library shows to capture processes."""

    def __init__(self, folder):
        self.control = folder / "control"
        self.frames = folder / "frames"
        self.becomes("normal")
        self.shows(jpeg_of(level) for level in range(10, 240, 10))

    def becomes(self, state):
        staged = self.control.with_suffix(".new")
        staged.write_text(state)
        staged.rename(self.control)

    def shows(self, jpegs):
        self.frames.write_bytes(b"".join(struct.pack("<I", len(one)) + one for one in jpegs))


def jpeg_of(level, size=(480, 640)):
    return cv2.imencode(".jpg", np.full((*size, 3), level, np.uint8))[1].tobytes()


@pytest.fixture
def usb(shim, tmp_path, monkeypatch):
    camera = UsbCamera(tmp_path)
    monkeypatch.setenv("LD_PRELOAD", str(shim))
    monkeypatch.setenv("FAKE_V4L2_DEVICE", DEVICE)
    monkeypatch.setenv("FAKE_V4L2_FRAMES", str(camera.frames))
    monkeypatch.setenv("FAKE_V4L2_CONTROL", str(camera.control))
    return camera


@pytest.mark.parametrize("address", [DEVICE, "77"])
def test_a_usb_camera_delivers_what_it_granted(address, usb, opened):
    camera = opened(address, SourceSettings(size="800x600"), keep_trying=False)
    frames = take_until(camera, lambda status: status.delivered > 30)
    status = camera.status()
    # It knows no 800x600 and grants the next smaller size that it has.
    assert (status.size_px, status.fps) == ((640, 480), 50.0)
    assert {shape for _, shape, _ in frames} == {(480, 640, 3)}
    assert {round(level / 10) for _, _, level in frames} <= set(range(1, 24))
    assert status.bad == {}


def test_a_usb_cameras_frame_has_the_drivers_time(usb, opened):
    camera = opened("77")
    take_until(camera, lambda status: status.delivered > 3)
    # The library says that each frame was captured three milliseconds before it was handed over.
    assert 0.003 < camera.take(5.0).age_s() < 1.0


def test_a_usb_camera_without_jpeg_delivers_all_the_same(usb, opened):
    usb.becomes("yuyv")
    camera = opened("77")
    frames = take_until(camera, lambda status: status.delivered > 10)
    assert {shape for _, shape, _ in frames} == {(480, 640, 3)}
    assert camera.status().state == "delivering"


def test_a_usb_cameras_jpegs_are_decoded_no_larger_than_needed(usb, opened):
    camera = opened("77", SourceSettings(size="1280x720"), input_px=(96, 96))
    usb.shows(jpeg_of(level, (720, 1280)) for level in range(10, 240, 10))
    frames = take_until(camera, lambda status: status.delivered > 10)
    assert {shape for _, shape, _ in frames} <= {(360, 640, 3), (240, 320, 3)}


def test_a_missing_usb_camera_is_named_with_the_remedy(usb, opened, wording):
    with pytest.raises(CameraError, match=wording):
        opened("78", keep_trying=False)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("gone", f"there is no {DEVICE}, nor .*; is it plugged in"),
        ("closed", rf"this user \(\w+\) may not open {DEVICE}"),
        ("busy", f"another program is using it; .*fuser -v {DEVICE}"),
        ("metadata", f"{DEVICE} belongs to a camera or decoder, but is not its video device"),
    ],
)
def test_a_usb_camera_that_does_not_open_says_why(state, said, usb, opened):
    usb.becomes(state)
    with pytest.raises(CameraError, match=said):
        opened(DEVICE, keep_trying=False)


def test_a_device_that_is_no_camera_is_named(opened, wording):
    with pytest.raises(CameraError, match=wording):
        opened("/dev/null", keep_trying=False)


def test_a_device_of_a_group_names_the_group_to_join():
    code = """
import grp, os, pwd, tempfile
from edgetl_runtime.capture.devices import explain_failure
with tempfile.NamedTemporaryFile() as node:
    os.chmod(node.name, 0o660)
    os.chown(node.name, 0, grp.getgrnam("video").gr_gid)
    pwd.getpwuid(65534)
    os.setgroups([])
    os.seteuid(65534)
    print(explain_failure(node.name))
    os.seteuid(0)
"""
    if os.geteuid():
        pytest.skip("only root can be another user")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_S, check=True
    )
    assert "which belongs to the group video: `sudo usermod -aG video nobody`" in done.stdout


def test_an_unplugged_usb_camera_is_found_again(usb, opened):
    camera = opened("77")
    take_until(camera, lambda status: status.delivered > 5)
    usb.becomes("gone")
    take_until(camera, lambda status: status.state == "lost")
    assert camera.take(0.3) is None
    usb.becomes("normal")
    take_until(camera, lambda status: status.state == "delivering")
    assert camera.status().reconnects == 1


def test_a_usb_camera_is_found_under_another_number(usb, opened, monkeypatch):
    link = Path("/dev/v4l/by-id/usb-edgetl-test-camera")
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(DEVICE)
    except PermissionError:
        pytest.skip("no right to make links in /dev/v4l/by-id")
    try:
        camera = opened("77")
        take_until(camera, lambda status: status.delivered > 5)
        usb.becomes("gone")
        take_until(camera, lambda status: status.state == "lost")
        link.unlink()
        link.symlink_to("/dev/video78")
        monkeypatch.setenv("FAKE_V4L2_DEVICE", "/dev/video78")
        usb.becomes("normal")
        take_until(camera, lambda status: status.state == "delivering")
    finally:
        link.unlink(missing_ok=True)


def test_a_usb_camera_whose_driver_hangs_is_killed_and_opened_again(usb, opened):
    camera = opened("77")
    take_until(camera, lambda status: status.delivered > 5)
    usb.becomes("hang")
    take_until(camera, lambda status: status.state == "lost")
    usb.becomes("normal")
    take_until(camera, lambda status: status.state == "delivering")


def test_a_frozen_usb_camera_is_noticed(usb, opened):
    usb.becomes("frozen")
    camera = opened("77")
    take_until(camera, lambda status: status.state == "frozen" and status.reconnects == 1)
    usb.becomes("normal")
    take_until(camera, lambda status: status.state == "delivering")
    assert camera.status().reconnects == 1


def test_a_usb_cameras_damaged_jpegs_cost_one_frame_each(usb, opened):
    good = jpeg_of(100)
    usb.shows([good, good[:-200], jpeg_of(110), b"", jpeg_of(120)])
    camera = opened("77")
    take_until(camera, lambda status: status.bad.get("truncated", 0) > 3)
    assert camera.status().delivered > 5
    assert camera.status().reconnects == 0


needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")


def serve_mjpeg(start, port):
    source = ("-re", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=30")
    kind = ("-content_type", "multipart/x-mixed-replace;boundary=ffmpeg")
    target = ("-f", "mpjpeg", *kind, "-listen", "1", f"http://127.0.0.1:{port}/camera")
    return start("ffmpeg", "-loglevel", "quiet", *source, "-q:v", "3", *target)


@needs_ffmpeg
def test_a_network_camera_over_http_is_found_again_after_a_restart(start, opened):
    port = free_port()
    first = serve_mjpeg(start, port)
    camera = opened(f"http://127.0.0.1:{port}/camera")
    frames = take_until(camera, lambda status: status.delivered > 10)
    assert {shape for _, shape, _ in frames} == {(240, 320, 3)}
    first.kill()
    first.wait()
    take_until(camera, lambda status: status.state == "lost")
    serve_mjpeg(start, port)
    take_until(camera, lambda status: status.state == "delivering")
    assert camera.status().bad == {}


@needs_ffmpeg
def test_a_network_camera_that_stops_sending_is_noticed(start, opened):
    port = free_port()
    server = serve_mjpeg(start, port)
    camera = opened(f"http://127.0.0.1:{port}/camera")
    take_until(camera, lambda status: status.delivered > 10)
    # The connection stays, as when a cable is drawn: nobody says that it is over.
    os.kill(server.pid, signal.SIGSTOP)
    take_until(camera, lambda status: status.state == "lost")


@needs_ffmpeg
def test_frames_come_through_a_pipe_from_ffmpeg(start, tmp_path):
    code = """
import itertools, sys
from edgetl_runtime.capture.camera import Camera
from edgetl_runtime.settings.sections import SourceSettings
form, size = sys.argv[1:]
with Camera("-", SourceSettings(format=form, size=size)) as camera:
    shapes = {frame.image.shape for frame in itertools.islice(camera, 10)}
    print(shapes, camera.status().bad)
"""
    for codec, form in [("mjpeg", "mjpeg"), ("rawvideo", "yuv420p"), ("rawvideo", "bgr24")]:
        pixels = () if form == "mjpeg" else ("-pix_fmt", form)
        source = ("-re", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=30")
        sender = start(
            *("ffmpeg", "-loglevel", "quiet", *source, "-c:v", codec, *pixels),
            *("-f", "mjpeg" if form == "mjpeg" else "rawvideo", "-"),
            stdout=subprocess.PIPE,
        )
        command = [sys.executable, "-c", code, form, "320x240"]
        with sender.stdout as pipe:
            done = subprocess.run(
                command, stdin=pipe, capture_output=True, text=True, timeout=HANG_S, check=False
            )
        assert done.stdout == "{(240, 320, 3)} {}\n", done.stderr


def can_serve_rtsp():
    check = "import gi; gi.require_version('GstRtspServer', '1.0')"
    try:
        done = subprocess.run(["/usr/bin/python3", "-c", check], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0


needs_rtsp = pytest.mark.skipif(
    not can_serve_rtsp(), reason="needs gir1.2-gst-rtsp-server-1.0 and python3-gi"
)


def serve_rtsp(start, port, *access):
    command = ("/usr/bin/python3", "-I", "-c", RTSP_SERVER, str(port), *access)
    server = start(*command, stdout=subprocess.PIPE)
    assert server.stdout.readline() == b"ready\n"
    return server


@needs_rtsp
@pytest.mark.parametrize("method", ["BASIC", "DIGEST"])
@pytest.mark.parametrize("password", ["a/b#c", "p@ss/w?r#d", "1/2%"])
def test_an_rtsp_password_is_used_as_its_owner_wrote_it(start, opened, method, password):
    port = free_port()
    serve_rtsp(start, port, method, password)
    camera = opened(f"rtsp://me:{password}@127.0.0.1:{port}/camera")
    assert take_until(camera, lambda status: status.delivered > 1)
    assert camera.source == f"rtsp://***@127.0.0.1:{port}/camera"


@needs_rtsp
def test_an_rtsp_camera_is_found_again_after_a_restart(start, opened):
    port = free_port()
    server = serve_rtsp(start, port)
    camera = opened(f"rtsp://127.0.0.1:{port}/camera")
    frames = take_until(camera, lambda status: status.delivered > 10)
    assert {shape for _, shape, _ in frames} == {(240, 320, 3)}
    assert camera.status().size_px == (320, 240)
    server.kill()
    server.wait()
    take_until(camera, lambda status: status.state == "lost")
    serve_rtsp(start, port)
    take_until(camera, lambda status: status.state == "delivering")
    assert camera.status().reconnects == 1


@needs_rtsp
def test_an_rtsp_camera_that_stops_sending_is_noticed(start, opened):
    port = free_port()
    server = serve_rtsp(start, port)
    camera = opened(f"rtsp://127.0.0.1:{port}/camera")
    take_until(camera, lambda status: status.delivered > 10)
    os.kill(server.pid, signal.SIGSTOP)
    take_until(camera, lambda status: status.state == "lost")
    os.kill(server.pid, signal.SIGCONT)
    take_until(camera, lambda status: status.state == "delivering")


def test_an_absent_rtsp_camera_is_an_error(opened, wording):
    with pytest.raises(CameraError, match=wording):
        opened(f"rtsp://127.0.0.1:{free_port()}/camera", keep_trying=False)
