"""Shared by the device's tests; imports nothing that a device has not."""

import hashlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import hypothesis
import numpy as np
import pytest

from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.engines.hidden_outputs import Seen
from tests import waiting
from tests.machines import MACHINES

TINY = Path(__file__).parents[1] / "data" / "tiny.bundle"
HANG_S = 60

# `--hypothesis-profile=long` is for a night, or for the figures of a release.
_SHARED = {
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": [hypothesis.HealthCheck.function_scoped_fixture],
}
hypothesis.settings.register_profile("short", max_examples=50, **_SHARED)
hypothesis.settings.register_profile("long", max_examples=10_000, **_SHARED)
hypothesis.settings.load_profile("short")

Change = Callable[[dict[str, Any]], object]


class FakeEngine:
    """Satisfies `Engine`; outputs what it was given, and keeps what it was handed."""

    name = "fake 1.0"
    threads = 1

    def __init__(self, *scores: float) -> None:
        self.scores = np.array(scores, np.float32)
        self.features = np.zeros(4, np.float32)
        self.maps: list[np.ndarray] = []
        self.pixels: list[np.ndarray] = []

    def run(self, pixels: np.ndarray) -> np.ndarray:
        self.pixels.append(pixels)
        return self.scores.copy()

    def look(self, pixels: np.ndarray) -> Seen:
        return Seen(self.run(pixels), self.features.copy(), [one.copy() for one in self.maps])


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., None]:
    """Waits until something is true, or fails since it hangs; see tests/waiting.py."""
    return waiting.wait_until


@pytest.fixture
def enter_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Path]]:
    """Writes a machine of tests/machines.py; returns where its file system begins.

    Its programs are the only ones on the PATH, from `bin` beside that.
    """
    # Not tmp_path, into which nobody but its owner can look.
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)

    def enter(name: str) -> Path:
        monkeypatch.setenv("PATH", str(folder / name / "bin"))
        return MACHINES[name].write(folder / name)

    yield enter
    shutil.rmtree(folder)


@pytest.fixture
def fake_engine() -> type[FakeEngine]:
    return FakeEngine


@pytest.fixture(scope="session")
def tiny() -> Path:
    """The committed bundle; read only."""
    return TINY


@pytest.fixture(scope="session")
def bundle(tiny: Path) -> Bundle:
    return Bundle.open(tiny)


@pytest.fixture
def tiny_copy(tiny: Path, tmp_path: Path) -> Path:
    """The committed bundle, to be changed at will."""
    return Path(shutil.copytree(tiny, tmp_path / "copy.bundle"))


@pytest.fixture
def write_checksummed(tiny_copy: Path) -> Callable[[bytes], Path]:
    """Gives the copied bundle another bundle.json, with a seal that fits."""

    def write(data: bytes) -> Path:
        (tiny_copy / "bundle.json").write_bytes(data)
        seal = f"{hashlib.sha256(data).hexdigest()}  bundle.json\n"
        (tiny_copy / "bundle.json.sha256").write_text(seal)
        return tiny_copy

    return write


@pytest.fixture
def edit(tiny_copy: Path, write_checksummed: Callable[[bytes], Path]) -> Callable[[Change], Path]:
    """Changes the copied bundle's manifest and seals it again, as a forger would."""

    def change_and_seal(change: Change) -> Path:
        manifest = json.loads((tiny_copy / "bundle.json").read_bytes())
        change(manifest)
        return write_checksummed(json.dumps(manifest).encode())

    return change_and_seal


@pytest.fixture
def replace_file(tiny_copy: Path, edit: Callable[[Change], Path]) -> Callable[[str, bytes], Path]:
    """Gives a file of the copied bundle other bytes; hash and size in the manifest fit."""

    def replace(file: str, data: bytes) -> Path:
        def change(manifest: dict[str, Any]) -> None:
            stored = [*manifest["variants"], *manifest["golden"], manifest["labels_file"]]
            (entry,) = [one for one in stored if one["file"] == file]
            entry |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}

        (tiny_copy / file).write_bytes(data)
        return edit(change)

    return replace


@pytest.fixture(scope="session")
def golden_frames(tiny: Path) -> list[np.ndarray]:
    """uint8 BGR, in the manifest's order."""
    return [cv2.imread(str(file)) for file in sorted((tiny / "golden").iterdir())]


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    """Writes a video whose frame n has level 3n + 10 all over."""

    def make(frames: int, fps: float = 25.0, name: str = "video.avi") -> Path:
        path = tmp_path / name
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (64, 48))
        for number in range(frames):
            writer.write(np.full((48, 64, 3), 10 + 3 * number % 240, np.uint8))
        writer.release()
        return path

    return make


