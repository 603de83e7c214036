"""What a data folder names: classes, parts, and what is left out."""

import os
import re
import tempfile
from pathlib import Path

import pytest

from edgetl.dataset.listing import list_folder
from edgetl.dataset.split_folders import name_split
from edgetl.dataset.walking import LOOSE
from edgetl_runtime.errors import DatasetError


@pytest.fixture
def fill(tmp_path: Path):
    """Makes files by their paths; returns the folder that holds them."""

    def fill(*names: str) -> Path:
        for name in names:
            file = tmp_path / "data" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        return tmp_path / "data"

    return fill


def show(root: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in list_folder(root).photos:
        key = f"{one.split}/{one.label}" if one.split else one.label
        found.setdefault(key, []).append(one.path)
    return found


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *(("train", "train"), ("Training", "train"), ("training_set", "train")),
        *(("trainset", "train"), ("seg_train", "train"), ("1_train", "train")),
        *(("valid", "val"), ("validate", "val"), ("Validation-Set", "val"), ("dev", "val")),
        *(("test_images", "test"), ("Testing", "test"), ("eval", "test"), ("testdata", "test")),
        *(("cat", None), ("train station", None), ("set", None), ("", None), ("contest", None)),
    ],
)
def test_the_usual_names_of_parts_are_known(name, split):
    assert name_split(name) == split


@pytest.mark.parametrize(
    ("train", "other", "split"),
    [
        ("Training", "Testing", "test"),
        ("training_set", "test_set", "test"),
        ("train", "validate", "val"),
        ("seg_train", "seg_test", "test"),
    ],
)
def test_parts_by_other_names_are_no_classes(fill, train, other, split):
    root = fill(f"{train}/cat/1.jpg", f"{train}/dog/2.jpg", f"{other}/cat/3.jpg")
    assert set(show(root)) == {"train/cat", "train/dog", f"{split}/cat"}


def test_a_class_may_be_called_train(fill):
    assert set(show(fill("train/1.jpg", "bus/2.jpg", "car/3.jpg"))) == {"bus", "car", "train"}
    assert set(show(fill("train/ice/1.jpg", "bus/2.jpg"))) == {"bus", "car", "train"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("train/a/1.jpg", "test/a/2.jpg", "extra/a/3.jpg"),
            "test, train, which look like .* and extra",
        ),
        (("a/train/1.jpg", "a/test/2.jpg", "b/train/3.jpg", "b/test/4.jpg"), "swap the levels"),
    ],
)
def test_what_is_not_plain_is_refused(fill, names, message):
    with pytest.raises(DatasetError, match=message):
        list_folder(fill(*names))


def test_an_empty_folder_beside_the_parts_does_no_harm(fill):
    root = fill("train/a/1.jpg", "train/b/2.jpg", "test/a/3.jpg")
    (root / "notes").mkdir()
    assert set(show(root)) == {"train/a", "train/b", "test/a"}


@pytest.mark.parametrize(
    "name", [".ipynb_checkpoints", "@eaDir", "__MACOSX", "#recycle", "$RECYCLE.BIN", ".git"]
)
def test_hidden_and_system_folders_are_left_out_and_named(fill, name):
    root = fill("a/1.jpg", "b/2.jpg", f"a/{name}/1.jpg", f"{name}/a/._1.jpg", "a/sub/3.jpg")
    assert show(root) == {"a": ["a/1.jpg", "a/sub/3.jpg"], "b": ["b/2.jpg"]}
    left_out = {
        path.relative_to(root.resolve()).as_posix() for path, _ in list_folder(root).left_out
    }
    assert left_out == {name, f"a/{name}"}


@pytest.mark.parametrize("name", ["._1.jpg", ".DS_Store", "Thumbs.db", "desktop.ini"])
def test_hidden_and_system_files_are_left_out(fill, name):
    root = fill("a/1.jpg", "b/2.jpg", f"a/{name}")
    assert show(root) == {"a": ["a/1.jpg"], "b": ["b/2.jpg"]}


