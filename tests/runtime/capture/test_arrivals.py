"""What waited while nobody read never passes for new."""

import contextlib
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetl_runtime.capture.arrivals import TRUSTED_NS, Arrivals, DatedParts
from edgetl_runtime.capture.multipart import PartSplitter
from edgetl_runtime.errors import CameraError

HANG_S = 30.0
STOPPED_S = 1.5
FPS = 50
# Apart from what counts as just arrived: how long a busy machine may take from stamp to stamp.
SLACK_S = TRUSTED_NS / 1e9 + 0.25
TELL_AGES = """
import json, sys
from edgetl_runtime.capture.camera import Camera
from edgetl_runtime.settings.sections import SourceSettings
with Camera(sys.argv[1], SourceSettings(**json.loads(sys.argv[2]))) as camera:
    print(camera._process._child.pid, flush=True)
    while camera.status().state != "ended":
        frame = camera.take(0.1)
        if frame is not None:
            print(frame.index, frame.captured_s, flush=True)
"""
PARTS = [b"", b"one", b"\r\nt\nwo--edg", bytes(range(256)) * 50]


def with_length(data):
    return b"--edge\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(data), data)


def without_length(data):
    return b"--edge\r\nX: y\r\n\r\n" + data + b"\r\n"


class Watch:
    """A program that tells of each frame, and whose capture process can be stopped and woken."""

    def __init__(self, source, **settings):
        self.told = []
        self.process = subprocess.Popen(
            [sys.executable, "-c", TELL_AGES, source, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.capture = 0
        self.thread = threading.Thread(target=self._listen)
        self.thread.start()

    def _listen(self):
        self.capture = int(self.process.stdout.readline())
        for line in self.process.stdout:
            index, captured_s = line.split()
            self.told.append((int(index), float(captured_s)))

    def wait_for(self, index):
        give_up_s = time.monotonic() + HANG_S
        while not self.told or self.told[-1][0] < index:
            assert time.monotonic() < give_up_s, self.told[-3:]
            time.sleep(0.01)

    def signal(self, number):
        os.kill(self.capture, number)

    def close(self):
        # The capture process ends with it, unless it is stopped.
        with contextlib.suppress(ProcessLookupError):
            self.signal(signal.SIGCONT)
        self.process.kill()
        self.thread.join()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


@pytest.fixture
def watch():
    watches = []

    def start(*arguments, **settings):
        watches.append(Watch(*arguments, **settings))
        return watches[-1]

    yield start
    for one in watches:
        one.close()


class Sender:
    """Writes a frame each 20 ms, and knows when."""

    def __init__(self, frame_of):
        self.sent_s = []
        self.stop = threading.Event()
        self.frame_of = frame_of

    def send(self, write):
        while not self.stop.wait(1 / FPS):
            self.sent_s.append(time.monotonic())
            try:
                write(self.frame_of(len(self.sent_s)))
            except OSError:
                return


# Large enough to fill a pipe and, within the stop, a socket's buffers, and to take long to decode.
PICTURES = np.random.default_rng(0).integers(0, 256, (4, 480, 640, 3), np.uint8)
JPEGS = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in PICTURES]


def jpeg_of(number):
    return JPEGS[number % len(JPEGS)]


def raw_of(number):
    return PICTURES[number % len(PICTURES)].tobytes()


@pytest.fixture
def send():
    """Sends frames from a thread that ends with the test."""
    running = []

    def start(frame_of, write=None):
        sender = Sender(frame_of)
        thread = threading.Thread(target=sender.send, args=(write,)) if write else None
        running.append((sender, thread))
        if thread:
            thread.start()
        return sender

    yield start
    for sender, thread in running:
        sender.stop.set()
        if thread:
            thread.join()


@pytest.fixture
def serve(send):
    """Serves an endless answer to one client after another; `chunked` or plain."""
    servers = []

    def start(part, chunked):
        sender = send(lambda number: part(jpeg_of(number)))

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1" if chunked else "HTTP/1.0"

            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=edge")
                if chunked:
                    self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                sender.send(self.write)

            def write(self, data):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        server.handle_error = lambda *_: None
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread, sender))
        return f"http://127.0.0.1:{server.server_address[1]}/", sender

    yield start
    for server, thread, sender in servers:
        sender.stop.set()
        server.shutdown()
        thread.join()
        server.server_close()


def stop_and_look(watched, sender):
    """How much older than told frames were that came after a stop, and how many came."""
    watched.wait_for(20)
    watched.signal(signal.SIGSTOP)
    time.sleep(STOPPED_S)
    before = len(watched.told)
    newest = len(sender.sent_s)
    watched.signal(signal.SIGCONT)
    watched.wait_for(newest + 20)
    after = watched.told[before:]
    return [captured_s - sender.sent_s[index] for index, captured_s in after]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("part", [with_length, without_length])
