"""A video's frames are upright, and each is where the container says."""

import base64
import re
import struct

import cv2
import numpy as np
import pytest

from edgetl_runtime.capture.camera import Camera
from edgetl_runtime.errors import CameraError
from edgetl_runtime.image.frames import read_frames
from edgetl_runtime.image.videos import VideoFile
from edgetl_runtime.settings.sections import SourceSettings


def read_positions(path):
    video = VideoFile(path)
    positions = []
    while video.grab():
        positions.append(video.position_s)
    return positions


def is_upright(picture):
    """Whether the dark half of what `make_turned_video` wrote is above the bright one."""
    return picture.shape == (64, 48, 3) and picture[:30].mean() < 20 and picture[34:].mean() > 180


def test_a_phones_upright_video_is_upright(make_turned_video):
    video = VideoFile(make_turned_video())
    assert video.size_px == (48, 64)
    frames = list(read_frames(make_turned_video()))
    assert len(frames) == 5
    assert all(is_upright(frame.image) for frame in frames)


def test_a_phones_upright_video_is_upright_for_the_camera_pipeline(make_turned_video):
    with Camera(str(make_turned_video())) as camera:
        frames = list(camera)
    assert camera.status().size_px == (48, 64)
    assert len(frames) == 5
    assert all(is_upright(frame.image) for frame in frames)


def test_frames_are_where_the_container_says_whatever_their_rate(make_uneven_video):
    positions = read_positions(make_uneven_video(15, 5))
    expected = [n / 30 for n in range(15)] + [0.5 + n / 5 for n in range(5)]
    assert positions == pytest.approx(expected, abs=0.002)


def test_a_stream_without_times_goes_by_its_rate(tmp_path):
    data = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
    (tmp_path / "bare.mjpeg").write_bytes(20 * data)
    assert read_positions(tmp_path / "bare.mjpeg") == pytest.approx(
        [n / 25 for n in range(20)], abs=0.02
    )


def test_a_camera_tells_where_in_the_video_and_in_which_file_a_frame_is(make_uneven_video):
    path = make_uneven_video(6, 3)
    with Camera(str(path)) as camera:
        frames = list(camera)
    expected = [n / 30 for n in range(6)] + [0.2 + n / 5 for n in range(3)]
    assert [frame.position_s for frame in frames] == pytest.approx(expected, abs=0.002)
    assert {frame.file for frame in frames} == {str(path)}


def test_a_video_of_uneven_rate_plays_as_long_as_it_is(make_uneven_video):
    path = make_uneven_video(15, 6)
    with Camera(str(path), SourceSettings(realtime=True)) as camera:
        frames = list(camera)
    # The last frame comes 0.5 s + 5 * 0.2 s after the first; by its number it would be 0.67 s.
    first, last = frames[0], frames[-1]
    assert last.position_s == pytest.approx(1.5, abs=0.002)
    assert last.captured_s - first.captured_s >= 1.5 - first.position_s - 0.25


def test_a_looped_video_begins_at_its_start_again(make_video):
    with Camera(str(make_video(3)), SourceSettings(loop=True)) as camera:
        frames = [frame for frame, _ in zip(camera, range(7), strict=False)]
    positions = [frame.position_s for frame in frames]
    assert positions == pytest.approx([0, 0.04, 0.08, 0, 0.04, 0.08, 0], abs=0.001)
    assert [frame.index for frame in frames] == list(range(7))


# Two grey frames of 64x64 px each, made by FFmpeg's libaom-av1 and libx264.
AV1 = base64.b64decode(
    "REtJRgAAIABBVjAxQABAABkAAAABAAAAAgAAAAAAAAAcAAAAAAAAAAAAAAASAAoKAAAAAq//m18gCDIMEACW"
    "gAACAAAAAOyEFQAAAAEAAAAAAAAAEgAyETADwIAAAAbAAAACgAAgAJkQ"
)
H264 = base64.b64decode(
    "AAAAAWdkAAqs2UQmwEQAAAMABAAAAwDIPEiWWAAAAAFo6+PLIsAAAAFliIQAL//+9q783FSpcOrL2ljcvcO9"
    "aUHwD/GUBQAAAAFBmiFsQr/+OI3A"
)


def test_a_video_of_a_codec_that_opencv_lacks_is_told_with_what_to_do(tmp_path):
    path = tmp_path / "film.ivf"
    path.write_bytes(AV1)
    if cv2.VideoCapture(str(path), cv2.CAP_FFMPEG).grab():
        pytest.skip("this OpenCV cannot decode AV1")
    says = r"its codec, AV1; convert it to H\.264 \(`ffmpeg -i IN -c:v libx264"
    with pytest.raises(CameraError, match=says):
        list(read_frames(path))
    with Camera(str(path)) as camera, pytest.raises(CameraError, match=says):
        list(camera)


