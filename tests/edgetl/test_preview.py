"""The contact sheet: what training would see, of photos of all classes, drawn at once."""

import json
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgetl import cli
from edgetl.augmentation.parsing import parse_augmentation
from edgetl.augmentation.strengths import LIGHT, NONE, PRESETS
from edgetl.inspection.preview import draw_preview, write_preview
from edgetl_runtime.errors import DatasetError, StorageError
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.image.preprocessing import Frame


def cells(picture: Frame, columns: int) -> list[list[Frame]]:
    """The square cells of a sheet of square photos, row by row."""
    width = picture.shape[1] // columns
    height = width + 24
    top = picture.shape[0] % height
    return [
        [
            picture[y + 24 : y + height - 6, x + 3 : x + width - 3]
            for x in range(0, width * columns, width)
        ]
        for y in range(top, picture.shape[0], height)
    ]


def test_a_sheet_shows_photos_of_all_classes(photos: Path) -> None:
    shown = draw_preview(photos, LIGHT, photos=8).shown
    assert sorted(Counter(one.label for one in shown).values()) == [2, 3, 3]
    assert len({one.path for one in shown}) == 8
    assert [one.label for one in shown] == sorted(one.label for one in shown)


def test_the_same_seed_draws_the_same_sheet_and_another_seed_other_photos(photos: Path) -> None:
    first, second = draw_preview(photos, LIGHT), draw_preview(photos, LIGHT)
    np.testing.assert_array_equal(first.picture, second.picture)
    assert draw_preview(photos, LIGHT, seed=1).shown != first.shown


def test_each_row_begins_with_the_photo_itself(photos: Path) -> None:
    sheet = draw_preview(photos, LIGHT, photos=3, views=4)
    rows = cells(sheet.picture, 5)
    assert len(rows) == 3
    for shown, (first, *views) in zip(sheet.shown, rows, strict=True):
        photo = cv2.resize(read_picture(photos / shown.path), first.shape[1::-1])
        assert np.abs(photo.astype(int) - first).mean() < 12
        assert all(np.abs(view.astype(int) - first).mean() > 5 for view in views)


def test_without_augmentation_all_cells_of_a_row_are_alike(photos: Path) -> None:
    for first, *views in cells(draw_preview(photos, NONE, photos=3, views=2).picture, 3):
        assert all(np.array_equal(view, first) for view in views)


def test_the_sheet_says_what_it_shows(photos: Path) -> None:
    def title(text: str) -> Frame:
        return draw_preview(photos, parse_augmentation(text), photos=1).picture[:36]

    assert title("light").max() > 200
    assert np.any(title("light") != title("camera"))
    assert np.any(title("light") != title("light,mixup=0.2"))


def test_only_the_photos_shown_are_read(photos_copy: Path) -> None:
    before = draw_preview(photos_copy, LIGHT, photos=5)
    kept = {photos_copy / one.path for one in before.shown}
    for path in photos_copy.rglob("*.jpg"):
        if path not in kept:
            path.write_bytes(b"no photo any more")
    after = draw_preview(photos_copy, LIGHT, photos=5)
    assert after.skipped == ()
    np.testing.assert_array_equal(after.picture, before.picture)


def test_a_damaged_photo_is_replaced_and_named(photos_copy: Path) -> None:
    broken = draw_preview(photos_copy, LIGHT, photos=3).shown[1]
    (photos_copy / broken.path).write_bytes(b"no photo any more")
    sheet = draw_preview(photos_copy, LIGHT, photos=3)
    assert [(one.path, one.reason) for one in sheet.skipped] == [
        (broken.path, "not an image, but a text file")
    ]
    assert [one.label for one in sheet.shown] == ["bolt", "gear", "washer"]


def test_all_photos_are_shown_where_there_are_fewer_than_asked_for(photos_copy: Path) -> None:
    for path in sorted((photos_copy / "gear").iterdir())[1:]:
        path.unlink()
    shutil.rmtree(photos_copy / "bolt")
    counts = Counter(one.label for one in draw_preview(photos_copy, LIGHT, photos=64).shown)
    assert counts == {"gear": 1, "washer": 16}


def test_of_a_divided_data_set_the_training_photos_are_shown(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "data" / "train")
    shutil.copytree(photos, tmp_path / "data" / "test")
    shown = draw_preview(tmp_path / "data", LIGHT, photos=20).shown
    assert {one.path.split("/")[0] for one in shown} == {"train"}


def test_a_table_is_previewed_like_a_folder(photos_copy: Path) -> None:
    table = photos_copy / "photos.csv"
    rows = [f"{part}/0{n}.jpg,a {part}" for part in ("bolt", "gear") for n in range(3)]
    table.write_text("\n".join(["path,label", *rows]) + "\n")
    shown = draw_preview(table, LIGHT).shown
    assert Counter(one.label for one in shown) == {"a bolt": 3, "a gear": 3}


