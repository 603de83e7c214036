"""Faults inside a real capture process, and what the parent makes of them."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edgetl_runtime.errors import CameraError
from edgetl_runtime.settings.sections import SourceSettings
from tests.waiting import wait_until

HANG_S = 30.0
RECONNECTS = int(os.environ.get("EDGETL_RECONNECTS", "20"))
GOOD = {}


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize("fault", ["hang", "stop"])
def test_a_camera_that_hangs_in_read_is_killed_and_opened_again(fault, faulty, take_until):
    camera, openings = faulty({"frames": 3, "then": fault}, GOOD)
    take_until(camera, lambda status: status.state == "lost")
    assert "no frames for 0.4 s" in camera.status().reason
    take_until(camera, lambda status: status.state == "delivering" and status.reconnects == 1)
    first, second = openings.pids()
    assert not is_alive(first)
    assert is_alive(second)


def test_a_camera_that_hangs_in_open_is_killed_and_opened_again(faulty, take_until):
    settings = SourceSettings(open_timeout_s=1.5)
    camera, openings = faulty({"open": "hang"}, GOOD, settings=settings)
    assert camera.status().state == "opening"
    take_until(camera, lambda status: status.state == "lost")
    assert "did not open within 1.5 s" in camera.status().reason
    take_until(camera, lambda status: status.state == "delivering")
    assert not is_alive(openings.pids()[0])
    assert camera.status().reconnects == 0


def close_in_time(camera):
    """Closes it, and fails where that waits for what hangs for hours."""
    closing = threading.Thread(target=camera.close, daemon=True)
    closing.start()
    closing.join(HANG_S)
    assert not closing.is_alive()


def test_a_camera_that_hangs_in_close_is_killed(faulty, take_until):
    camera, openings = faulty({"close": "hang"})
    take_until(camera, lambda status: status.state == "delivering")
    close_in_time(camera)
    assert not is_alive(openings.pids()[0])


@pytest.mark.parametrize("how", ["read", "stopped"])
def test_a_hung_camera_is_closed_long_before_its_read_would_time_out(how, faulty, take_until):
    settings = SourceSettings(read_timeout_s=10 * HANG_S)
    script = {"frames": 3, "then": "hang" if how == "read" else "stop"}
    camera, openings = faulty(script, settings=settings)
    take_until(camera, lambda status: status.delivered == 3)
    time.sleep(0.3)  # until it hangs
    close_in_time(camera)
    assert not is_alive(openings.pids()[0])


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_capture_process_that_dies_is_started_again(sent, faulty, take_until):
    camera, openings = faulty(GOOD)
    take_until(camera, lambda status: status.delivered > 3)
    os.kill(openings.pids()[0], sent)
    take_until(camera, lambda status: status.state == "lost")
    assert f"signal {sent.value}" in camera.status().reason
    take_until(camera, lambda status: status.state == "delivering")
    assert camera.status().reconnects == 1


def test_a_stopped_capture_process_is_killed_and_started_again(faulty, take_until):
    camera, openings = faulty(GOOD)
    take_until(camera, lambda status: status.delivered > 3)
    os.kill(openings.pids()[0], signal.SIGSTOP)
    take_until(camera, lambda status: status.reconnects == 1)
    assert not is_alive(openings.pids()[0])


def test_numbers_and_counters_go_on_after_a_loss(faulty, take_until):
    camera, _ = faulty({"frames": 20, "then": "fail"}, GOOD)
    frames = take_until(camera, lambda status: status.delivered > 40)
    numbers = [frame.index for frame in frames]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] > 30
    status = camera.status()
    assert len(frames) + status.dropped in (status.delivered, status.delivered - 1)


def test_a_lost_camera_is_an_error_unless_it_shall_keep_trying(faulty, wording):
    camera, _ = faulty({"frames": 3, "then": "fail"}, keep_trying=False)
    with pytest.raises(CameraError, match=wording):
        list(camera)
    assert (camera.status().state, camera.status().reason) == ("ended", "unplugged")
    assert camera.take(0.1) is None


def test_a_missing_camera_is_an_error_at_once_unless_it_shall_keep_trying(
    faulty, take_until, wording
):
    with pytest.raises(CameraError, match=wording):
        faulty({"open": "fail"}, keep_trying=False)
    camera, openings = faulty({"open": "fail"}, {"open": "fail"}, {"open": "fail"}, GOOD)
    take_until(camera, lambda status: status.state == "lost")
    assert camera.status().reason == "nothing there"
    take_until(camera, lambda status: status.state == "delivering")
    assert camera.status().reconnects == 0
    assert len(openings.pids()) == 4


def test_a_mistake_of_ours_is_a_lost_camera_with_the_reason(faulty, take_until):
    camera, _ = faulty({"frames": 3, "then": "mistake"}, GOOD)
    take_until(camera, lambda status: status.state == "lost")
    assert "ZeroDivisionError: a mistake of ours" in camera.status().reason
    take_until(camera, lambda status: status.state == "delivering")


def test_a_bad_frame_costs_one_frame(faulty, take_until):
    camera, openings = faulty({"frames": 3, "then": "bad_sometimes"})
    take_until(camera, lambda status: status.bad.get("truncated", 0) > 20)
    assert camera.status().state == "delivering"
    assert camera.status().delivered > 20
    assert len(openings.pids()) == 1


def test_ten_bad_frames_in_a_row_open_the_camera_again(faulty, take_until):
    camera, _ = faulty({"frames": 3, "then": "bad"}, GOOD)
    take_until(camera, lambda status: status.state == "lost")
    assert camera.status().bad == {"truncated": 10}
    assert "10 bad frames in a row, the last truncated" in camera.status().reason
    take_until(camera, lambda status: status.state == "delivering")
    assert camera.status().bad == {"truncated": 10}


def test_a_frozen_camera_is_opened_again_once_and_stays_frozen(faulty, take_until):
    camera, openings = faulty({"same": 7}, freezes=True)
    take_until(camera, lambda status: status.state == "frozen")
    frames = take_until(camera, lambda status: status.delivered > 300)
    assert camera.status().state == "frozen"
    assert camera.status().reconnects == 1
    assert len(openings.pids()) == 2
    assert len(frames) > 10


def test_a_frozen_camera_that_wakes_when_opened_again_delivers(faulty, take_until):
    camera, openings = faulty({"same": 7}, GOOD, freezes=True)
    take_until(camera, lambda status: status.state == "frozen")
    take_until(camera, lambda status: status.state == "delivering")
    time.sleep(0.1)
    take_until(camera, lambda status: status.delivered > 200)
    assert camera.status().state == "delivering"
    assert len(openings.pids()) == 2


def test_an_equal_picture_for_ever_is_no_fault_of_a_file_or_pattern(faulty, take_until):
    camera, openings = faulty({"same": 7}, freezes=False)
    take_until(camera, lambda status: status.delivered > 200)
    assert camera.status().state == "delivering"
    assert len(openings.pids()) == 1


def test_the_check_for_frozen_cameras_can_be_switched_off(faulty, take_until):
    settings = SourceSettings(frozen_after_s=0)
    camera, openings = faulty({"same": 7}, freezes=True, settings=settings)
    take_until(camera, lambda status: status.delivered > 200)
    assert len(openings.pids()) == 1


def test_a_source_that_changes_its_size_goes_on_with_the_new_one(faulty, take_until):
    camera, openings = faulty({"frames": 5, "then": "grow"})
    frames = take_until(camera, lambda status: status.delivered > 20)
    assert {frame.image.shape for frame in frames} == {(48, 64, 3), (96, 128, 3)}
    assert all(len(set(frame.image[:, :, 0].ravel()[[0, -1]])) == 1 for frame in frames[-1:])
    assert len(openings.pids()) == 1


def test_the_child_goes_away_when_its_parent_is_killed(faulty, tmp_path):
    for script in ("{}", '{"frames": 3, "then": "hang"}'):
        openings = tmp_path / "openings"
        openings.unlink(missing_ok=True)
        code = f"""
