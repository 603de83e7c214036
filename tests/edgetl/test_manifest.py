"""The data set: what is read, what is skipped and why, and which part each photo is in."""

import hashlib
import os
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from edgetl.dataset.manifest import DatasetManifest, Example, scan, scan_to_score
from edgetl.drawings import draw_part
from edgetl_runtime.errors import DatasetError
from edgetl_runtime.image.decoding import read_picture


def put(root: Path, label: str, *numbers: int) -> None:
    """Tiny pictures whose bytes follow from label and number."""
    (root / label).mkdir(parents=True, exist_ok=True)
    for number in numbers:
        seed = int.from_bytes(hashlib.sha256(f"{label}{number}".encode()).digest()[:4])
        picture = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
        cv2.imwrite(str(root / label / f"{number:03d}.png"), picture)


def fill(root: Path, count: int = 10, labels: tuple[str, ...] = ("nut", "bolt")) -> Path:
    for label in labels:
        put(root, label, *range(count))
    return root


def put_drawings(root: Path, label: str, *numbers: int) -> None:
    """Drawn parts, of which smaller copies can be told from others."""
    (root / label).mkdir(parents=True, exist_ok=True)
    for number in numbers:
        picture = draw_part("gear" if label == "nut" else "bolt", number, 128)
        cv2.imwrite(str(root / label / f"{number:03d}.png"), picture)


def put_copy(original: Path, copy: Path, side_px: int = 96) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    small = cv2.resize(read_picture(original), (side_px, side_px), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(copy), small)


def splits(manifest: DatasetManifest) -> dict[str, str]:
    return {one.path: one.split for one in manifest.examples}


def fingerprint(root: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path.relative_to(root)): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
            path.lstat().st_mtime_ns,
        )
        for path in root.rglob("*")
    }


def reasons(manifest: DatasetManifest) -> dict[str, str]:
    return {one.path: one.reason for one in manifest.skipped}


def halves(manifest: DatasetManifest) -> dict[str, str]:
    return {one.path: one.half for one in manifest.unknown}


def test_labels_are_the_folders_sorted(tmp_path: Path) -> None:
    assert scan(fill(tmp_path, labels=("washer", "bolt", "nut"))).labels == (
        "bolt",
        "nut",
        "washer",
    )


def test_each_photo_is_listed_once_with_its_label(tmp_path: Path) -> None:
    examples = scan(fill(tmp_path, 5)).examples
    assert [(one.path, one.label) for one in examples] == [
        (f"{label}/{number:03d}.png", label) for label in ("bolt", "nut") for number in range(5)
    ]


def test_photos_in_sub_folders_of_a_class_count(tmp_path: Path) -> None:
    fill(tmp_path, 4)
    put(tmp_path, "nut/today", 9)
    assert "nut/today/009.png" in splits(scan(tmp_path))


def test_folders_named_train_and_val_are_kept_as_parts(tmp_path: Path) -> None:
    fill(tmp_path / "train", 4)
    for label in ("nut", "bolt"):
        put(tmp_path / "val", label, 4, 5)
        put(tmp_path / "test", label, 6)
    parts = splits(scan(tmp_path))
    assert {path.split("/")[0] == part for path, part in parts.items()} == {True}
    assert len(parts) == 14


def test_without_a_val_folder_validation_comes_from_train(tmp_path: Path) -> None:
    fill(tmp_path / "train", 10)
    for label in ("nut", "bolt"):
        put(tmp_path / "test", label, 20, 21)
    manifest = scan(tmp_path)
    assert {one.path.split("/")[0] for one in manifest.select("val")} == {"train"}
    assert {one.path.split("/")[0] for one in manifest.select("test")} == {"test"}


def test_classes_named_train_beside_others_are_classes(tmp_path: Path) -> None:
    assert scan(fill(tmp_path, labels=("train", "bus"))).labels == ("bus", "train")


