"""Runs side by side: what is comparable, and what is more than chance."""

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgetl.reporting.comparison import (
    ComparedRun,
    StageCourse,
    compare,
    conclude,
    describe_run,
    list_gains,
    record_comparison,
    render_comparison,
)
from edgetl.run import Run
from edgetl_runtime.errors import RunError
from tests.edgetl.command import edgetl


def make_run(name: str, right: str, **changes: Any) -> ComparedRun:
    """A run that named the photos right where `right` has a 1."""
    hits = tuple(one == "1" for one in right)
    judged = tuple((f"sha {n:03d}", "bolt") for n in range(len(hits)))
    run = ComparedRun(
        name=name,
        backbone="mobilenet_v2_0.35",
        trained="the head",
        top1=sum(hits) / len(hits),
        macro_f1=0.8,
        worst_class="gear",
        worst_recall=0.5,
        calibration_error=0.04,
        seconds=12.0,
        photos=100,
        examples=len(hits),
        scenes=len(hits),
        judged=judged,
        right=hits,
    )
    return msgspec.structs.replace(run, **changes)


def test_a_large_difference_is_more_than_chance() -> None:
    comparison = compare([make_run("a", "1" * 60 + "0" * 40), make_run("b", "1" * 75 + "0" * 25)])
    (pair,) = comparison.pairs
    assert (pair.only_first, pair.only_second) == (15, 0)
    assert comparison.runs[pair.first].name == "b"
    assert comparison.best == 1
    (sentence,) = conclude(comparison)
    assert sentence.startswith("b is better than a, 75.0% against 60.0%, by more than chance")
    assert "p < 0.001" in sentence


def test_a_small_difference_may_be_chance() -> None:
    comparison = compare([make_run("a", "1110" * 10), make_run("b", "1110" * 9 + "1111")])
    (sentence,) = conclude(comparison)
    assert sentence.startswith("b and a differ no more than chance may explain")
    assert "b alone is correct on 1 photo, a alone on 0" in sentence


def test_equal_answers_are_said_to_be_equal() -> None:
    assert conclude(compare([make_run("a", "1101"), make_run("b", "1101")])) == [
        "a and b classify the same photos correctly"
    ]


def test_the_same_top1_can_come_from_other_photos() -> None:
    (pair,) = compare([make_run("a", "1100"), make_run("b", "0011")]).pairs
    assert (pair.only_first, pair.only_second, pair.p) == (2, 2, 1.0)


def test_runs_on_other_photos_are_not_compared() -> None:
    other = make_run("b", "1111", judged=tuple((f"other {n}", "bolt") for n in range(4)))
    comparison = compare([make_run("a", "1100"), other])
    assert comparison.comparable == (True, False)
    assert comparison.pairs == ()
    # A single comparable run is not called the best, whichever is named first.
    assert comparison.best is None
    assert compare([other, make_run("a", "1100")]).best is None
    third = make_run("c", "1110")
    # The highest figure is of other photos.
    assert compare([make_run("a", "1100"), other, third]).best == 2
    (sentence,) = conclude(comparison)
    assert sentence.startswith("b was evaluated on other photos than a")


def test_the_same_photo_under_another_label_is_another_question() -> None:
    relabelled = make_run("b", "11", judged=(("sha 000", "bolt"), ("sha 001", "gear")))
    assert compare([make_run("a", "11"), relabelled]).comparable == (True, False)


def test_several_pairs_are_held_to_more() -> None:
    a, b, c = "1" * 60 + "0" * 40, "1" * 66 + "0" * 34, "1" * 60 + "0" * 39 + "1"
    (alone,) = compare([make_run("a", a), make_run("b", b)]).pairs
    assert alone.is_more_than_chance
    three = compare([make_run("a", a), make_run("b", b), make_run("c", c)]).pairs
    assert three[0].p == alone.p
    # Holm by hand: a-b is the smallest of three, b-c (6 against 1) of the other two.
    assert [pair.adjusted_p for pair in three] == pytest.approx([3 * 2 / 64, 1, 2 * 2 * 8 / 128])
    assert not three[0].is_more_than_chance


def test_runs_without_predictions_are_shown_but_not_tested() -> None:
    plain = msgspec.structs.replace(make_run("b", "1111"), right=None, calibration_error=None)
    comparison = compare([make_run("a", "1100"), plain])
    assert comparison.comparable == (True, True)
    assert comparison.pairs == ()
    assert "<td" in render_comparison(comparison)


def test_the_record_leaves_out_single_photos() -> None:
    record = record_comparison(compare([make_run("a", "1100"), make_run("b", "1111")]))
    text = msgspec.json.encode(record).decode()
    assert "sha 000" not in text
    assert json.loads(text)["pairs"][0]["first"] == "b"


def test_the_page_is_the_same_twice_and_escapes_names() -> None:
    nasty = "<script>alert(1)</script>"
    runs = [make_run(nasty, "1100"), make_run("b", "1111", backbone=nasty)]
    page = render_comparison(compare(runs))
    assert page == render_comparison(compare(runs))
    assert nasty not in page
    assert page.count("<script") == 1


def test_a_page_of_runs_that_are_always_right_has_a_scale() -> None:
    assert "100%" in render_comparison(compare([make_run("a", "1" * 900), make_run("b", "1")]))


# The adapter and the command, on a run that was really trained


HEAD = StageCourse("head", 4.0, 2.0, (0.5, 0.7), kept=2)
BLOCKS = StageCourse("top 3 blocks", 8.0, 4.0, (0.6, 0.75, 0.8, 0.79), kept=3)


