"""Films, pictures and folders through the commands: what is answered, and what is said."""

import csv
import json
import os
import shutil
import socket
import stat
import tempfile
from collections import Counter
from pathlib import Path

import cv2
import pytest

OPEN_AS_NOBODY = """
import os, pathlib, pwd, sys
from edgetl_runtime.capture.camera import Camera
from edgetl_runtime.errors import EdgetlError
from edgetl_runtime.image.frames import read_frames
os.seteuid(65534)
for read in (Camera, lambda path: list(read_frames(pathlib.Path(path)))):
    try:
        read(sys.argv[1])
    except EdgetlError as error:
        print(error)
"""


def parse(done):
    """The answers on stdout, one object a line; anything else there fails."""
    records = [json.loads(line) for line in done.stdout.splitlines()]
    return [record for record in records if "unused" not in record]


@pytest.fixture
def photos(tiny, tmp_path):
    """Pictures 1, 2, 10 and 11, a broken one, and what is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    good = sorted((tiny / "golden").iterdir())
    for name, file in zip(("1.png", "2.jpg", "10", "11.JPG"), good, strict=False):
        shutil.copy(file, folder / name)
    (folder / "3.png").write_bytes(good[0].read_bytes()[:300])
    (folder / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(90))
    (folder / "Thumbs.db").touch()
    (folder / "notes.jpg").write_text("no image")
    return folder


def test_a_folders_answers_come_in_natural_order_and_name_their_files(photos, tiny, edgetl_run):
    done = edgetl_run("camera", tiny, "--source", photos, "--json")
    assert done.returncode == 0
    answered = [(record["frame"], record["file"], record["position_s"]) for record in parse(done)]
    expected = [(0, "1.png"), (1, "2.jpg"), (3, "10"), (4, "11.JPG")]
    assert answered == [(index, str(photos / name), None) for index, name in expected]
    assert "2 files are not used: IMG_1.HEIC (a HEIC image" in done.stderr
    assert "heif-convert" in done.stderr
    assert f"not used: {photos / '3.png'}: a PNG image that is damaged" in done.stderr
    expected = "4 answers, 0 older frames dropped, not used: 1 unreadable, 2 no image\n"
    assert expected in done.stderr


def test_a_line_for_people_names_the_picture(photos, tiny, edgetl_run):
    done = edgetl_run("camera", tiny, "--source", photos)
    assert [line.split("  ")[0] for line in done.stdout.splitlines()] == [
        str(photos / name) for name in ("1.png", "2.jpg", "10", "11.JPG")
    ]


def test_classify_names_what_it_does_not_use_of_a_folder(photos, tiny, edgetl_run):
    done = edgetl_run("classify", tiny, photos, "--json")
    assert done.returncode == 0
    assert [Path(record["source"]).name for record in parse(done)] == [
        *("1.png", "2.jpg", "10", "11.JPG")
    ]
    assert "2 files are not used: IMG_1.HEIC (a HEIC image" in done.stderr
    assert "3.png: a PNG image that is damaged" in done.stderr
    assert "edgetl-run: 7 files: 4 answered, 1 unreadable, 2 no image\n" in done.stderr


def test_with_json_each_file_of_a_folder_that_gets_no_answer_is_named(photos, tiny, edgetl_run):
    (photos / "gone.jpg").symlink_to("nowhere.jpg")
    done = edgetl_run("classify", tiny, photos, "--json")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    unused = {Path(one["source"]).name: one for one in records if "unused" in one}
    kinds = {name: one["unused"] for name, one in unused.items()}
    assert kinds == {
        "3.png": "unreadable",
        "gone.jpg": "unreadable",
        "IMG_1.HEIC": "no image",
        "notes.jpg": "no image",
    }
    assert "a PNG image that is damaged" in unused["3.png"]["reason"]
    answered = next(one for one in records if one["label"])
    assert set(unused["3.png"]) - set(answered) == {"unused", "reason"}
    assert all(one["label"] is None and one["top"] == [] for one in unused.values())
    assert "8 files: 4 answered, 2 unreadable, 2 no image" in done.stderr


def test_a_folder_read_again_and_again_counts_its_damaged_pictures_once(photos, tiny, edgetl_run):
    done = edgetl_run("camera", tiny, "--source", photos, "--loop", "--max-frames", "13")
    assert "13 answers, 0 older frames dropped, not used: 1 unreadable, 2 no image" in done.stderr


@pytest.mark.parametrize("command", ["classify", "camera"])
def test_a_video_is_one_whatever_its_name(command, tiny, make_video, tmp_path, edgetl_run):
    path = make_video(4).rename(tmp_path / "film.jpg")
    source = ("--source", path) if command == "camera" else (path,)
    records = parse(edgetl_run(command, tiny, *source, "--json"))
    assert [record["frame"] for record in records] == [0, 1, 2, 3]
    assert [record["position_s"] for record in records] == pytest.approx([0, 0.04, 0.08, 0.12])


@pytest.mark.parametrize("command", ["classify", "camera"])
def test_an_animation_is_its_first_picture_and_that_is_said(command, tiny, tmp_path, edgetl_run):
    path = tmp_path / "moving.png"
    shutil.copy(tiny / "golden" / "0.png", path)
    data = path.read_bytes()
    # An `acTL` of two frames before the pixels; its checksum is not looked at.
    path.write_bytes(data[:33] + b"\0\0\0\x08acTL\0\0\0\2\0\0\0\0\xf3\x8d\x93\x70" + data[33:])
    source = ("--source", path) if command == "camera" else (path,)
    done = edgetl_run(command, tiny, *source, "--json")
    assert len(parse(done)) == 1
    assert f"{path} contains several images; only the first is used" in done.stderr


@pytest.mark.parametrize("command", ["classify", "camera"])
def test_a_video_that_ends_early_is_answered_and_told(command, tiny, make_video, edgetl_run):
    path = make_video(60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = ("--source", path) if command == "camera" else (path,)
    done = edgetl_run(command, tiny, *source, "--json")
    answered = len(parse(done))
    assert 10 < answered < 50
    assert f"{path} ends after {answered} of 60 frames; is it cut or damaged?" in done.stderr


@pytest.mark.parametrize("frames", [1, 2, 3])
@pytest.mark.parametrize("smoothing", ["average", "majority"])
def test_the_shortest_video_has_a_label_and_an_event(
    frames, smoothing, tiny, golden_frames, tmp_path, edgetl_run
):
    path = tmp_path / "short.avi"
    height, width = golden_frames[4].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (width, height))
    for _ in range(frames):
        writer.write(golden_frames[4])
    writer.release()
    done = edgetl_run("camera", tiny, "--source", path, "--json", "--smoothing", smoothing)
    records = parse(done)
    assert [record["label"] for record in records] == ["washer"] * frames
    assert [bool(record["event"]) for record in records] == [True, *[False] * (frames - 1)]


def test_a_folder_of_one_picture_has_a_label_and_an_event(tiny, tmp_path, edgetl_run):
    (tmp_path / "one").mkdir()
    shutil.copy(tiny / "golden" / "4.png", tmp_path / "one" / "a.png")
    (record,) = parse(edgetl_run("camera", tiny, "--source", tmp_path / "one", "--json"))
    assert (record["label"], record["event"]["number"]) == ("washer", 1)


def test_every_output_tells_where_in_the_film_an_answer_is(
    tiny, make_uneven_video, tmp_path, edgetl_run
):
    path = make_uneven_video(15, 5)
    outputs = ("--csv", "a.csv", "--jsonl", "a.jsonl", "--video", "a.avi")
    done = edgetl_run("camera", tiny, "--source", path, *outputs)
    expected = [n / 30 for n in range(15)] + [0.5 + n / 5 for n in range(5)]
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    assert [json.loads(line)["position_s"] for line in lines] == pytest.approx(expected, abs=0.002)
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["position_s"]) for row in rows] == pytest.approx(expected, abs=0.002)
    assert {row["file"] for row in rows} == {str(path)}
    assert f"{path}#19 (1.30 s)  " in done.stdout
    assert measure_duration_s(tmp_path / "a.avi") == pytest.approx(1.33, abs=0.07)


def measure_duration_s(path):
    capture = cv2.VideoCapture(str(path))
    frames = 0
    while capture.grab():
        frames += 1
    return frames / capture.get(cv2.CAP_PROP_FPS)


@pytest.mark.parametrize("command", ["classify", "camera"])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.mp4", "there is no such file"),
        ("empty.mp4", "an empty file"),
        ("text.mp4", "not an image or video, but a text file"),
        ("page.jpg", "not an image or video, but a web page"),
        ("no/film.mp4", "there is no folder"),
        ("dangling.mp4", "a broken link to gone.mp4"),
        ("bare", "contains no images"),
        ("cut.mp4", "OpenCV's FFmpeg cannot read it, or it is damaged"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(command, name, said, tiny, tmp_path, edgetl_run):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no film\n")
    (tmp_path / "page.jpg").write_text("<html>404</html>")
    (tmp_path / "dangling.mp4").symlink_to("gone.mp4")
    (tmp_path / "bare").mkdir()
    (tmp_path / "cut.mp4").write_bytes(b"\0\0\0\x18ftypisom\0\0\0\0isommp41" + bytes(90))
    source = ("--source", name) if command == "camera" else (name,)
    done = edgetl_run(command, tiny, *source)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert "camera number" not in done.stderr


def test_a_word_that_may_be_meant_as_a_camera_is_told_what_there_is(tiny, edgetl_run):
    done = edgetl_run("camera", tiny, "--source", "picamara")
    assert "expected a camera number" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_file_that_this_user_may_not_read_is_told_from_a_damaged_one(tiny, run_python):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(shutil.copy(tiny / "golden" / "0.png", folder))
        path.chmod(stat.S_IRUSR)
        done = run_python(OPEN_AS_NOBODY, path)
    for line in done.stdout.splitlines():
        assert "0.png: this user (nobody) may not read the file: it is root's" in line
    assert done.stdout.count("with rights r--------") == 2


def test_a_video_whose_name_is_no_utf8_is_answered(tiny, make_video, tmp_path, edgetl_run):
    (tmp_path / "films").mkdir()
    shutil.copy(make_video(1), tmp_path / "films" / "a.avi")
    video = os.fsencode(make_video(2))
    os.rename(video, os.path.join(os.fsencode(tmp_path / "films"), b"caf\xe9.avi"))
    answers = parse(edgetl_run("classify", tiny, tmp_path / "films", "--json"))
    assert [Path(answer["source"]).name for answer in answers] == ["a.avi", *2 * [r"caf\xe9.avi"]]


@pytest.mark.parametrize("given", ["folder", "name"])
def test_a_films_name_is_never_an_address_for_ffmpeg(given, tiny, make_video, tmp_path, edgetl_run):
    folder = tmp_path / "films"
    folder.mkdir()
    with socket.create_server(("localhost", 0)) as server:
        server.settimeout(0.5)
        names = [f"http:localhost:{server.getsockname()[1]}", "file:other.avi", "10:30.avi"]
        for name in names:
            shutil.copy(make_video(3), folder / name)
        shutil.copy(make_video(5), folder / "other.avi")
        arguments = ["."] if given == "folder" else names
        done = edgetl_run("classify", tiny, *arguments, "--json", cwd=folder)
        with pytest.raises(TimeoutError):
            server.accept()
    counts = Counter(answer["frame"] for answer in parse(done))
    assert counts[0] == counts[2] == len(names) + (given == "folder")
    assert counts[3] == (given == "folder")
    for name in names:
        played = edgetl_run("camera", tiny, "--source", f"./{name}", "--json", cwd=folder)
        assert len(parse(played)) == 3


@pytest.mark.parametrize("hidden", [b"", b"\0"])
def test_a_playlist_is_not_followed(hidden, tiny, make_video, tmp_path, edgetl_run):
    make_video(3, name="a.avi")
    (tmp_path / "list.ffconcat").write_bytes(b"ffconcat version 1.0\nfile a.avi\n" + hidden)
    (tmp_path / "list.m3u8").write_bytes(b"#EXTM3U\n#EXTINF:2,\na.avi\n" + hidden)
    for name in ("list.ffconcat", "list.m3u8"):
        done = edgetl_run("classify", tiny, name, "--json", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize("name", ["film.jpg", "film%03d.jpg", "film.png", "film_0001.jpg"])
def test_a_film_that_is_named_as_a_picture_is_a_film(name, tiny, tmp_path, edgetl_run):
    data = cv2.imencode(".jpg", cv2.imread(str(tiny / "golden" / "0.png")))[1].tobytes()
    (tmp_path / name).write_bytes(4 * data)
    for arguments in (("classify", tiny, name), ("camera", tiny, "--source", name)):
        done = edgetl_run(*arguments, "--json", cwd=tmp_path)
        assert [answer["position_s"] for answer in parse(done)] == [0.0, 0.04, 0.08, 0.12]


def test_a_name_that_is_no_utf8_is_answered_and_escaped(tiny, tmp_path, edgetl_run):
    folder = tmp_path / "odd"
    folder.mkdir()
    target = os.path.join(os.fsencode(folder), b"caf\xe9.png")
    shutil.copy(tiny / "golden" / "0.png", target)
    (record,) = parse(edgetl_run("camera", tiny, "--source", folder, "--json"))
    assert record["file"] == str(folder / r"caf\xe9.png")


def test_what_classify_does_not_read_is_told_with_who_does(tiny, tmp_path, edgetl_run):
    os.mkfifo(tmp_path / "pipe")
    done = edgetl_run("classify", tiny, tmp_path / "pipe", "-", "https://me:s3cret@camera/live")
    assert done.returncode == 1
    assert "a named pipe (`edgetl-run camera BUNDLE --source - < PIPE` reads it)" in done.stderr
    assert "-: standard input, not a file; `edgetl-run camera BUNDLE --source -`" in done.stderr
    assert "an address, not a file; `edgetl-run camera BUNDLE --source` takes it" in done.stderr
    assert "s3cret" not in done.stderr


def test_a_name_that_is_no_utf8_is_spelled_in_one_way(tiny, tmp_path, edgetl_run):
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(tiny / "golden" / "0.png", os.fsencode(folder) + b"/p\xff.png")
    path = os.fsdecode(os.fsencode(folder) + b"/p\xff.png")
    shown = f"{folder}/p\\xff.png"
    for arguments in (("classify", tiny, path), ("camera", tiny, "--source", folder)):
        (record,) = parse(edgetl_run(*arguments, "--json"))
        assert record.get("file", record["source"]) == shown
        assert edgetl_run(*arguments).stdout.startswith(shown)
    refused = edgetl_run("camera", tiny, "--source", path)
    assert "rename it, or give its folder" in refused.stderr
    assert f"found '{shown}"[:80] in refused.stderr
    assert "udcff" not in refused.stderr