def test_a_new_photo_moves_no_old_one(tmp_path: Path) -> None:
    before = splits(scan(fill(tmp_path, 20), test_fraction=0.2))
    for number in range(20, 50):
        put(tmp_path, "nut", number)
        after = splits(scan(tmp_path, test_fraction=0.2))
        assert after.items() >= before.items()
        before = after


def test_a_removed_photo_moves_no_other_one(tmp_path: Path) -> None:
    before = splits(scan(fill(tmp_path, 20)))
    gone = next(path for path, part in before.items() if part == "train")
    (tmp_path / gone).unlink()
    assert splits(scan(tmp_path)) == {path: part for path, part in before.items() if path != gone}


def test_a_renamed_photo_keeps_its_part(tmp_path: Path) -> None:
    before = splits(scan(fill(tmp_path)))
    (tmp_path / "nut/003.png").rename(tmp_path / "nut/renamed.png")
    assert splits(scan(tmp_path))["nut/renamed.png"] == before["nut/003.png"]


def test_photos_with_the_same_bytes_are_in_one_part(tmp_path: Path) -> None:
    fill(tmp_path, 12)
    for path in sorted((tmp_path / "nut").iterdir()):
        shutil.copy(path, path.with_name(f"copy_of_{path.name}"))
    parts = splits(scan(tmp_path))
    for number in range(12):
        assert parts[f"nut/{number:03d}.png"] == parts[f"nut/copy_of_{number:03d}.png"]


@pytest.mark.parametrize("seed", range(20))
def test_the_same_bytes_in_two_classes_are_in_one_part(tmp_path: Path, seed: int) -> None:
    fill(tmp_path, 4)
    shared = sorted((tmp_path / "nut").iterdir())[:2]
    for path in shared:
        shutil.copy(path, tmp_path / "bolt" / f"also_{path.name}")
    parts = splits(scan(tmp_path, seed=seed, test_fraction=0.2))
    for path in shared:
        assert parts[f"nut/{path.name}"] == parts[f"bolt/also_{path.name}"]