@pytest.mark.parametrize("marker", ["run.json", "unfinished.json", "bundle.json"])
def test_what_edgetl_wrote_is_no_class(fill, marker):
    root = fill("a/1.jpg", "b/2.jpg", f"out/{marker}", "out/golden/0.png")
    fill(f"runs/one/{marker}", "runs/one/plot.png", f"a/parts/{marker}", "a/parts/golden/0.png")
    listing = list_folder(root)
    assert listing.labels == ("a", "b")
    assert show(root) == {"a": ["a/1.jpg"], "b": ["b/2.jpg"]}
    assert any("edgetl" in why for _, why in listing.left_out)


def test_an_empty_class_is_still_one(fill):
    root = fill("a/1.jpg", "b/2.jpg")
    (root / "c").mkdir()
    assert list_folder(root).labels == ("a", "b", "c")


def test_linked_folders_are_followed_once(fill, tmp_path):
    root = fill("a/1.jpg", "b/2.jpg")
    away = tmp_path / "away"
    (away / "deeper").mkdir(parents=True)
    (away / "deeper" / "3.jpg").touch()
    os.symlink(away, root / "a" / "more")
    os.symlink(away, root / "a" / "again")
    os.symlink(root, root / "a" / "loop")
    os.symlink("..", away / "up")
    os.symlink(".", away / "self")
    assert show(root) == {"a": ["a/1.jpg", "a/again/deeper/3.jpg"], "b": ["b/2.jpg"]}
    named = {path.name for path, _ in list_folder(root).left_out}
    assert named == {"more", "loop", "up", "self"}


def test_a_class_folder_may_be_a_link(fill, tmp_path):
    root = fill("a/1.jpg")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "2.jpg").touch()
    os.symlink(tmp_path / "b", root / "b")
    assert show(root) == {"a": ["a/1.jpg"], "b": ["b/2.jpg"]}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("train/a/1.jpg", "train/b/2.jpg", "more/a/3.jpg", "more/b/4.jpg"), "both hold a, b"),
        (("images/train/a/1.jpg", "images/test/a/2.jpg"), r"give .*data/images"),
        (("set1/train/a/1.jpg", "set2/train/a/2.jpg"), "swap the levels"),
        (("a/1.jpg", "b/2.jpg", "val/a/3.jpg", "val/b/4.jpg"), "same names as those beside it"),
        (("train/a.1.jpg", "test1/2.jpg"), "contain no class folders"),
        (("train/a/1.jpg", "test/2.jpg"), "without a label cannot be used here"),
        (("Cat/1.jpg", "cat/2.jpg"), "data/Cat and .*data/cat look like one class in two spell"),
        (("train/Cat/1.jpg", "val/cat/2.jpg"), "train/Cat and .*val/cat look like one class"),
        (("a/1.jpg", "_Unknown_/2.jpg"), "_unknown_, which is not a class"),
        (("train/a/1.jpg", "train/_unsorted_/2.jpg"), "1 photo to sort"),
        (("run.json", "a/1.jpg"), "is an edgetl run, not a folder of photos"),
    ],
)
def test_layouts_that_would_be_trained_wrongly_are_refused(fill, names, message):
    with pytest.raises(DatasetError, match=message):
        list_folder(fill(*names))


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (
            ("day1/a/1.jpg", "day1/b/2.jpg", "day2/a/3.jpg", "day2/b/4.jpg"),
            r"\(day1, day2\) all contain folders with the same names \(a, b\)",
        ),
        (("images/a/1.jpg", "images/b/2.jpg"), "images is treated as a class"),
        (("a/1.jpg", "test/2.jpg", "train/3.jpg"), "test, train of data are treated as classes"),
        (("a/1.jpg", "b/2.jpg", "Test_Images/3.jpg"), "Test_Images of data is treated as a class"),
        (("train/a/1.jpg", "train/b/2.jpg", "more/3.jpg"), None),
    ],
)
def test_classes_that_look_like_something_else_are_told(fill, names, what):
    (doubt,) = list_folder(fill(*names)).doubts
    assert re.search(what or "train is treated as a class", doubt.what)