def test_a_stream_that_queued_while_nobody_read_is_not_told_as_new(part, chunked, serve, watch):
    url, sender = serve(part, chunked)
    younger_s = stop_and_look(watch(url), sender)
    assert max(younger_s) < SLACK_S
    # And all that comes later is as young as ever.
    assert min(younger_s[-10:]) > -SLACK_S


@pytest.mark.parametrize(
    ("frame_of", "settings"), [(jpeg_of, {}), (raw_of, {"format": "bgr24", "size": "640x480"})]
)
def test_a_pipe_that_queued_while_nobody_read_is_not_told_as_new(frame_of, settings, watch, send):
    watched = watch("-", **settings)

    def write(data):
        watched.process.stdin.write(data)
        watched.process.stdin.flush()

    sender = send(frame_of, write)
    younger_s = stop_and_look(watched, sender)
    assert max(younger_s) < SLACK_S
    assert min(younger_s[-10:]) > -SLACK_S


@pytest.fixture
def pipe():
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def read_parts(pipe):
    parts = DatedParts(PartSplitter(b"--edge"), Arrivals(pipe[0]))
    return parts, lambda: parts.read(lambda: os.read(pipe[0], 65536), parts._arrivals.waiting)


def test_of_parts_that_queued_the_newest_comes_as_old_as_it_may_be(pipe):
    begun_ns = time.monotonic_ns()
    _, read = read_parts(pipe)
    os.write(pipe[1], b"".join(map(with_length, [b"a", b"b", b"c"])))
    time.sleep(2 * TRUSTED_NS / 1e9)
    frame = read()
    assert (frame.raw, frame.skipped) == (b"c", 2)
    assert frame.captured_ns < begun_ns + TRUSTED_NS


def test_a_part_that_began_in_the_queue_is_as_old_as_its_beginning(pipe):
    begun_ns = time.monotonic_ns()
    parts, read = read_parts(pipe)
    whole = with_length(b"b" * 100)
    os.write(pipe[1], with_length(b"a") + whole[:-50])
    time.sleep(2 * TRUSTED_NS / 1e9)
    assert read().raw == b"a"
    assert not parts._arrivals.waiting(10)
    os.write(pipe[1], whole[-50:] + with_length(b"c")[:20])
    assert read().captured_ns < begun_ns + TRUSTED_NS
    os.write(pipe[1], with_length(b"c")[20:])
    frame = read()
    assert frame.raw == b"c"
    assert time.monotonic_ns() - frame.captured_ns < TRUSTED_NS


def test_a_sender_that_was_silent_is_believed_that_its_frame_is_new(pipe):
    arrivals = Arrivals(pipe[0])
    timer = threading.Timer(2 * TRUSTED_NS / 1e9, os.write, (pipe[1], b"x"))
    timer.start()
    assert arrivals.wait(HANG_S)
    assert time.monotonic_ns() - arrivals.since_ns() < TRUSTED_NS
    timer.join()


def test_a_wait_ends_in_time(pipe):
    assert not Arrivals(pipe[0]).wait(0.01)


def test_a_file_on_standard_input_never_is_too_old(tmp_path):
    path = tmp_path / "a.mjpeg"
    path.write_bytes(jpeg_of(1))
    with path.open("rb") as file:
        arrivals = Arrivals(file.fileno())
        time.sleep(2 * TRUSTED_NS / 1e9)
        assert time.monotonic_ns() - arrivals.since_ns() < TRUSTED_NS


@given(sizes=st.lists(st.integers(1, 700), max_size=60), lengths=st.booleans())
def test_parts_are_the_same_however_they_are_cut(sizes, lengths):
    wrap, end = (with_length, b"") if lengths else (without_length, b"\r\n")
    data = b"preamble\r\n" + b"".join(map(wrap, PARTS)) + b"--edge--\r\n"
    splitter = PartSplitter(b"--edge")
    found = []
    for size in sizes:
        found += splitter.feed(data[:size])
        data = data[size:]
    found += splitter.feed(data)
    assert found == [part + end for part in PARTS]


def test_a_part_without_an_end_is_refused(monkeypatch, wording):
    monkeypatch.setattr("edgetl_runtime.capture.multipart.MAX_BYTES", 1000)
    splitter = PartSplitter(b"--edge")
    splitter.feed(without_length(b""))
    with pytest.raises(CameraError, match=wording):
        splitter.feed(bytes(2000))
