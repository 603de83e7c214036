"""`edgetl-run teach`, `learn-scene` and `learned`, as a person runs them."""

import json
import os
import shutil
import zipfile

import cv2
import msgspec
import pytest

from edgetl_runtime.answers import AnswerRecord
from edgetl_runtime.outputs.collect import CollectedFrame
from tests.runtime.conftest import draw_cross


@pytest.fixture
def taught(edgetl_run, tiny_copy, cross_folder):
    done = edgetl_run("teach", tiny_copy, "cross", cross_folder)
    assert done.returncode == 0, done.stderr
    return done


def test_teaching_a_folder_ends_with_what_comes_next(taught, tiny_copy, cross_folder):
    lines = taught.stdout.splitlines()
    assert lines[0] == "lesson 1: cross (new), 20 frames"
    assert any(line.startswith("the other classes: ") for line in lines)
    assert lines[-1] == f"next: edgetl-run classify {tiny_copy} {cross_folder}"


def test_what_was_taught_is_listed_answered_undone_and_gone(
    taught, edgetl_run, tiny_copy, cross_folder
):
    listed = json.loads(edgetl_run("learned", tiny_copy, "--json").stdout)["lessons"]
    assert [(one["number"], one["label"], one["frames"]) for one in listed] == [(1, "cross", 20)]
    answered = edgetl_run("classify", tiny_copy, cross_folder, "--json").stdout.splitlines()
    tops = [json.loads(line)["top"][0]["label"] for line in answered]
    assert tops.count("cross") >= 14
    undone = edgetl_run("learned", tiny_copy, "--undo")
    assert undone.stdout.splitlines()[0] == "lesson 1 is forgotten"
    assert edgetl_run("learned", tiny_copy, "--json").stdout == '{"lessons":[]}\n'
    again = edgetl_run("learned", tiny_copy, "--undo")
    assert again.returncode == 1


def test_a_source_teaches_the_place(edgetl_run, tiny_copy):
    done = edgetl_run("learn-scene", tiny_copy, "--source", "pattern", "--seconds", 1, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["kind"], report["label"], report["stored"]) == ("scene", None, True)
    assert report["frames"] >= 5


def test_a_video_teaches(edgetl_run, tiny_copy, tmp_path):
    path = tmp_path / "cross.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (72, 72))
    for seed in range(20):
        writer.write(draw_cross(seed))
    writer.release()
    done = edgetl_run("teach", tiny_copy, "cross", "--source", path, "--seconds", 1, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["frames"] == 10


def test_lessons_go_home_in_the_format_of_collected_frames(taught, edgetl_run, tiny_copy, tmp_path):
    target = tmp_path / "lessons.zip"
    done = edgetl_run("learned", tiny_copy, "--export", target)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(target) as archive:
        names = archive.namelist()
        records = [
            msgspec.json.decode(archive.read(name), type=CollectedFrame)
            for name in names
            if name.endswith(".json")
        ]
    assert len(names) == 40
    assert {one.corrected_label for one in records} == {"cross"}
    assert all(isinstance(one.answer, AnswerRecord) for one in records)


def test_what_is_known_by_another_name_is_refused_with_that_name(
    taught, edgetl_run, tiny_copy, cross_folder
):
    again = edgetl_run("teach", tiny_copy, "plus", cross_folder)
    assert again.returncode == 3
    assert again.stdout.startswith("not learned: plus (new), 20 frames")
    assert "most look like cross" in again.stderr


def test_no_file_is_replaced_by_lessons_without_being_told(taught, edgetl_run, tiny_copy, tmp_path):
    target = tmp_path / "notes.txt"
    target.write_text("mine")
    refused = edgetl_run("learned", tiny_copy, "--export", target)
    assert refused.returncode == 1
    assert "notes.txt exists; choose another name or add --overwrite" in refused.stderr
    assert target.read_text() == "mine"
    assert edgetl_run("learned", tiny_copy, "--export", target, "--overwrite").returncode == 0
    assert zipfile.is_zipfile(target)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("teach", "Gear"), "there is gear, which differs in spelling only; write gear"),
        (("teach", "Unknown"), "Unknown is no label: show what is none of the classes with"),
        (("learn-scene", "GEAR"), "there is gear, which differs in spelling only; write gear"),
    ],
)
def test_a_label_that_training_would_refuse_is_refused(
    command, said, edgetl_run, tiny_copy, cross_folder
):
    name, label = command
    words = (tiny_copy, label) if name == "teach" else ("--label", label, tiny_copy)
    done = edgetl_run(name, *words, cross_folder)
    assert done.returncode == 1
    assert said in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_that_cannot_be_written_is_told_at_once(edgetl_run, tiny_copy, cross_folder):
    tiny_copy.parent.chmod(0o555)
    try:
        done = edgetl_run("teach", tiny_copy, "cross", cross_folder)
    finally:
        tiny_copy.parent.chmod(0o755)
    assert done.returncode == 1
    assert "copy the bundle to a folder that can be" in done.stderr