def test_ordinary_sub_folders_are_no_doubt(fill):
    root = fill("a/images/1.jpg", "b/images/2.jpg", "c/day/3.jpg", "c/night/4.jpg", "c/5.jpg")
    assert list_folder(root).doubts == []


def test_what_an_archive_nests_twice_is_unpacked(fill):
    names = ("seg_train/seg_train/sea/1.jpg", "seg_train/seg_train/wood/2.jpg")
    root = fill(*names, "seg_test/seg_test/sea/3.jpg")
    assert set(show(root)) == {"train/sea", "train/wood", "test/sea"}


def test_composed_and_decomposed_names_are_one_class(fill):
    root = fill("train/A\u0308pfel/1.jpg", "train/b/2.jpg", "val/\u00c4pfel/3.jpg", "val/b/4.jpg")
    assert list_folder(root).labels == ("b", "\u00c4pfel")


def test_files_beside_the_class_folders_are_named(fill):
    root = fill("a/1.jpg", "b/2.jpg", "loose.jpg")
    assert [(path.name, why) for path, why in list_folder(root).left_out] == [("loose.jpg", LOOSE)]


def test_what_a_device_collected_and_a_training_under_way_are_no_classes(fill):
    root = fill("a/1.jpg", "b/2.jpg", "kept/000000001_unsure_a.jpg", "kept/000000001_unsure_a.json")
    fill("runs/new.unfinished/lock")
    assert list_folder(root).labels == ("a", "b")
    assert {path.name for path, _ in list_folder(root).left_out} == {"kept", "new.unfinished"}


def test_a_class_may_be_called_recycle(fill):
    assert list_folder(fill("Recycle/1.jpg", "Compost/2.jpg")).labels == ("Compost", "Recycle")


def test_a_link_to_another_class_does_not_put_its_photos_into_both(fill):
    root = fill("a/1.jpg", "b/2.jpg")
    os.symlink("../b", root / "a" / "more")
    assert show(root) == {"a": ["a/1.jpg"], "b": ["b/2.jpg"]}
    assert [path.name for path, _ in list_folder(root).left_out] == ["more"]


def test_photos_in_a_hidden_store_are_read_by_way_of_links(fill):
    root = fill(".store/x/1.jpg", "b/2.jpg")
    (root / "a").mkdir()
    os.symlink("../.store/x", root / "a" / "x")
    assert show(root) == {"a": ["a/x/1.jpg"], "b": ["b/2.jpg"]}


def test_broken_links_and_links_to_files_are_listed(fill):
    root = fill("a/1.jpg", "b/2.jpg")
    os.symlink("1.jpg", root / "a" / "again.jpg")
    os.symlink("gone.jpg", root / "a" / "gone.jpg")
    assert show(root)["a"] == ["a/1.jpg", "a/again.jpg", "a/gone.jpg"]


@pytest.fixture
def nobody():
    """To root nothing is closed: another user looks, where root runs the tests."""
    before = os.geteuid()
    if not before:
        os.seteuid(65534)
    yield
    os.seteuid(before)


@pytest.mark.parametrize("closed", ["", "a", "a/sub"])
@pytest.mark.parametrize("rights", [0o000, 0o600])
def test_a_folder_without_rights_is_named(nobody, closed, rights):
    with tempfile.TemporaryDirectory() as root:
        for name in ("a/1.jpg", "a/sub/2.jpg", "b/3.jpg"):
            Path(root, name).parent.mkdir(parents=True, exist_ok=True)
            Path(root, name).touch()
        Path(root, closed).chmod(rights)
        with pytest.raises(DatasetError) as refused:
            list_folder(Path(root))
        Path(root, closed).chmod(0o700)
    assert str(refused.value).startswith(f"{Path(root, closed)} is unreadable (Permission denied)")
