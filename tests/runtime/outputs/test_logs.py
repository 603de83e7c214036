"""JSON lines and CSV: whole lines, bounded size, and a disk that refuses."""

import codecs
import csv
import json
import os
import re
import shutil

import pytest

from edgetl_runtime.errors import UndeliveredError
from edgetl_runtime.outputs.logs import CsvRows, JsonLines, list_columns
from edgetl_runtime.outputs.rotation import RotatingFile
from edgetl_runtime.system import clock

MB = 10**6


@pytest.fixture
def jsonl(tmp_path):
    output = JsonLines(tmp_path / "new" / "answers.jsonl", 2, MB, only_events=False)
    yield output
    output.close()


def read_lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_line_says_all_about_an_answer(jsonl, tmp_path, make_answer):
    jsonl.write(make_answer(3, captured_s=12.5))
    jsonl.write(make_answer(9, label="Mutter \U0001f529", previous=None, stale=True))
    plain, changed = read_lines(tmp_path / "new" / "answers.jsonl")
    assert re.fullmatch(r"[0-9a-f-]{36}", plain.pop("boot_id"))
    assert plain.pop("clock_synced") in (True, False, None)
    assert plain == {
        "version": 1,
        "sequence": 1,
        "time": "2026-05-28T20:26:40.250Z",
        "source": "camera",
        "frame": 3,
        "size_px": [64, 48],
        "label": "gear",
        "score": 0.75,
        "frame_label": "gear",
        "frame_score": 0.75,
        "top": [{"label": "gear", "score": 0.75}, {"label": "spring", "score": 0.1875}],
        "captured_s": 12.5,
        "preprocess_ms": 1.25,
        "invoke_ms": 2.5,
        "age_ms": 15.0,
        "stale": False,
        "low_information": False,
        "event": None,
        "file": None,
        "position_s": None,
    }
    assert changed["sequence"] == 2
    assert changed["stale"] is True
    assert changed["event"] == {
        "number": 1,
        "label": "Mutter \U0001f529",
        "previous": None,
        "score": 0.75,
        "time": "2026-05-28T20:26:40.250Z",
    }


def test_csv_has_one_header_and_a_cell_for_each_column(tmp_path, make_answer):
    path = tmp_path / "answers.csv"
    for _ in range(2):
        output = CsvRows(path, 2, MB, only_events=False)
        output.write(make_answer(3))
        output.write(make_answer(4, label='a "b",\nc', previous="gear", labels=("x", "y", "z")))
        output.close()
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == list_columns(2)
    assert [len(row) for row in rows] == [len(header)] * 4
    first, second = (dict(zip(header, row, strict=True)) for row in rows[:2])
    assert (first["frame"], first["label"], first["stale"]) == ("3", "gear", "false")
    assert (first["top2_label"], first["top2_score"]) == ("spring", "0.1875")
    assert first["event_number"] == ""
    assert second["label"] == 'a "b",\\nc'
    assert (second["event_number"], second["event_previous"]) == ("1", "gear")


def test_a_csv_with_other_columns_is_set_aside(tmp_path, make_answer):
    path = tmp_path / "answers.csv"
    for top in (2, 3):
        output = CsvRows(path, top, MB, only_events=False)
        output.write(make_answer())
        output.close()
    assert path.read_text().startswith(",".join(list_columns(3)))
    assert (tmp_path / "answers.csv.1").read_text().startswith(",".join(list_columns(2)))


def test_a_csv_for_excel_begins_once_with_a_mark(tmp_path, make_answer):
    path = tmp_path / "answers.csv"
    for _ in range(2):
        output = CsvRows(path, 1, MB, only_events=False, mark=True)
        output.write(make_answer(labels=("Äpfel", "b", "c")))
        output.close()
    assert path.read_bytes().count(codecs.BOM_UTF8) == 1
    header, *rows = path.read_text("utf-8-sig").splitlines()
    assert header == ",".join(list_columns(1))
    assert ["Äpfel" in row for row in rows] == [True, True]
    assert os.listdir(tmp_path) == ["answers.csv"]