def test_a_video_with_sound_only_is_told_as_that(make_turned_video, tmp_path, wording):
    film = make_turned_video().read_bytes()
    sound = {
        "sound.mp4": film.replace(b"vide", b"soun").replace(b"mp4v", b"mp4a"),
        "sound.avi": b"RIFF\0\x10\0\0AVI LIST\xd4\0\0\0hdrlstrh8\0\0\0auds" + bytes(3000),
        "sound.mkv": b"\x1aE\xdf\xa3\x80" + bytes(40) + b"\x86\x88A_VORBIS" + bytes(3000),
        "sound.ogg": b"OggS\0\2" + bytes(20) + b"\1\x1e\1vorbis" + bytes(3000),
    }
    for name, data in sound.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(CameraError, match=wording):
            list(read_frames(tmp_path / name))
        with pytest.raises(CameraError, match=wording):
            Camera(str(tmp_path / name))


def test_of_a_bare_stream_it_is_said_that_its_rate_is_assumed(tmp_path, make_video):
    path, notes = tmp_path / "film.h264", []
    path.write_bytes(H264)
    assert len(list(read_frames(path, notes.append))) == 2
    expected = f"{path}: it has no timestamps, so positions assume 25 frames per second"
    assert notes == [expected]
    with Camera(str(path)) as camera:
        assert len(list(camera)) == 2
    assert camera.status().notes == (expected,)
    assert list(read_frames(make_video(3), notes.append))
    assert notes == [expected]


def damage_frames(path, numbers):
    """Zeroes frames of an AVI of Motion JPEG."""
    data = bytearray(path.read_bytes())
    starts = [found.end() + 4 for found in re.finditer(b"00dc", data)]
    for number in numbers:
        size = int.from_bytes(data[starts[number] - 4 : starts[number]], "little")
        data[starts[number] : starts[number] + size] = bytes(size)
    path.write_bytes(data)


@pytest.mark.parametrize("numbers", [[2], [5, 6], [7, 50]])
def test_a_damaged_frame_does_not_end_a_video(numbers, make_video):
    path = make_video(60)
    damage_frames(path, numbers)
    left = 60 - len(numbers)
    notes = []
    frames = list(read_frames(path, notes.append))
    assert len(frames) == left
    assert frames[-1].position_s == pytest.approx(59 / 25)
    (note,) = notes
    assert note.startswith(f"{path} is damaged after 0.")
    assert note.endswith(f" s; {left} of 60 frames could be read")
    with Camera(str(path)) as camera:
        assert len(list(camera)) == left
    assert camera.status().bad == {"damaged": 1}
    assert camera.status().notes == (note,)


def begin_late(path, late_ms):
    """Moves the frames of a Matroska video, RFC 9559: each block's time, and the duration."""
    data = bytearray(path.read_bytes())
    for found in re.finditer(rb"\xa3(\x40|[\x20-\x3f]|[\x80-\xff])", data):
        width = 9 - found[1][0].bit_length()
        track = found.start() + 1 + width
        if data[track] == 0x81 and data[track + 3] in (0, 0x80):
            time_ms = int.from_bytes(data[track + 1 : track + 3], "big")
            data[track + 1 : track + 3] = (time_ms + late_ms).to_bytes(2, "big")
    at = data.index(b"\x44\x89\x88") + 3
    (duration_ms,) = struct.unpack(">d", data[at : at + 8])
    data[at : at + 8] = struct.pack(">d", duration_ms + late_ms)
    path.write_bytes(data)


@pytest.mark.skipif(not hasattr(cv2, "CAP_PROP_PTS"), reason="this OpenCV tells no such time")
@pytest.mark.parametrize("cut", [False, True])
def test_a_part_of_a_longer_recording_is_whole_unless_it_is_cut(cut, tmp_path):
    path = tmp_path / "part.mkv"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for number in range(40):
        writer.write(np.full((48, 64, 3), 10 + 3 * number, np.uint8))
    writer.release()
    begin_late(path, 20_000)
    if cut:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    notes = []
    frames = list(read_frames(path, notes.append))
    assert frames[0].position_s == 0
    assert (len(frames) == 40) is not cut
    assert ["ends after" in note for note in notes] == [True] * cut
