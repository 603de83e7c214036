"""`edgetl bench-report`: benchmarks of boards and phones side by side."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import edgetl_runtime
from edgetl.reporting.benchmarks import (
    find_ratio,
    judge,
    list_facts,
    read_all,
    render_benchmarks,
)
from edgetl.reporting.series import Series, name_series
from edgetl_runtime.benchmarking.reading import describe_schema, read_benchmark
from edgetl_runtime.benchmarking.single_stream import benchmark, make_rules
from edgetl_runtime.text.wording import count_noun
from tests.surveys import make_file, make_row, make_survey

DATA = Path(__file__).parents[1] / "data"
PHONE, TINY = DATA / "phone_bench.json", DATA / "tiny.bundle"
SCHEMA = Path(edgetl_runtime.__file__).parent / "benchmarking" / "benchmark.schema.json"
SAME = {"network": "tiny at 32x32"}
NASTY = "<script>document.title='owned'</script>"


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """What `edgetl-run bench --json --raw` writes."""
    path = tmp_path_factory.mktemp("reports") / "board.json"
    report = benchmark(str(TINY), variant="litert-int8", threads=1, rules=make_rules(300, None))
    # A busy machine is not steady at once.
    report = msgspec.structs.replace(report, steady=True, slowed=None, drift=())
    path.write_bytes(msgspec.json.encode(report))
    return path


@pytest.fixture
def write(tmp_path):
    """Writes a report with changes."""

    def write(name, source=PHONE, **changes):
        path = tmp_path / name
        path.write_text(json.dumps(json.loads(source.read_bytes()) | changes))
        return path

    return write


@pytest.fixture
def steady(write):
    """The phone's report of a run that was short."""
    return write("steady.json", drift=[], slowed=None, **SAME)


def run(*arguments):
    command = [sys.executable, "-m", "edgetl.cli", "bench-report", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)


def test_the_schema_describes_each_kind_and_no_more(board):
    assert describe_schema() == SCHEMA.read_bytes(), "run: make schema"
    reports = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_bytes()))
    for path in (board, PHONE):
        record = json.loads(path.read_bytes())
        reports.validate(record)
        assert not reports.is_valid(record | {"surplus": 1})


def test_a_board_and_a_phone_stand_side_by_side(board, steady):
    done = run(board, steady)
    assert done.returncode == 0, done.stderr
    record = json.loads(board.read_bytes())
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["ms", "board.json", "steady.json"]
    rows = {line.split("  ")[0].strip(): line for line in lines[1:]}
    assert "Pixel 8, Chrome 156" in rows["device"]
    assert record["board"]["cpu"][:8] in rows["device"]
    assert "LiteRT.js 2.5.3" in rows["engine"]
    assert "2.4 / 2.9 / 4.2" in rows["preprocess p50/p90/p99"]
    p50 = record["total_ms"]["p50"]
    assert f"{p50:.3g}" in rows["total p50/p90/p99"]
    assert rows["throttled"].split()[1:] == ["unknown", "unknown"]
    assert rows["network"].split("  ")[1:].count("tiny at 32x32") >= 1
    assert f"{record['start_ms']:.0f}" in rows["cold start"]
    assert "custom" in rows["rules"]
    assert f"{record['peak_rss_mib']:.0f} MiB peak" in rows["memory"]
    assert lines[-1].startswith("next: edgetl bench-report ")


def test_nothing_is_found_in_reports_that_can_be_compared(board, steady):
    assert judge(read_all([board, steady])) == []


def test_engines_with_more_threads_than_others_are_named(board, write, steady):
    faster = write("faster.json", board, threads=4)
    (found,) = judge(read_all([faster, steady]))
    assert found.headline == "The engines had 1 and 4 threads"
    assert "4 threads: faster.json" in found.detail
    assert "A page has one" in found.detail
    (found,) = judge(read_all([faster, write("slower.json", board)]))
    assert "A page has one" not in found.detail


