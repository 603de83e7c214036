"""What runtime/README.md tells writers of programs about lessons and heat maps is so."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgetl_runtime.heatmaps.encoding import HeatMapRecord
from edgetl_runtime.learning.learned import Kept
from edgetl_runtime.serving.lesson_records import (
    LessonOrder,
    LessonProgress,
    LessonsView,
    LessonView,
    Outcome,
)
from edgetl_runtime.teaching.lesson import LessonReport
from tests.waiting import wait_until

ROOT = Path(__file__).parents[1]
TOKEN = "correct-horse-battery-staple"
RECORDS = {
    "order (the body of `POST`)": LessonOrder,
    "view": LessonsView,
    "each of `lessons`": LessonView,
    "`running`": LessonProgress,
    "`outcome`": Outcome,
    "`report`": LessonReport,
    "`kept`": Kept,
    "heat map": HeatMapRecord,
}


@pytest.fixture(scope="module")
def section() -> str:
    text = (ROOT / "runtime" / "README.md").read_text("utf-8")
    return text.split("**Lessons and heat maps for programs.**")[1].split("\n\n**")[0]


@pytest.fixture
def board(tmp_path: Path) -> Iterator[str]:
    """The address of a board that sees things which it was never taught."""
    bundle = shutil.copytree(ROOT / "tests/data/learning.bundle", tmp_path / "parts.bundle")
    film, random = tmp_path / "film.avi", np.random.default_rng(0)
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"MJPG"), 20, (96, 96))
    for _ in range(30):
        writer.write(cv2.resize(random.integers(0, 255, (6, 6, 3), dtype=np.uint8), (96, 96)))
    writer.release()
    command = [sys.executable, "-m", "edgetl_runtime", "serve", str(bundle), "--source", str(film)]
    options = ["--realtime", "--loop", "--terminal", "none", "--port", "0", "--token", TOKEN]
    with subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        told = next(line for line in process.stderr if "the page is at" in line)
        yield re.search(r"http://[\d.:]+", told)[0]
        process.kill()


def test_the_table_names_every_key_of_every_object(section):
    rows = [line.strip("| ").split(" | ", 1) for line in section.splitlines() if line[:1] == "|"]
    named = {row[0]: set(re.findall(r"`(\w+)`", row[1])) for row in rows[2:]}
    missing = {name: set(kind.__struct_fields__) - named[name] for name, kind in RECORDS.items()}
    assert (named.keys(), {name for name, keys in missing.items() if keys}) == (
        RECORDS.keys(),
        set(),
    )


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_every_example_does_what_it_is_there_for(section, board):
    shown = "\n".join(re.findall(r"^ {4}(.*)", section, re.MULTILINE)).replace("\\\n", "")
    examples = shown.replace("TOKEN", TOKEN).replace("http://board:8080", board).splitlines()

    def ask(number: int) -> dict:
        words = [*shlex.split(examples[number]), "--silent", "--show-error"]
        return json.loads(subprocess.run(words, check=True, capture_output=True).stdout)

    assert len(examples) == 5
    wait_until(lambda: "error" not in ask(4))
    assert ask(4)["label"] == "gear"
    assert ask(1)["running"]["label"] == "cup"
    assert "error" not in ask(2)
    wait_until(lambda: ask(0)["running"] is None)
    assert "stopped" in ask(0)["outcome"]["error"]
    ask(1)
    wait_until(lambda: ask(0)["running"] is None)
    report = ask(0)["outcome"]["report"]
    assert set(report) == set(LessonReport.__struct_fields__)
    assert report["stored"] == bool(ask(0)["lessons"])
    assert "error" in ask(3) if not report["stored"] else ask(3)["lessons"] == []