def test_every_csv_that_is_begun_anew_has_the_mark(tmp_path, make_answer):
    output = CsvRows(tmp_path / "a.csv", 1, 1500, only_events=False, mark=True)
    for index in range(20):
        output.write(make_answer(index))
    output.close()
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "a.csv.1"]
    assert all(file.read_bytes().startswith(codecs.BOM_UTF8) for file in tmp_path.iterdir())


def test_only_events_takes_no_other_answers(tmp_path, make_answer):
    output = JsonLines(tmp_path / "events.jsonl", 2, MB, only_events=True)
    assert not output.accepts(make_answer())
    assert output.accepts(make_answer(previous="gear"))


def test_files_stay_below_the_quota_and_one_older_is_kept(tmp_path, make_answer):
    output = JsonLines(tmp_path / "a.jsonl", 2, 5000, only_events=False)
    for index in range(100):
        output.write(make_answer(index))
    output.close()
    assert sorted(os.listdir(tmp_path)) == ["a.jsonl", "a.jsonl.1"]
    assert all(file.stat().st_size <= 5000 for file in tmp_path.iterdir())
    frames = [
        record["frame"]
        for name in ("a.jsonl.1", "a.jsonl")
        for record in read_lines(tmp_path / name)
    ]
    assert frames == list(range(100 - len(frames), 100))


def test_a_line_cut_by_a_power_cut_damages_no_other(tmp_path, make_answer):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"sequence":1}\n{"sequ')
    output = JsonLines(path, 2, MB, only_events=False)
    output.write(make_answer(5))
    output.close()
    whole, torn, new = path.read_text().splitlines()
    assert (whole, torn) == ('{"sequence":1}', '{"sequ')
    assert json.loads(new)["frame"] == 5


def test_a_file_that_was_deleted_is_made_again(jsonl, tmp_path, make_answer):
    jsonl.write(make_answer(1))
    shutil.rmtree(tmp_path / "new")
    jsonl.write(make_answer(2))
    assert [record["frame"] for record in read_lines(tmp_path / "new/answers.jsonl")] == [2]


def test_a_full_disk_leaves_whole_lines_and_is_used_again_later(small_disk, make_answer, wording):
    path, ballast = small_disk / "a.jsonl", small_disk / "ballast"
    output = JsonLines(path, MB, MB, only_events=False)
    output.write(make_answer(0))
    with pytest.raises(OSError, match=wording[0]), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))
    written = 1
    with pytest.raises(UndeliveredError, match=wording[1]):
        while True:
            output.write(make_answer(written))
            written += 1
    assert [one["frame"] for one in read_lines(path)] == list(range(written))
    ballast.unlink()
    output.write(make_answer(written))
    output.close()
    assert [one["frame"] for one in read_lines(path)] == list(range(written + 1))


def test_a_read_only_folder_is_an_error_with_the_path(read_only_folder, make_answer, wording):
    output = JsonLines(read_only_folder / "a.jsonl", 2, MB, only_events=False)
    with pytest.raises(UndeliveredError, match=wording):
        output.write(make_answer())
    output.close()


def test_a_header_alone_is_never_rotated_away(tmp_path):
    file = RotatingFile(tmp_path / "a.csv", 4, header=b"a,b\n")
    file.append(b"1,2,3,4,5\n")
    file.append(b"6,7,8,9,0\n")
    file.close()
    assert (tmp_path / "a.csv").read_bytes() == b"a,b\n6,7,8,9,0\n"
    assert (tmp_path / "a.csv.1").read_bytes() == b"a,b\n1,2,3,4,5\n"


@pytest.mark.parametrize("synchronized", [True, False])
def test_timesyncd_tells_whether_the_clock_is_right(tmp_path, monkeypatch, synchronized):
    monkeypatch.setattr(clock, "_TIMESYNC", tmp_path)
    if synchronized:
        (tmp_path / "synchronized").touch()
    assert clock.ClockCheck().is_synced() is synchronized


def test_without_timesyncd_the_kernel_is_asked_unless_calls_are_filtered(tmp_path, monkeypatch):
    monkeypatch.setattr(clock, "_TIMESYNC", tmp_path / "gone")
    monkeypatch.setattr(clock, "_is_filtered", lambda: True)
    assert clock.ClockCheck().is_synced() is None
    monkeypatch.setattr(clock, "_is_filtered", lambda: False)
    assert clock.ClockCheck().is_synced() in (True, False, None)
