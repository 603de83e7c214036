"""The check of a data set: what is found, how sure, and what the page shows of it."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgetl.dataset.manifest import FORMAT_VERSION, DatasetManifest, Example
from edgetl.inspection.check import KINDS, CheckOptions, DataReport, check_data
from edgetl.inspection.labels import LEAST_GROUPS, find_feature_issues
from edgetl.inspection.page import SECTIONS, check_page_target, render_check, write_page
from edgetl.inspection.photos import Issue
from edgetl_runtime.errors import DatasetError, EdgetlError, StorageError
from edgetl_runtime.image.decoding import read_picture
from tests.conftest import BACKBONE

PLAIN = CheckOptions(weights="none", size_px=64)


def found(report: DataReport, kind: str) -> list[tuple[str, ...]]:
    return [issue.paths for issue in report.issues if issue.kind == kind]


def shrink(original: Path, copy: Path, side_px: int = 80) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    small = cv2.resize(read_picture(original), (side_px, side_px), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(copy), small)


def clusters(count: int = 60, width: int = 16, seed: int = 0) -> np.ndarray:
    """Features of three classes in turn, well apart."""
    random = np.random.default_rng(seed)
    middles = random.normal(size=(3, width)) * 3
    rows = middles[np.arange(count) % 3] + random.normal(size=(count, width)) * 0.6
    return rows.astype(np.float32)


def manifest_of(labels: list[str], splits: list[str] | None = None) -> DatasetManifest:
    examples = tuple(
        Example(f"{label}/{n:03d}.jpg", label, split, f"{n:064x}", f"{n:064x}")  # type: ignore[arg-type]
        for n, (label, split) in enumerate(
            zip(labels, splits or ["train"] * len(labels), strict=True)
        )
    )
    return DatasetManifest(FORMAT_VERSION, "/nowhere", tuple(sorted(set(labels))), examples, (), 0)


def in_turn(count: int = 60) -> list[str]:
    return [("bolt", "gear", "nut")[n % 3] for n in range(count)]


def test_a_clean_set_has_few_photos_a_class_and_no_other_fault(photos: Path) -> None:
    report = check_data(photos, PLAIN)
    assert {issue.kind for issue in report.issues} == {"few_photos"}
    assert {issue.label for issue in report.issues} == {"bolt", "gear", "washer"}
    assert [(one.label, one.photos) for one in report.classes] == [
        ("bolt", 16),
        ("gear", 16),
        ("washer", 16),
    ]


def test_unreadable_files_are_found_and_hidden_ones_left_alone(photos_copy: Path) -> None:
    (photos_copy / "bolt/half.jpg").write_bytes((photos_copy / "bolt/00.jpg").read_bytes()[:900])
    (photos_copy / "bolt/.DS_Store").write_bytes(b"x")
    report = check_data(photos_copy, PLAIN)
    assert found(report, "unreadable") == [("bolt/half.jpg",)]
    assert report.skipped == 2


def test_copies_are_found_and_told_from_the_same_bytes(photos_copy: Path) -> None:
    shutil.copy(photos_copy / "gear/01.jpg", photos_copy / "gear/same.jpg")
    shrink(photos_copy / "bolt/02.jpg", photos_copy / "bolt/small.jpg")
    report = check_data(photos_copy, PLAIN)
    assert found(report, "exact_duplicate") == [("gear/01.jpg", "gear/same.jpg")]
    assert found(report, "near_duplicate") == [("bolt/02.jpg", "bolt/small.jpg")]


@pytest.mark.parametrize("exact", [True, False])
def test_one_picture_in_two_classes_is_a_contradiction(photos_copy: Path, exact: bool) -> None:
    copy = photos_copy / "washer/copy.jpg"
    if exact:
        shutil.copy(photos_copy / "bolt/02.jpg", copy)
    else:
        shrink(photos_copy / "bolt/02.jpg", copy)
    report = check_data(photos_copy, PLAIN)
    assert found(report, "contradiction") == [("bolt/02.jpg", "washer/copy.jpg")]
    assert "bolt and washer" in report.of_kind("contradiction")[0].what
    assert found(report, "near_duplicate") == found(report, "exact_duplicate") == []


def test_a_part_that_is_a_copy_of_train_is_all_leaks(photos: Path, tmp_path: Path) -> None:
    for part in ("train", "val"):
        for label in ("bolt", "gear"):
            shutil.copytree(photos / label, tmp_path / part / label)
    report = check_data(tmp_path, PLAIN)
    copies = [str(one.relative_to(tmp_path)) for one in (tmp_path / "val").rglob("*.*")]
    twins = [(one, one.replace("val", "train")) for one in sorted(copies)]
    assert found(report, "leak") == twins
    assert "all photos of val are also in train" in report.hindrance


def test_leaks_between_given_parts_are_found(photos: Path, tmp_path: Path) -> None:
    for part in ("bolt", "gear"):
        for number in range(16):
            target = tmp_path / ("train" if number < 10 else "val") / part
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(photos / part / f"{number:02d}.jpg", target)
    shutil.copy(tmp_path / "train/bolt/03.jpg", tmp_path / "val/bolt/same.jpg")
    shrink(tmp_path / "train/gear/04.jpg", tmp_path / "val/gear/small.jpg")
    report = check_data(tmp_path, PLAIN)
    assert found(report, "leak") == [
        ("val/bolt/same.jpg", "train/bolt/03.jpg"),
        ("val/gear/small.jpg", "train/gear/04.jpg"),
    ]
    assert [issue.sure for issue in report.of_kind("leak")] == ["certain", "likely"]


def test_classes_that_training_would_refuse_are_findings_not_errors(photos_copy: Path) -> None:
    for path in sorted((photos_copy / "bolt").iterdir())[2:]:
        path.unlink()
    (photos_copy / "nothing").mkdir()
    report = check_data(photos_copy, PLAIN)
    issues = (*report.of_kind("few_photos"), *report.of_kind("imbalance"))
    words = {(issue.label, issue.what) for issue in issues}
    assert ("bolt", "it has 2 usable photos") in words
    assert ("bolt", "it has 2 usable photos, gear has 16") in words
    assert ("nothing", "it has 0 usable photos") in words


def test_a_single_class_is_a_finding(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos / "bolt", tmp_path / "bolt")
    report = check_data(tmp_path, PLAIN)
    assert report.of_kind("layout")[0].what == "it is the only class"


def test_odd_sizes_are_found(photos_copy: Path) -> None:
    picture = read_picture(photos_copy / "bolt/00.jpg")
    cv2.imwrite(str(photos_copy / "bolt/tiny.png"), cv2.resize(picture, (20, 20)))
    cv2.imwrite(str(photos_copy / "bolt/long.png"), np.hstack([picture] * 4))
    cv2.imwrite(str(photos_copy / "bolt/huge.png"), cv2.resize(picture, (900, 900)))
    report = check_data(photos_copy, PLAIN)
    sizes = {issue.paths[0]: issue.what for issue in report.of_kind("odd_size")}
    assert sizes["bolt/tiny.png"].startswith("20 x 20 px: less than half the model's input")
    assert sizes["bolt/long.png"] == "384 x 96 px: 4.0 times as long as wide"
    assert sizes["bolt/huge.png"].startswith("900 x 900 px: 9.4 of the usual side")


def test_an_animation_is_found_and_a_video_or_heic_is_no_photo(photos_copy: Path) -> None:
    folder = photos_copy / "bolt"
    data = cv2.imencode(".png", read_picture(folder / "00.jpg"))[1].tobytes()
    # An `acTL` of two frames before the pixels.
    (folder / "moving.png").write_bytes(
        data[:33] + b"\0\0\0\x08acTL\0\0\0\2\0\0\0\0\xf3\x8d\x93\x70" + data[33:]
    )
    jpeg = cv2.imencode(".jpg", read_picture(folder / "01.jpg"))[1].tobytes()
    (folder / "film.jpg").write_bytes(jpeg + jpeg)
    (folder / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(90))
    (folder / "photo").write_bytes(cv2.imencode(".webp", read_picture(folder / "02.jpg"))[1])
    report = check_data(photos_copy, PLAIN)
    assert found(report, "animation") == [("bolt/moving.png",)]
    reasons = {issue.paths[0]: issue.what for issue in report.of_kind("unreadable")}
    assert set(reasons) == {"bolt/film.jpg", "bolt/IMG_1.HEIC"}
    assert "a Motion JPEG video" in reasons["bolt/film.jpg"]
    assert re.search("a HEIC image, .*heif-convert", reasons["bolt/IMG_1.HEIC"])


def test_without_weights_the_report_says_what_was_left_out(photos: Path) -> None:
    report = check_data(photos, PLAIN)
    assert report.backbone is None
    (text,) = report.left_out
    assert text.startswith("wrong labels, outliers")
    assert "--weights imagenet" in text
    assert text.replace("'", "&#39;") in render_check(report)


def test_weights_that_cannot_be_had_leave_the_rest_running(photos: Path) -> None:
    report = check_data(photos, CheckOptions(weights="gone.weights.h5"))
    assert "gone.weights.h5 is not a file" in report.left_out[0]
    assert report.photos == 48


def test_with_weights_nothing_is_left_out_and_nothing_lost(
    photos: Path, weights_file: Path
) -> None:
    report = check_data(photos, CheckOptions(BACKBONE, str(weights_file), size_px=64))
    assert report.backbone == "mobilenet_v2_0.35"
    assert report.left_out == ()
    assert set(report.issues) >= set(check_data(photos, PLAIN).issues)


@pytest.mark.real_data
def test_planted_faults_among_real_photos_are_found(real_data: Path, tmp_path: Path) -> None:
    labels = ("cardboard", "metal", "plastic")
    for label in labels:
        (tmp_path / label).mkdir()
        for path in sorted((real_data / "trashnet" / label).iterdir())[:60]:
            shutil.copy(path, tmp_path / label)
    moved = set()
    for number, label in enumerate(labels * 2):
        path = sorted((tmp_path / label).glob(f"{label}*"))[7 * number]
        target = tmp_path / labels[(number + 1) % 3] / path.name
        path.rename(target)
        moved.add((f"{target.parent.name}/{target.name}",))
    original = sorted((tmp_path / "metal").glob("metal*"))[3]
    shrink(original, tmp_path / "metal/small.jpg", 200)
    shutil.copy(real_data / "photos" / "owl.jpg", tmp_path / "plastic")
    weights = real_data / "weights" / "mobilenet_v2_0.35_224_notop.weights.h5"
    report = check_data(tmp_path, CheckOptions(BACKBONE, str(weights)))
    assert len(moved & set(found(report, "wrong_label"))) >= 5
    assert ("plastic/owl.jpg",) in found(report, "outlier")
    assert (f"metal/{original.name}", "metal/small.jpg") in found(report, "near_duplicate")


def test_two_checks_find_the_same(photos: Path, weights_file: Path) -> None:
    options = CheckOptions(BACKBONE, str(weights_file), size_px=64)
    assert check_data(photos, options).issues == check_data(photos, options).issues


def test_an_unknown_backbone_is_refused(photos: Path, wording: str) -> None:
    with pytest.raises(EdgetlError, match=wording):
        check_data(photos, CheckOptions(backbone="alexnet"))


def test_a_set_without_a_usable_photo_is_refused(tmp_path: Path, wording: str) -> None:
    (tmp_path / "nut").mkdir()
    (tmp_path / "nut/a.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match=wording):
        check_data(tmp_path, PLAIN)


def test_wrong_labels_are_found_and_the_right_one_is_suggested() -> None:
    labels = in_turn(90)
    labels[4], labels[33] = "bolt", "nut"
    issues, left_out = find_feature_issues(manifest_of(labels), clusters(90))
    wrong = {issue.paths[0]: issue for issue in issues if issue.kind == "wrong_label"}
    assert set(wrong) == {"bolt/004.jpg", "nut/033.jpg"}
    assert wrong["bolt/004.jpg"].suggested == "gear"
    assert {issue.sure for issue in wrong.values()} == {"likely"}
    assert left_out == []


def test_a_photo_unlike_all_others_is_found() -> None:
    features = clusters()
    features[7] = np.random.default_rng(5).normal(size=16) * 4
    issues, _ = find_feature_issues(manifest_of(in_turn()), features)
    assert next(one.paths for one in issues if one.kind == "outlier") == ("gear/007.jpg",)


def test_nearly_equal_features_are_perhaps_one_thing_and_a_leak_across_parts() -> None:
    features = clusters()
    features[5] = features[2] * 1.001
    features[9] = features[6] * 0.999
    splits = ["train"] * 60
    splits[2] = "val"
    issues, _ = find_feature_issues(manifest_of(in_turn(), splits), features)
    pairs = {issue.paths: issue.kind for issue in issues if len(issue.paths) == 2}
    assert pairs == {
        ("nut/002.jpg", "nut/005.jpg"): "leak",
        ("bolt/006.jpg", "bolt/009.jpg"): "near_duplicate",
    }
    assert {issue.sure for issue in issues if len(issue.paths) == 2} == {"possible"}


def test_rare_classes_are_not_judged_and_that_is_said() -> None:
    labels = in_turn()
    labels[0:3] = ["rare"] * 3
    issues, left_out = find_feature_issues(manifest_of(labels), clusters())
    assert "rare" not in {one.label for one in issues if one.kind == "wrong_label"}
    assert left_out == [
        f"wrong labels of rare: a class needs {LEAST_GROUPS} different photos; add some"
    ]


def test_too_few_photos_for_features_is_said() -> None:
    issues, (text,) = find_feature_issues(manifest_of(in_turn(6)), clusters(6))
    assert issues == []
    assert "more than 10 different photos" in text


class Page(HTMLParser):
    """Tags, and the addresses that a browser would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_page_shows_each_finding_and_needs_nothing_else(photos_copy: Path) -> None:
    shrink(photos_copy / "bolt/02.jpg", photos_copy / "bolt/small.jpg")
    page = Page(render_check(check_data(photos_copy, PLAIN)))
    assert "bolt/small.jpg" in page.words
    assert page.tags.count("img") == 2
    assert all(one.startswith(("data:", "#")) for one in page.addresses)


