import time

import msgspec
import pytest

from edgetl_runtime.classifier import Classifier
from edgetl_runtime.pipeline.pipeline import Pipeline
from edgetl_runtime.service import state_log
from edgetl_runtime.service.state_log import StateLog


@pytest.fixture
def status(tiny):
    class Feed:
        source, live = "none", True

        def status(self):
            from edgetl_runtime.capture.feed import FeedStatus

            return FeedStatus("opening")

    return Pipeline(Classifier.open(tiny), Feed()).status()


def test_each_change_of_state_is_told_once(status, monkeypatch):
    monkeypatch.setattr(state_log, "_UPDATE_EVERY_S", 0.0)
    states = iter(
        [
            ("starting", "no frame yet"),
            ("ok", ""),
            ("no_camera", "unplugged"),
            ("no_camera", "still unplugged"),
            ("ok", ""),
        ]
    )

    def read():
        state, reason = next(states)
        return msgspec.structs.replace(status, state=state, reason=reason)

    told = []
    log = StateLog(read, told.append)
    for _ in range(5):
        log.update()
    assert told == ["no_camera: unplugged", "ok"]


def test_the_sum_says_how_many_answers_had_no_label_as_too_old(status):
    told = []
    withheld = msgspec.structs.replace(status, answered=420, withheld=343)
    StateLog(lambda: withheld, told.append).sum_up(77, status.feed)
    StateLog(lambda: status, told.append).sum_up(77, status.feed)
    assert told == [
        "77 answers, 343 without a label as too old, 0 older frames dropped",
        "77 answers, 0 older frames dropped",
    ]


def test_looking_is_cheap_between_two_looks(status, monkeypatch):
    monkeypatch.setattr(state_log, "_UPDATE_EVERY_S", 0.15)
    reads = []
    log = StateLog(lambda: reads.append(1) or status, lambda sentence: None)
    end_s = time.monotonic() + 0.2
    while time.monotonic() < end_s:
        log.update()
    assert len(reads) == 1
