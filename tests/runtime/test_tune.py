"""`edgetl-run bench --all` and `edgetl-run tune`, as a person runs them."""

import argparse
import json
from pathlib import Path

import msgspec
import pytest

from edgetl_runtime.benchmarking.reading import read_survey
from edgetl_runtime.benchmarking.single_stream import benchmark, make_rules
from edgetl_runtime.benchmarking.survey_record import Chosen
from edgetl_runtime.commands.survey import suggest
from edgetl_runtime.settings.file import load_settings
from tests.surveys import make_file, make_row, make_survey, replace


@pytest.fixture(scope="module")
def survey(tiny):
    """Of the committed bundle, with onnx-int8 and 2 threads for the fastest."""
    report = benchmark(tiny, variant="litert-int8", rules=make_rules(1, None))
    files = [make_file("litert-int8"), make_file("onnx-int8")]
    rows = [make_row(report, files[0], 1, 9.0), make_row(report, files[1], 2, 5.0)]
    return make_survey(report, files, rows)


@pytest.fixture
def keep(survey, tmp_path):
    def keep(**changes):
        path = tmp_path / "survey.json"
        path.write_bytes(msgspec.json.encode(replace(survey, **changes)))
        return path

    return keep


@pytest.fixture
def config(tmp_path):
    return tmp_path / "edgetl.toml"


def test_one_variant_and_thread_are_measured_shown_kept_and_tuned_by(
    edit, edgetl_run, tmp_path, config
):
    def keep_first(manifest):
        manifest["variants"] = manifest["variants"][:1]

    small = edit(keep_first)
    out, page = tmp_path / "s.json", tmp_path / "s.html"
    options = ("--all", "--budget", "0.02", "--threads", 1, "--out", out, "--page", page)
    done = edgetl_run("bench", small, *options)
    assert done.returncode == 0, done.stderr
    found = read_survey(out)
    assert [(row.variant, row.threads) for row in found.rows] == [("litert-int8", 1)]
    lines = done.stdout.splitlines()
    assert any(line.startswith(">  litert-int8  ai-edge-litert") for line in lines)
    assert "use: --variant litert-int8 --threads 1, or in the settings file:" in lines
    assert any(line.startswith("recommended: litert-int8 with 1 thread: ") for line in lines)
    assert lines[-1].startswith(f"next: edgetl-run tune {small} --config edgetl.toml --from {out}")
    assert b'<script type="application/json"' in page.read_bytes()
    done = edgetl_run("tune", small, "--config", config, "--from", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"next: edgetl-run serve --config {config}"
    model = load_settings(config).model
    assert (model.bundle, model.variant, model.threads) == (str(small), "litert-int8", 1)


def test_tune_changes_what_contradicts_and_says_so(tiny, keep, config, edgetl_run):
    config.write_text(f'[model]\nbundle = "{tiny}"\nengine = "litert"\nthreads = 1 # few\n')
    done = edgetl_run("tune", tiny, "--config", config, "--from", keep())
    assert done.returncode == 0, done.stderr
    assert "  engine: litert -> onnx" in done.stdout
    assert "  variant: (not set) -> onnx-int8" in done.stdout
    assert "  threads: 1 -> 2" in done.stdout
    assert config.read_text() == (
        f'[model]\nbundle = "{tiny}"\nengine = "onnx"\nvariant = "onnx-int8"\nthreads = 2 # few\n'
    )


def test_what_tune_wrote_is_what_runs(tiny, keep, config, edgetl_run, make_video):
    assert edgetl_run("tune", tiny, "--config", config, "--from", keep()).returncode == 0
    done = edgetl_run("camera", "--config", config, "--source", make_video(2), "--json")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2


def test_tune_prints_one_json_object(tiny, keep, config, edgetl_run):
    done = edgetl_run("tune", tiny, "--config", config, "--from", keep(), "--json")
    (record,) = map(json.loads, done.stdout.splitlines())
    assert record["changed"]["threads"] == {"old": None, "new": 2}
    assert record["survey"]["kind"] == "survey"


def test_nothing_to_recommend_ends_with_3_and_changes_nothing(tiny, keep, config, edgetl_run):
    config.write_text("[model]\nthreads = 1\n")
    file = replace(make_file("litert-int8"), golden_failures=("its scores differ",))
    survey = read_survey(keep())
    changes = {"files": (file, survey.files[1]), "rows": survey.rows[:1], "recommendation": None}
    done = edgetl_run("tune", tiny, "--config", config, "--from", keep(**changes))
    assert (done.returncode, done.stdout) == (3, "")
    assert "there is nothing to recommend: no file that was measured may be used" in done.stderr
    assert config.read_text() == "[model]\nthreads = 1\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda one: {"bundle_sha256": "cd" * 32}, "is of another bundle (SHA-256 cdcdcdcd"),
        (
            lambda one: {"board": replace(one.board, cpu="Cortex-A53")},
            "was taken on another machine (unknown board, Cortex-A53",
        ),
        (lambda one: {"format_version": 3}, "upgrade edgetl"),
    ],
)
def test_a_survey_of_something_else_is_refused(
    tiny, survey, keep, config, edgetl_run, change, words
):
    changes = change(replace(survey, board=replace(survey.board, board=None)))
    done = edgetl_run("tune", tiny, "--config", config, "--from", keep(**changes))
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
    assert not config.exists()


