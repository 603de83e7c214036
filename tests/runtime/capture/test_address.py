"""What addresses mean, how long reopening waits, and what counts as frozen."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgetl_runtime.capture.address import find_stable_id, plan_source
from edgetl_runtime.capture.backoff import Backoff
from edgetl_runtime.capture.camera import Camera
from edgetl_runtime.capture.devices import explain_failure
from edgetl_runtime.capture.stillness import MIN_EQUAL, Stillness
from edgetl_runtime.errors import CameraError, OptionsError
from edgetl_runtime.settings.sections import SourceSettings


@pytest.mark.parametrize(
    ("address", "module", "live", "freezes"),
    [
        ("0", "v4l2", True, True),
        ("/dev/video3", "v4l2", True, True),
        ("/dev/v4l/by-id/usb-camera", "v4l2", True, True),
        ("picamera", "picamera", True, True),
        ("picamera:1", "picamera", True, True),
        ("rtsp://camera/stream", "stream", True, True),
        ("http://camera/stream", "http", True, True),
        ("https://camera/stream", "http", True, True),
        ("-", "pipe", True, False),
        ("pattern", "pattern", True, False),
    ],
)
def test_an_address_names_its_source(address, module, live, freezes):
    plan = plan_source(address, SourceSettings())
    assert plan.module == f"edgetl_runtime.capture.sources.{module}"
    assert (plan.live, plan.freezes) == (live, freezes)


@pytest.mark.parametrize(
    ("name", "data", "module"),
    [("a.avi", b"\xff\xd8\xff\xe0", "pictures"), ("a.jpg", b"RIFF\0\0\0\0AVI ", "video")],
)
def test_a_file_is_read_frame_by_frame_unless_it_shall_play(name, data, module, tmp_path):
    (tmp_path / name).write_bytes(data)
    assert plan_source(str(tmp_path / name), SourceSettings()).module.endswith(module)
    assert not plan_source(str(tmp_path / name), SourceSettings()).live
    playing = plan_source(str(tmp_path / name), SourceSettings(realtime=True))
    assert playing.live == (module == "video")


@pytest.mark.parametrize("name", ["a film.avi", "10:30 ä%20.avi"])
def test_the_address_of_a_file_is_the_file(name, make_video):
    path = make_video(3)
    path = path.rename(path.with_name(name))
    for address in (path.as_uri(), path.as_uri().replace("file:", "FILE:")):
        plan = plan_source(address, SourceSettings())
        assert (plan.source, plan.finite) == (str(path), True)
        with Camera(address) as camera:
            assert [frame.file for frame in camera] == 3 * [str(path)]


def test_a_scheme_in_capitals_is_that_in_small_letters():
    plan = plan_source("RTSP://camera/Live", SourceSettings())
    assert plan.options["address"] == plan.source == "rtsp://camera/Live"


@pytest.mark.parametrize(
    ("address", "flags", "says"),
    [
        ("film", {"fps": 3.0}, "--fps is not used for a video; --every and --max-fps set the pace"),
        (
            "film",
            {"size": "9x9", "format": "rgb24"},
            "--size and --format are not used for a video",
        ),
        ("film", {"loop": True, "realtime": True}, None),
        ("folder", {"loop": True, "realtime": True}, "--realtime is not used for images"),
        ("http://camera/x", {"fps": 3.0}, None),
        ("http://camera/x", {"size": "9x9"}, "--size is not used for a camera over HTTP"),
        ("rtsp://camera/x", {"loop": True}, "--loop is not used for a network stream"),
        ("-", {"size": "9x9"}, "--size is not used for JPEGs on standard input"),
        ("-", {"size": "9x9", "format": "gray8", "stride": 12}, None),
        ("pattern", {"size": "9x9", "fps": 3.0}, None),
        ("0", {"size": "9x9", "fps": 3.0, "format": "mjpeg"}, None),
        ("0", {"stride": 12}, "--stride is not used for a camera of this board"),
    ],
)
def test_a_setting_that_a_source_does_not_use_is_told(address, flags, says, make_video, tmp_path):
    (tmp_path / "folder").mkdir()
    make_video(2).rename(tmp_path / "film")
    address = str(tmp_path / address) if address in ("film", "folder") else address
    plan = plan_source(address, SourceSettings(**flags))
    assert plan.notes == ((says,) if says else ())


def test_what_is_not_used_is_said_with_the_answers(tiny, make_video, edgetl_run):
    done = edgetl_run("camera", tiny, "--source", make_video(3), "--fps", "1", "--terminal", "none")
    assert done.returncode == 0
    assert done.stderr.count("--fps is not used for a video") == 1


@pytest.mark.parametrize("address", ["pattern", "-", "0"])
def test_a_certificate_where_nothing_is_encrypted_is_refused(address, wording):
    with pytest.raises(OptionsError, match=wording):
        plan_source(address, SourceSettings(ca="a.pem"))


@settings(deadline=None)
@given(st.text(max_size=30))
def test_any_text_is_an_address_or_a_camera_error(text):
    try:
        plan_source(text, SourceSettings())
    except CameraError as error:
        assert "cannot open" in str(error)  # noqa: PT017


def test_a_device_is_known_by_its_id_rather_than_its_number(tmp_path):
    device = tmp_path / "video2"
    device.touch()
    for folder, name in [("by-path", "pci-usb-0:1"), ("by-id", "usb-other"), ("by-id", "usb-cam")]:
        (tmp_path / folder).mkdir(exist_ok=True)
        target = tmp_path / "video9" if name == "usb-other" else device
        (tmp_path / folder / name).symlink_to(target)
    folders = (tmp_path / "by-id", tmp_path / "by-path", tmp_path / "absent")
    assert find_stable_id(str(device), folders) == str(tmp_path / "by-id" / "usb-cam")
    assert find_stable_id(str(tmp_path / "video5"), folders) is None


def test_waits_double_up_to_a_minute_and_begin_again():
    backoff = Backoff(draw=lambda: 0.5)
    waits_s = [backoff.next_s() for _ in range(9)]
    assert waits_s == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    backoff.reset()
    assert backoff.next_s() == 1


@pytest.mark.parametrize(("drawn", "first_s", "last_s"), [(0.0, 0.75, 45), (1.0, 1.25, 60)])
def test_waits_are_spread_but_never_above_the_limit(drawn, first_s, last_s):
    backoff = Backoff(draw=lambda: drawn)
    waits_s = [backoff.next_s() for _ in range(9)]
    assert (waits_s[0], waits_s[-1]) == (first_s, last_s)


def see(stillness, level, times=1, raw=False):
    pixels = memoryview(bytes([level]) * 3000)
    changes = [stillness.see(pixels if raw else None, pixels, 30) for _ in range(times)]
    return [index for index, changed in enumerate(changes) if changed]


@pytest.mark.parametrize("raw", [True, False])
def test_equal_frames_are_frozen_after_some_and_thaw_with_the_next(raw):
    stillness = Stillness(1e-9)
    see(stillness, 1, raw=raw)
    assert not stillness.frozen
    see(stillness, 2, MIN_EQUAL + 2, raw=raw)
    assert stillness.frozen
    assert see(stillness, 3, raw=raw) == [0]
    assert not stillness.frozen


def test_equal_frames_are_not_frozen_before_their_time():
    stillness = Stillness(1000)
    see(stillness, 1, 50)
    assert not stillness.frozen


def test_a_reopened_camera_is_still_frozen_if_it_goes_on_with_the_same_frame():
    before = Stillness(1e-9)
    see(before, 2, 20)
    again = Stillness(1000, before.fingerprint)
    assert again.frozen
    assert see(again, 2, 3) == []
    assert again.frozen
    other = Stillness(1000, before.fingerprint)
    assert see(other, 3) == [0]
    assert not other.frozen


def test_one_changed_pixel_anywhere_is_not_frozen():
    stillness = Stillness(1e-9)
    for change in range(0, 3000, 7):
        pixels = bytearray(3000)
        pixels[change] = 1 + change % 200
        stillness.see(None, memoryview(pixels), 30)
        assert not stillness.frozen


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("127.0.0.1:28080/mjpg", "begin with http://"),
        ("192.168.1.5", "begin with http://"),
        ("me:secret@camera.local:554/live", "begin with rtsp://"),
        ("me:secret@camera/live", "begin with http://"),
        ("htp://camera/x", "did you mean http:// ?"),
        ("rstp://camera/x", "did you mean rtsp:// ?"),
        ("http:/camera/x", "did you mean http:// at the beginning?"),
        ("https//camera/x", "did you mean https:// at the beginning?"),
        ("http://camera/\x01x", "it contains a control character"),
    ],
)
def test_a_mistyped_address_is_told_with_the_right_one(address, says):
    with pytest.raises(CameraError) as caught:
        plan_source(address, SourceSettings())
    assert says in str(caught.value)


def test_a_space_around_an_address_is_none_of_it():
    plan = plan_source(" http://camera/stream\n", SourceSettings())
    assert plan.source == plan.options["address"] == "http://camera/stream"


def test_a_missing_device_is_told_in_a_whole_sentence(monkeypatch):
    monkeypatch.setattr("glob.glob", lambda _: [])
    assert explain_failure("/dev/video98").startswith(
        "there is no /dev/video98, nor any other camera; is it plugged in?"
    )
    monkeypatch.setattr("glob.glob", lambda _: ["/dev/video2"])
    assert "there is no /dev/video98, but /dev/video2; is" in explain_failure("/dev/video98")
