"""The JSON form of a benchmark: written by a board and by the phone's page, read with care."""

import json
import os
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetl_runtime.benchmarking.reading import read_benchmark
from edgetl_runtime.benchmarking.record import (
    BoardBenchmark,
    BrowserBenchmark,
    find_slowed,
)
from edgetl_runtime.benchmarking.single_stream import benchmark, make_rules
from edgetl_runtime.errors import BenchmarkError

PHONE = Path(__file__).parents[1] / "data" / "phone_bench.json"


@pytest.fixture
def write(tmp_path):
    """Writes the phone's example with changes; a key that becomes `...` is left out."""

    def write(**changes):
        record = json.loads(PHONE.read_bytes()) | changes
        path = tmp_path / "phone.json"
        kept = {key: value for key, value in record.items() if value is not ...}
        path.write_text(json.dumps(kept))
        return path

    return write


def test_what_a_board_writes_is_read_again(tiny, tmp_path):
    report = benchmark(tiny, variant="litert-int8", threads=2, rules=make_rules(20, None))
    for raw in (False, True):
        path = tmp_path / f"{raw}.json"
        written = report if raw else report.without_samples()
        path.write_bytes(msgspec.json.encode(written))
        found = read_benchmark(path)
        assert isinstance(found, BoardBenchmark)
        assert found == written
        assert (found.total_samples_ms is not None) is raw
        assert (b"_samples_ms" in path.read_bytes()) is raw


def test_a_board_that_contradicts_itself_is_refused(tiny, tmp_path):
    record = msgspec.to_builtins(benchmark(tiny, rules=make_rules(1, None)))
    path = tmp_path / "board.json"
    path.write_text(json.dumps(record | {"throttled": not record["throttled"]}))
    with pytest.raises(BenchmarkError, match=r"throttled is true, observation says (null|false)"):
        read_benchmark(path)


def test_a_report_says_which_bundle_and_which_file_were_measured(tiny, bundle):
    found = benchmark(tiny, variant="litert-int8", rules=make_rules(1, None))
    assert found.model_sha256 == bundle.variant("litert-int8").sha256
    checksum = (Path(tiny) / "bundle.json.sha256").read_text()
    assert found.bundle_sha256 == checksum.split()[0]


def test_what_the_page_writes_is_read(write):
    found = read_benchmark(PHONE)
    assert isinstance(found, BrowserBenchmark)
    assert found.browser.wasm_build == "plain"
    assert found.drift[0][0] == 1.0
    assert read_benchmark(write(drift=[], slowed=None)).slowed is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format_version": 3}, r"format 3, this edgetl reads 2; upgrade edgetl"),
        ({"format_version": 1}, r"format 1, this edgetl reads 2; write it again"),
        ({"format_version": ...}, "missing required field `format_version`"),
        ({"kind": "toaster"}, "toaster"),
        ({"kind": ...}, "kind"),
        ({"surplus": 1}, "surplus"),
        ({"variant": ...}, "variant"),
        ({"threads": 0}, "threads"),
        ({"runs": "300"}, "runs"),
        ({"model_sha256": "x"}, "model_sha256"),
        ({"load_ms": -1}, "load_ms"),
        (
            {"total_ms": {"p50": 3, "p90": 2, "p95": 3, "p99": 4, "mean": 3}},
            "total_ms is not in order",
        ),
        ({"compile_ms": 5000}, "compile_ms is longer than load_ms"),
        ({"slowed": False}, "slowed is false, its drift says true"),
        ({"drift": [[1, 5], [1, 5]], "slowed": None}, "order of time"),
        ({"total_samples_ms": [11.7] * 299}, "299 samples, runs is 300"),
        ({"total_samples_ms": [11.7] * 300}, "away from the percentiles of its samples"),
    ],
)
def test_what_is_no_report_or_cannot_be_true_is_refused_by_name(write, changes, words):
    path = write(**changes)
    with pytest.raises(BenchmarkError, match=words) as caught:
        read_benchmark(path)
    assert str(path) in str(caught.value)
    assert re.search("upgrade|write it again", str(caught.value))


def test_samples_that_give_the_percentiles_are_taken(write):
    samples = [float(n) for n in range(1, 102)]
    path = write(
        runs=101,
        total_ms={"p50": 51, "p90": 91, "p95": 96, "p99": 100, "mean": 51},
        total_samples_ms=samples,
        drift=[],
        slowed=None,
    )
    assert read_benchmark(path).total_samples_ms == tuple(samples)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[" * 60_000, b"\xff\xfe{}", b"null", b"[]", b"1", b'{"answers": 1}']
)
def test_a_file_of_something_else_is_refused(tmp_path, data):
    path = tmp_path / "other.json"
    path.write_bytes(data)
    with pytest.raises(BenchmarkError, match=r"other\.json is not a benchmark report"):
        read_benchmark(path)


@pytest.mark.parametrize("kind", ["gone", "folder", "pipe"])
def test_what_is_no_file_is_refused(tmp_path, kind):
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    if kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(BenchmarkError, match=f"{kind} (cannot be read|is not a file)"):
        read_benchmark(path)


def test_the_last_tenth_decides_whether_a_run_slowed_down():
    steady = [(second, 10.0) for second in range(60)]
    assert find_slowed(steady[:9]) is None
    assert find_slowed(steady) is False
    assert find_slowed(steady[:-6] + [(second, 12.0) for second in range(54, 60)]) is False
    assert find_slowed(steady[:-6] + [(second, 12.1) for second in range(54, 60)]) is True
    # One slow second is no throttling.
    assert find_slowed([*steady[:-1], (59, 90.0)]) is False


@given(st.binary(max_size=200))
def test_no_bytes_bring_a_traceback(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "fuzz.json"
    path.write_bytes(data)
    with pytest.raises(BenchmarkError):
        read_benchmark(path)
