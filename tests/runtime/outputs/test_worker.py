"""A thread for each output: nothing that an output does may slow the pipeline."""

import threading
import time

import numpy as np
import pytest

from edgetl_runtime.errors import OutputError, UndeliveredError
from edgetl_runtime.outputs import worker as worker_module
from edgetl_runtime.outputs.output import PlainOutput
from edgetl_runtime.outputs.worker import QUEUED, QUEUED_BYTES, OutputWorker


class Sink(PlainOutput):
    """Keeps what it is handed; hangs until `go` is set, and fails while `error` is set."""

    name = "sink"

    def __init__(self, *, lossless=False, hangs=False, wants=False):
        self.lossless, self.wants = lossless, wants
        self.written, self.error, self.closed = [], None, False
        self.entered, self.go = threading.Event(), threading.Event()
        if not hangs:
            self.go.set()

    def wants_picture(self):
        return self.wants

    def write(self, answer):
        self.entered.set()
        self.go.wait()
        if self.error:
            raise self.error
        self.written.append(answer)

    def close(self):
        self.closed = True


@pytest.fixture
def quick_retries(monkeypatch):
    monkeypatch.setattr(worker_module, "_FIRST_PAUSE_S", 0.005)
    monkeypatch.setattr(worker_module, "_LONGEST_PAUSE_S", 0.01)


@pytest.fixture
def hung(start_worker, make_answer):
    """A worker whose output hangs in its first write, with an empty queue."""
    sink = Sink(hangs=True)
    worker = start_worker(sink)
    worker.publish(make_answer(-1))
    assert sink.entered.wait(20)
    yield sink, worker
    sink.go.set()


def test_answers_arrive_in_their_order_on_one_other_thread(start_worker, make_answer, wait_until):
    sink = Sink()
    worker = start_worker(sink)
    for index in range(30):
        worker.publish(make_answer(index))
    wait_until(lambda: len(sink.written) == 30)
    assert [answer.index for answer in sink.written] == list(range(30))
    assert worker.status().written == 30
    assert worker.status().dropped == 0


def test_a_hung_output_never_blocks_and_loses_the_oldest(hung, make_answer, wait_until):
    sink, worker = hung
    answer = make_answer()
    start_s = time.monotonic()
    for _ in range(100_000):
        worker.publish(answer)
    assert time.monotonic() - start_s < 30
    assert worker.status().dropped == 100_000 - QUEUED
    sink.go.set()
    wait_until(lambda: worker.status().written == QUEUED + 1)


def test_a_flood_of_answers_drops_no_event(hung, make_answer, wait_until):
    sink, worker = hung
    for index in range(1000):
        changes = {"previous": "washer"} if index in (0, 500) else {}
        worker.publish(make_answer(index, **changes))
    sink.go.set()
    wait_until(lambda: worker.status().written == QUEUED + 1)
    kept = [answer.index for answer in sink.written[1:]]
    assert kept[:2] == [0, 500]
    assert kept[2:] == list(range(1000 - QUEUED + 2, 1000))


def test_of_too_many_events_the_oldest_go(hung, make_answer, wait_until):
    sink, worker = hung
    for index in range(100):
        worker.publish(make_answer(index, previous="washer"))
    sink.go.set()
    wait_until(lambda: worker.status().written == QUEUED + 1)
    assert [answer.index for answer in sink.written[1:]] == list(range(100 - QUEUED, 100))


def test_large_pictures_shorten_the_queue(start_worker, make_answer):
    sink = Sink(hangs=True, wants=True)
    worker = start_worker(sink)
    assert worker.wants_picture()
    large = np.zeros((1080, 1920, 3), np.uint8)
    worker.publish(make_answer(picture=large))
    assert sink.entered.wait(20)
    for index in range(40):
        worker.publish(make_answer(index, picture=large))
    assert 40 - worker.status().dropped == QUEUED_BYTES // large.nbytes
    sink.go.set()


