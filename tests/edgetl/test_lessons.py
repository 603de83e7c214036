"""Lessons beside a bundle, as `edgetl evaluate` and `edgetl inspect` meet them."""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import pytest

from edgetl.drawings import draw_part
from edgetl.evaluation import evaluate
from edgetl_runtime.errors import DatasetError, LessonError
from edgetl_runtime.learning.student import Student
from edgetl_runtime.teaching.frames import Collector
from edgetl_runtime.teaching.lesson import take_lesson
from tests.runtime.conftest import draw_cross, draw_scene

LEARNING = Path(__file__).parents[1] / "data" / "learning.bundle"


@pytest.fixture
def untaught(tmp_path: Path) -> Path:
    return Path(shutil.copytree(LEARNING, tmp_path / "parts.bundle"))


@pytest.fixture
def taught(untaught: Path) -> Path:
    """A bundle that learned crosses, and its place."""
    student = Student.open(untaught)
    for label, draw in (("cross", draw_cross), (None, draw_scene)):
        collector = Collector(alike=label is None)
        for seed in range(20):
            frame = draw(seed)
            collector.add(frame, student.bundle.manifest.preprocessing.apply(frame))
        kind = "scene" if label is None else "teach"
        assert take_lesson(student, collector.finish(), kind, label).stored
    return untaught


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    for label in ("gear", "washer"):
        (tmp_path / "parts" / label).mkdir(parents=True)
        for seed in range(6):
            picture = draw_part(label, seed, 96)
            cv2.imwrite(str(tmp_path / "parts" / label / f"{seed}.png"), picture)
    return tmp_path / "parts"


@pytest.fixture
def crosses(parts: Path) -> Path:
    """Crosses that nobody taught, and other views of the place."""
    for name, draw in (("cross", draw_cross), ("_unknown_", draw_scene)):
        (parts / name).mkdir()
        for seed in range(100, 110):
            cv2.imwrite(str(parts / name / f"{seed}.png"), draw(seed))
    return parts


def test_lessons_are_applied_and_what_they_taught_is_a_class(taught: Path, crosses: Path) -> None:
    result = evaluate(taught, crosses, lessons=True)
    assert list(result.metrics.classes) == ["gear", "spring", "washer", "cross"]
    assert (result.metrics.classes["cross"].recall or 0) > 0.5
    assert result.answers is not None
    assert result.answers.false_accepts == 0
    assert (result.lessons, result.lessons_left_out) == (2, 0)


def test_without_being_asked_the_bundle_alone_is_scored(
    taught: Path, untaught: Path, parts: Path
) -> None:
    result = evaluate(taught, parts)
    assert result.metrics == evaluate(LEARNING, parts).metrics
    assert (result.lessons, result.lessons_left_out) == (0, 2)


def test_a_class_that_a_lesson_taught_names_the_option(
    taught: Path, crosses: Path, wording: str
) -> None:
    with pytest.raises(DatasetError, match=wording):
        evaluate(taught, crosses)


def test_a_bundle_without_lessons_says_so(untaught: Path, parts: Path, wording: str) -> None:
    with pytest.raises(LessonError, match=wording):
        evaluate(untaught, parts, lessons=True)


def test_damaged_lessons_are_not_scored_in_silence(
    taught: Path, parts: Path, wording: str, caplog: pytest.LogCaptureFixture
) -> None:
    (taught.with_name("parts.bundle.overlay") / "overlay.json").write_text("{}")
    with pytest.raises(LessonError, match=wording):
        evaluate(taught, parts, lessons=True)
    assert evaluate(taught, parts).lessons_left_out == 0
    assert "what was taught beside" in caplog.text


def test_evaluate_tells_of_lessons_that_it_left_out(edgetl: Any, taught: Path, parts: Path) -> None:
    code, printed, noted = edgetl("evaluate", taught, parts)
    assert code == 0
    assert "lesson" not in printed
    assert "not applied: 2 lessons beside the bundle; --lessons applies them" in noted


def test_evaluate_says_what_a_device_would_answer(edgetl: Any, taught: Path, crosses: Path) -> None:
    code, printed, noted = edgetl("evaluate", taught, crosses, "--lessons")
    assert code == 0
    assert "photos, with 2 lessons applied" in printed
    assert "rejected as unknown" in printed
    assert "_unknown_: 0 of 10 photos labelled all the same (0.0%)" in printed
    assert "not applied" not in noted
    code, printed, _ = edgetl("evaluate", taught, crosses, "--lessons", "--json")
    record = json.loads(printed)
    answers = record["answers"]
    assert (record["lessons"], record["lessons_left_out"], record["unknown"]) == (2, 0, 10)
    assert answers.keys() == {
        *("labelled", "correct", "accuracy", "rejected", "false_rejects", "false_reject_rate"),
        *("unknown", "false_accepts", "false_accept_rate", "taken_for"),
    }
    assert answers["labelled"] + answers["rejected"] == record["examples"] == 22
    assert (answers["unknown"], answers["false_accepts"]) == (10, 0)


def test_inspect_mentions_lessons_beside_the_bundle(edgetl: Any, taught: Path) -> None:
    code, printed, _ = edgetl("inspect", taught)
    assert code == 0
    assert (
        "2 lessons beside the bundle: cross, (nothing known); to list them: edgetl-run learned "
        f"{taught}\n" in printed
    )
    _, printed, _ = edgetl("inspect", taught, "--json")
    assert "lessons" not in json.loads(printed)


def test_inspect_is_silent_where_nothing_was_taught(edgetl: Any, untaught: Path) -> None:
    _, printed, _ = edgetl("inspect", untaught)
    assert "lesson" not in printed


def test_inspect_shows_a_bundle_whose_lessons_are_damaged(edgetl: Any, taught: Path) -> None:
    (taught.with_name("parts.bundle.overlay") / "overlay.json").write_text("{}")
    code, printed, _ = edgetl("inspect", taught)
    assert code == 0
    assert "lesson" not in printed


def test_explain_applies_lessons_and_tells_if_they_cannot_be(
    edgetl: Any, taught: Path, crosses: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photo = crosses / "cross/100.png"
    code, printed, _ = edgetl("explain", taught, photo, "--out", tmp_path / "one")
    assert code == 0
    assert "cross" in printed
    assert "left out" not in caplog.text
    overlay = taught.with_name("parts.bundle.overlay")
    (overlay / "overlay.json").write_text("{}")
    code, _, _ = edgetl("explain", taught, photo, "--out", tmp_path / "two")
    assert code == 0
    assert "what was learned is left out" in caplog.text