def test_reports_of_different_networks_are_told_apart(board, write):
    other = write("other.json", bundle_sha256="ab" * 32, drift=[], slowed=None)
    reports = read_all([board, other])
    (found,) = judge(reports)
    assert (found.kind, found.headline) == ("warning", "The reports are of 2 networks")
    assert "bundle abababab: other.json" in found.detail
    assert [list_facts(one)["network"] for one in reports] == ["tiny at 32x32", "unknown"]
    page = render_benchmarks(reports)
    assert page.count("<code>abababab</code>") == 1
    assert "bundle abababab" in page


def test_other_weights_of_one_network_are_a_note(board, write):
    other = write("other.json", board, bundle_sha256="ab" * 32, model_sha256="ab" * 32)
    reports = read_all([board, other])
    (found,) = judge(reports)
    assert (found.kind, found.headline) == ("note", "The reports are of 2 bundles of one network")
    assert [find_ratio(one, reports) for one in reports] == [1.0, 1.0]


def test_devices_are_compared_by_the_same_network_and_variant_only(write):
    slower = {"p50": 23.4, "p90": 30, "p95": 35, "p99": 40, "mean": 25}
    files = [
        write("a.json"),
        write("b.json", total_ms=slower),
        write("c.json", total_ms=slower, model_sha256="ab" * 32),
        write("d.json", network="a at 96x96", model_sha256="cd" * 32),
        write("e.json", network="a at 96x96", model_sha256="ef" * 32, total_ms=slower),
        write("f.json", network="a at 96x96", model_sha256="ef" * 32, variant="onnx-int8"),
    ]
    reports = read_all(files[:-1])
    assert [find_ratio(one, reports) for one in reports] == [1.0, 2.0, None, 1.0, 2.0]
    (other,) = read_all(files[-1:])
    assert find_ratio(other, [reports[3], other]) is None


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"variant": "litert-float32"}, "note", "2 variants"),
        ({"frame_px": [320, 240]}, "warning", "2 sizes"),
        ({"runs": 20}, "note", "few runs"),
        (
            {"browser": json.loads(PHONE.read_bytes())["browser"] | {"timer_step_ms": 1}},
            "note",
            "coarse",
        ),
    ],
)
def test_what_makes_reports_hard_to_compare_is_said(steady, write, changes, kind, words):
    other = write("other.json", **{"drift": [], "slowed": None, **SAME, **changes})
    (found,) = judge(read_all([steady, other]))
    assert found.kind == kind
    assert words in found.headline
    assert "other.json" in found.detail


def test_a_phone_that_slowed_down_and_a_board_that_throttled_are_named(board, write):
    seen = json.loads(board.read_bytes())["observation"]
    seen |= {"throttled": True, "throttling": ["throttled"]}
    hot = write("hot.json", board, observation=seen, throttled=True)
    phone = write("phone.json", **SAME)
    found = judge(read_all([hot, phone]))
    assert [one.kind for one in found] == ["warning", "warning"]
    assert found[0].headline.endswith("was throttled")
    assert found[1].headline == "Pixel 8, Chrome 156 slowed down"
    assert [list_facts(one)["throttled"] for one in read_all([hot, phone])] == ["yes", "yes"]


def test_the_page_has_a_chart_and_shows_hostile_text_as_text(board, write, tmp_path):
    browser = json.loads(PHONE.read_bytes())["browser"] | {"brand": NASTY, "model": "$x_1$ \x1b[2J"}
    nasty = write("nasty.json", browser=browser, variant=NASTY)
    out = tmp_path / "report.html"
    done = run(board, nasty, "--out", out)
    assert done.returncode == 0, done.stderr
    assert f"page: {out}" in done.stdout
    assert "\x1b" not in done.stdout
    page = out.read_text()
    assert page.count("<svg") == 2
    assert NASTY not in page
    assert "\x1b" not in page
    assert "$x_1$" in page
    again = run(board, nasty, "--out", out)
    assert (again.returncode, "add --overwrite" in again.stderr) == (1, True)


