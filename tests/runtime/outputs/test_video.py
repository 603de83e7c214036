"""Annotated videos and the overlay itself."""

import fcntl
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgetl_runtime.errors import OutputError
from edgetl_runtime.outputs import text_overlay
from edgetl_runtime.outputs import video as video_module
from edgetl_runtime.outputs.overlay import draw_answer
from edgetl_runtime.outputs.text_overlay import Pen, to_ascii
from edgetl_runtime.outputs.video import Video


def read_video(path):
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    fps = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return frames, fps


@pytest.fixture
def frame_of():
    def frame_of(level, width=160, height=120):
        return np.full((height, width, 3), level, np.uint8)

    return frame_of


@pytest.mark.parametrize("name", ["new.avi", "new.mp4"])
def test_a_file_gives_a_video_of_as_many_frames_at_its_rate(tmp_path, make_answer, frame_of, name):
    video = Video(tmp_path / name, 3, lambda: 12.5)
    for index in range(25):
        video.write(make_answer(index, picture=frame_of(10 * index)))
    assert not (tmp_path / name).exists()
    video.close()
    assert os.listdir(tmp_path) == [name]
    frames, fps = read_video(tmp_path / name)
    assert len(frames) == 25
    assert fps == pytest.approx(12.5)
    assert frames[20][40:60].mean() == pytest.approx(200, abs=6)


def test_a_camera_gives_a_video_that_lasts_as_long_as_what_it_shows(
    tmp_path, make_answer, frame_of
):
    """Answered at 10 a second, for three seconds at 5 a second, then away for an hour."""
    times = [n / 10 for n in range(30)]
    times += [3 + n / 5 for n in range(15)]
    times += [3600 + n / 10 for n in range(10)]
    video = Video(tmp_path / "new.avi", 3, None)
    for index, seconds in enumerate(times):
        video.write(make_answer(index, captured_s=1000 + seconds, picture=frame_of(100)))
    video.close()
    frames, fps = read_video(tmp_path / "new.avi")
    assert fps == pytest.approx(10, rel=0.01)
    assert len(frames) / fps == pytest.approx(3 + 3 + 1, abs=0.35)


def test_a_film_of_uneven_rate_gives_a_video_that_lasts_as_long(tmp_path, make_answer, frame_of):
    """Five seconds at 30 a second, five at 5, told as the mean rate; then a minute at rest."""
    times = [n / 30 for n in range(150)] + [5 + n / 5 for n in range(25)] + [70]
    video = Video(tmp_path / "new.avi", 3, lambda: 17.5)
    for index, seconds in enumerate(times):
        video.write(make_answer(index, position_s=seconds, file="f", picture=frame_of(100)))
    video.close()
    frames, fps = read_video(tmp_path / "new.avi")
    assert fps == pytest.approx(30, rel=0.01)
    assert len(frames) / fps == pytest.approx(70, abs=0.1)


def test_a_looped_film_goes_on_in_the_video(tmp_path, make_answer, frame_of):
    video = Video(tmp_path / "new.avi", 3, lambda: 25.0)
    for index in range(60):
        at_s = index % 20 / 25
        video.write(make_answer(index, position_s=at_s, file="f", picture=frame_of(4 * index)))
    video.close()
    frames, fps = read_video(tmp_path / "new.avi")
    assert (len(frames), fps) == (60, 25)


def test_the_overlay_tells_where_in_a_film_a_frame_is(make_answer, frame_of):
    picture = frame_of(128, 320, 240)
    drawn = [
        draw_answer(picture, make_answer(position_s=at_s, picture=picture)) for at_s in (1.0, 2.0)
    ]
    assert (drawn[0][:40, 160:] != drawn[1][:40, 160:]).any()


def test_a_video_of_few_frames_is_written_when_closed(tmp_path, make_answer, frame_of):
    video = Video(tmp_path / "new.avi", 3, None)
    video.write(make_answer(picture=frame_of(50)))
    video.close()
    assert len(read_video(tmp_path / "new.avi")[0]) == 1