@pytest.fixture
def make_turned_video(tmp_path: Path) -> Callable[..., Path]:
    """Writes a video as a phone held upright does: lying, with a matrix that says how to turn it.

    64x48 px as stored, the left half dark and the right half bright.
    """

    def make(name: str = "phone.mp4") -> Path:
        path = tmp_path / name
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (64, 48))
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[:, 32:] = 200
        for _ in range(5):
            writer.write(picture)
        writer.release()
        data = bytearray(path.read_bytes())
        # ISO/IEC 14496-12, 8.3.2: the matrix is the last but the size; this turns clockwise.
        matrix = data.index(b"tkhd") + 44
        turned = (0, 1 << 16, 0, -1 << 16, 0, 0, 48 << 16, 0, 1 << 30)
        data[matrix : matrix + 36] = struct.pack(">9i", *turned)
        path.write_bytes(data)
        return path

    return make


@pytest.fixture
def make_uneven_video(tmp_path: Path) -> Callable[..., Path]:
    """Writes a video whose frames are 1/30 s apart at first, and then 1/5 s."""

    def make(fast: int, slow: int, name: str = "uneven.mp4") -> Path:
        path = tmp_path / name
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, (64, 48))
        for number in range(fast + slow):
            writer.write(np.full((48, 64, 3), 10 + 3 * number % 240, np.uint8))
        writer.release()
        data = bytearray(path.read_bytes())
        # ISO/IEC 14496-12, 8.6.1.2: runs of frames and how long each of them is.
        times = data.index(b"stts") + 8
        count, frames, step = struct.unpack(">3i", data[times : times + 12])
        assert (count, frames) == (1, fast + slow)
        data[times : times + 12] = struct.pack(">5i", 2, fast, step, slow, 6 * step)
        for box in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts"):
            start = data.index(box) - 4
            size = int.from_bytes(data[start : start + 4], "big") + 8
            data[start : start + 4] = size.to_bytes(4, "big")
        # An edit list would cut what is longer now.
        edits = data.index(b"edts")
        data[edits : edits + 4] = b"free"
        path.write_bytes(data)
        return path

    return make


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs code in a fresh interpreter outside the repository."""

    def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=os.environ,
            timeout=HANG_S,
            check=False,
        )

    return run


@pytest.fixture
def edgetl_run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `edgetl-run`; whatever happens, nobody may see a traceback."""

    def run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "edgetl_runtime", *map(str, arguments)],
            stdout=options.pop("stdout", subprocess.PIPE),
            stderr=subprocess.PIPE,
            stdin=options.pop("stdin", None),
            text=True,
            cwd=options.pop("cwd", tmp_path),
            preexec_fn=options.pop("preexec_fn", None),
            env={name: os.environ[name] for name in os.environ if name != "PYTHONUNBUFFERED"},
            timeout=HANG_S,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert "Exception ignored" not in done.stderr, done.stderr
        return done

    return run


@pytest.fixture
def start_edgetl_run(tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts `edgetl-run` and leaves it running; the test ends it, or else the fixture does."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object, **options: Any) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "edgetl_runtime", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            **options,
            # A shell that runs the tests in the background has told its children to ignore Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        with process:
            pass


THING_PX = 72


def draw_cross(seed: int) -> np.ndarray:
    """A cross before a gray wall, uint8 BGR."""
    random = np.random.default_rng(seed)
    wall = int(random.integers(150, 230)) + random.normal(0, 4, (THING_PX, THING_PX, 3))
    image = wall.clip(0, 255).astype(np.uint8)
    color = tuple(int(level) for level in random.integers(20, 90, 3))
    x, y = (int(place) for place in random.integers(26, 46, 2))
    arm = int(random.integers(18, 26))
    for side in (1, -1):
        cv2.line(image, (x - arm, y - side * arm), (x + arm, y + side * arm), color, 9)
    return image


def draw_scene(seed: int) -> np.ndarray:
    """Stripes, as of a bench from above, uint8 BGR; they hardly move."""
    random = np.random.default_rng(seed)
    rows = (np.arange(THING_PX) // 3 % 2 * 160 + 40)[:, None, None]
    noise = random.normal(0, 3, (THING_PX, THING_PX, 3))
    return (rows + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def learning_bundle() -> Path:
    """As the committed bundle, with hidden outputs and memories; read only."""
    return Path(__file__).parents[1] / "data" / "learning.bundle"


@pytest.fixture
def crosses() -> list[np.ndarray]:
    return [draw_cross(seed) for seed in range(20)]


@pytest.fixture
def scene() -> list[np.ndarray]:
    return [draw_scene(seed) for seed in range(12)]


@pytest.fixture
def others() -> list[np.ndarray]:
    """Crosses that nobody teaches."""
    return [draw_cross(seed) for seed in range(100, 120)]


@pytest.fixture
def closed_folder(tmp_path: Path, learning_bundle: Path) -> Iterator[Path]:
    """A folder with a bundle that can learn, in which nobody can write, not even root."""
    folder = tmp_path / "closed"
    folder.mkdir()
    is_root = os.geteuid() == 0
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(folder)]
    if is_root and subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no right to mount a tmpfs")
    shutil.copytree(learning_bundle, folder / "parts.bundle")
    if is_root:
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    else:
        folder.chmod(0o555)
    yield folder
    if is_root:
        subprocess.run(["umount", "-l", str(folder)], check=True)
    else:
        folder.chmod(0o755)
