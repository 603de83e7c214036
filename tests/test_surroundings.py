"""What the machine around the classifier may do: jump its clock, lose its network, run short."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TINY = ROOT / "tests" / "data" / "tiny.bundle"
CAMERA = (sys.executable, "-m", "edgetl_runtime", "camera", str(TINY), "--source", "pattern")
TEN_YEARS_S = 10 * 365 * 86_400


@pytest.fixture(scope="module")
def jumping_clock(tmp_path_factory) -> Path:
    """The preloadable clock, compiled."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    library = tmp_path_factory.mktemp("clock") / "jumping_clock.so"
    source = Path(__file__).with_name("jumping_clock.c")
    build = ["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
    subprocess.run(build, check=True)
    return library


def test_a_wall_clock_that_jumps_by_years_changes_no_age_and_no_label(jumping_clock, tmp_path):
    shift = tmp_path / "shift"
    shift.write_text("0")
    log = tmp_path / "answers.jsonl"
    environment = os.environ | {"LD_PRELOAD": str(jumping_clock), "CLOCK_SHIFT_FILE": str(shift)}
    command = [*CAMERA, "--terminal", "none", "--jsonl", str(log)]
    process = subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    try:
        for seconds in (0, -TEN_YEARS_S, TEN_YEARS_S):
            shift.write_text(str(seconds))
            wait_for_lines(log, 30)
    finally:
        process.terminate()
        errors = process.communicate(timeout=20)[1]
    assert process.returncode == 0, errors
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert len({record["time"][:4] for record in records}) >= 3
    assert all(0 <= record["age_ms"] < 2000 for record in records)
    assert not any(record["stale"] for record in records)
    assert {record["label"] for record in records[5:]} == {records[5]["label"]}
    moments = [record["captured_s"] for record in records]
    assert moments == sorted(moments)


def wait_for_lines(log: Path, more: int) -> None:
    def count() -> int:
        return log.read_bytes().count(b"\n") if log.exists() else 0

    wanted, end_s = count() + more, time.monotonic() + 30
    while count() < wanted:
        assert time.monotonic() < end_s, "the answers have stopped"
        time.sleep(0.05)


@pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode != 0,
    reason="needs the right to make a network namespace",
)
def test_it_starts_and_runs_on_a_machine_without_any_network():
    command = ["unshare", "-n", *CAMERA, "--max-frames", "5", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 5


SHORT_OF_MEMORY = """
import itertools, resource, sys, time
from collections import deque
import numpy as np
from edgetl_runtime import Classifier, Pipeline
from edgetl_runtime.capture.feed import FeedStatus
from edgetl_runtime.image.frames import CapturedFrame
from edgetl_runtime.settings.sections import Settings, ViewSettings

small = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
huge = np.zeros((9000, 9000, 3), np.uint8)
frames = deque([small, small, huge, small, huge, small])

class Feed:
    source, live = "memory", False
    def take(self, timeout_s):
        if frames:
            return CapturedFrame(frames.popleft(), "memory", 0, time.monotonic())
    def status(self):
        return FeedStatus("delivering" if frames else "ended")
    def close(self):
        pass

pipeline = Pipeline(
    Classifier.open(sys.argv[1]), Feed(), settings=Settings(view=ViewSettings(rotate=90))
)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**27, used + 2**27))
print(pipeline.run(), pipeline.status().frame_failures)
"""


def test_a_frame_for_which_there_is_no_memory_costs_itself_only():
    command = [sys.executable, "-c", SHORT_OF_MEMORY, str(TINY)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["4", "2"], done.stderr
