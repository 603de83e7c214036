"""What a data folder names: classes, parts, and what is left out."""

import os
from pathlib import Path

import pytest

from edgetl.dataset.listing import list_folder
from edgetl.dataset.parts import name_split
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
    for one in list_folder(root).files:
        key = f"{one.split}/{one.label}" if one.split else one.label
        found.setdefault(key, []).append(one.path.relative_to(root.resolve()).as_posix())
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
        (("a/train/1.jpg", "a/test/2.jpg", "b/train/3.jpg", "b/test/4.jpg"), "turn it round"),
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
