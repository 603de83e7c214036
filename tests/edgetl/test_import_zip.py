"""`edgetl data import` of a phone's zip: the same pairs as a board's folder, labels corrected."""

import json
import os
import stat
import subprocess
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import cv2
import pytest

from edgetl.dataset import collected_zip
from edgetl.dataset.importing import import_collected
from edgetl.drawings import draw_part
from edgetl.inspection.import_page import render_import
from edgetl_runtime.errors import DatasetError

# What the page writes beside each JPEG.
RECORD = Path(__file__).parents[1] / "data" / "phone_frame.json"


def make_frame(number, part="gear", **changes):
    """Name, JPEG and record of a frame; `changes` are of the record, or of its answer."""
    record = json.loads(RECORD.read_bytes())
    for name, value in changes.items():
        (record if name in record else record["answer"])[name] = value
    picture = cv2.imencode(".jpg", draw_part(part, 700 + number, 96))[1].tobytes()
    return f"{number:09d}_{record['kinds'][0]}_gear", picture, json.dumps(record).encode()


@pytest.fixture
def zipped(tmp_path):
    """Writes frames into a zip as the page does: stored, at its top."""

    def write(*frames, folder="", method=zipfile.ZIP_STORED):
        path = tmp_path / "edgetl-frames.zip"
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, picture, record in frames:
                archive.writestr(f"{folder}{name}.jpg", picture)
                archive.writestr(f"{folder}{name}.json", record)
        return path

    return write


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Where zips are unpacked: must be empty afterwards."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def suggest(report):
    return sorted((one.suggested, one.corrected) for one in report.imported)


def test_a_corrected_label_decides_the_folder(zipped, tmp_path):
    frames = (
        make_frame(1, corrected_label=None),
        make_frame(2, "bolt", corrected_label="bolt"),
        make_frame(3, "washer", corrected_label="_unknown_"),
        make_frame(4, "washer", corrected_label="a new class"),
        make_frame(5, "bolt", corrected_label=None, frame_label=None, kinds=["rejected"]),
    )
    path = zipped(*frames)
    report = import_collected(path, tmp_path / "out")
    assert suggest(report) == [
        ("_unknown_", True),
        ("_unsorted_", False),
        ("a new class", True),
        ("bolt", True),
        ("gear", False),
    ]
    assert report.collected == str(path)
    assert report.doubted == report.refused == ()
    pictures = {name + ".jpg": picture for name, picture, _ in frames}
    for one in report.imported:
        assert (tmp_path / "out" / one.path).read_bytes() == pictures[one.source]


def test_a_zip_gives_what_the_same_folder_gives(zipped, tmp_path):
    frames = [make_frame(n, corrected_label=None) for n in range(1, 5)]
    (tmp_path / "folder").mkdir()
    for name, picture, record in frames:
        (tmp_path / "folder" / f"{name}.jpg").write_bytes(picture)
        (tmp_path / "folder" / f"{name}.json").write_bytes(record)
    by_folder = import_collected(tmp_path / "folder", tmp_path / "a")
    by_zip = import_collected(zipped(*frames), tmp_path / "b")
    assert by_zip.imported == by_folder.imported
    assert len(by_zip.imported) == 4


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_folder_that_a_person_zipped_is_taken(zipped, tmp_path, method):
    path = zipped(make_frame(1), folder="collected/", method=method)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/collected/._000000001_picked_gear.jpg", b"resource fork")
        archive.writestr("collected/empty/", b"")
    report = import_collected(path, tmp_path / "out")
    assert len(report.imported) == 1
    assert report.refused == ()


def test_a_record_of_format_2_is_read_as_before(zipped, tmp_path):
    name, picture, record = make_frame(1, format_version=2, kinds=["unsure"])
    old = json.loads(record)
    del old["corrected_label"]
    report = import_collected(zipped((name, picture, json.dumps(old).encode())), tmp_path / "out")
    assert [(one.suggested, one.kind) for one in report.imported] == [("gear", "unsure")]


@pytest.mark.parametrize(
    "changes",
    [
        {"corrected_label": ""},
        {"corrected_label": "../owned"},
        {"corrected_label": "_unsorted_"},
        {"corrected_label": "a\nb"},
        {"corrected_label": 3},
        {"kinds": ["funny"]},
        {"format_version": 5},
    ],
)
def test_a_record_that_cannot_be_true_is_not_believed(zipped, tmp_path, changes):
    report = import_collected(zipped(make_frame(1, **changes)), tmp_path / "out")
    assert suggest(report) == [("_unsorted_", False)]
    assert len(report.doubted) == 1


def test_of_frames_that_look_alike_the_corrected_one_is_kept(zipped, tmp_path):
    name, picture, record = make_frame(1, corrected_label=None, kinds=["rejected"])
    paler = cv2.convertScaleAbs(draw_part("gear", 701, 96), alpha=0.97)
    other = make_frame(2, corrected_label="bolt", kinds=["sampled"])
    other = (other[0], cv2.imencode(".jpg", paler)[1].tobytes(), other[2])
    report = import_collected(zipped((name, picture, record), other), tmp_path / "out")
    assert suggest(report) == [("bolt", True)]


