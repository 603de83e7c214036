"""`edgetl data import`: from what a device collected to folders that a person corrects."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgetl.dataset.collected import _find_alike, read_collected
from edgetl.dataset.duplicates import find_links
from edgetl.dataset.importing import import_collected
from edgetl.dataset.listing import list_folder
from edgetl.drawings import draw_part
from edgetl.inspection.import_page import render_import
from edgetl_runtime.answers import Answer
from edgetl_runtime.errors import DatasetError, StorageError
from edgetl_runtime.outputs.collect import Collect
from edgetl_runtime.prediction import Prediction
from edgetl_runtime.settings.sections import CollectSettings

LABELS = ("bolt", "gear", "washer")
SURE, UNSURE, LOW = (0.05, 0.9, 0.05), (0.15, 0.45, 0.4), (0.3, 0.36, 0.34)


@pytest.fixture
def collect(tmp_path):
    """Collects a picture as the device does."""
    folder = tmp_path / "collected"
    settings = CollectSettings(
        what=("unsure", "rejected", "sampled"), folder=str(folder), every_s=1e-9
    )
    output = Collect(settings, lambda: "ab" * 32)

    def collect(picture, scores=SURE, labels=LABELS):
        values = np.array(scores, np.float32)
        now_s = time.monotonic()
        prediction = Prediction(labels, values, 0.4, now_s, now_s, 1.0, 2.0)
        answer = Answer(
            "camera", 0, (96, 96), prediction, values, prediction.label, prediction.score,
            False, False, None, "2026-05-28T20:26:40.250Z", picture,
        )  # fmt: skip
        assert output.accepts(answer)
        output.write(answer)
        return max(folder.glob("*.jpg"))

    return collect


@pytest.fixture
def collected(collect, tmp_path):
    """Four different parts: two sure, one unsure, one rejected."""
    for seed, (part, scores) in enumerate(
        [("gear", SURE), ("washer", SURE), ("gear", UNSURE), ("bolt", LOW)]
    ):
        collect(draw_part(part, 700 + seed, 96), scores)
    return tmp_path / "collected"


def run(*arguments):
    command = [sys.executable, "-m", "edgetl.cli", "data", "import", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)


def change_record(path, **changes):
    record = json.loads(path.with_suffix(".json").read_text())
    for name, value in changes.items():
        (record if name in record else record["answer"])[name] = value
    path.with_suffix(".json").write_text(json.dumps(record))


def test_frames_lie_in_the_folder_of_what_the_device_took_them_for(collected, tmp_path):
    report = import_collected(collected, tmp_path / "out")
    assert sorted((one.suggested, one.kind) for one in report.imported) == [
        ("_unsorted_", "rejected"),
        ("gear", "sampled"),
        ("gear", "sampled"),
        ("gear", "unsure"),
    ]
    for one in report.imported:
        copy, original = tmp_path / "out" / one.path, collected / one.source
        assert copy.read_bytes() == original.read_bytes()
        assert copy.name.startswith("2026-05-28T202640_")
    assert len(list(collected.iterdir())) == 8


def test_a_second_import_adds_nothing_and_overwrites_nothing(collected, collect, tmp_path):
    import_collected(collected, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.jpg")}
    again = import_collected(collected, tmp_path / "out")
    assert again.imported == ()
    assert len(again.copies) == 4
    collect(draw_part("washer", 900, 96))
    assert len(import_collected(collected, tmp_path / "out").imported) == 1
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_photo_that_a_person_moved_is_not_imported_again(collected, tmp_path):
    import_collected(collected, tmp_path / "out")
    (tmp_path / "out/bolt").mkdir()
    for path in list((tmp_path / "out/_unsorted_").iterdir()):
        path.rename(tmp_path / "out/bolt/mine.jpg")
    assert import_collected(collected, tmp_path / "out").imported == ()


def test_of_frames_that_look_alike_the_most_telling_one_is_kept(collect, tmp_path):
    part = draw_part("gear", 700, 96)
    collect(part, SURE)
    collect(cv2.convertScaleAbs(part, alpha=0.97), UNSURE)
    collect(cv2.convertScaleAbs(part, alpha=0.94), SURE)
    report = import_collected(tmp_path / "collected", tmp_path / "out")
    assert [one.kind for one in report.imported] == ["unsure"]
    assert len(report.similar) == 2
    kept = import_collected(tmp_path / "collected", tmp_path / "all", keep_similar=True)
    assert len(kept.imported) == 3


def test_of_a_slow_pan_no_two_frames_that_stay_look_alike():
    random = np.random.default_rng(0)
    wall = cv2.resize(random.integers(0, 256, (14, 44), np.uint8), (352, 112), interpolation=3)
    frames = [np.ascontiguousarray(wall[20:84, n // 2 : n // 2 + 64]) for n in range(120)]
    alike = _find_alike([], frames)
    assert 0 < len(alike) < len(frames) - 2
    assert find_links([one for n, one in enumerate(frames) if n not in alike]) == []


def test_what_looks_like_a_photo_of_the_known_data_is_left_out(collect, photos, tmp_path):
    collect(cv2.imread(str(photos / "gear/03.jpg")))
    collect(draw_part("gear", 700, 96))
    report = import_collected(tmp_path / "collected", tmp_path / "out", known=photos)
    assert len(report.imported) == 1
    assert report.similar == ("000000001_sampled_gear.jpg",)


def test_a_damaged_picture_and_a_link_are_refused(collected, tmp_path):
    first, second, *_ = sorted(collected.glob("*.jpg"))
    first.write_bytes(first.read_bytes()[:400])
    outside = tmp_path / "outside.jpg"
    second.rename(outside)
    second.symlink_to(outside)
    report = import_collected(collected, tmp_path / "out")
    assert {one.path for one in report.refused} == {first.name, second.name}
    assert len(report.imported) == 2


@pytest.mark.parametrize(
    "label",
    ["../owned", "/tmp/owned", "a/b", "", ".", "..", "a\n", "_unknown_", "_Unsorted_", "x" * 300],
)
def test_a_label_that_is_no_folder_is_not_believed(collect, tmp_path, label):
    path = collect(draw_part("gear", 700, 96))
    change_record(path, frame_label=label)
    report = import_collected(tmp_path / "collected", tmp_path / "out")
    assert [one.suggested for one in report.imported] == ["_unsorted_"]
    assert len(report.doubted) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["collected", "out"]


@pytest.mark.parametrize(
    "changes",
    [
        {"format_version": 1},
        {"kinds": []},
        {"kinds": ["funny"]},
        {"frame_score": 1.5},
        {"time": "../../x"},
        {"top": [{"label": "a", "score": -1}]},
    ],
)
def test_a_record_that_cannot_be_true_is_not_believed(collect, tmp_path, changes):
    change_record(collect(draw_part("gear", 700, 96)), **changes)
    report = import_collected(tmp_path / "collected", tmp_path / "out")
    assert [one.suggested for one in report.imported] == ["_unsorted_"]
    assert len(report.doubted) == 1


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 60_000, b" " * 70_000, b"\xff\xfe", b"null"])
def test_a_record_that_is_none_is_not_believed(collect, tmp_path, data):
    path = collect(draw_part("gear", 700, 96))
    path.with_suffix(".json").write_bytes(data)
    (doubt,) = read_collected(tmp_path / "collected").doubted
    assert doubt.path == path.with_suffix(".json").name


def test_a_picture_without_a_record_is_imported_unsorted(collect, tmp_path):
    collect(draw_part("gear", 700, 96)).with_suffix(".json").unlink()
    report = import_collected(tmp_path / "collected", tmp_path / "out")
    assert [one.suggested for one in report.imported] == ["_unsorted_"]
    assert report.imported[0].path.startswith("_unsorted_/undated_")
    assert report.doubted == ()


def test_a_link_in_the_target_is_not_followed(collected, tmp_path, wording):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/gear").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match=wording):
        import_collected(collected, tmp_path / "out")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_the_collected_folder_cannot_be_the_target(collected, wording):
    for target in (collected, collected / "out", collected.parent):
        with pytest.raises(StorageError, match=wording):
            import_collected(collected, target)


def test_training_refuses_what_nobody_has_sorted(collected, photos_copy, wording):
    import_collected(collected, photos_copy)
    with pytest.raises(DatasetError, match=wording):
        list_folder(photos_copy)
    shutil.rmtree(photos_copy / "_unsorted_")
    (photos_copy / "_unsorted_").mkdir()
    assert list_folder(photos_copy).labels == LABELS


def test_the_page_shows_each_photo_with_what_the_device_said(collect, tmp_path):
    path = collect(draw_part("gear", 700, 96), UNSURE)
    change_record(path, top=[{"label": "<b>gear</b>", "score": 0.45}])
    collect(draw_part("bolt", 701, 96), LOW)
    report = import_collected(tmp_path / "collected", tmp_path / "out")
    page = render_import(report)
    assert page.count('<img src="data:image/jpeg') == 2
    assert "&lt;b&gt;gear&lt;/b&gt; 45%" in page
    assert "<b>gear</b>" not in page
    assert "_unsorted_" in page
    assert "Training refuses them" in page


def test_the_command_prints_counts_page_and_what_comes_next(collected, tmp_path):
    out, page = tmp_path / "out", tmp_path / "import.html"
    (collected / "000000009_x.jpg").write_bytes(b"no image")
    done = run(collected, "--out", out, "--page", page)
    assert done.returncode == 0, done.stderr
    assert f"4 new photos in {out}; 0 already known, 0 similar to another" in done.stdout
    assert "all of _unsorted_" in done.stdout
    assert done.stdout.splitlines()[-1] == f"next: edgetl data check {out}"
    assert "left out 000000009_x.jpg" in done.stderr
    assert page.read_text().startswith("<!doctype html>")
    again = run(collected, "--out", out, "--page", page)
    assert again.returncode == 1
    assert "add --overwrite" in again.stderr


def test_the_command_prints_one_json_object(collected, tmp_path):
    done = run(collected, "--out", tmp_path / "out", "--page", tmp_path / "p.html", "--json")
    record = json.loads(done.stdout)
    assert len(record["report"]["imported"]) == 4
    assert Path(record["page"]).exists()


@pytest.mark.parametrize("kind", ["gone", "empty"])
def test_nothing_to_import_is_one_line(tmp_path, kind):
    if kind == "empty":
        (tmp_path / kind).mkdir()
    done = run(tmp_path / kind, "--out", tmp_path / "out", "--page", tmp_path / "p.html")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_known_photos_that_are_not_there_are_named(collected, photos, tmp_path):
    shutil.copy(photos / "gear/00.jpg", tmp_path / "here.jpg")
    rows = ["here.jpg,gear", *(f"gone/{n}.jpg,gear" for n in range(6))]
    (tmp_path / "known.csv").write_text("path,label\n" + "\n".join(rows) + "\n")
    words = r"6 of 7 photos are missing: gone/0.jpg, gone/1.jpg, .* and 2 more"
    with pytest.raises(DatasetError, match=words):
        import_collected(collected, tmp_path / "out", known=tmp_path / "known.csv")
    assert not (tmp_path / "out").exists()
