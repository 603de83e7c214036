"""What a folder holds, in the order that people expect; and why a path cannot be read."""

import os
import socket
import textwrap
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgetl_runtime.errors import FrameError
from edgetl_runtime.image.folders import count_and_name, order_naturally, read_folder
from edgetl_runtime.image.frames import read_frames
from edgetl_runtime.system.obstacles import find_obstacle

AS_NOBODY = textwrap.dedent("""
    import os, sys, tempfile
    from pathlib import Path
    from edgetl_runtime.system.obstacles import find_obstacle
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "mine.jpg").write_bytes(b"x")
        (folder / "mine.jpg").chmod(0o600)
        (folder / "closed").mkdir(mode=0o700)
        (folder / "closed" / "a.jpg").write_bytes(b"x")
        if os.geteuid() == 0:
            os.seteuid(65534)
        else:
            (folder / "mine.jpg").chmod(0)
            (folder / "closed").chmod(0)
        for path in ("mine.jpg", "closed", "closed/a.jpg"):
            print(find_obstacle(folder / path))
        if os.getuid() == 0:
            os.seteuid(0)
        (folder / "closed").chmod(0o700)
""")


def write_picture(path, level=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((8, 8, 3), level, np.uint8))
    return path


def names(entries, folder):
    return [str(entry.path.relative_to(folder)) for entry in entries]


@pytest.mark.parametrize(
    "ordered",
    [
        ["1.jpg", "2.jpg", "10.jpg", "11.jpg"],
        ["frame_9.png", "frame_10.png"],
        ["a1/2.png", "a2/1.png", "a10/1.png"],
        ["1", "A.jpg", "b.jpg", "C.jpg"],
        ["v1.9.png", "v1.10.png"],
        ["²3.png", "³2.png"],
        [f"{'9' * 300}.png", f"{'9' * 300}0.png"],
    ],
)
def test_numbers_in_names_count_as_numbers(ordered):
    paths = [Path(name) for name in ordered]
    assert sorted(reversed(paths), key=order_naturally) == paths


def test_a_folder_tells_pictures_from_videos_and_names_the_rest(tmp_path, make_video):
    for name in ("10.JPG", "2.jpg", "sub/1.png", "@eaDir/2.jpg", ".thumbs/2.jpg", "a/.hidden.png"):
        write_picture(tmp_path / "in" / name)
    (tmp_path / "in" / "2.jpg").rename(tmp_path / "in" / "2")
    make_video(3).rename(tmp_path / "in" / "clip.h264")
    (tmp_path / "in" / "notes.jpg").write_text("no image")
    (tmp_path / "in" / "empty.jpg").touch()
    (tmp_path / "in" / "gone.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(tmp_path / "in" / "pipe.jpg")
    found = read_folder(tmp_path / "in")
    assert names(found.pictures, tmp_path / "in") == ["2", "10.JPG", "sub/1.png"]
    assert names(found.videos, tmp_path / "in") == ["clip.h264"]
    assert dict(found.others) == {
        "notes.jpg": "a text file",
        "empty.jpg": "an empty file",
        "gone.jpg": "a broken link to nowhere.jpg",
        "pipe.jpg": "a named pipe (`edgetl-run camera BUNDLE --source - < PIPE` reads it), "
        "not a file",
    }


def test_linked_folders_are_read_once_whatever_they_lead_to(tmp_path):
    write_picture(tmp_path / "in" / "a.png")
    write_picture(tmp_path / "elsewhere" / "b.png")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "round").symlink_to(tmp_path / "in")
    found = read_folder(tmp_path / "in")
    assert sorted(entry.path.name for entry in found.pictures) == ["a.png", "b.png"]


def test_what_is_not_used_is_counted_and_the_first_are_named():
    assert count_and_name("file", [("a", "x")]) == "1 file is not used: a (x)"
    many = [(str(n), "x") for n in range(5)]
    assert count_and_name("file", many) == "5 files are not used: 0 (x), 1 (x), 2 (x) and 2 more"


def test_what_another_user_may_not_read_is_said_with_owner_and_rights(run_python):
    done = run_python(AS_NOBODY)
    assert done.returncode == 0, done.stderr
    file, folder, inside = done.stdout.splitlines()
    assert "may not read the file: it is " in file
    assert "`sudo chmod o+r` it" in file
    assert "may not read the folder: it is " in folder
    assert "may not look into " in inside
    assert inside.endswith("/closed")


def test_what_is_not_there_is_said(tmp_path, monkeypatch):
    (tmp_path / "film.mp4").touch()
    (tmp_path / "link.mp4").symlink_to("gone.mp4")
    (tmp_path / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as server:
        # The name of a socket may not be long.
        monkeypatch.chdir(tmp_path)
        server.bind("socket")
    assert find_obstacle(tmp_path / "film.mp4") == ""
    said = {
        "filn.mp4": f"there is no such file (did you mean {tmp_path / 'film.mp4'}?)",
        "other": "there is no such file",
        "no/film.mp4": f"there is no folder {tmp_path / 'no'}",
        "film.mp4/a.mp4": f"{tmp_path / 'film.mp4'} is a file, not a folder",
        "link.mp4": "a broken link to gone.mp4",
        "loop": "unreadable (Too many levels of symbolic links)",
        "x" * 300: "unreadable (File name too long)",
        "a\0b": "unreadable (embedded null byte)",
        "socket": "a socket, not a file",
    }
    assert {name: find_obstacle(tmp_path / name) for name in said} == said


@pytest.mark.parametrize("name", ["folder", "empty"])
def test_a_folder_and_an_empty_file_are_no_frame(name, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    with pytest.raises(FrameError, match=f"{name}: .*(a folder|an empty file)"):
        list(read_frames(tmp_path / name))