def test_the_command_prints_one_json_object_without_samples(board):
    done = run(board, PHONE, "--json")
    found = json.loads(done.stdout)
    first, second = found["reports"]
    assert (first["kind"], second["kind"]) == ("board", "browser")
    assert first["total_ms"] == json.loads(board.read_bytes())["total_ms"]
    assert not any(key.endswith("samples_ms") for key in first)
    assert second["file"] == "phone_bench.json"
    assert found["page"] is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "not a benchmark report"),
        (
            (TINY / "bundle.json").read_bytes(),
            "is not a benchmark report: Object missing required field `kind`",
        ),
        (b'{"format_version": 1}', "not a benchmark report"),
    ],
)
def test_a_file_of_something_else_is_one_line_that_names_it(board, tmp_path, content, words):
    path = tmp_path / "other.json"
    path.write_bytes(content)
    done = run(board, path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert str(path) in done.stderr
    assert words in done.stderr


def test_two_files_of_one_name_are_told_apart(board, tmp_path):
    (tmp_path / "board.json").write_bytes(board.read_bytes())
    assert {one.file for one in read_all([board, tmp_path / "board.json"])} == {
        str(board),
        str(tmp_path / "board.json"),
    }


def test_a_file_given_twice_is_refused(board, tmp_path):
    link = tmp_path / "link.json"
    link.symlink_to(board)
    for other, words in ((board, "is given twice"), (link, f"is given as {board} as well")):
        done = run(board, other)
        assert (done.returncode, done.stdout) == (1, "")
        assert words in done.stderr


def test_series_of_a_chart_are_told_apart():
    board = Series("Raspberry Pi 5 Model B Rev 1.0", "litert-int8, 1 thread", "tiny", "a.json")
    more = board._replace(model="litert-int8, 4 threads")
    assert name_series([board, more], 60) == [
        "Raspberry Pi 5 Model B Rev 1.0: litert-int8, 1 thread",
        "Raspberry Pi 5 Model B Rev 1.0: litert-int8, 4 threads",
    ]
    same = [board, more, board._replace(file="b.json")]
    assert name_series(same, 48) == [
        "Raspberry Pi 5…: litert-int8, 1 thread (a.json)",
        "Raspberry Pi 5 Model B…: litert-int8, 4 threads",
        "Raspberry Pi 5…: litert-int8, 1 thread (b.json)",
    ]
    other = board._replace(network="large")
    assert name_series([board, board._replace(file="b.json"), other], 70)[1].endswith(
        "thread (b.json)"
    )
    assert name_series([board, other], 70)[1].endswith(": litert-int8, 1 thread, large")


@given(
    st.lists(st.builds(Series, *[st.sampled_from(["a", "b" * 30, "c" * 90])] * 4), max_size=6),
    st.integers(30, 60),
)
def test_names_of_series_differ_and_are_short(reports, letters):
    names = name_series(reports, letters)
    assert len(set(names)) == len(reports)
    assert all(len(name) <= letters for name in names)


def test_the_legend_of_long_runs_lies_below_their_lines(write):
    page = render_benchmarks(read_all([write("a.json"), write("b.json")]))
    for name in "ab":
        assert page.count(f"({name}.json)") == 2
    drift = page[page.index("Over the seconds") :]
    axis, first, second = (
        float(re.search(rf'y="([\d.]+)"[^>]*>[^<]*{words}<', drift)[1])
        for words in ("seconds", r"\(a.json\)", r"\(b.json\)")
    )
    assert axis < first < second


def test_the_recommended_row_of_a_survey_is_a_report(board, steady, tmp_path):
    report = read_benchmark(board).without_samples()
    report = msgspec.structs.replace(report, drift=tuple((n, 5.0) for n in range(1, 10)))
    files = [make_file("litert-int8"), make_file("onnx-int8")]
    rows = [make_row(report, files[0], n, ms, 1.25) for n, ms in ((1, 9.0), (2, 5.0))]
    failed = make_row(report, files[1], 1, None)
    out = tmp_path / "all.json"
    survey = make_survey(report, files, [*rows, failed], noise=0.25)
    out.write_bytes(msgspec.json.encode(survey))
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_bytes())).validate(
        json.loads(out.read_bytes())
    )
    reports = read_all([out, steady])
    chosen = survey.recommendation
    named = f"all.json (litert-int8, {count_noun(chosen.threads, 'thread')})"
    assert [one.file for one in reports] == [named, "steady.json"]
    assert reports[0].record == survey.find_row(chosen).report
    assert list_facts(reports[0])["range"] == "4 to 6.25"
    assert "4 to 6.25" in render_benchmarks(reports)
    warning = judge(reports)[0]
    assert warning.headline == f"Take the survey of {reports[0].device} with care"
    assert warning.detail.startswith(f"{named}: medians vary by 25% from pass to pass")