def test_the_same_bytes_in_two_classes_take_no_part_from_either(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    shutil.copy(tmp_path / "nut/000.png", tmp_path / "bolt/also.png")
    for seed in range(100):
        manifest = scan(tmp_path, seed=seed, val_fraction=0.5)
        for part in ("train", "val"):
            assert {one.label for one in manifest.select(part)} == {"bolt", "nut"}


def test_a_validation_photo_that_train_holds_is_left_out(tmp_path: Path) -> None:
    fill(tmp_path / "train", 4)
    fill(tmp_path / "val", 6)
    manifest = scan(tmp_path)
    assert reasons(manifest) == {
        f"val/{label}/{number:03d}.png": "the same image is in train"
        for label in ("nut", "bolt")
        for number in range(4)
    }
    assert len(manifest.select("val")) == 4


def test_what_is_no_photo_is_listed_with_the_reason(tmp_path: Path) -> None:
    fill(tmp_path)
    whole = cv2.imencode(".jpg", np.full((64, 64, 3), 90, np.uint8))[1].tobytes()
    (tmp_path / "nut/.DS_Store").write_bytes(b"x")
    (tmp_path / "nut/notes.txt").write_text("seven nuts")
    (tmp_path / "nut/half.jpg").write_bytes(whole[:-40])
    (tmp_path / "nut/nothing.jpg").write_bytes(b"")
    manifest = scan(tmp_path)
    assert list(reasons(manifest)) == sorted(reasons(manifest))
    found = reasons(manifest)
    assert found["nut/.DS_Store"] == "a hidden or system file"
    assert "not an image" in found["nut/notes.txt"]
    assert "JPEG" in found["nut/half.jpg"]
    assert found["nut/nothing.jpg"] == "an empty file"
    assert len(manifest.examples) == 20


def test_a_png_named_jpg_is_a_photo(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "nut/000.png").rename(tmp_path / "nut/000.jpg")
    assert "nut/000.jpg" in splits(scan(tmp_path))


def test_hidden_folders_are_no_classes(tmp_path: Path) -> None:
    fill(tmp_path)
    put(tmp_path, ".thumbnails", 1, 2, 3)
    assert scan(tmp_path).labels == ("bolt", "nut")


def test_each_class_is_in_train_and_validation_even_if_tiny(tmp_path: Path) -> None:
    fill(tmp_path, 3, labels=("a", "b", "c", "d", "e"))
    for seed in range(10):
        manifest = scan(tmp_path, seed=seed)
        for part in ("train", "val"):
            assert {one.label for one in manifest.select(part)} == set(manifest.labels)


def test_each_class_is_in_test_where_asked_for(tmp_path: Path) -> None:
    fill(tmp_path, 5, labels=("a", "b", "c", "d"))
    for seed in range(10):
        manifest = scan(tmp_path, seed=seed, test_fraction=0.1)
        assert {one.label for one in manifest.select("test")} == set(manifest.labels)


def test_shares_are_roughly_kept(tmp_path: Path) -> None:
    fill(tmp_path, 150)
    counts = Counter(splits(scan(tmp_path, val_fraction=0.2, test_fraction=0.1)).values())
    assert counts["val"] / 300 == pytest.approx(0.2, abs=0.06)
    assert counts["test"] / 300 == pytest.approx(0.1, abs=0.05)


def test_there_is_no_test_part_by_default(tmp_path: Path) -> None:
    assert scan(fill(tmp_path, 30)).select("test") == ()


def test_another_seed_gives_other_parts(tmp_path: Path) -> None:
    fill(tmp_path, 20)
    assert splits(scan(tmp_path, seed=0)) != splits(scan(tmp_path, seed=1))


@pytest.mark.parametrize(("val", "test"), [(0, 0), (1, 0), (0.5, 0.5), (0.2, -0.1)])
def test_shares_that_leave_nothing_to_learn_from_are_refused(
    tmp_path: Path, val: float, test: float, wording: str
) -> None:
    with pytest.raises(DatasetError, match=wording):
        scan(fill(tmp_path), val_fraction=val, test_fraction=test)


def test_digest_is_equal_for_equal_photos_elsewhere(tmp_path: Path) -> None:
    here, there = fill(tmp_path / "here"), tmp_path / "there"
    shutil.copytree(here, there)
    assert scan(here).digest == scan(there).digest


def test_digest_differs_for_another_photo(tmp_path: Path) -> None:
    before = scan(fill(tmp_path)).digest
    put(tmp_path, "nut", 99)
    assert scan(tmp_path).digest != before


def test_the_users_files_are_not_touched(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "nut/notes.txt").write_text("seven nuts")
    before = fingerprint(tmp_path)
    scan(tmp_path)
    assert fingerprint(tmp_path) == before


def test_a_missing_folder_is_named(tmp_path: Path, wording: str) -> None:
    with pytest.raises(DatasetError, match=wording):
        scan(tmp_path / "nowhere")


def test_a_folder_without_classes_is_refused(tmp_path: Path, wording: str) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match=wording):
        scan(tmp_path)


def test_one_class_is_refused_by_name(tmp_path: Path, wording: str) -> None:
    with pytest.raises(DatasetError, match=wording):
        scan(fill(tmp_path, labels=("nut",)))


def test_an_empty_class_is_named(tmp_path: Path, wording: str) -> None:
    fill(tmp_path)
    (tmp_path / "washer").mkdir()
    with pytest.raises(DatasetError, match=wording):
        scan(tmp_path)