def test_a_queue_keeps_no_picture_that_its_output_never_wanted(
    start_worker, make_answer, picture, wait_until
):
    sink = Sink()
    worker = start_worker(sink)
    assert not worker.wants_picture()
    worker.publish(make_answer(picture=picture))
    wait_until(lambda: sink.written)
    assert sink.written[0].picture is None


def test_a_lossless_output_slows_a_file_and_misses_nothing(start_worker, make_answer, wait_until):
    sink = Sink(lossless=True)
    worker = start_worker(sink, live=False)
    for index in range(5 * QUEUED):
        worker.publish(make_answer(index))
    wait_until(lambda: len(sink.written) == 5 * QUEUED)
    assert worker.status().dropped == 0


def test_waiting_for_a_lossless_output_ends_when_asked(start_worker, make_answer):
    sink = Sink(lossless=True, hangs=True)
    worker = start_worker(sink, live=False)

    def publish():
        for index in range(QUEUED + 10):
            worker.publish(make_answer(index))

    publisher = threading.Thread(target=publish)
    publisher.start()
    assert sink.entered.wait(20)
    publisher.join(0.3)
    assert publisher.is_alive()
    worker.stop_waiting()
    publisher.join(20)
    assert not publisher.is_alive()
    sink.go.set()


def test_a_failing_lossless_output_does_not_slow_a_file(start_worker, make_answer):
    sink = Sink(lossless=True)
    sink.error = OutputError("the disk is full")
    worker = start_worker(sink, live=False)
    for index in range(10 * QUEUED):
        worker.publish(make_answer(index))
    status = worker.status()
    assert status.error == "the disk is full"
    assert status.failed + status.dropped >= 9 * QUEUED


@pytest.mark.usefixtures("quick_retries")
def test_a_failing_output_is_tried_again_and_says_so_once(
    start_worker, make_answer, wait_until, capfd
):
    sink = Sink()
    sink.error = OutputError("no route to the broker")
    worker = start_worker(sink)
    for index in range(20):
        worker.publish(make_answer(index))
    wait_until(lambda: worker.status().failed >= 5)
    sink.error = None
    wait_until(lambda: sink.written)
    worker.publish(make_answer())
    wait_until(lambda: worker.status().error == "")
    worker.close()
    failed, recovered = capfd.readouterr().err.splitlines()
    assert failed == ("edgetl-run: output sink failed: no route to the broker; retrying")
    assert recovered.startswith("edgetl-run: output sink works again after ")


@pytest.mark.usefixtures("quick_retries")
def test_an_undelivered_event_waits_first_in_the_queue(start_worker, make_answer, wait_until):
    sink = Sink()
    sink.error = UndeliveredError("the server is away")
    worker = start_worker(sink)
    worker.publish(make_answer(7, previous="washer"))
    wait_until(lambda: worker.status().error)
    for index in range(100, 300):
        worker.publish(make_answer(index))
    sink.error = None
    wait_until(lambda: sink.written)
    assert sink.written[0].index == 7
    assert worker.status().failed == 0


def test_a_failing_output_is_left_alone_longer_each_time(start_worker, make_answer, monkeypatch):
    worker = start_worker(Sink())
    pauses = []
    for failures in (0, 1, 2, 3, 20, 10_000):
        worker._failures = failures
        pauses.append(worker._pause_s())
    worker._failures = 0
    assert pauses == [0.0, 0.5, 1.0, 2.0, 30.0, 30.0]


def test_closing_writes_what_waits_and_closes_the_output(start_worker, make_answer):
    sink = Sink(hangs=True)
    worker = start_worker(sink)
    for index in range(10):
        worker.publish(make_answer(index))
    threading.Timer(0.05, sink.go.set).start()
    worker.close(20)
    assert len(sink.written) == 10
    assert sink.closed