def test_what_each_stage_bought_is_counted_from_the_stage_before() -> None:
    head, blocks = list_gains([make_run("a", "1110", stages=(HEAD, BLOCKS))])
    assert (head.seconds, head.accuracy, head.gain) == (6.0, 0.7, None)
    assert (blocks.seconds, blocks.until_s, blocks.accuracy) == (6.0, 12.0, 0.8)
    assert blocks.gain == pytest.approx(0.1)


def test_a_stage_that_kept_nothing_bought_nothing() -> None:
    futile = msgspec.structs.replace(BLOCKS, kept=0)
    assert list_gains([make_run("a", "1110", stages=(HEAD, futile))])[1].gain == 0.0


def test_epochs_end_on_the_clock_of_the_training() -> None:
    assert BLOCKS.ends_s == (9.0, 10.0, 11.0, 12.0)


def test_the_page_pictures_the_course_of_runs_on_the_same_photos() -> None:
    one = make_run("runs/a", "1110", stages=(HEAD,), seconds=7.0)
    other = make_run("runs/b", "1111", stages=(HEAD, BLOCKS), seconds=14.0)
    page = render_comparison(compare([one, other]))
    assert page.count("<svg") == 1
    picture = page[page.index("<svg") : page.index("</svg>")]
    assert "runs/a: mobilenet_v2_0.35, the head" in picture
    assert "runs/b" in picture
    assert "top 3 blocks" in page
    elsewhere = make_run("runs/c", "11111", stages=(HEAD,))
    lonely = render_comparison(compare([one, elsewhere]))
    assert "<svg" not in lonely
    assert "What each training bought" not in lonely


def test_a_training_that_takes_far_longer_is_drawn_on_a_log_scale() -> None:
    short = make_run("a", "1110", stages=(HEAD,), seconds=7.0)
    late = StageCourse("whole network", 5.0, 900.0, (0.3, 0.6, 0.7), kept=3)
    long = make_run("b", "1111", stages=(late,), seconds=910.0)
    assert "log scale" in render_comparison(compare([short, long]))
    assert "log scale" not in render_comparison(compare([short, short]))


def test_the_stages_of_a_run_lie_one_after_the_other(finetuned_run_folder: Path) -> None:
    run = Run.open(finetuned_run_folder)
    head, blocks = describe_run(run, "a").stages
    assert (head.name, blocks.name) == ("head", "top 2 blocks")
    assert 0 < head.start_s < head.ends_s[-1] < blocks.start_s
    assert blocks.ends_s[-1] < run.file.seconds["total"]
    assert len(blocks.accuracies) == 3


def test_a_run_is_described_by_its_own_figures(tiny_run_folder: Path) -> None:
    run = Run.open(tiny_run_folder)
    found = describe_run(run, "parts")
    assert found.name == "parts"
    assert found.trained == "all layers, from random weights"
    assert found.examples == len(found.judged) == len(run.manifest.select("val"))
    assert found.right is not None
    assert sum(found.right) == round(run.metrics.top1 * run.metrics.examples)
    assert found.worst_recall == min(one.recall or 0 for one in run.metrics.classes.values())
    assert found.seconds == run.file.seconds["total"]
    assert found.photos + found.examples == len(run.manifest.examples)


def test_predictions_of_other_photos_are_refused(tiny_run_folder: Path, wording: str) -> None:
    run = Run.open(tiny_run_folder)
    val = run.predictions[0]
    alien = msgspec.structs.replace(val, paths=("alien.jpg", *val.paths[1:]))
    with pytest.raises(RunError, match=wording):
        describe_run(msgspec.structs.replace(run, predictions=(alien,)), "parts")


@pytest.fixture(scope="module")
def two_runs(tiny_run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    copy = tmp_path_factory.mktemp("copies") / "copy"
    shutil.copytree(tiny_run_folder, copy)
    return tiny_run_folder, copy


def test_the_command_prints_a_table_and_the_next_command(two_runs: tuple[Path, Path]) -> None:
    done = edgetl("compare", *two_runs)
    assert (done.returncode, done.stderr) == (0, "")
    assert "classify the same photos correctly" in done.stdout.replace("\n", " ")
    assert done.stdout.splitlines()[-1].startswith("next: edgetl export ")


def test_the_command_prints_one_object(two_runs: tuple[Path, Path]) -> None:
    done = edgetl("compare", *two_runs, "--json")
    record = json.loads(done.stdout)
    assert [run["name"] for run in record["runs"]] == [str(run) for run in two_runs]
    assert record["pairs"][0]["p"] == 1


def test_the_command_writes_a_page_and_replaces_none(
    two_runs: tuple[Path, Path], tmp_path: Path
) -> None:
    page = tmp_path / "compare.html"
    done = edgetl("compare", *two_runs, "--out", page)
    assert f"the table is in {page}" in done.stdout
    assert page.read_text("utf-8").startswith("<!doctype html>")
    again = edgetl("compare", *two_runs, "--out", page)
    assert again.returncode == 1
    assert "add --overwrite" in again.stderr
    assert edgetl("compare", *two_runs, "--out", page, "--overwrite").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        ((), 2, "Missing argument"),
        (("{run}",), 2, "at least two different runs"),
        (("{run}", "{run}"), 2, "at least two different runs"),
        (("{run}", "nowhere"), 1, "is not a finished run"),
        (("{run}", "nowhere", "--out", "photo.jpg"), 2, "must end in .html"),
    ],
)
def test_wrong_use_is_named(
    tiny_run_folder: Path, arguments: tuple[str, ...], code: int, complaint: str
) -> None:
    done = edgetl("compare", *(one.format(run=tiny_run_folder) for one in arguments))
    assert (done.returncode, done.stdout) == (code, "")
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