@pytest.mark.parametrize("name", ["10:30.avi", "http:host.mp4", "part%03d.avi", "a_0001.avi"])
def test_a_videos_name_is_never_an_address(name, tmp_path, make_answer, frame_of, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = Video(Path(name), 2, lambda: 25.0)
    for _ in range(3):
        output.write(make_answer(picture=frame_of(90)))
    output.close()
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("frames", [1, 5, 20])
def test_each_frame_that_a_film_loses_is_counted(frames, tiny, make_video, tmp_path, edgetl_run):
    (tmp_path / "full").touch()
    flags = ("--video", tmp_path / "full" / "a.avi", "--terminal", "none")
    done = edgetl_run("camera", tiny, "--source", make_video(frames), *flags)
    assert done.returncode == 1
    assert f"lacks {frames} answer{'s'[: frames > 1]}: cannot write" in done.stderr


def test_no_frame_gives_no_video(tmp_path):
    Video(tmp_path / "new.avi", 3, None).close()
    assert os.listdir(tmp_path) == []


def test_an_existing_video_stays(tmp_path, make_answer, frame_of):
    (tmp_path / "new.avi").write_text("mine")
    video = Video(tmp_path / "new.avi", 3, lambda: 25.0)
    video.write(make_answer(picture=frame_of(50)))
    video.close()
    assert (tmp_path / "new.avi").read_text() == "mine"
    assert len(read_video(tmp_path / "new-2.avi")[0]) == 1


def test_frames_of_other_sizes_are_fitted(tmp_path, make_answer, frame_of):
    video = Video(tmp_path / "new.avi", 3, lambda: 25.0)
    video.write(make_answer(picture=frame_of(50)))
    video.write(make_answer(picture=frame_of(150, 300, 120)))
    video.close()
    frames, _ = read_video(tmp_path / "new.avi")
    assert [frame.shape for frame in frames] == [(120, 160, 3)] * 2
    assert frames[1][5].mean() < 10


def test_a_nearly_full_disk_stops_the_video_and_what_is_there_can_be_seen(
    tmp_path, make_answer, frame_of, monkeypatch, wording
):
    video = Video(tmp_path / "new.avi", 3, lambda: 25.0)
    video.write(make_answer(picture=frame_of(50)))
    monkeypatch.setattr(video_module, "_LEAST_FREE_BYTES", 2**60)
    with pytest.raises(OutputError, match=wording):
        for _ in range(30):
            video.write(make_answer(picture=frame_of(50)))
    video.close()
    assert len(read_video(tmp_path / "new.avi")[0]) == 25


@pytest.fixture
def noise():
    def noise(seed=0):
        return np.random.default_rng(seed).integers(0, 256, (120, 160, 3), dtype=np.uint8)

    return noise


@pytest.mark.parametrize(("name", "kept"), [("new.avi", ["new.avi"]), ("new.mp4", [])])
def test_a_video_that_the_disk_did_not_hold_is_an_error_and_never_an_empty_file(
    small_disk, make_answer, noise, monkeypatch, name, kept
):
    monkeypatch.setattr(video_module, "_LEAST_FREE_BYTES", 0)
    video = Video(small_disk / name, 3, lambda: 25.0)
    for index in range(80):
        video.write(make_answer(index, picture=noise(index)))
    with pytest.raises(OutputError, match=rf"{name} (is cut short|could not be written); is the"):
        video.close()
    assert os.listdir(small_disk) == kept
    assert all(read_video(small_disk / one)[0] for one in kept)


KILLED = """
import os, sys
from pathlib import Path
import numpy as np
from edgetl_runtime.outputs.video import Video
from edgetl_runtime.answers import Answer
from edgetl_runtime.prediction import Prediction
scores = np.array([1.0], np.float32)
prediction = Prediction(
    labels=("gear",), scores=scores, reject_threshold=0.5, captured_s=1.0, answered_s=1.1,
    preprocess_ms=1.0, invoke_ms=1.0,
)
video = Video(Path(sys.argv[1]), 1, lambda: 25.0)
for index in range(200):
    picture = np.random.default_rng(index).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    video.write(Answer(
        index=index, prediction=prediction, smoothed=scores, label="gear", event=None,
        source="camera", size_px=(160, 120), score=1.0, stale=False, low_information=False,
        time="2026-05-28T20:26:40.250Z", picture=picture,
    ))
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize(
    ("name", "found"), [("new.avi", ["new-2.avi", "new.avi"]), ("new.mp4", ["new.mp4"])]
)
def test_what_a_kill_left_is_kept_or_removed_by_the_next_video(
    tmp_path, make_answer, noise, run_python, name, found
):
    folder = tmp_path / "videos"
    assert run_python(KILLED, folder / name).returncode == -9
    (left,) = os.listdir(folder)
    assert left.startswith(".new.")
    video = Video(folder / name, 3, lambda: 25.0)
    video.write(make_answer(picture=noise()))
    video.close()
    assert sorted(os.listdir(folder)) == found
    lengths = {one: len(read_video(folder / one)[0]) for one in found}
    assert lengths.pop(video.path.name) == 1
    # The end of it was in the killed process.
    assert all(length > 100 for length in lengths.values())


def test_no_link_is_followed_and_nobody_can_guess_the_name_of_a_video_under_way(
    tmp_path, make_answer, noise
):
    victim, folder = tmp_path / "victim", tmp_path / "shared"
    victim.write_bytes(b"precious")
    folder.mkdir()
    (folder / f".new.{os.getpid()}.avi").symlink_to(victim)
    videos = [Video(folder / "new.avi", 1, lambda: 25.0) for _ in range(2)]
    for video in videos:
        video.write(make_answer(picture=noise()))
    assert len({name for name in os.listdir(folder) if name.startswith(".new.")}) == 3
    for video in videos:
        video.close()
    assert victim.read_bytes() == b"precious"
    assert {"new.avi", "new-2.avi"} <= set(os.listdir(folder))


def test_a_video_that_another_process_writes_is_left_alone(tmp_path, make_answer, noise):
    other = tmp_path / ".new.0123456789abcdef.avi"
    other.write_bytes(b"RIFF")
    with other.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        video = Video(tmp_path / "new.avi", 3, lambda: 25.0)
        video.write(make_answer(picture=noise()))
        video.close()
        assert other.exists()


def test_files_of_other_names_are_left_alone(tmp_path, make_answer, noise):
    names = [".new.notes.avi", ".new.b.0123456789abcdef.avi", "new.0123456789abcdef.avi"]
    for name in names:
        (tmp_path / name).write_text("mine")
    video = Video(tmp_path / "new.avi", 3, lambda: 25.0)
    video.write(make_answer(picture=noise()))
    video.close()
    assert sorted(os.listdir(tmp_path)) == sorted([*names, "new.avi"])


def test_a_folder_without_the_right_to_write_is_an_error(
    read_only_folder, make_answer, frame_of, wording
):
    video = Video(read_only_folder / "new.avi", 3, lambda: 25.0)
    with pytest.raises(OutputError, match=wording):
        video.write(make_answer(picture=frame_of(50)))
    video.close()


@pytest.mark.parametrize(
    "size", [(320, 240), (1920, 1080), (240, 320), (64, 64), (8, 8), (640, 70)]
)
@pytest.mark.parametrize("label", ["gear", None, "Größe 螺丝 " * 9])
def test_the_overlay_changes_a_copy_and_leaves_the_middle(make_answer, frame_of, size, label):
    picture = frame_of(128, *size)
    names = (label or "gear", "b" * 200, "c")
    drawn = draw_answer(picture, make_answer(label=label, labels=names, picture=picture), 5)
    assert drawn.shape == picture.shape
    assert (picture == 128).all()
    if min(size) >= 200:
        height = picture.shape[0]
        assert (drawn[height // 4 : height // 3] == 128).all()
        assert (drawn[-height // 4 :] != 128).mean() > 0.3


def test_the_overlay_tells_old_pictures_and_unknown_things_from_labels(make_answer, frame_of):
    picture = frame_of(128, 320, 240)
    known, unknown, old = (
        draw_answer(picture, make_answer(label=label, stale=stale, picture=picture))
        for label, stale in (("gear", False), (None, False), (None, True))
    )
    assert (known != unknown).any()
    assert (unknown != old).any()


@pytest.mark.skipif(not hasattr(cv2, "FontFace"), reason="OpenCV 4 has no such letters")
def test_letters_of_other_scripts_differ_and_are_no_question_marks(frame_of):
    drawn = []
    for text in ("螺", "丝", "к", "ж", "?"):
        picture = frame_of(0)
        Pen(40).draw(picture, text, (20, 80), (255, 255, 255))
        drawn.append(picture.tobytes())
    assert len(set(drawn)) == 5


def test_without_such_letters_labels_are_spelled_in_ascii(frame_of, monkeypatch):
    assert to_ascii("Größe café łódź") == "Grosse cafe lodz"
    assert to_ascii("螺丝") == r"\u87ba\u4e1d"
    monkeypatch.delattr(text_overlay.cv2, "FontFace", raising=False)
    picture = frame_of(0)
    pen = Pen(20)
    pen.draw(picture, "Größe", (5, 60), (255, 255, 255))
    assert picture.any()
    assert 0 < pen.measure("gear") < pen.measure("gearbox")


def test_long_labels_are_shortened_to_fit():
    pen = Pen(20)
    short = pen.fit("a very long label of a part", 100)
    assert short.endswith("…")
    assert pen.measure(short) <= 100
    assert pen.fit("gear", 500) == "gear"
