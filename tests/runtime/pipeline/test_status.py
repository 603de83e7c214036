import msgspec
import pytest

from edgetl_runtime.capture.feed import FeedStatus
from edgetl_runtime.outputs.output import OutputStatus
from edgetl_runtime.pipeline.meter import Meter
from edgetl_runtime.pipeline.status import judge
from edgetl_runtime.settings.sections import Settings
from edgetl_runtime.system.board import Health
from edgetl_runtime.system.percentiles import Percentiles

COOL = Health(40.0, False)
DELIVERING = FeedStatus("delivering")


def reading(**changes):
    fields = {"last_answer_age_s": 0.01, "age_ms": Percentiles(10, 12, 16, 20, 10), **changes}
    return msgspec.structs.replace(Meter().read(), **fields)


def state(found=None, feed=DELIVERING, outputs=(), board=COOL, live=True, problem=""):
    return judge(found or reading(), feed, outputs, board, Settings(), live=live, problem=problem)


def test_all_is_well():
    assert state() == ("ok", "")


@pytest.mark.parametrize(
    ("expected", "arguments"),
    [
        ("starting", {"found": reading(last_answer_age_s=None, age_ms=None)}),
        ("failed", {"found": reading(failures_in_a_row=5)}),
        ("no_camera", {"feed": FeedStatus("lost", "unplugged")}),
        ("stale", {"feed": FeedStatus("frozen", "the same image for 12 s")}),
        ("stale", {"found": reading(last_answer_age_s=60.0)}),
        ("stale", {"found": reading(age_ms=Percentiles(5000, 6000, 6500, 7000, 5000))}),
        ("degraded", {"outputs": (OutputStatus("mqtt", 3, 0, 1, "refused"),)}),
        ("degraded", {"board": Health(85.0, True, ("throttled",))}),
        ("degraded", {"problem": "the new bundle is damaged"}),
        ("degraded", {"found": reading(low_information=True)}),
    ],
)
def test_each_trouble_has_its_state_and_says_why(expected, arguments):
    found, reason = state(**arguments)
    assert found == expected
    assert reason


def test_a_lost_camera_weighs_more_than_a_dead_output():
    found = state(feed=FeedStatus("lost", "gone"), outputs=(OutputStatus("mqtt", 0, 0, 1, "x"),))
    assert found == ("no_camera", "gone")


def test_a_video_that_was_read_is_not_stale():
    assert state(reading(last_answer_age_s=60.0), FeedStatus("ended"), live=False) == ("ok", "")


def test_a_board_that_was_slowed_down_last_week_is_well_now():
    assert state(board=Health(50.0, True, ("throttled since boot",))) == ("ok", "")