import time
from edgetl_runtime.capture.address import SourcePlan
from edgetl_runtime.capture.camera import Camera
options = {{"scripts": [{script}], "openings": {str(openings)!r}, "address": "faulty"}}
camera = Camera("faulty", _plan=SourcePlan("faulty", "faulty_source", options))
camera.take(10.0)
time.sleep(0.3)  # until it hangs, if it shall
print("taken", flush=True)
time.sleep(1000)
"""
        path = os.pathsep.join([*filter(None, [os.environ["PYTHONPATH"]]), *sys.path])
        parent = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": path},
        )
        with parent:
            assert parent.stdout.readline() == b"taken\n"
            (child,) = map(int, openings.read_text().split())
            assert is_alive(child)
            parent.kill()
        wait_until(lambda child=child: not is_alive(child))


def test_a_board_without_free_descriptors_is_a_lost_camera_until_there_are_some(faulty, take_until):
    camera, openings = faulty({"frames": 3, "then": "segv"}, GOOD)
    take_until(camera, lambda status: status.delivered == 3)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = len(os.listdir("/proc/self/fd"))
    try:
        # Enough for the one process that is about to end, but for less than the next one.
        resource.setrlimit(resource.RLIMIT_NOFILE, (before - 3, hard))
        take_until(camera, lambda status: "Too many open files" in status.reason)
        for _ in range(20):
            camera.take(0.02)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    take_until(camera, lambda status: status.state == "delivering")
    assert len(os.listdir("/proc/self/fd")) <= before
    assert len(openings.pids()) == 2


def test_reconnecting_leaks_neither_descriptors_nor_memory(faulty, take_until):
    camera, openings = faulty({"frames": 1, "then": "segv"})

    def held():
        maps = Path("/proc/self/maps").read_text().count("memfd:edgetl")
        return len(os.listdir("/proc/self/fd")), maps

    take_until(camera, lambda status: status.reconnects == 3)
    descriptors, maps = held()
    take_until(camera, lambda status: status.reconnects == RECONNECTS)
    descriptors_after, maps_after = held()
    assert descriptors_after <= descriptors + 8
    assert maps_after <= maps + 2
    assert not any(is_alive(pid) for pid in openings.pids()[:-1])