def test_the_fastest_row_stands_for_a_survey_that_recommends_none(board, tmp_path):
    report = read_benchmark(board).without_samples()
    files = [make_file(name, golden_failures=("cat: off by 9",)) for name in ("onnx-a", "onnx-b")]
    rows = [make_row(report, file, 1, ms) for file, ms in zip(files, (9.0, 5.0), strict=True)]
    out = tmp_path / "all.json"
    out.write_bytes(msgspec.json.encode(make_survey(report, files, rows)))
    (found,) = reports = read_all([out])
    assert found.file == "all.json (onnx-b, 1 thread)"
    (warning,) = judge(reports)
    assert "there is nothing to recommend" in warning.detail
    assert "its fastest row is shown" in warning.detail


def test_a_survey_without_a_row_that_was_measured_is_refused(board, tmp_path):
    report = read_benchmark(board).without_samples()
    files = [make_file("onnx-int8")]
    failed = make_row(report, files[0], 1, None)
    out = tmp_path / "all.json"
    out.write_bytes(msgspec.json.encode(make_survey(report, files, [failed])))
    done = run(out)
    assert (done.returncode, done.stdout) == (1, "")
    assert "every row failed, so there is nothing to compare" in done.stderr


def test_conditions_that_spoil_figures_are_named(board, write):
    record = json.loads(board.read_bytes())
    emulated = write("emulated.json", board, board=record["board"] | {"emulated": True})
    restless = write("restless.json", board, steady=False)
    found = {
        one.headline.partition(" was ")[2]: one for one in judge(read_all([emulated, restless]))
    }
    assert found["emulated"].kind == "warning"
    assert found["not steady when the run began"].kind == "note"


def test_short_runs_among_full_ones_are_named(board, write):
    full, quick = write("full.json", board, rules="full"), write("quick.json", board, rules="quick")
    (found,) = judge(read_all([full, quick]))
    assert found.headline == "Not all runs are full ones"
    assert "quick.json (quick)" in found.detail
    assert judge(read_all([quick])) == []


def test_what_holds_of_several_reports_of_a_device_is_one_finding(board, write):
    files = [write(f"{name}.json", board, steady=False, warmup_s=4.2) for name in "ab"]
    files.append(write("hot.json", **SAME))
    files.append(write("warm.json", **SAME))
    slowed, restless = judge(read_all(files))
    assert slowed.detail.startswith("hot.json, warm.json: the last tenth")
    assert restless.headline.endswith("was not steady when the run began")
    assert restless.detail.startswith("a.json (after 4 s), b.json (after 4 s): ")


def test_other_versions_of_the_software_are_named(board, write):
    record = json.loads(board.read_bytes())
    other = write("other.json", board, software=record["software"] | {"opencv": "4.1.2"})
    (found,) = judge(read_all([board, other]))
    assert found.headline == "The versions of the software differ"
    assert "4.1.2 (other.json)" in found.detail
    assert "numpy" not in found.detail


def test_the_page_tells_ranges_energy_clock_and_how_to_add_a_machine(board, write):
    record = json.loads(board.read_bytes())
    seen = record["observation"] | {
        **{"lowest_clock_mhz": 1500.0, "highest_clock_mhz": 2400.0, "highest_c": 71.0},
        **{"energy_j": 3.0, "energy_source": "RAPL package"},
    }
    drift = [[second, 9.0 + second % 2] for second in range(1, 10)]
    path = write("told.json", board, observation=seen, joules_per_run=0.01, drift=drift)
    page = render_benchmarks(read_all([path]))
    for words in (
        *("9 to 10", "10 mJ (RAPL package)", "1500 to 2400 MHz", "71 °C at most", "opencv"),
        *("Add a machine", "edgetl-run bench BUNDLE", "benchmarks/reference"),
    ):
        assert words in page
