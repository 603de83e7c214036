"""Ctrl-C and SIGTERM while a source is opened, which may take for ever."""

import signal
import socket
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

HANG_S = 60


def find_children(pid):
    """The capture processes of a program."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and "bootstrap" in (entry / "cmdline").read_text():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.fixture
def silent_server():
    """Accepts, and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("source", ["http://{}/s", "rtsp://{}/s", "tcp://{}", "-"])
def test_a_signal_ends_the_camera_at_once_while_it_is_opened(
    number, source, tiny, silent_server, start_edgetl_run
):
    place = f"127.0.0.1:{silent_server.getsockname()[1]}"
    limit_s = 500
    process = start_edgetl_run(
        *("camera", tiny, "--source", source.format(place), "--open-timeout-s", limit_s),
        *("--read-timeout-s", limit_s),
        stdin=subprocess.PIPE,
    )
    give_up_s = time.monotonic() + HANG_S
    while not find_children(process.pid):
        assert process.poll() is None
        assert time.monotonic() < give_up_s
        time.sleep(0.05)
    (child,) = find_children(process.pid)
    with silent_server.accept()[0] if "://" in source else nullcontext():
        process.send_signal(number)
        process.wait(timeout=limit_s / 10)
    # One that had to be ended by its own deadline ends with 1.
    assert process.returncode == 0
    assert "Traceback" not in process.stderr.read()
    assert not Path(f"/proc/{child}").exists()
