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

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        said = self.process.communicate(timeout=HANG_S)[1]
        assert (self.process.returncode, "Traceback" in said) == (0, False), said


@pytest.fixture
def film(tmp_path: Path, crosses: list[np.ndarray]) -> Path:
    path = tmp_path / "crosses.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (72, 72))
    for frame in crosses:
        writer.write(frame)
    writer.release()
    return path


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


@pytest.fixture(scope="session")
def tiny(learning_bundle: Path) -> Path:
    """Instead of the bundle that cannot learn; read only."""
    return learning_bundle