def test_names_of_photos_and_classes_cannot_become_markup(photos_copy: Path) -> None:
    evil = "<script>alert(1)<script>"
    (photos_copy / "bolt").rename(photos_copy / evil)
    (photos_copy / evil / '"><img src=x onerror=y>.jpg').write_bytes(b"")
    text = render_check(check_data(photos_copy, PLAIN))
    page = Page(text)
    assert evil not in text
    assert evil in page.words
    assert page.tags.count("script") == 1  # the page's own
    assert "img" not in page.tags


def test_thumbnails_are_small_and_a_long_list_is_cut_with_a_word(photos_copy: Path) -> None:
    picture = cv2.resize(read_picture(photos_copy / "bolt/00.jpg"), (400, 60))
    for number in range(70):
        cv2.imwrite(str(photos_copy / f"bolt/long{number}.png"), picture[:, : 300 + number])
    text = render_check(check_data(photos_copy, PLAIN))
    assert re.search(r"\d+ more findings of this kind", text)
    assert len(text) < 600_000


def test_every_kind_has_words_for_the_page() -> None:
    assert set(SECTIONS) == set(KINDS)


def test_every_finding_says_what_to_do(photos_copy: Path) -> None:
    shutil.copy(photos_copy / "gear/01.jpg", photos_copy / "gear/same.jpg")
    (photos_copy / "bolt/half.jpg").write_bytes(b"")
    issues: tuple[Issue, ...] = check_data(photos_copy, PLAIN).issues
    assert all(one.advice and one.what and one.label for one in issues)


