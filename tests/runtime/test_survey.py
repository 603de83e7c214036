"""Surveys that are really made, of engines that crash, hang and lack."""

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from edgetl_runtime.benchmarking.isolation import (
    Crash,
    MeasureOrder,
    Pass,
    Refusal,
    Replay,
    ReplayOrder,
    obey_apart,
)
from edgetl_runtime.benchmarking.reading import read_benchmark, read_survey
from edgetl_runtime.benchmarking.single_stream import Rules
from edgetl_runtime.benchmarking.survey import SurveyRules, share_out, survey, tell_minutes
from edgetl_runtime.benchmarking.survey_wording import (
    list_failures,
    list_warnings,
    remark,
    tell_headline,
)
from edgetl_runtime.errors import BenchmarkError, BundleError, OptionsError
from edgetl_runtime.system.allotment import count_processors

SHORT = SurveyRules(budget_s=1.0, least_s=0.3, least_runs=16, warmup_s=0.2)
HANG_S = 60.0


@pytest.fixture
def shadow(tmp_path, monkeypatch):
    """Has processes that are started import code in place of ONNX Runtime."""

    def shadow(code):
        folder = tmp_path / "shadow"
        folder.mkdir()
        (folder / "onnxruntime.py").write_text(code)
        known = os.environ.get("PYTHONPATH", "")
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(folder), known))))

    return shadow


CRASH = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"


def forge(manifest):
    """Has a file that does not reproduce its golden scores, and one that the gate rejects."""
    variants = {one["name"]: one for one in manifest["variants"]}
    variants["litert-float32"]["golden_scores"][2].reverse()
    variants["litert-int8"]["unsure"] = ["it lost 2 points, allowed is 1"]


def test_what_crashes_costs_its_rows_and_what_is_wrong_here_is_not_recommended(
    edit, shadow, tmp_path
):
    shadow(CRASH)
    told, warned = [], []
    found = survey(
        edit(forge),
        threads=1,
        frame_px=(320, 240),
        rules=SHORT,
        tell=lambda share, doing: told.append((share, doing)),
        warn=warned.append,
    )
    rows = {row.variant: row for row in found.rows}
    assert list(rows) == ["litert-int8", "litert-float32", "onnx-int8", "onnx-float32"]
    for name in ("onnx-int8", "onnx-float32"):
        assert rows[name].failure == "ended by signal 11 (SIGSEGV)"
        assert (rows[name].report, rows[name].range_ms) == (None, None)
        assert found.find_file(name).golden_failures == (rows[name].failure,)
    measured = rows["litert-int8"]
    assert len(measured.passes_ms) == 2
    assert min(measured.passes_ms) <= measured.p50_ms <= max(measured.passes_ms)
    assert measured.low_ms <= min(measured.passes_ms)
    assert max(measured.passes_ms) <= measured.high_ms
    assert measured.report.runs >= 2 * SHORT.least_runs
    assert measured.report.start_ms > measured.report.load_ms > 0
    assert measured.report.total_samples_ms is None
    assert remark(found, rows["litert-float32"]) == "not to be used here"
    crashed, differs = list_failures(found)
    assert crashed.startswith("onnx-int8 with 1 thread, onnx-float32 with 1 thread: ended by sig")
    assert differs.startswith("litert-float32: its scores on the golden frames differ by ")
    assert rows["litert-float32"].report is not None
    best = found.recommendation
    assert (best.variant, best.threads, best.equals, best.runner_up) == ("litert-int8", 1, (), None)
    assert remark(found, measured).startswith("not sure to pass the gate")
    assert tell_headline(found).startswith("litert-int8 with 1 thread: ")
    assert len(warned) == 1
    assert "4 rows take about" in warned[0]
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert "litert-int8, threads 1, pass 2 of 2" in [doing for _, doing in told]
    check_file(found, tmp_path / "survey.json")


def check_file(found, path):
    """What was found is what a file of it says."""
    path.write_bytes(msgspec.json.encode(found))
    assert read_survey(path) == found
    with pytest.raises(BenchmarkError, match="is of bench --all, expected the report of one"):
        read_benchmark(path)
    record = msgspec.to_builtins(found)
    for changes, words in (
        ({"files": record["files"][1:]}, "a row is of a file that is not listed"),
        ({"rows": [*record["rows"], record["rows"][0]]}, "is there twice"),
        ({"rows": record["rows"][1:]}, "the recommendation names a row that was not measured"),
        (change_recommendation(record, variant="litert-float32"), "but may not be used"),
        (change_row(record, failure="x"), "has either to be measured or to have failed"),
        (change_row(record, range_ms=[0, 1e-6]), "does not hold its median"),
        (change_row(record, threads=2), "is of something else"),
    ):
        path.write_bytes(msgspec.json.encode(record | changes))
        with pytest.raises(BenchmarkError, match=words):
            read_survey(path)


def change_row(record, **changes):
    return {"rows": [record["rows"][0] | changes, *record["rows"][1:]]}


def change_recommendation(record, **changes):
    return {"recommendation": record["recommendation"] | changes}


