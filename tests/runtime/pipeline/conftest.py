"""A feed that is driven by the test, and an output that keeps what it is told."""

import threading
import time
from collections import deque
from pathlib import Path

import numpy as np
import pytest

from edgetl_runtime.capture.feed import FeedStatus
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.errors import EdgetlError
from edgetl_runtime.image.frames import CapturedFrame


class FakeFeed:
    """Satisfies `FrameFeed`: hands over what was put, in order."""

    source = "fake"

    def __init__(self, *, live: bool = True) -> None:
        self.live = live
        self.frames: deque[CapturedFrame | Exception] = deque()
        self.state = "delivering"
        self.reason = ""
        self.fps: float | None = 30.0
        self.closed = 0
        self._changed = threading.Condition()
        self._count = 0

    def put(self, image: np.ndarray, *, age_s: float = 0.0) -> None:
        with self._changed:
            captured_s = time.monotonic() - age_s
            self.frames.append(CapturedFrame(image, self.source, self._count, captured_s))
            self._count += 1
            self._changed.notify()

    def fail(self, error: Exception) -> None:
        with self._changed:
            self.frames.append(error)
            self._changed.notify()

    def end(self) -> None:
        self.state = "ended"

    def take(self, timeout_s: float) -> CapturedFrame | None:
        with self._changed:
            self._changed.wait_for(lambda: self.frames, timeout=min(timeout_s, 0.02))
            found = self.frames.popleft() if self.frames else None
        if isinstance(found, Exception):
            raise found
        return found

    def status(self) -> FeedStatus:
        state = "delivering" if self.frames and self.state == "ended" else self.state
        return FeedStatus(state, self.reason, fps=self.fps)

    def close(self) -> None:
        self.closed += 1


class KeepingOutput:
    """Satisfies `Output`."""

    name = "keep"
    lossless = True

    def __init__(self, *, pictures: bool = False) -> None:
        self.answers = []
        self.closed = 0
        self._pictures = pictures

    def wants_picture(self) -> bool:
        return self._pictures

    def accepts(self, answer) -> bool:
        return True

    def write(self, answer) -> None:
        self.answers.append(answer)

    def close(self) -> None:
        self.closed += 1


class ScriptedEngine:
    """Satisfies `Engine`: outputs one row of scores after the other, the last for ever."""

    name = "scripted 1.0"
    threads = 1

    def __init__(self, *rows) -> None:
        self._rows = deque(np.array(row, np.float32) for row in rows)

    def run(self, pixels):
        row = self._rows[0] if len(self._rows) == 1 else self._rows.popleft()
        return row.copy()


@pytest.fixture
def feed():
    return FakeFeed()


@pytest.fixture
def file_feed():
    return FakeFeed(live=False)


@pytest.fixture
def keeping_output():
    return KeepingOutput


@pytest.fixture
def scripted(tiny: Path):
    """A classifier of the tiny bundle whose engine follows a script."""

    def make(*rows):
        real = Classifier.open(tiny)
        return Classifier(real.bundle, real.variant, ScriptedEngine(*rows))

    return make


@pytest.fixture
def start():
    """Runs a pipeline on a thread and stops it at the end, whatever happens."""
    running = []

    def begin(pipeline):
        outcome = {}

        def run():
            try:
                outcome["answered"] = pipeline.run()
            except EdgetlError as error:
                outcome["error"] = error

        thread = threading.Thread(target=run)
        thread.start()
        running.append((pipeline, thread))

        def finish():
            thread.join(timeout=20)
            assert not thread.is_alive(), "the pipeline hangs"
            if "error" in outcome:
                raise outcome["error"]
            return outcome["answered"]

        return finish

    yield begin
    for pipeline, thread in running:
        pipeline.stop()
        thread.join(timeout=20)


@pytest.fixture
def until():
    """Waits for a condition, and fails instead of waiting for ever."""

    def wait(condition, timeout_s=20.0):
        end = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end, "it never came to be"
            time.sleep(0.005)

    return wait