def test_nothing_of_the_data_is_changed(photos_copy: Path, tmp_path: Path) -> None:
    shutil.copy(photos_copy / "gear/01.jpg", photos_copy / "gear/same.jpg")

    def state() -> dict[str, int]:
        return {str(one): one.lstat().st_mtime_ns for one in [photos_copy, *photos_copy.rglob("*")]}

    before = state()
    write_page(check_data(photos_copy, PLAIN), tmp_path / "page.html")
    assert state() == before


def test_a_page_is_never_put_among_the_photos_nor_over_something_else(
    photos_copy: Path, wording: str
) -> None:
    outside = photos_copy.parent / "page.html"
    check_page_target(photos_copy, outside, overwrite=False)
    for out, match in (
        (photos_copy / "page.html", "is inside the photos"),
        (photos_copy.parent / "photo.jpg", "ends in .html"),
    ):
        with pytest.raises(StorageError, match=match):
            check_page_target(photos_copy, out, overwrite=True)
    outside.write_text("mine")
    with pytest.raises(StorageError, match=wording):
        check_page_target(photos_copy, outside, overwrite=False)
    check_page_target(photos_copy, outside, overwrite=True)


def test_photos_of_other_things_are_counted_apart(photos_copy: Path) -> None:
    shutil.copytree(photos_copy / "washer", photos_copy / "_unknown_")
    shutil.rmtree(photos_copy / "washer")
    report = check_data(photos_copy, PLAIN)
    assert (report.photos, report.unknown) == (32, 16)
    assert [one.label for one in report.classes] == ["bolt", "gear"]
    assert {issue.label for issue in report.issues} == {"bolt", "gear"}
    assert "32 photos of 2 classes and 16 unknown ones" in render_check(report)


def test_a_photo_of_a_class_among_other_things_is_a_contradiction(photos_copy: Path) -> None:
    (photos_copy / "_unknown_").mkdir()
    shutil.copy(photos_copy / "gear/03.jpg", photos_copy / "_unknown_/cog.jpg")
    (photos_copy / "_unknown_/half.jpg").write_bytes(b"")
    report = check_data(photos_copy, PLAIN)
    assert found(report, "contradiction") == [("_unknown_/cog.jpg", "gear/03.jpg")]
    assert found(report, "unreadable") == [("_unknown_/half.jpg",)]
    assert (report.unknown, report.skipped) == (0, 2)
    render_check(report)
