"""Whether one run is faster than another, and how sure that is."""

import msgspec
import pytest

from edgetl_runtime.benchmarking.comparison import compare
from edgetl_runtime.benchmarking.record import find_slowed
from edgetl_runtime.benchmarking.single_stream import benchmark, make_rules
from edgetl_runtime.system.percentiles import Percentiles


@pytest.fixture(scope="module")
def measured(tiny):
    return benchmark(tiny, variant="litert-int8", threads=1, rules=make_rules(3, None))


@pytest.fixture
def run(measured):
    """A run of 60 s whose seconds' medians are spread evenly between two times."""

    def run(low, high, **changes):
        drift = tuple((float(s), low + (high - low) * (s % 10) / 9) for s in range(60))
        middle = (low + high) / 2
        times = Percentiles(middle, high, high, high, middle)
        fields = {"drift": drift, "slowed": find_slowed(drift), "total_ms": times, "steady": True}
        # However busy the machine is that runs this.
        fields["waited"] = 0.0
        return msgspec.structs.replace(measured, **fields | changes)

    return run


@pytest.mark.parametrize(
    ("mine", "theirs", "word"),
    [
        ((10, 11), (20, 21), "faster"),
        ((20, 21), (10, 11), "slower"),
        ((10, 12), (11, 13), "the same"),
        ((10, 10), (10, 10), "the same"),
    ],
)
def test_ranges_that_lie_apart_decide(run, mine, theirs, word):
    found = compare(run(*mine), run(*theirs))
    assert found.word == word
    assert found.low <= found.ratio <= found.high
    assert found.doubts == ()


def test_the_other_way_round_it_is_the_inverse(run):
    one, other = run(10, 11), run(14, 16)
    there, back = compare(one, other), compare(other, one)
    assert there.ratio == pytest.approx(1 / back.ratio)
    assert (there.low, there.high) == pytest.approx((1 / back.high, 1 / back.low))


def test_a_run_that_is_too_short_for_a_range_gives_a_ratio_only(run, measured):
    found = compare(run(10, 11), measured)
    assert (found.word, found.low, found.high) == (None, None, None)
    assert found.ratio > 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"frame_px": (1920, 1080)}, "frames differ in size (640x480 and 1920x1080)"),
        (
            {"model_sha256": "0" * 64, "variant": "x"},
            "models differ (litert-int8, tiny at 32x32 and x, tiny at 32x32)",
        ),
        (
            {"model_sha256": "0" * 64, "network": "tiny at 64x64"},
            "models differ (litert-int8, tiny at 32x32 and litert-int8, tiny at 64x64)",
        ),
        ({"model_sha256": "0" * 64, "network": ""}, "and litert-int8, an unnamed network)"),
        ({"steady": False}, "the other run was not steady"),
        ({"slowed": True}, "the other run slowed down"),
        ({"throttled": True}, "the other run was throttled"),
        ({"waited": 0.3, "steady": False}, "others had the processor for 30% of the other run"),
    ],
)
def test_what_makes_a_comparison_doubtful_is_said(run, changes, words):
    (doubt,) = compare(run(10, 11), run(10, 11, **changes)).doubts
    assert words in doubt


def test_other_weights_of_the_same_network_may_be_compared(run):
    found = compare(run(10, 11), run(20, 21, model_sha256="0" * 64))
    assert (found.word, found.doubts) == ("faster", ())
    (note,) = found.notes
    assert "the weights differ" in note


def test_what_was_chosen_otherwise_is_noted(run):
    found = compare(run(10, 11), run(10, 11, threads=4, engine="onnxruntime 1.32.0"))
    assert found.doubts == ()
    assert found.notes[0].endswith("there onnxruntime 1.32.0")
    assert found.notes[1] == "threads here 1, there 4"