def test_of_two_corrections_of_one_picture_the_last_counts(zipped, tmp_path):
    first = make_frame(1, corrected_label="bolt")
    name, _, record = make_frame(2, corrected_label="washer")
    report = import_collected(zipped(first, (name, first[1], record)), tmp_path / "out")
    assert suggest(report) == [("washer", True)]


def test_a_correction_of_a_photo_that_is_there_is_told(zipped, tmp_path):
    import_collected(zipped(make_frame(1, corrected_label=None)), tmp_path / "out")
    again = import_collected(zipped(make_frame(1, corrected_label="bolt")), tmp_path / "out")
    assert again.imported == ()
    assert again.unmoved == ("000000001_picked_gear.jpg",)


def add_unsafe(path, name, data=b"x", **fields):
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        member = zipfile.ZipInfo(name)
        for field, value in fields.items():
            setattr(member, field, value)
        archive.writestr(member, data)


@pytest.mark.parametrize(
    ("name", "fields", "words"),
    [
        ("../owned.jpg", {}, "unsafe path"),
        ("/tmp/owned.jpg", {}, "unsafe path"),
        ("a\\..\\owned.jpg", {}, "unsafe path"),
        ("link.jpg", {"external_attr": (stat.S_IFLNK | 0o777) << 16}, "holds the link"),
        ("000000001_picked_gear.jpg", {}, "twice"),
        ("folder/000000001_picked_gear.jpg", {}, "twice"),
        ("lzma.jpg", {"compress_type": zipfile.ZIP_LZMA}, "not compressed with deflate"),
    ],
)
def test_an_unsafe_zip_is_refused_whole(zipped, tmp_path, name, fields, words):
    path = zipped(make_frame(1))
    add_unsafe(path, name, **fields)
    before = sorted(one.name for one in tmp_path.iterdir())
    with pytest.raises(DatasetError, match=words) as caught:
        import_collected(path, tmp_path / "out")
    assert "bundle" not in str(caught.value)
    assert sorted(one.name for one in tmp_path.iterdir()) == before


def test_a_bomb_is_refused_before_it_is_unpacked(zipped, tmp_path, monkeypatch):
    path = zipped(make_frame(1))
    zeros = bytes(3 * 2**20)
    for n in range(3):
        add_unsafe(path, f"{n}.jpg", zeros, compress_type=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**18
    monkeypatch.setattr(collected_zip, "MOST_BYTES_IN_ALL", 8 * 2**20)
    with pytest.raises(DatasetError, match=r"unpacks to 9,4.* bytes, expected 8,388,608 at most"):
        import_collected(path, tmp_path / "out")
    monkeypatch.setattr(collected_zip, "MOST_BYTES_IN_ALL", 2**30)
    monkeypatch.setattr(collected_zip, "MOST_BYTES", 2**20)
    with pytest.raises(DatasetError, match=r"0\.jpg has 3145728 bytes, expected 1048576 at most"):
        import_collected(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_member_that_hides_bytes_is_refused(zipped, tmp_path):
    path = zipped(make_frame(1))
    add_unsafe(path, "more.jpg", bytes(2**20), compress_type=zipfile.ZIP_DEFLATED)
    data = path.read_bytes()
    # In the local header and in the directory, its size becomes 100.
    path.write_bytes(data.replace((2**20).to_bytes(4, "little"), (100).to_bytes(4, "little")))
    with pytest.raises(DatasetError, match="is damaged"):
        import_collected(path, tmp_path / "out")


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other"])
def test_a_damaged_zip_is_told_with_what_to_do(zipped, tmp_path, damage):
    path = zipped(make_frame(1), method=zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    data[200] ^= 255
    changed = {"cut": data[:-100], "flipped": data, "empty": b"", "other": b"no zip" * 100}
    path.write_bytes(changed[damage])
    with pytest.raises(DatasetError, match=r"edgetl-frames\.zip (is damaged|is not a zip)"):
        import_collected(path, tmp_path / "out")


def test_the_page_and_the_command_say_what_was_corrected(zipped, tmp_path):
    path = zipped(make_frame(1, corrected_label="bolt"), make_frame(2, corrected_label=None))
    command = [sys.executable, "-m", "edgetl.cli", "data", "import", str(path)]
    out, page = tmp_path / "out", tmp_path / "p.html"
    done = subprocess.run(
        [*command, "--out", out, "--page", page],
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"2 new photos in {out}" in done.stdout
    assert "1 of them with a label that a person chose" in done.stdout
    assert page.read_text().count("label corrected") == 1
    assert "picked by hand" in page.read_text()
    assert render_import(import_collected(path, tmp_path / "b")).count("label corrected") == 1