def test_data_without_any_photo_is_refused_with_the_reason(
    tmp_path: Path, wording: list[str]
) -> None:
    (tmp_path / "gear").mkdir()
    (tmp_path / "gear" / "a.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match=wording[0]):
        draw_preview(tmp_path, LIGHT)
    with pytest.raises(DatasetError, match=wording[1]):
        draw_preview(tmp_path / "gear", LIGHT)


@pytest.mark.parametrize("name", ["sheet.jpg", "sheet.JPEG", "deep/er/sheet.png"])
def test_a_sheet_is_written_as_its_name_says(photos: Path, tmp_path: Path, name: str) -> None:
    sheet = draw_preview(photos, LIGHT, photos=2)
    write_preview(sheet, tmp_path / name)
    written = read_picture(tmp_path / name)
    assert written.shape == sheet.picture.shape
    assert np.abs(written.astype(int) - sheet.picture).mean() < 3
    assert (tmp_path / name).read_bytes()[1:4] == (b"PNG" if "png" in name else b"\xd8\xff\xe0")


def test_an_existing_file_is_replaced_only_on_demand(
    photos: Path, tmp_path: Path, wording: str
) -> None:
    out = tmp_path / "sheet.png"
    out.write_bytes(b"dear photo")
    sheet = draw_preview(photos, LIGHT, photos=1)
    with pytest.raises(StorageError, match=wording):
        write_preview(sheet, out)
    assert out.read_bytes() == b"dear photo"
    write_preview(sheet, out, overwrite=True)
    assert read_picture(out).shape == sheet.picture.shape


def test_what_is_no_picture_is_never_replaced(photos: Path, tmp_path: Path) -> None:
    sheet = draw_preview(photos, LIGHT, photos=1)
    (tmp_path / "folder.png").mkdir()
    for name, complaint in (("model.keras", "must end in"), ("folder.png", "is a folder")):
        with pytest.raises(StorageError, match=complaint):
            write_preview(sheet, tmp_path / name, overwrite=True)


@pytest.fixture
def edgetl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command's entry point; returns exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["edgetl", "data", "preview", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        printed, complaint = capsys.readouterr()
        return int(str(caught.value.code)), printed, complaint

    return run


def test_the_command_writes_a_sheet_and_names_the_next_command(
    edgetl: Any, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "sheet.png"
    code, printed, complaint = edgetl(photos, "--augment", "light,hue=10", "--out", out)
    assert (code, complaint) == (0, "")
    assert f"{out}: 8 photos of 3 classes, augmentation light,hue=10\n" in printed
    assert f"next: edgetl train {photos} --augment light,hue=10 --out runs/" in printed
    assert read_picture(out).shape[1] > 1000


def test_the_command_prints_one_object_for_machines(
    edgetl: Any, photos_copy: Path, tmp_path: Path
) -> None:
    (photos_copy / "gear" / "notes.txt").write_text("no photo")
    out = tmp_path / "sheet.jpg"
    code, printed, complaint = edgetl(
        photos_copy, "--out", out, "--photos", 64, "--views", 1, "--json"
    )
    record = json.loads(printed)
    assert code == 0
    assert record["sheet"] == str(out)
    assert record["augmentation"] == "light"
    assert len(record["photos"]) == 48
    assert record["skipped"] == [
        {"path": "gear/notes.txt", "reason": "not an image, but a text file"}
    ]
    assert complaint == "edgetl: skipped gear/notes.txt: not an image, but a text file\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--augment", "camra"), "did you mean camera?"),
        (("--augment", "hue=999"), "hue must be 0..180"),
        (("--out", "sheet.gif"), "must end in .jpg, .jpeg, .png"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_file(
    edgetl: Any, photos: Path, tmp_path: Path, arguments: tuple[str, str], complaint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    code, printed, said = edgetl(photos, *arguments)
    assert (code, printed) == (1, "")
    assert complaint in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.real_data
@pytest.mark.parametrize("name", PRESETS)
def test_photos_of_any_size_and_format_make_a_sheet(real_data: Path, name: str) -> None:
    odd = draw_preview(real_data / "odd_images", PRESETS[name], photos=40, views=2)
    assert len(odd.shown) > 5
    trash = draw_preview(real_data / "trashnet", PRESETS[name], photos=12, views=2)
    assert Counter(one.label for one in trash.shown).most_common(1)[0][1] == 2
    assert trash.skipped == ()


def test_photos_of_other_things_are_not_on_the_sheet(photos_copy: Path) -> None:
    (photos_copy / "washer").rename(photos_copy / "_unknown_")
    shown = draw_preview(photos_copy, NONE, photos=12, views=1).shown
    assert {one.label for one in shown} == {"bolt", "gear"}