def test_an_output_that_took_every_answer_lacks_nothing(start_worker, make_answer):
    worker = start_worker(Sink(lossless=True), live=False)
    for index in range(3 * QUEUED):
        worker.publish(make_answer(index))
    worker.close()
    assert worker.describe_loss() == ""


def test_an_answer_that_failed_is_missed_though_later_ones_were_written(
    start_worker, make_answer, wait_until, quick_retries
):
    sink = Sink()
    worker = start_worker(sink)
    sink.error = OutputError("the disk is full")
    worker.publish(make_answer(0))
    wait_until(lambda: worker.status().failed)
    sink.error = None
    worker.publish(make_answer(1))
    worker.close()
    assert len(sink.written) == 1
    assert worker.describe_loss() == "output sink lacks 1 answer: the disk is full"


@pytest.mark.parametrize(("lossless", "missing"), [(True, True), (False, False)])
def test_what_was_dropped_is_missed_by_a_lossless_output(make_answer, lossless, missing):
    sink = Sink(lossless=lossless, hangs=True)
    worker = OutputWorker(sink, live=True)
    worker.publish(make_answer(-1))
    assert sink.entered.wait(20)
    for index in range(QUEUED + 5):
        worker.publish(make_answer(index))
    sink.go.set()
    worker.close(20)
    loss = "output sink lacks 5 answers: it was too slow" if missing else ""
    assert worker.describe_loss() == loss


def test_a_hung_output_is_not_whole(hung, capfd):
    _, worker = hung
    worker.close(0.1)
    assert worker.describe_loss() == "output sink is not whole: it hung and was abandoned"


def test_closing_a_slow_output_stops_writing_in_time_to_close_it(start_worker, make_answer):
    class Slow(Sink):
        def write(self, answer):
            time.sleep(0.05)
            super().write(answer)

    sink = Slow()
    worker = start_worker(sink)
    for index in range(QUEUED):
        worker.publish(make_answer(index))
    worker.close(1.0)
    assert sink.closed
    assert 0 < len(sink.written) < QUEUED


def test_a_hung_output_is_abandoned_in_time(hung, make_answer, capfd):
    sink, worker = hung
    start_s = time.monotonic()
    worker.close(0.2)
    assert time.monotonic() - start_s < 10
    assert not sink.closed
    assert "output sink hung and was abandoned" in capfd.readouterr().err
    worker.publish(make_answer())
    assert not worker.wants_picture()


def test_a_failing_output_is_closed_without_trying_all_that_waits(start_worker, make_answer):
    sink = Sink()
    sink.error = OutputError("the disk is full")
    worker = start_worker(sink)
    for index in range(QUEUED):
        worker.publish(make_answer(index, previous="gear"))
    worker.close(20)
    assert sink.closed
    assert worker.status().failed <= 3


def test_a_process_with_a_hung_output_ends_in_time_and_quietly(run_python):
    code = """
import os, time
from edgetl_runtime.outputs.output import PlainOutput
from edgetl_runtime.outputs.terminal import Terminal
from edgetl_runtime.outputs.worker import OutputWorker

class Hung(PlainOutput):
    name, lossless = "hung", False
    def write(self, answer):
        time.sleep(1000)

reader, writer = os.pipe()
full = OutputWorker(Terminal("json", 3, descriptor=writer), live=True)
hung = OutputWorker(Hung(), live=True)
import numpy as np
from edgetl_runtime.answers import Answer
from edgetl_runtime.prediction import Prediction
scores = np.ones(1, np.float32)
prediction = Prediction(("a" * 9000,), scores, 0.0, 0.0, 0.0, 0.0, 0.0)
answer = Answer("s", 0, (1, 1), prediction, scores, "a", 1.0, False, False, None, 0.0)
for _ in range(50):
    full.publish(answer), hung.publish(answer)
time.sleep(0.3)
full.close(0.1), hung.close(0.1)
"""
    done = run_python(code)
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "edgetl-run: output terminal hung and was abandoned",
        "edgetl-run: output hung hung and was abandoned",
    ]
