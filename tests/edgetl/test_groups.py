"""Groups of alike frames: how they are found, how they lie in folders, and how they are merged."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgetl.dataset.grouping import LEAST, group_alike
from edgetl.dataset.importing import import_collected
from edgetl.dataset.labels import UNSORTED
from edgetl.dataset.listing import list_folder
from edgetl.dataset.merging import merge_groups
from edgetl.drawings import draw_part
from edgetl.inspection.import_page import render_import
from edgetl_runtime.answers import Answer
from edgetl_runtime.errors import DatasetError
from edgetl_runtime.outputs.collect import Collect
from edgetl_runtime.outputs.diverse import Known
from edgetl_runtime.prediction import Prediction
from edgetl_runtime.settings.sections import CollectSettings

LABELS = ("bolt", "gear", "washer")
LEARNING = Path(__file__).parents[1] / "data" / "learning.bundle"
SCORES = {
    "bolt": (0.9, 0.05, 0.05),
    "gear": (0.05, 0.9, 0.05),
    "washer": (0.05, 0.05, 0.9),
    None: (0.36, 0.34, 0.3),
}


@pytest.fixture
def collect(tmp_path):
    """Collects a picture with features, as the device does."""
    folder = tmp_path / "collected"
    settings = CollectSettings(what=("sampled", "diverse"), folder=str(folder), every_s=1e-9)
    known = Known("ab" * 32, "litert-int8", lambda: None)
    output = Collect(settings, lambda: "ab" * 32, lambda: known)

    def collect(picture, label, features=None, corrected=None):
        values = np.array(SCORES[label], np.float32)
        now_s = time.monotonic()
        prediction = Prediction(LABELS, values, 0.4, now_s, now_s, 1.0, 2.0, features=features)
        answer = Answer(
            "camera", 0, (96, 96), prediction, values, prediction.label, prediction.score,
            False, False, None, "2026-05-28T20:26:40.250Z", picture,
        )  # fmt: skip
        assert output.accepts(answer)
        output.write(answer)
        path = max(folder.glob("*.jpg"))
        if corrected:
            record = json.loads(path.with_suffix(".json").read_text())
            path.with_suffix(".json").write_text(
                json.dumps(record | {"corrected_label": corrected})
            )
        return path

    return collect


def make_features(direction: int, seed: int) -> np.ndarray:
    """Features near one of a few directions."""
    near = np.random.default_rng(seed).normal(0, 0.03, 16)
    return (np.eye(16)[direction] + near).astype(np.float32)


@pytest.fixture
def collected(collect, tmp_path):
    """Five alike (four taken for gears), four alike that were rejected, and one unlike any."""
    labels = ("gear", "gear", "washer", "gear", "gear", None, None, None, None, "bolt")
    for seed, label in enumerate(labels):
        part = "washer" if seed < 5 else "gear"
        direction = 0 if seed < 5 else 1 if seed < 9 else 2
        collect(draw_part(part, 700 + seed, 96), label, make_features(direction, seed))
    return tmp_path / "collected"


def run(*arguments):
    command = [sys.executable, "-m", "edgetl.cli", "data", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)


def list_photos(folder):
    return {
        str(path.relative_to(folder)): len(list(path.glob("*.jpg")))
        for path in sorted(folder.rglob("*"))
        if path.is_dir() and any(path.glob("*.jpg"))
    }


def point(rows):
    rows = np.array(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_a_group_has_its_middle_first_and_the_largest_comes_first():
    rows = point([[1, 0.2], [1, 0], [1, -0.2], *[[0.02 * n, 1] for n in range(4)], [-1, -1]])
    first, second = group_alike(rows, ["a"] * 8, [False] * 8)
    assert set(first.members) == {3, 4, 5, 6}
    assert second.members[0] == 1
    assert set(second.members) == {0, 1, 2}


def test_of_the_labels_in_a_group_the_most_frequent_is_proposed():
    rows = point([[1, 0.01 * n] for n in range(4)])
    (group,) = group_alike(rows, ["gear", UNSORTED, "washer", "gear"], [False] * 4)
    assert (group.label, group.agreeing) == ("gear", 2)
    (group,) = group_alike(rows, [UNSORTED] * 4, [False] * 4)
    assert group.label == UNSORTED


def test_what_a_person_said_of_one_frame_is_proposed_for_all():
    rows = point([[1, 0.01 * n] for n in range(4)])
    corrected = [False, False, True, False]
    (group,) = group_alike(rows, ["gear", "gear", "washer", "gear"], corrected)
    assert group.label == "washer"


def test_alike_frames_lie_in_folders_of_their_own_and_others_as_before(collected, tmp_path):
    out = tmp_path / "out"
    report = import_collected(collected, out, group=True)
    assert list_photos(out) == {
        "_unsorted_/group-01-gear": 5,
        "_unsorted_/group-02": 4,
        "bolt": 1,
    }
    assert report.grouped_by == "record"
    first, second = report.groups
    assert (first.folder, first.label, first.agreeing) == ("_unsorted_/group-01-gear", "gear", 4)
    assert (second.label, len(second.paths)) == (UNSORTED, 4)
    assert all((out / path).is_file() for group in report.groups for path in group.paths)


def test_a_frame_that_a_person_named_names_its_group_and_stays_out_of_it(
    collect, collected, tmp_path
):
    collect(draw_part("bolt", 800, 96), "gear", make_features(1, 99), corrected="spring")
    import_collected(collected, tmp_path / "out", group=True)
    photos = list_photos(tmp_path / "out")
    grouped = {name[-6:]: count for name, count in photos.items() if UNSORTED in name}
    assert grouped == {"1-gear": 5, "spring": 4} or grouped == {"2-gear": 5, "spring": 4}
    assert photos["spring"] == 1


def test_without_being_asked_nothing_is_grouped(collected, tmp_path):
    report = import_collected(collected, tmp_path / "out")
    assert report.groups == ()
    assert set(list_photos(tmp_path / "out")) == {"gear", "washer", "bolt", "_unsorted_"}


def test_groups_of_a_second_import_get_other_numbers(collect, collected, tmp_path):
    out = tmp_path / "out"
    import_collected(collected, out, group=True)
    for seed in range(3):
        collect(draw_part("bolt", 900 + seed, 96), "bolt", make_features(3, 900 + seed))
    report = import_collected(collected, out, group=True)
    assert [one.folder for one in report.groups] == ["_unsorted_/group-03-bolt"]


def test_merging_moves_each_group_to_its_label_and_training_accepts_the_folder(collected, tmp_path):
    out = tmp_path / "out"
    import_collected(collected, out, group=True)
    (out / "_unsorted_/group-02").rename(out / "_unsorted_/group-02-washer")
    report = merge_groups(out)
    assert report.moved == {"gear": 5, "washer": 4}
    assert list_photos(out) == {"bolt": 1, "gear": 5, "washer": 4}
    assert len(list_folder(out).photos) == 10


def test_a_folder_renamed_to_a_label_alone_is_merged_too(collected, tmp_path):
    out = tmp_path / "out"
    import_collected(collected, out, group=True)
    (out / "_unsorted_/group-02").rename(out / "_unsorted_/3-way valve")
    (out / "_unsorted_/group-01-gear").rename(out / "_unsorted_/group-01-_unknown_")
    assert merge_groups(out).moved == {"3-way valve": 4, "_unknown_": 5}


def test_a_group_without_a_label_stays(collected, tmp_path):
    out = tmp_path / "out"
    import_collected(collected, out, group=True)
    report = merge_groups(out)
    assert report.unnamed == ("group-02",)
    assert list_photos(out)["_unsorted_/group-02"] == 4
    with pytest.raises(DatasetError, match="holds 4 photos to sort"):
        list_folder(out)


def test_merging_overwrites_nothing_and_follows_no_link(collected, tmp_path):
    out = tmp_path / "out"
    import_collected(collected, out, group=True)
    group = out / "_unsorted_/group-01-gear"
    first, second, *_ = sorted(group.iterdir())
    (out / "gear").mkdir()
    (out / "gear" / first.name).write_bytes(b"mine")
    outside = tmp_path / "outside.jpg"
    second.rename(outside)
    second.symlink_to(outside)
    report = merge_groups(out)
    assert report.moved == {"gear": 3}
    assert set(report.staying) == {f"group-01-gear/{one.name}" for one in (first, second)}
    assert (out / "gear" / first.name).read_bytes() == b"mine"


@pytest.mark.parametrize(
    "name",
    [
        *("group-01-_Unsorted_", "group-01-_unsorted_", "group-01-a\n"),
        # Slips of the pen.
        *("group-01-", "group-1-gear", "group-01_gear"),
    ],
)
def test_a_name_that_is_no_label_moves_nothing(collected, tmp_path, name):
    out = tmp_path / "out"
    import_collected(collected, out, group=True)
    (out / "_unsorted_/group-01-gear").rename(out / "_unsorted_" / name)
    before = list_photos(out)
    with pytest.raises(DatasetError, match="rename the folder"):
        merge_groups(out)
    assert list_photos(out) == before


def test_a_folder_without_groups_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="--group"):
        merge_groups(tmp_path)


def test_without_features_small_images_tell_what_is_alike(collect, tmp_path):
    random = np.random.default_rng(0)
    for n in range(3):
        bright = np.zeros((96, 96, 3), np.uint8)
        bright[:, : 40 + 3 * n] = 220
        noisy = bright + random.integers(0, 30, bright.shape, dtype=np.uint8)
        collect(noisy, "gear")
        collect(np.ascontiguousarray(noisy.transpose(1, 0, 2)), "washer")
    report = import_collected(
        tmp_path / "collected", tmp_path / "out", group=True, keep_similar=True
    )
    assert report.grouped_by == "thumbnail"
    assert sorted((one.label, one.agreeing) for one in report.groups) == [
        ("gear", 3),
        ("washer", 3),
    ]


def test_features_of_two_models_are_not_compared(collected, tmp_path):
    record = min(collected.glob("*.json"))
    record.write_text(record.read_text().replace("litert-int8", "litert-float32"))
    assert import_collected(collected, tmp_path / "out", group=True).grouped_by == "thumbnail"


@pytest.mark.parametrize("features", ["AA", "AHw=", 3, "!"])
def test_damaged_features_are_not_used(collected, tmp_path, features):
    path = min(collected.glob("*.json"))
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"features": features}))
    report = import_collected(collected, tmp_path / "out", group=True)
    assert report.grouped_by == "thumbnail"
    assert len(report.imported) == 10


def test_a_bundle_tells_what_is_alike(collected, tmp_path):
    report = import_collected(collected, tmp_path / "out", group=True, bundle=LEARNING)
    assert report.grouped_by == "bundle"
    assert len(report.imported) == 10


def test_a_bundle_without_features_is_refused(collected, tmp_path):
    tiny = LEARNING.with_name("tiny.bundle")
    with pytest.raises(DatasetError, match="puts out no features"):
        import_collected(collected, tmp_path / "out", group=True, bundle=tiny)


def test_the_page_shows_each_group_and_how_to_move_it(collected, tmp_path):
    report = import_collected(collected, tmp_path / "out", group=True)
    page = render_import(report)
    assert "2 groups" in page
    assert "5 photos, 4 of them gear" in page
    assert "4 photos, no label proposed" in page
    assert f"edgetl data merge {report.target}" in page
    assert page.count("<figure>") == 10


def test_photos_that_stay_unsorted_are_counted_as_training_refuses_them(collect, tmp_path):
    out = tmp_path / "out"
    for seed in range(3):
        collect(draw_part("gear", seed, 96), "gear", make_features(0, seed))
    collect(draw_part("bolt", 9, 96), None, make_features(5, 9))
    import_collected(tmp_path / "collected", out, group=True)
    (out / "_unsorted_/.hidden").touch()
    assert merge_groups(out).unsorted == 1
    with pytest.raises(DatasetError, match="holds 1 photo to sort"):
        list_folder(out)


def test_a_group_without_a_label_says_how_to_give_it_one(collected, tmp_path):
    done = run("import", collected, "--out", tmp_path / "out", "--group")
    assert done.returncode == 0, done.stderr
    assert "group-02 has no label yet: rename it to group-02-LABEL, or to" in done.stdout
    assert "group-01-gear has" not in done.stdout


@pytest.mark.parametrize(
    ("directions", "why"),
    [((0, 0), "a group has at least 3 alike frames, found 2 new"), ((0, 1, 2), "among 3 new")],
)
def test_a_folder_without_groups_is_explained(collect, tmp_path, directions, why):
    for seed, direction in enumerate(directions):
        collect(draw_part("gear", 700 + seed, 96), "gear", make_features(direction, seed))
    done = run("import", tmp_path / "collected", "--out", tmp_path / "out", "--group")
    assert done.returncode == 0, done.stderr
    assert f"no groups: {why}" in done.stderr


def test_the_help_says_how_many_frames_a_group_has():
    assert f"alike frames, {LEAST} or more" in " ".join(run("import", "--help").stdout.split())


def test_the_commands_group_and_merge(collected, tmp_path):
    out = tmp_path / "out"
    done = run("import", collected, "--out", out, "--group", "--json")
    assert done.returncode == 0, done.stderr
    assert "no groups" not in done.stderr
    groups = json.loads(done.stdout)["report"]["groups"]
    assert [one["label"] for one in groups] == ["gear", "_unsorted_"]
    done = run("merge", out)
    assert done.returncode == 0, done.stderr
    assert "5 photos moved" in done.stdout
    assert f"4 photos left in {out}/_unsorted_: move each to" in done.stdout
    assert "next, when none is left: edgetl data check" in done.stdout
    assert f"{out}/_unsorted_/group-02 has no label yet; rename it to group-02-LABEL" in done.stderr
    (out / "_unsorted_/group-02").rename(out / "_unsorted_/group-02-spring")
    done = run("merge", out)
    assert "left in" not in done.stdout
    assert f"next: edgetl data check {out}" in done.stdout
    done = run("import", collected, "--out", tmp_path / "x", "--bundle", LEARNING)
    assert done.returncode == 2
    assert "--group" in done.stderr


def test_a_picture_that_cannot_be_read_as_small_image_is_no_obstacle(collect, tmp_path):
    for n in range(3):
        collect(cv2.resize(draw_part("gear", n, 96), (1, 96)), "gear")
    report = import_collected(
        tmp_path / "collected", tmp_path / "out", group=True, keep_similar=True
    )
    assert len(report.imported) + len(report.refused) == 3
