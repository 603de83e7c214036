"""`edgetl data check` as a user and a machine meet it, in a process of its own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def check(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "edgetl.cli", "data", "check", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)


@pytest.fixture(scope="module")
def faulty(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(shutil.copytree(photos, tmp_path_factory.mktemp("faulty") / "photos"))
    shutil.copy(folder / "gear/01.jpg", folder / "gear/same.jpg")
    return folder


def test_check_prints_a_table_the_page_and_the_next_command(faulty: Path, tmp_path: Path) -> None:
    done = check(faulty, "--weights", "none", "--out", tmp_path / "page.html")
    assert done.returncode == 0, done.stderr
    assert "gear/01.jpg (+1)" in done.stdout
    assert f"page: {tmp_path / 'page.html'}" in done.stdout
    assert done.stdout.splitlines()[-1] == f"next: edgetl train {faulty} --out runs/photos"
    assert "not checked" in done.stderr
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_check_does_not_send_to_a_training_that_must_fail(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos / "bolt", tmp_path / "one/bolt")
    done = check(tmp_path / "one", "--weights", "none", "--out", tmp_path / "page.html")
    assert done.returncode == 0, done.stderr
    assert "before training: " in done.stdout.splitlines()[-1]
    assert "a classifier needs at least two classes" in done.stdout.splitlines()[-1]


def test_check_prints_one_json_object_and_is_strict_if_asked(faulty: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = check(faulty, "--weights", "none", "--out", page, "--json", "--strict")
    assert done.returncode == 3
    record = json.loads(done.stdout)
    assert record["page"] == str(page)
    copies = [one for one in record["report"]["issues"] if one["kind"] == "exact_duplicate"]
    assert copies[0]["paths"] == ["gear/01.jpg", "gear/same.jpg"]
    assert set(copies[0]) == {
        "kind", "paths", "what", "sure", "advice", "label", "suggested", "score",
    }  # fmt: skip


def test_check_refuses_an_existing_page_before_it_reads_a_photo(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("mine")
    done = check(tmp_path / "gone", "--out", tmp_path / "page.html")
    assert done.returncode == 1
    assert "add --overwrite" in done.stderr
    assert (tmp_path / "page.html").read_text() == "mine"


def test_check_of_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    done = check(tmp_path / "gone", "--weights", "none", "--out", tmp_path / "page.html")
    assert done.returncode == 1
    assert done.stderr.startswith(f"edgetl: {tmp_path / 'gone'} is not a folder")
    assert len(done.stderr.splitlines()) == 1


def test_check_says_how_many_photos_are_of_other_things(photos_copy: Path, tmp_path: Path) -> None:
    (photos_copy / "washer").rename(photos_copy / "_unknown_")
    page = tmp_path / "page.html"
    done = check(photos_copy, "--weights", "none", "--out", page)
    assert done.returncode == 0, done.stderr
    assert "32 photos of 2 classes, 16 unknown, 0 left out" in done.stdout
    done = check(photos_copy, "--weights", "none", "--out", page, "--overwrite", "--json")
    assert json.loads(done.stdout)["report"]["unknown"] == 16


def test_twelve_against_twelve_photos_are_few_but_in_balance(
    photos_copy: Path, tmp_path: Path
) -> None:
    shutil.rmtree(photos_copy / "washer")
    for path in [*photos_copy.glob("*/1[2-5].jpg")]:
        path.unlink()
    done = check(photos_copy, "--weights", "none", "--size", 64, "--out", tmp_path / "page.html")
    assert "out of balance" not in done.stdout
    last = "24 photos of 2 classes, 0 left out: 2 classes with few photos"
    assert last in done.stdout.splitlines()


def test_check_names_what_it_leaves_out_and_what_looks_odd(
    photos_copy: Path, tmp_path: Path
) -> None:
    for name in ("monday", "tuesday"):
        shutil.copytree(photos_copy, tmp_path / "days" / name)
        shutil.rmtree(tmp_path / "days" / name / "bolt")
    (tmp_path / "days/@eaDir").mkdir()
    done = check(tmp_path / "days", "--weights", "none", "--out", tmp_path / "page.html")
    assert done.returncode == 0, done.stderr
    assert "left out @eaDir: a hidden or system folder" in done.stderr
    assert "1 ambiguous folder" in done.stdout
    assert "folders with the same names (gear, washer)" in (tmp_path / "page.html").read_text()
