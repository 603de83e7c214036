"""The reports that come with edgetl: each can be read, and others may rely on it."""

from pathlib import Path

import msgspec
import pytest

from edgetl.reporting.conditions import find_flaws
from edgetl_runtime.benchmarking.reading import read_benchmark
from edgetl_runtime.benchmarking.record import BoardBenchmark
from edgetl_runtime.benchmarking.single_stream import benchmark, make_rules

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "benchmarks" / "reference"
FILES = sorted(REFERENCE.glob("*.json"))
PHONE, TINY = (ROOT / "tests" / "data" / name for name in ("phone_bench.json", "tiny.bundle"))
NETWORK = "mobilenet_v2_1.0 at 224x224"


@pytest.fixture(scope="module")
def good():
    """A report that is fit to be one of them, but for its network."""
    report = benchmark(TINY, variant="litert-int8", rules=make_rules(20, None))
    board = msgspec.structs.replace(
        report.board,
        emulated=False,
        allowed_cores=report.board.cores,
        cpu_quota=None,
    )
    drift = tuple((float(second), 10.0) for second in range(1, 61))
    return msgspec.structs.replace(
        report, rules="full", steady=True, slowed=False, drift=drift, board=board, throttled=False
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_report_may_be_relied_on(path):
    report = read_benchmark(path)
    assert find_flaws(report) == []
    assert report.network == NETWORK
    assert path.stem.rstrip("-0123456789").endswith(report.variant.rstrip("-0123456789"))
    assert report.total_samples_ms is None, "write it without --raw"


def test_each_report_is_in_the_list_and_the_list_has_no_other():
    table = (REFERENCE / "README.md").read_text().rpartition("| --- | --- | --- |")[2]
    listed = [line.split("|")[1].strip(" `") for line in table.splitlines() if line.strip()]
    assert sorted(listed) == [path.name for path in FILES]


def test_a_good_report_has_no_flaw(good):
    assert find_flaws(good) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rules": "quick"}, "taken by quick rules"),
        ({"throttled": True}, "it was throttled"),
        ({"steady": False}, "not steady"),
        ({"slowed": True}, "slowed down"),
        ({"network": ""}, "does not tell which network"),
    ],
)
def test_what_spoils_a_report_is_said(good, changes, words):
    (flaw,) = find_flaws(msgspec.structs.replace(good, **changes))
    assert words in flaw


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"emulated": True}, "emulated"),
        ({"cpu_quota": 0.5}, "could not use the whole machine"),
    ],
)
def test_a_machine_that_is_not_a_whole_one_spoils_a_report(good, changes, words):
    board = msgspec.structs.replace(good.board, **changes)
    (flaw,) = find_flaws(msgspec.structs.replace(good, board=board))
    assert words in flaw


def test_a_phone_that_slowed_down_spoils_its_report():
    report = read_benchmark(PHONE)
    assert not isinstance(report, BoardBenchmark)
    assert find_flaws(report) == ["it slowed down"]
    short = msgspec.structs.replace(report, drift=(), slowed=None)
    assert find_flaws(short) == ["it is of a short run; run it for 60 seconds"]
