"""Answers as the pipeline makes them, workers that are closed, a small disk, and real servers."""

import contextlib
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from edgetl_runtime.answers import Answer, Event
from edgetl_runtime.outputs.output import Output
from edgetl_runtime.outputs.worker import OutputWorker
from edgetl_runtime.prediction import Prediction

LABELS = ("gear", "spring", "washer")
TIME = "2026-05-28T20:26:40.250Z"


@pytest.fixture
def make_answer() -> Callable[..., Answer]:
    """An answer of the tiny bundle's labels, with an event if `previous` is given."""

    def make(
        index: int = 0,
        label: str | None = "gear",
        scores: tuple[float, ...] = (0.75, 0.1875, 0.0625),
        labels: tuple[str, ...] = LABELS,
        threshold: float = 0.5,
        captured_s: float | None = None,
        number: int = 1,
        **changes: object,
    ) -> Answer:
        now_s = time.monotonic()
        captured_s = now_s - 0.02 if captured_s is None else captured_s
        own = np.array(scores, np.float32)
        smoothed = changes.pop("smoothed", own)
        prediction = Prediction(
            labels=labels,
            scores=own,
            reject_threshold=threshold,
            captured_s=captured_s,
            answered_s=captured_s + 0.015,
            preprocess_ms=1.25,
            invoke_ms=2.5,
        )
        event = None
        if "previous" in changes:
            event = Event(number, label, changes.pop("previous"), float(smoothed.max()), TIME)
        values = {
            "source": "camera",
            "size_px": (64, 48),
            "score": float(smoothed.max()),
            "stale": False,
            "low_information": False,
            "time": TIME,
            **changes,
        }
        return Answer(
            index=index,
            prediction=prediction,
            smoothed=smoothed,
            label=label,
            event=event,
            **values,
        )

    return make


@pytest.fixture
def picture() -> np.ndarray:
    """uint8 (48, 64, 3) BGR: a ramp, so that it holds information."""
    ramp = np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))
    return np.dstack([ramp, ramp[:, ::-1], np.full_like(ramp, 90)])


@pytest.fixture
def start_worker() -> Iterator[Callable[..., OutputWorker]]:
    """Starts workers; whatever happens, they are closed at the end."""
    started: list[OutputWorker] = []

    def start(output: Output, *, live: bool = True) -> OutputWorker:
        started.append(OutputWorker(output, live=live))
        return started[-1]

    yield start
    for worker in started:
        worker.stop_waiting()
        worker.close(0.2)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 256 KiB."""
    folder = tmp_path / "small_disk"
    folder.mkdir()
    _mount(["-t", "tmpfs", "-o", "size=256k", "none", folder])
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def read_only_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system that is mounted read-only, which binds root, too."""
    folder = tmp_path / "read_only"
    folder.mkdir()
    _mount(["-t", "tmpfs", "-o", "size=64k,ro", "none", folder])
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def _mount(arguments: list[object]) -> None:
    if not shutil.which("mount"):
        pytest.skip("there is no program `mount`")
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"may not mount: {done.stderr.strip()}")


class Receiver:
    """An HTTP server that keeps what it was sent, and answers as the test says."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.status, self.delay_s = 200, 0.0
        self.headers: dict[str, str] = {}
        self.received: list[tuple[str, dict[str, str], bytes]] = []
        self.stopped = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.received.append((self.path, dict(self.headers), body))
                receiver.stopped.wait(receiver.delay_s)
                self.send_response(receiver.status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *arguments: object) -> None:
                pass

            def handle(self) -> None:
                with contextlib.suppress(OSError):  # the client has gone
                    super().handle()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        if context:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.port}/events?camera=1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.stop()


@pytest.fixture
def secure_receiver(server_context: ssl.SSLContext) -> Iterator[Receiver]:
    server = Receiver(server_context)
    yield server
    server.stop()
