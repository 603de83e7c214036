"""Sources that fail in real capture processes."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgetl_runtime.capture.address import SourcePlan
from edgetl_runtime.capture.backoff import Backoff
from edgetl_runtime.capture.camera import Camera
from edgetl_runtime.capture.feed import FeedStatus
from edgetl_runtime.image.frames import CapturedFrame
from edgetl_runtime.settings.sections import SourceSettings

HERE = Path(__file__).parent
HANG_S = 30.0
IMPATIENT = SourceSettings(open_timeout_s=4.0, read_timeout_s=0.4, frozen_after_s=0.3)


@pytest.fixture
def impatient() -> SourceSettings:
    """Short deadlines, so that a test need not wait for long."""
    return IMPATIENT


@pytest.fixture
def at_once() -> Callable[[], Backoff]:
    """Makes a pace of reopening that does not keep a test waiting."""
    return lambda: Backoff(first_s=0.02, limit_s=0.05)


@pytest.fixture
def opened() -> Iterator[Callable[..., Camera]]:
    """Opens cameras that are closed when the test ends, whatever happens."""
    cameras: list[Camera] = []

    def open_camera(address: str, *arguments: Any, **options: Any) -> Camera:
        cameras.append(Camera(address, *arguments, **options))
        return cameras[-1]

    yield open_camera
    for camera in cameras:
        camera.close()


@pytest.fixture
def listen() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """Starts servers that are closed when the test ends, and returns their ports.

    Each connection is handed over in a thread of its own.
    """
    listeners: list[socket.socket] = []

    def serve(listener: socket.socket, handle: Callable[[socket.socket], None]) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=handle, args=(connection,), daemon=True).start()

    def start(handle: Callable[[socket.socket], None]) -> int:
        listeners.append(socket.create_server(("127.0.0.1", 0)))
        threading.Thread(target=serve, args=(listeners[-1], handle), daemon=True).start()
        port: int = listeners[-1].getsockname()[1]
        return port

    yield start
    for listener in listeners:
        listener.close()


class Openings:
    """The capture processes of a faulty camera, one after another."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def pids(self) -> list[int]:
        return [int(line) for line in self.path.read_text().split()]


@pytest.fixture
def faulty(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    opened: Callable[..., Camera],
    at_once: Callable[[], Backoff],
) -> Callable[..., tuple[Camera, Openings]]:
    """Opens a camera that follows scripts; see faulty_source.py."""
    monkeypatch.setenv("PYTHONPATH", str(HERE), prepend=":")

    def make(
        *scripts: dict[str, Any],
        settings: SourceSettings = IMPATIENT,
        keep_trying: bool = True,
        **plan: Any,
    ) -> tuple[Camera, Openings]:
        openings = Openings(tmp_path / "openings")
        options = {"scripts": scripts, "openings": str(openings.path), "address": "faulty"}
        camera = opened(
            "faulty",
            settings,
            keep_trying=keep_trying,
            _plan=SourcePlan("faulty", "faulty_source", options, **plan),
            _backoff=at_once(),
        )
        return camera, openings

    return make


@pytest.fixture
def take_until() -> Callable[..., list[CapturedFrame]]:
    """Takes frames until the status is as wanted, and fails if that takes for ever."""

    def take(camera: Camera, wanted: Callable[[FeedStatus], bool]) -> list[CapturedFrame]:
        frames = []
        give_up_s = time.monotonic() + HANG_S
        while not wanted(camera.status()):
            assert time.monotonic() < give_up_s, camera.status()
            if (frame := camera.take(0.05)) is not None:
                frames.append(frame)
        return frames

    return take
