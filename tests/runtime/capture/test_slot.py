"""The shared slots: two processes, no torn frame, no lost count."""

import os
import signal
import subprocess
import sys
import time

import pytest

from edgetl_runtime.capture.slot import Slots
from edgetl_runtime.capture.source import BadFrame
from edgetl_runtime.image.limits import MAX_PIXELS

WRITER = """
import sys
from edgetl_runtime.capture.slot import Slots
header, pixels, count = map(int, sys.argv[1:])
slots = Slots(header, pixels, writes=True)
for number in range(count):
    side = 20 + number % 50
    buffer = slots.buffer(side, 2 * side)
    buffer[:] = bytes([number % 251]) * len(buffer)
    slots.publish(number, number)
"""
STOPPED_WRITER = """
import fcntl, os, signal, sys
fcntl.lockf(int(sys.argv[1]), fcntl.LOCK_EX)
os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.fixture
def slots():
    slots = Slots.create()
    yield slots
    slots.close()


@pytest.fixture
def both():
    """Reader and writer in one process, for what needs no second one."""
    reader = Slots.create()
    writer = Slots(*map(os.dup, reader.descriptors), writes=True)
    yield reader, writer
    reader.close()
    writer.close()


def write(writer, number, size=(4, 5)):
    writer.buffer(*size)[:] = bytes([number]) * (3 * size[0] * size[1])
    writer.publish(number, 1000 + number)


def start_writer(slots, count):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, *map(str, slots.descriptors), str(count)],
        pass_fds=slots.descriptors,
    )


def test_nothing_is_taken_before_something_is_published(both):
    reader, writer = both
    assert reader.take(1.0) is None
    writer.buffer(4, 5)
    assert reader.take(1.0) is None


def test_a_frame_is_taken_once(both):
    reader, writer = both
    write(writer, 7, (4, 5))
    frame = reader.take(1.0)
    assert (frame.number, frame.captured_ns, frame.height, frame.width) == (7, 1007, 4, 5)
    assert bytes(frame.pixels) == bytes([7]) * 60
    assert 0 <= time.monotonic_ns() - frame.published_ns < 10**10
    assert reader.take(1.0) is None


def test_only_the_newest_is_taken_and_the_others_are_counted(both):
    reader, writer = both
    for number in range(5):
        write(writer, number)
    assert reader.take(1.0).number == 4
    assert reader.counters() == (5, 4)


def test_a_held_frame_is_never_written_to(both):
    reader, writer = both
    write(writer, 1)
    held = reader.take(1.0)
    for number in range(2, 20):
        write(writer, number)
    assert bytes(held.pixels) == bytes([1]) * 60
    assert reader.take(1.0).number == 19


def test_frames_of_any_size_fit_one_after_another(both):
    reader, writer = both
    for number, size in enumerate([(4, 5), (1000, 2000), (1, 1), (3000, 4000)]):
        write(writer, number, size)
        frame = reader.take(1.0)
        assert (frame.height, frame.width) == size
        assert frame.pixels[0] == frame.pixels[-1] == number


@pytest.mark.parametrize(("height", "width"), [(0, 5), (5, 0), (1, MAX_PIXELS + 1)])
def test_a_frame_without_or_with_too_many_pixels_is_refused(height, width, both):
    with pytest.raises(BadFrame):
        both[1].buffer(height, width)


def test_the_reader_cannot_write_to_the_pixels(both, wording):
    reader, writer = both
    write(writer, 1)
    with pytest.raises(TypeError, match=wording):
        reader.take(1.0).pixels[0] = 3


def test_two_processes_never_see_half_a_frame(slots):
    count = 20_000
    taken = []
    with start_writer(slots, count) as writer:
        while writer.poll() is None or not taken or taken[-1] < count - 1:
            frame = slots.take(1.0)
            if frame is None:
                continue
            side = 20 + frame.number % 50
            assert (frame.height, frame.width) == (side, 2 * side)
            assert bytes(frame.pixels) == bytes([frame.number % 251]) * (6 * side * side)
            taken.append(frame.number)
    assert taken == sorted(set(taken))
    delivered, dropped = slots.counters()
    assert (delivered, dropped) == (count, count - len(taken))


def test_a_writer_killed_at_any_moment_leaves_usable_slots(slots):
    for pause_s in (0.0, 0.001, 0.003, 0.005, 0.01):
        with start_writer(slots, 10**9) as writer:
            give_up_s = time.monotonic() + 30
            while slots.take(1.0) is None:
                assert time.monotonic() < give_up_s
            time.sleep(pause_s)
            writer.send_signal(signal.SIGKILL)
        slots.take(1.0)
        assert slots.take(1.0) is None


def test_a_writer_stopped_amid_a_change_does_not_stop_the_reader(both):
    reader, writer = both
    write(writer, 1)
    command = [sys.executable, "-c", STOPPED_WRITER, str(reader.descriptors[0])]
    with subprocess.Popen(command, pass_fds=reader.descriptors) as stopped:
        os.waitid(os.P_PID, stopped.pid, os.WSTOPPED)
        start_s = time.monotonic()
        assert reader.take(0.1) is None
        assert time.monotonic() - start_s >= 0.1
        # It still stands amid the change, so that nothing but the time let the reader go.
        assert os.waitid(os.P_PID, stopped.pid, os.WEXITED | os.WNOHANG) is None
        stopped.kill()
    assert reader.take(0.1).number == 1


def test_memory_that_is_not_touched_costs_nothing(slots):
    assert os.fstat(slots.descriptors[1]).st_size >= 3 * 3 * MAX_PIXELS
    assert os.fstat(slots.descriptors[1]).st_blocks == 0


def test_work_travels_with_its_frame_and_adds_up(both):
    reader, writer = both
    for number, worked_ns in enumerate((5, 7)):
        writer.buffer(4, 5)
        writer.publish(number, 1000, worked_ns=worked_ns)
    assert reader.take(1.0).worked_ns == 7
    assert reader.worked_ns() == 12