def test_another_bundle_gives_way_also_where_it_is_gone(tiny, keep, config, edgetl_run):
    config.write_text('[model]\nbundle = "/gone/old.bundle"\nthreads = 2\n')
    done = edgetl_run("tune", tiny, "--config", config, "--from", keep())
    assert done.returncode == 0, done.stderr
    assert f"  bundle: /gone/old.bundle -> {tiny}" in done.stdout.splitlines()
    assert load_settings(config).model.bundle == str(tiny)


def test_tune_says_where_there_is_nothing_to_change(tiny, keep, config, edgetl_run):
    (first, second) = (
        edgetl_run("tune", tiny, "--config", config, "--from", keep()) for _ in range(2)
    )
    assert f"made {config}, [model]:" in first.stdout
    assert f"nothing to change in {config}" in second.stdout.splitlines()
    assert "changed" not in second.stdout


def test_tune_writes_what_is_not_certain_and_says_so(tiny, survey, keep, config, edgetl_run):
    best = survey.recommendation
    unclear = (Chosen(variant="litert-int8", threads=1),)
    unsure = keep(recommendation=replace(best, unclear=unclear, runner_up=None))
    done = edgetl_run("tune", tiny, "--config", config, "--from", unsure)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("recommended, but not certain: onnx-int8 with 2 threads")
    assert "slower, but not beyond the noise: litert-int8 with 1 thread" in done.stdout
    assert load_settings(config).model.variant == "onnx-int8"


@pytest.mark.parametrize("unclear", [(), (Chosen(variant="litert-int8", threads=1),)])
def test_what_is_not_certain_is_measured_again_before_tuning(survey, unclear):
    options = argparse.Namespace(bundle=Path("a.bundle"), out=None)
    found = replace(survey, recommendation=replace(survey.recommendation, unclear=unclear))
    assert suggest(options, found) == (
        "next: run the same command again when nothing else runs"
        if unclear
        else "next: edgetl-run tune a.bundle --config edgetl.toml"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("bench", "x", "--all", "--out", "a.html"), "--out writes JSON; for the web page: --page"),
        (("bench", "x", "--all", "--against", "a"), "leave out --against"),
        (("bench", "x", "--all", "--runs", "3"), "leave out --runs"),
        (("bench", "x", "--all", "--raw"), "leave out --raw"),
        (("bench", "x", "--all", "--page", "a.json"), "expected a name that ends in .html"),
        (("bench", "x", "--budget", "3"), "--budget belongs to --all"),
        (("bench", "x", "--page", "a.html"), "--page belongs to --all"),
        (("bench", "x", "--all", "--budget", "0"), "expected minutes above 0"),
        (("tune", "x"), "--config"),
        (("tune", "x", "--config", "a", "--from", "b", "--quick"), "leave out --quick"),
    ],
)
def test_flags_that_contradict_are_wrong_usage(arguments, words, edgetl_run):
    done = edgetl_run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


def test_what_cannot_be_written_is_told_before_anything_is_measured(tiny, tmp_path, edgetl_run):
    missing = tmp_path / "gone" / "s.json"
    for arguments in (
        ("bench", tiny, "--all", "--out", missing),
        ("tune", tiny, "--config", missing),
    ):
        done = edgetl_run(*arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"cannot write {missing}" in done.stderr