def test_too_few_usable_photos_are_explained(tmp_path: Path, wording: str) -> None:
    fill(tmp_path)
    put(tmp_path, "washer", 1, 2)
    (tmp_path / "washer/broken.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match=wording):
        scan(tmp_path)


def test_a_class_of_copies_of_one_photo_is_refused(tmp_path: Path, wording: str) -> None:
    fill(tmp_path)
    put(tmp_path, "washer", 1)
    for name in ("b.png", "c.png"):
        shutil.copy(tmp_path / "washer/001.png", tmp_path / "washer" / name)
    with pytest.raises(DatasetError, match=wording):
        scan(tmp_path)


def test_scoring_takes_any_number_of_photos_and_classes(tmp_path: Path) -> None:
    put(tmp_path, "nut", 1)
    assert splits(scan_to_score(tmp_path)) == {"nut/001.png": "test"}


def test_scoring_keeps_the_parts_that_folders_name(tmp_path: Path) -> None:
    put(tmp_path / "train", "nut", 1)
    put(tmp_path / "val", "nut", 2)
    assert splits(scan_to_score(tmp_path)) == {
        "train/nut/001.png": "train",
        "val/nut/002.png": "val",
    }


def test_a_photo_without_copies_is_its_own_group(tmp_path: Path) -> None:
    assert all(one.group == one.sha256 for one in scan(fill(tmp_path)).examples)


def test_near_duplicates_are_in_one_group_and_one_part(tmp_path: Path) -> None:
    for label in ("nut", "bolt"):
        put_drawings(tmp_path, label, *range(8))
        for number in range(8):
            original = tmp_path / label / f"{number:03d}.png"
            for side_px in (100, 80):
                put_copy(original, tmp_path / label / f"{number}_{side_px}.jpg", side_px)
    manifest = scan(tmp_path, val_fraction=0.4)
    by_group: dict[str, list[Example]] = defaultdict(list)
    for one in manifest.examples:
        by_group[one.group].append(one)
    assert sorted(map(len, by_group.values())) == [3] * 16
    for name, members in by_group.items():
        assert name == min(one.sha256 for one in members)
        assert len({one.split for one in members}) == 1
    assert manifest.leaks() == ()


def test_a_copy_of_an_old_photo_moves_no_photo_but_its_group(tmp_path: Path) -> None:
    for label in ("nut", "bolt"):
        put_drawings(tmp_path, label, *range(10))
    before = splits(scan(tmp_path))
    put_copy(tmp_path / "nut/004.png", tmp_path / "nut/copy.jpg")
    after = splits(scan(tmp_path))
    assert after["nut/copy.jpg"] == after["nut/004.png"]
    before.pop("nut/004.png")
    assert after.items() >= before.items()


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_given_part_that_holds_training_photos_only_is_no_part(tmp_path: Path, part: str) -> None:
    for label in ("nut", "bolt"):
        put_drawings(tmp_path / "train", label, *range(6))
        put_drawings(tmp_path / part, label, 1, 2)
    with pytest.raises(DatasetError, match=f"all photos of {part} are also in train"):
        scan(tmp_path)


def test_a_near_duplicate_across_given_parts_stays_and_is_named_a_leak(tmp_path: Path) -> None:
    for label in ("nut", "bolt"):
        put_drawings(tmp_path / "train", label, *range(5))
        put_drawings(tmp_path / "val", label, 5, 6)
    put_copy(tmp_path / "train/nut/002.png", tmp_path / "val/nut/copy.jpg")
    manifest = scan(tmp_path)
    assert manifest.skipped == ()
    assert [one.path for one in manifest.leaks()] == ["val/nut/copy.jpg"]


def test_a_class_of_near_duplicates_is_split_all_the_same(tmp_path: Path) -> None:
    put_drawings(tmp_path, "nut", *range(6))
    put_drawings(tmp_path, "bolt", 0)
    for side_px in (120, 110, 100, 90):
        put_copy(tmp_path / "bolt/000.png", tmp_path / f"bolt/{side_px}.jpg", side_px)
    manifest = scan(tmp_path)
    assert {one.split for one in manifest.examples if one.label == "bolt"} == {"train", "val"}
    assert {one.label for one in manifest.leaks()} == {"bolt"}


def test_a_manifest_survives_being_written_and_read(tmp_path: Path) -> None:
    manifest = scan(fill(tmp_path))
    assert msgspec.json.decode(msgspec.json.encode(manifest), type=DatasetManifest) == manifest


def test_a_label_with_a_line_break_is_refused(tmp_path: Path, wording: str) -> None:
    with pytest.raises(DatasetError, match=wording):
        scan(fill(tmp_path, labels=("nut", "bo\nlt")))


def test_a_name_that_is_no_utf_8_is_skipped_and_said_so(tmp_path: Path) -> None:
    fill(tmp_path)
    odd = os.fsencode(tmp_path / "nut") + b"/caf\xe9.png"
    Path(os.fsdecode(odd)).write_bytes((tmp_path / "nut/000.png").read_bytes())
    manifest = scan(tmp_path)
    assert "not UTF-8" in reasons(manifest)["nut/caf\\udce9.png"]
    assert msgspec.json.encode(manifest)


@pytest.mark.real_data
def test_odd_pictures_never_crash_the_scan(real_data: Path) -> None:
    manifest = scan(real_data / "odd_images")
    files = [path for path in (real_data / "odd_images").rglob("*") if path.is_file()]
    assert len(manifest.examples) + len(manifest.skipped) == len(files)
    assert all(one.reason for one in manifest.skipped)


@pytest.mark.real_data
def test_exif_rotation_is_applied(real_data: Path) -> None:
    folder = real_data / "odd_images" / "exif_orientation"
    upright = read_picture(folder / "Landscape_1.jpg").astype(float)
    for number in range(9):
        turned = read_picture(folder / f"Landscape_{number}.jpg")
        assert turned.shape == upright.shape
        assert np.abs(turned - upright).mean() < 5


def test_photos_of_other_things_are_no_class_and_in_no_part(tmp_path: Path) -> None:
    before = scan(fill(tmp_path), test_fraction=0.2)
    put(tmp_path, "_unknown_", *range(9))
    manifest = scan(tmp_path, test_fraction=0.2)
    assert manifest.labels == ("bolt", "nut")
    assert manifest.examples == before.examples
    assert manifest.digest == before.digest
    assert list(halves(manifest)) == [f"_unknown_/{number:03d}.png" for number in range(9)]
    for one in manifest.unknown:
        data = (tmp_path / one.path).read_bytes()
        assert one.sha256 == hashlib.sha256(data).hexdigest()
    assert before.unknown == ()


def test_half_of_the_photos_of_other_things_choose_and_half_measure(tmp_path: Path) -> None:
    fill(tmp_path)
    put(tmp_path, "_unknown_/outdoors", *range(100))
    manifest = scan(tmp_path)
    choosing, measuring = (set(manifest.unknown_files(half)) for half in ("choose", "measure"))
    assert not choosing & measuring
    assert choosing | measuring == set((tmp_path / "_unknown_/outdoors").iterdir())
    assert 35 <= len(choosing) <= 65


@pytest.mark.parametrize("start", range(20))
def test_two_photos_of_other_things_are_one_for_each_half(tmp_path: Path, start: int) -> None:
    fill(tmp_path)
    put(tmp_path, "_unknown_", start)
    assert set(halves(scan(tmp_path)).values()) == {"choose"}
    put(tmp_path, "_unknown_", start + 100)
    assert set(halves(scan(tmp_path)).values()) == {"choose", "measure"}


def test_a_new_photo_of_other_things_moves_no_old_one(tmp_path: Path) -> None:
    fill(tmp_path)
    put(tmp_path, "_unknown_", *range(10))
    before = halves(scan(tmp_path))
    put(tmp_path, "_unknown_", *range(10, 30))
    assert halves(scan(tmp_path)).items() >= before.items()
    assert {one.sha256: one.half for one in scan(tmp_path, seed=1).unknown} != {
        one.sha256: one.half for one in scan(tmp_path, seed=0).unknown
    }


@pytest.mark.parametrize("place", ["_unknown_", "train/_unknown_", "val/_unknown_"])
def test_other_things_may_lie_beside_parts_or_in_them(tmp_path: Path, place: str) -> None:
    fill(tmp_path / "train", 4)
    for label in ("nut", "bolt"):
        put(tmp_path / "val", label, 4, 5)
    put(tmp_path, place, 20, 21)
    manifest = scan(tmp_path)
    assert manifest.labels == ("bolt", "nut")
    assert len(manifest.select("train")) == 8
    assert list(halves(manifest)) == [f"{place}/020.png", f"{place}/021.png"]


def test_what_is_no_photo_of_other_things_is_listed_with_the_reason(tmp_path: Path) -> None:
    fill(tmp_path)
    put(tmp_path, "_unknown_", 1, 2)
    (tmp_path / "_unknown_/notes.txt").write_text("a cat")
    shutil.copy(tmp_path / "nut/003.png", tmp_path / "_unknown_/nut.png")
    manifest = scan(tmp_path)
    assert list(halves(manifest)) == ["_unknown_/001.png", "_unknown_/002.png"]
    assert reasons(manifest)["_unknown_/nut.png"] == "the same image is in a class"
    assert "not an image" in reasons(manifest)["_unknown_/notes.txt"]


def test_an_empty_folder_of_other_things_is_none(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "_unknown_").mkdir()
    assert scan(tmp_path).unknown == ()


def test_other_things_alone_are_no_data_set(tmp_path: Path, wording: str) -> None:
    put(tmp_path, "_unknown_", *range(9))
    with pytest.raises(DatasetError, match=wording):
        scan(tmp_path)


def test_other_things_are_not_scored(tmp_path: Path) -> None:
    fill(tmp_path)
    put(tmp_path, "_unknown_", 1, 2, 3)
    manifest = scan_to_score(tmp_path)
    assert (len(manifest.examples), len(manifest.unknown)) == (20, 3)


def test_a_manifest_with_other_things_survives_json(tmp_path: Path) -> None:
    put(fill(tmp_path), "_unknown_", 1, 2, 3)
    manifest = scan(tmp_path)
    assert msgspec.json.decode(msgspec.json.encode(manifest), type=DatasetManifest) == manifest


def test_a_class_that_lies_in_one_part_only_is_told_so(tmp_path: Path, wording: str) -> None:
    fill(tmp_path / "train", 4)
    put(tmp_path / "train", "washer", 30, 31, 32)
    for label in ("nut", "bolt"):
        put(tmp_path / "val", label, 10)
    with pytest.raises(DatasetError, match=wording):
        scan(tmp_path)


def test_photos_of_val_that_are_all_in_train_are_told_so(tmp_path: Path, wording: str) -> None:
    fill(tmp_path / "train", 4)
    put(tmp_path / "val", "nut", 10)
    (tmp_path / "val/bolt").mkdir()
    shutil.copy(tmp_path / "train/bolt/000.png", tmp_path / "val/bolt")
    with pytest.raises(DatasetError, match=wording):
        scan(tmp_path)


def test_parts_without_one_for_training_are_refused(tmp_path: Path, wording: str) -> None:
    fill(tmp_path / "dev", 4)
    fill(tmp_path / "eval", 4)
    with pytest.raises(DatasetError, match=wording):
        scan(tmp_path)
    assert len(scan_to_score(tmp_path).select("val")) > 0


def test_a_doubt_about_folders_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path / "monday", 4)
    fill(tmp_path / "tuesday", 4)
    scan(tmp_path)
    assert "all contain folders with the same names (bolt, nut)" in caplog.text


def test_a_run_in_the_making_is_no_reason_to_delete_it(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "runs/a").mkdir(parents=True)
    (tmp_path / "runs/a/run.json").write_text("{}")
    assert scan(tmp_path).labels == ("bolt", "nut")
