"""A whole service that is taught through its page: in real processes, with a film as its camera."""

import http.client
import itertools
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgetl_runtime.service.reload import LOOK_EVERY_S

TOKEN = "correct-horse-battery-staple"
HANG_S = 60


class Board:
    """One `edgetl-run serve`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        assert process.stderr
        told = next(line for line in process.stderr if "the page is at" in line)
        self.port = int(re.search(r":(\d+)/", told)[1])

    def ask(self, method: str, path: str, order: dict | None = None) -> dict:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        body = json.dumps(order).encode() if order else None
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request(method, path, body, headers)
            return json.loads(connection.getresponse().read())

    def status(self) -> dict:
        return self.ask("GET", "/api/state")["status"]

    def wait_for(self, condition: Callable[[], bool]) -> None:
        end_s = time.monotonic() + HANG_S
        while not condition():
            assert time.monotonic() < end_s
            assert self.process.poll() is None
            time.sleep(0.05)

    def teach(self, **order: object) -> dict:
        self.wait_for(lambda: self.status()["state"] == "ok")
        assert "error" not in self.ask("POST", "/api/lessons", order)
        self.wait_for(lambda: self.ask("GET", "/api/lessons")["running"] is None)
        return self.ask("GET", "/api/lessons")["outcome"]

    def end(self) -> str:
        """What it said since it began."""
        self.process.send_signal(signal.SIGTERM)
        said = self.process.communicate(timeout=HANG_S)[1]
        assert (self.process.returncode, "Traceback" in said) == (0, False), said
        return said


def write_film(path: Path, frames: list[np.ndarray], fps: float) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (72, 72))
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


@pytest.fixture
def film(tmp_path: Path, crosses: list[np.ndarray]) -> Path:
    return write_film(tmp_path / "crosses.avi", crosses, 20)


@pytest.fixture
def serve_film(tmp_path: Path, film: Path) -> Iterator[Callable[[Path], Board]]:
    started: list[subprocess.Popen[str]] = []

    def start(bundle: Path) -> Board:
        command = [sys.executable, "-m", "edgetl_runtime", "serve", str(bundle)]
        source = ["--source", str(film), "--realtime", "--loop", "--terminal", "none"]
        options = ["--port", "0", "--token", TOKEN, "--state-dir", str(tmp_path / "state")]
        process = subprocess.Popen(
            [*command, *source, *options], stderr=subprocess.PIPE, text=True, cwd=tmp_path
        )
        started.append(process)
        return Board(process)

    yield start
    for process in started:
        process.kill()
        with process:
            pass


def test_a_service_that_may_not_write_beside_its_bundle_learns_in_its_state_folder(
    serve_film, closed_folder, tmp_path
):
    board = serve_film(closed_folder / "parts.bundle")
    outcome = board.teach(kind="teach", label="cross", seconds=2)
    assert outcome["report"]["stored"], outcome
    assert board.status()["lessons"] == 1
    board.wait_for(lambda: board.status()["label"] == "cross")
    assert [one.suffix for one in (tmp_path / "state" / "models").iterdir()].count(".overlay") == 1
    board.end()
    again = serve_film(closed_folder / "parts.bundle")
    again.wait_for(lambda: again.status()["label"] == "cross")
    assert "lessons" in again.ask("DELETE", "/api/lessons/last")
    again.wait_for(lambda: again.status()["lessons"] == 0)
    again.end()


def test_a_service_goes_on_answering_while_it_learns(serve_film, tiny_copy):
    board = serve_film(tiny_copy)
    board.wait_for(lambda: board.status()["state"] == "ok")
    board.ask("POST", "/api/lessons", {"kind": "teach", "label": "cross", "seconds": 2})
    counts = []
    while board.ask("GET", "/api/lessons")["running"]:
        counts.append(board.status()["answered"])
        time.sleep(0.2)
    assert board.status()["lessons"] == 1
    assert all(later > earlier for earlier, later in itertools.pairwise(counts))
    assert (tiny_copy.with_name(f"{tiny_copy.name}.overlay") / "overlay.json").is_file()
    board.end()


def run(*command: object) -> None:
    """`edgetl-run` beside a service."""
    words = [sys.executable, "-m", "edgetl_runtime", *map(str, command)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_another_program_teaches_or_undoes_is_taken_into_use(serve_film, tiny_copy, film):
    board = serve_film(tiny_copy)
    board.wait_for(lambda: board.status()["state"] == "ok")
    assert board.status()["label"] != "cross"
    run("teach", tiny_copy, "cross", film)
    board.wait_for(lambda: board.status()["label"] == "cross")
    told = board.ask("GET", "/api/lessons")
    assert told["labels"][-1] == "cross"
    assert [one["label"] for one in told["lessons"]] == ["cross"]
    run("learned", tiny_copy, "--undo")
    board.wait_for(lambda: board.status()["lessons"] == 0)
    told = board.ask("GET", "/api/lessons")
    assert ("cross" in told["labels"], told["lessons"]) == (False, [])
    board.wait_for(lambda: board.status()["label"] not in ("cross", None))
    assert board.status()["state"] == "ok"
    board.end()


def test_lessons_that_are_damaged_take_no_answers_away(serve_film, tiny_copy, film, wording):
    run("teach", tiny_copy, "cross", film)
    board = serve_film(tiny_copy)
    board.wait_for(lambda: board.status()["label"] == "cross")
    manifest = tiny_copy.with_name(f"{tiny_copy.name}.overlay") / "overlay.json"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:-9])
    board.wait_for(lambda: board.status()["state"] == "degraded")
    status = board.status()
    assert re.search(wording, status["reason"])
    assert "--clear" in board.ask("GET", "/api/lessons")["impossible"]
    answered = status["answered"]
    board.wait_for(lambda: board.status()["answered"] > answered)
    assert (board.status()["label"], board.status()["lessons"]) == ("cross", 1)
    # Asked to reload, too.
    board.process.send_signal(signal.SIGHUP)
    time.sleep(2 * LOOK_EVERY_S)
    assert (board.status()["label"], board.status()["reloads"]) == ("cross", 0)
    manifest.write_bytes(whole)
    board.wait_for(lambda: board.status()["state"] == "ok")
    assert (board.status()["label"], board.status()["reloads"]) == ("cross", 0)
    board.end()


def test_lessons_beside_a_bundle_whose_copy_has_others_are_said_to_be_left_out(
    serve_film, tiny_copy, film, tmp_path
):
    board = serve_film(tiny_copy)
    board.wait_for(lambda: board.status()["state"] == "ok")
    run("teach", *(tmp_path / "state" / "models").iterdir(), "cross", film)
    board.wait_for(lambda: board.status()["label"] == "cross")
    run("teach", tiny_copy, "crossing", film)
    board.wait_for(lambda: board.status()["reloads"] == 2)
    assert board.ask("GET", "/api/lessons")["labels"][-1] == "cross"
    assert f"those in {tiny_copy}.overlay are left out" in board.end()


def test_a_camera_without_a_page_takes_lessons_into_use_and_a_file_does_not(
    tiny_copy, film, crosses, tmp_path, wait_until
):
    log, whole = tmp_path / "live.jsonl", tmp_path / "whole.jsonl"
    begin = [sys.executable, "-m", "edgetl_runtime", "camera", str(tiny_copy), "--source"]
    end = ["--realtime", "--terminal", "none", "--jsonl"]
    slow = write_film(tmp_path / "slow.avi", crosses * 2, 2)
    started = [
        subprocess.Popen([*begin, str(film), "--loop", *end, str(log)]),
        subprocess.Popen([*begin, str(slow), *end, str(whole)]),
    ]
    wait_until(lambda: all(one.exists() and one.stat().st_size for one in (log, whole)))
    run("teach", tiny_copy, "cross", film)
    wait_until(lambda: '"label":"cross"' in log.read_text())
    count = whole.read_text().count("\n")
    wait_until(lambda: whole.read_text().count("\n") > count + 2)
    for one in started:
        one.send_signal(signal.SIGINT)
        one.wait(HANG_S)
    assert "cross" not in whole.read_text()


@pytest.fixture(scope="session")
def tiny(learning_bundle: Path) -> Path:
    """Instead of the bundle that cannot learn; read only."""
    return learning_bundle