def test_no_engine_at_all_is_a_survey_without_a_recommendation(edit, shadow):
    def keep_onnx(manifest):
        manifest["variants"] = [one for one in manifest["variants"] if one["name"] == "onnx-int8"]

    shadow("raise ModuleNotFoundError('onnxruntime')")
    found = survey(edit(keep_onnx), threads=1, rules=SHORT)
    assert found.recommendation is None
    failures = {row.failure for row in found.rows}
    (failure,) = failures
    assert "not installed; install it with: pip install 'edgetl-runtime[onnx]'" in failure
    assert tell_headline(found).startswith("there is nothing to recommend: no row could be meas")
    assert (found.noise, found.observation, list_warnings(found)) == (None, None, [])
    assert found.find_fault() == ""


def test_a_process_that_hangs_is_ended(tiny, shadow):
    shadow("import time; time.sleep(100)")
    assert obey_apart(ReplayOrder(str(tiny), "onnx-int8"), 2.0) == Crash("no result in 2 s")


PARENT = """
import sys
from edgetl_runtime.benchmarking.isolation import MeasureOrder, obey_apart
from edgetl_runtime.benchmarking.single_stream import Rules
rules = Rules("survey", runs=16, seconds=600.0, warmup_s=0.1, cold_starts=0)
obey_apart(MeasureOrder(sys.argv[1], "onnx-int8", 1, (64, 48), rules, 1.0), 900.0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_a_process_ends_with_the_one_that_started_it(tiny, shadow, tmp_path, name, wait_until):
    told = tmp_path / "pid"
    # Says who it is, and then runs for long.
    shadow(
        f"import os, pathlib; pathlib.Path({str(told)!r}).write_text(str(os.getpid()))\n"
        "while True: pass"
    )
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tiny)])
    try:
        wait_until(lambda: told.exists() and told.read_text(), "the start of the child")
    finally:
        number = getattr(signal, name)
        parent.send_signal(number)
        assert parent.wait(HANG_S) == -number
    wait_until(lambda: not is_alive(int(told.read_text())), "the end of the child")


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Where nobody asks how it ended, an ended process stays listed.
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (CRASH.replace("SIGSEGV", "SIGKILL"), "ended by signal 9 (SIGKILL); is there too little"),
        ("import os; os._exit(7)", "ended with exit code 7"),
        ("raise OSError('no room\\x1b[2J')", "ended with exit code 1: OSError: no room\\x1b[2J"),
    ],
)
def test_how_a_process_ended_is_one_sentence(tiny, shadow, code, reason):
    shadow(code)
    found = obey_apart(ReplayOrder(str(tiny), "onnx-int8"), HANG_S)
    assert isinstance(found, Crash)
    assert found.reason.startswith(reason)


def test_memory_that_is_not_there_is_named(tiny, shadow):
    shadow("raise MemoryError")
    found = obey_apart(ReplayOrder(str(tiny), "onnx-int8"), HANG_S)
    assert found == Refusal("not enough memory")


def test_what_a_library_prints_is_no_answer(tiny, shadow):
    shadow("import os; os.write(1, b'hello'); raise ModuleNotFoundError('onnxruntime')")
    assert isinstance(obey_apart(ReplayOrder(str(tiny), "onnx-int8"), HANG_S), Refusal)


def test_golden_frames_are_replayed_apart(tiny):
    assert obey_apart(ReplayOrder(str(tiny), "litert-int8"), HANG_S) == Replay(())


def test_pairs_follow_by_the_step_that_was_ordered(tiny):
    rules = Rules("survey", runs=16, seconds=0.4, warmup_s=0.1, cold_starts=0)
    order = MeasureOrder(str(tiny), "litert-int8", 1, (64, 48), rules, 0.05)
    found = obey_apart(order, HANG_S)
    assert isinstance(found, Pass)
    moments = [moment for moment, _ in found.pairs]
    assert 2 <= len(moments) <= 8
    assert all(later - sooner >= 0.05 for sooner, later in itertools.pairwise(moments))
    assert (found.report.rules, found.report.find_fault()) == ("survey", "")


def test_more_threads_than_processors_are_refused(tiny):
    most = count_processors()
    with pytest.raises(OptionsError, match=rf"may use {most} processors?, .* --threads {most} or"):
        survey(tiny, threads=most + 1, rules=SHORT)


@pytest.mark.parametrize(("seconds", "said"), [(2, "0.033"), (300, "5"), (31_800, "530")])
def test_minutes_are_told_without_an_exponent(seconds, said):
    assert tell_minutes(seconds) == said


def test_no_bundle_is_refused(tmp_path):
    with pytest.raises(BundleError):
        survey(tmp_path, rules=SHORT)


def test_the_budget_is_shared_out_among_the_passes():
    rules = SurveyRules(budget_s=300.0, least_s=2.0, warmup_s=1.5)
    assert share_out(rules, 16, spent_s=12.0, overhead_s=1.5) == 288 / 16 - 3
    assert share_out(rules, 160, spent_s=12.0, overhead_s=1.5) == 2.0
    assert share_out(rules, 0, spent_s=400.0, overhead_s=1.5) == 2.0