def test_one_frame_is_refused(edgetl_run, tiny_copy, cross_folder, wording):
    done = edgetl_run("teach", tiny_copy, "cross", cross_folder / "0.png")
    assert done.returncode == 1
    assert wording in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("teach", "B", "cross"), ("teach", "B", "cross", "P", "--source", "0"), ("learn-scene", "B")],
)
def test_files_or_a_source_are_needed_and_not_both(arguments, edgetl_run, tiny_copy, cross_folder):
    places = {"B": tiny_copy, "P": cross_folder}
    done = edgetl_run(*(places.get(one, one) for one in arguments))
    assert done.returncode == 2


def test_a_lesson_of_another_bundle_is_told_and_cleared(
    taught, edgetl_run, tiny_copy, edit, cross_folder, wording
):
    edit(lambda manifest: manifest["provenance"].update(name="another"))
    answered = edgetl_run("classify", tiny_copy, cross_folder / "0.png")
    assert answered.returncode == 0
    assert wording in answered.stderr
    refused = edgetl_run("teach", tiny_copy, "cross", cross_folder)
    assert refused.returncode == 1
    assert wording in refused.stderr
    assert edgetl_run("learned", tiny_copy, "--clear").returncode == 0
    assert edgetl_run("classify", tiny_copy, cross_folder / "0.png").stderr.count(wording) == 0


def test_a_bundle_in_a_zip_learns_beside_it(edgetl_run, tiny_copy, cross_folder, tmp_path):
    zipped = shutil.make_archive(str(tmp_path / "parts"), "zip", tiny_copy)
    assert edgetl_run("teach", zipped, "cross", cross_folder).returncode == 0
    assert (tmp_path / "parts.zip.overlay" / "overlay.json").is_file()


def test_a_damaged_photo_hides_neither_the_lessons_nor_the_other_photos(
    taught, edgetl_run, tiny_copy, tmp_path
):
    overlay = tiny_copy.with_name(f"{tiny_copy.name}.overlay")
    (overlay / "lesson-0001" / "0003.jpg").unlink()
    (overlay / "lesson-0001" / "0005.jpg").write_bytes(b"no JPEG")
    listed = edgetl_run("learned", tiny_copy)
    assert listed.returncode == 1
    assert "cross" in listed.stdout
    assert [name in listed.stderr for name in ("0003.jpg", "0004.jpg", "0005.jpg")] == [1, 0, 1]
    target = tmp_path / "lessons.zip"
    handed = edgetl_run("learned", tiny_copy, "--export", target)
    assert handed.returncode == 1
    assert handed.stdout.startswith("18 frames in ")
    with zipfile.ZipFile(target) as archive:
        assert len(archive.namelist()) == 36


def test_undo_of_a_lesson_tells_of_damage_in_those_before_it(
    taught, edgetl_run, tiny_copy, cross_folder
):
    assert edgetl_run("learn-scene", tiny_copy, "--label", "cross", cross_folder).returncode == 0
    overlay = tiny_copy.with_name(f"{tiny_copy.name}.overlay")
    (overlay / "lesson-0001" / "0003.jpg").unlink()
    undone = edgetl_run("learned", tiny_copy, "--undo")
    assert undone.stdout.startswith("lesson 2 is forgotten")
    assert "0003.jpg" in undone.stderr
    assert undone.returncode == 0


def test_lessons_are_told_where_they_answer_and_where_they_are_not_checked(
    taught, edgetl_run, tiny_copy, cross_folder
):
    answered = edgetl_run("classify", tiny_copy, cross_folder / "0.png")
    assert "answers with 1 lesson kept beside the bundle" in answered.stderr
    watched = edgetl_run("camera", tiny_copy, "--source", "pattern", "--max-frames", 2)
    assert "answers with 1 lesson kept beside the bundle" in watched.stderr
    verified = edgetl_run("verify", tiny_copy)
    assert "without the lessons beside it" in verified.stdout


@pytest.mark.parametrize("flag", [("--label", "cross"), ("--threads", 1)])
def test_files_may_come_after_flags(flag, taught, edgetl_run, tiny_copy, cross_folder):
    assert edgetl_run("learn-scene", tiny_copy, *flag, cross_folder).returncode in (0, 3)
    unknown = edgetl_run("learn-scene", tiny_copy, *flag, cross_folder, "--fast")
    assert unknown.returncode == 2
    assert "unknown flag --fast" in unknown.stderr
