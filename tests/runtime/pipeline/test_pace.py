import time

import numpy as np

from edgetl_runtime.image.frames import CapturedFrame
from edgetl_runtime.pipeline.pace import Pace
from edgetl_runtime.settings.sections import PaceSettings


def frame(index: int) -> CapturedFrame:
    return CapturedFrame(np.zeros((1, 1, 3), np.uint8), "test", index, time.monotonic())


def test_every_frame_is_answered_unless_told():
    pace = Pace(PaceSettings())
    assert all(pace.accepts(frame(n)) for n in range(5))
    assert pace.wait_s(1.0) == 0.0


def test_each_third_frame_of_the_source_is_answered_also_when_some_were_dropped():
    pace = Pace(PaceSettings(every=3))
    taken = [n for n in (0, 1, 2, 3, 4, 8, 9, 10, 11) if pace.accepts(frame(n))]
    assert taken == [0, 3, 8, 11]


def test_a_video_that_begins_again_is_answered_at_once():
    pace = Pace(PaceSettings(every=10))
    assert pace.accepts(frame(20))
    assert pace.accepts(frame(0))


def test_the_rate_is_held_on_average():
    pace = Pace(PaceSettings(max_fps=100))
    start = time.monotonic()
    taken = 0
    while taken < 20:
        time.sleep(pace.wait_s(1.0))
        taken += pace.accepts(frame(taken))
    # 20 frames have 19 periods between them; being late is the machine's, being early ours.
    assert time.monotonic() - start >= 0.18
