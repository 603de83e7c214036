import functools
import json
import os
import resource
import shutil
import signal
import subprocess
from contextlib import contextmanager

import cv2
import numpy as np
import pytest

from edgetl_runtime.answers import AnswerRecord

RECORD_KEYS = set(AnswerRecord.__struct_fields__)
GREETING = "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n"
PERCENTILES = {"p50", "p90", "p95", "p99", "mean"}


def parse(done):
    """The objects on stdout, one a line; anything else there fails."""
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def frame(tiny):
    return tiny / "golden" / "4.png"


@pytest.fixture
def forged(edit):
    """Whole by its hashes, but its golden scores are not what the models put out."""
    return edit(lambda manifest: manifest["variants"][0]["golden_scores"][2].reverse())


@pytest.fixture
def damaged(tiny_copy):
    data = bytearray((tiny_copy / "litert-int8.tflite").read_bytes())
    data[500] ^= 1
    (tiny_copy / "litert-int8.tflite").write_bytes(data)
    return tiny_copy


def test_verify_says_ok(tiny, edgetl_run):
    done = edgetl_run("verify", tiny)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{tiny}: ok, ")


def test_verify_prints_one_json_object(tiny, edgetl_run):
    done = edgetl_run("verify", tiny, "--json")
    (result,) = parse(done)
    assert result["ok"] is True
    assert result["failures"] == []
    assert "litert-int8 on 5 golden frames" in result["checked"]


def test_verify_ends_with_3_when_the_golden_frames_are_not_reproduced(forged, edgetl_run):
    done = edgetl_run("verify", forged, "--json")
    (result,) = parse(done)
    assert done.returncode == 3
    assert result["ok"] is False
    assert result["failures"][0].startswith(
        "litert-int8: its scores on the golden frames differ by "
    )
    assert result["failures"][0] in done.stderr


def test_verify_ends_with_3_when_a_bit_is_flipped(damaged, edgetl_run):
    done = edgetl_run("verify", damaged, "--json")
    (result,) = parse(done)
    assert done.returncode == 3
    assert result["ok"] is False
    assert "litert-int8.tflite is damaged" in result["failures"][0]
    assert edgetl_run("verify", damaged).stdout == f"{damaged}: FAILED\n"


@pytest.mark.parametrize("command", ["classify", "camera", "serve", "bench"])
def test_no_command_runs_a_damaged_bundle(command, damaged, frame, edgetl_run):
    done = edgetl_run(command, damaged, *([frame] if command == "classify" else []))
    assert (done.returncode, done.stdout) == (1, "")
    assert "edgetl-run: " in done.stderr
    assert "is damaged" in done.stderr


def test_classify_prints_one_json_object_a_picture(tiny, edgetl_run):
    done = edgetl_run("classify", tiny, tiny / "golden", "--json", "--top", 2)
    records = parse(done)
    assert done.returncode == 0, done.stderr
    assert [record["source"] for record in records] == [
        str(file) for file in sorted((tiny / "golden").iterdir())
    ]
    for record in records:
        assert set(record) == RECORD_KEYS
        assert record["frame"] == 0
        assert len(record["top"]) == 2
        assert record["top"][0] == {"label": record["label"], "score": record["score"]}
        assert record["preprocess_ms"] + record["invoke_ms"] <= record["age_ms"]


def test_classify_names_the_label_for_people(tiny, frame, edgetl_run):
    done = edgetl_run("classify", tiny, frame)
    assert done.returncode == 0
    assert f"{frame}#0  washer " in done.stdout


def test_a_rejected_frame_has_no_label(edit, frame, edgetl_run):
    folder = edit(
        lambda manifest: manifest["variants"][0]["calibration"].update(reject_threshold=0.999)
    )
    (record,) = parse(edgetl_run("classify", folder, frame, "--json"))
    assert record["label"] is None
    assert record["score"] > 0
    assert "(unknown)" in edgetl_run("classify", folder, frame).stdout


def test_classify_answers_every_frame_of_a_video(tiny, make_video, edgetl_run):
    records = parse(edgetl_run("classify", tiny, make_video(8), "--json"))
    assert [record["frame"] for record in records] == list(range(8))


def test_a_broken_picture_in_a_folder_is_reported_and_the_others_are_classified(
    tiny, tmp_path, edgetl_run
):
    folder = shutil.copytree(tiny / "golden", tmp_path / "photos")
    (folder / "1.png").write_bytes(b"<html>404</html>")
    (folder / "2.mp4").write_bytes(b"no video")
    done = edgetl_run("classify", tiny, folder, "--json")
    assert done.returncode == 0
    answered = [record["source"][-5:] for record in parse(done) if "unused" not in record]
    assert answered == ["0.png", "2.png", "3.png", "4.png"]
    unused = "2 files are not used: 1.png (a web page), 2.mp4 (a text file)"
    assert f"edgetl-run: of {folder}, {unused}" in done.stderr


@pytest.mark.parametrize("name", ["missing.png", "broken.png", "empty"])
def test_a_bad_source_that_was_asked_for_ends_with_1_after_the_others(
    name, tiny, frame, tmp_path, edgetl_run
):
    (tmp_path / "broken.png").touch()
    (tmp_path / "empty").mkdir()
    done = edgetl_run("classify", tiny, frame, tmp_path / name, frame, "--json")
    assert done.returncode == 1
    assert [record["source"] for record in parse(done)] == [str(frame), str(frame)]
    assert name in done.stderr


def test_a_folder_of_broken_pictures_only_ends_with_1(tiny, tmp_path, edgetl_run):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").touch()
    done = edgetl_run("classify", tiny, tmp_path / "photos")
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize("engine", ["litert", "onnx"])
def test_the_engine_and_the_variant_can_be_chosen(engine, tiny, edgetl_run):
    if engine == "onnx":
        pytest.importorskip("onnxruntime")
    options = ("--engine", engine, "--variant", f"{engine}-float32", "--threads", 1, "--runs", 1)
    (report,) = parse(edgetl_run("bench", tiny, *options, "--json"))
    assert (report["variant"], report["threads"]) == (f"{engine}-float32", 1)


def test_an_unknown_variant_ends_with_1_and_lists_those_present(tiny, frame, edgetl_run):
    done = edgetl_run("classify", tiny, frame, "--variant", "litert-int4")
    assert done.returncode == 1
    assert "it has: litert-int8" in done.stderr


def test_an_engine_that_a_variant_is_not_for_is_told(tiny, frame, edgetl_run):
    flags = ("--variant", "litert-int8", "--engine", "onnx")
    done = edgetl_run("classify", tiny, frame, *flags)
    assert done.returncode == 1
    says = "edgetl-run: litert-int8 runs on litert, not on onnx; leave one out"
    assert says in done.stderr.splitlines()


def test_camera_prints_one_json_object_a_frame(tiny, make_video, edgetl_run):
    video = make_video(30)
    done = edgetl_run("camera", tiny, "--source", video, "--max-frames", 3, "--json")
    records = parse(done)
    assert done.returncode == 0, done.stderr
    assert len(records) == 3
    assert all(set(record) == RECORD_KEYS for record in records)
    assert {record["source"] for record in records} == {str(video)}
    assert "3 answers" in done.stderr


def test_camera_answers_every_frame_of_a_video_and_ends_with_it(tiny, make_video, edgetl_run):
    done = edgetl_run("camera", tiny, "--source", make_video(100), "--json")
    assert done.returncode == 0
    assert [record["frame"] for record in parse(done)] == list(range(100))


@pytest.mark.parametrize("source", ["7", "missing.mp4", "²"])
def test_a_missing_camera_ends_with_1(source, tiny, edgetl_run):
    done = edgetl_run("camera", tiny, "--source", source)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"edgetl-run: cannot open {source}" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_camera_before_the_video_does(number, tiny, make_video, start_edgetl_run):
    fps, frames = 10.0, 300
    video = make_video(frames, fps)
    process = start_edgetl_run("camera", tiny, "--source", video, "--realtime", "--json")
    json.loads(process.stdout.readline())
    process.send_signal(number)
    _, errors = process.communicate(timeout=frames / fps / 2)
    # What was asked for is not whole.
    assert process.returncode == 128 + number
    assert "Traceback" not in errors


@pytest.mark.parametrize("flags", [("pattern",), ("video.avi", "--realtime", "--loop")])
def test_a_signal_is_the_usual_end_of_what_has_none(flags, tiny, film, start_edgetl_run):
    process = start_edgetl_run("camera", tiny, "--json", "--source", *flags)
    json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_bench_prints_one_json_object(tiny, edgetl_run):
    done = edgetl_run("bench", tiny, "--runs", 7, "--frame-size", "320x240", "--json")
    (report,) = parse(done)
    assert done.returncode == 0, done.stderr
    required = {"variant", "engine", "threads", "load_ms", "first_ms", "peak_rss_mib"}
    assert required <= set(report)
    for stage in ("preprocess_ms", "invoke_ms", "total_ms"):
        assert set(report[stage]) == PERCENTILES
        assert 0 < report[stage]["p50"] <= report[stage]["p90"] <= report[stage]["p99"]
    assert (report["runs"], report["frame_px"]) == (7, [320, 240])


def test_bench_adds_every_sample_on_request(tiny, edgetl_run):
    (report,) = parse(edgetl_run("bench", tiny, "--runs", 4, "--json", "--raw"))
    for stage in ("preprocess", "invoke", "total"):
        assert len(report[f"{stage}_samples_ms"]) == 4


def test_where_a_report_cannot_be_written_is_said_before_it_is_measured(tiny, tmp_path, edgetl_run):
    for out, words in (
        (tmp_path, "it is a folder"),
        (tmp_path / "a/b.json", "is not a folder that you can write to"),
    ):
        for flags in ((), ("--source", "pattern")):
            done = edgetl_run("bench", tiny, *flags, "--out", out)
            assert (done.returncode, done.stdout) == (1, "")
            assert words in done.stderr


def test_bench_prints_a_table_for_people(tiny, edgetl_run):
    done = edgetl_run("bench", tiny, "--runs", 4)
    rows = [line.split()[0] for line in done.stdout.splitlines()]
    assert {"ms", "preprocess", "invoke", "total", "cold", "memory:"} <= set(rows)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("paint",),
        ("verify",),
        ("classify", "x.bundle"),
        ("classify", "x.bundle", "a.png", "--engine", "tensorrt"),
        ("classify", "x.bundle", "a.png", "--top", "0"),
        ("classify", "x.bundle", "a.png", "--threads", "99999999999"),
        ("camera", "x.bundle", "--size", "640"),
        ("camera", "x.bundle", "--max-frames", "²"),
        ("bench", "x.bundle", "--frame-size", "0x480"),
        ("classify", "x.bundle", ""),
        ("verify", ""),
        ("camera", "x.bundle", "--source", "0", "--source", "1"),
        ("serve", "x.bundle", "--csv", "a", "--jsonl", "b", "--csv", "c"),
        ("classify", "x.bundle", "a.png", "--engine", "litert", "--engine", "onnx"),
        ("bench", "x.bundle", "--runs", "many"),
        ("bench", "x.bundle", "--all", "--source", "pattern"),
        ("bench", "x.bundle", "--seconds", "nan"),
    ],
)
def test_wrong_usage_ends_with_2(arguments, edgetl_run):
    done = edgetl_run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    wrong, remedy = done.stderr.splitlines()
    program = wrong.partition(": ")[0]
    assert program in ("edgetl-run", f"edgetl-run {arguments[0] if arguments else ''}")
    assert remedy == f"try: {program} --help"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--verison",), "unknown flag --verison; did you mean --version?"),
        (("srve", "x.bundle"), "found 'srve'; did you mean serve?"),
        (("verify", "x.bundle", "--jsn"), "unknown flag --jsn; did you mean --json?"),
        (("serve", "--souce", "0"), "unknown flag --souce; did you mean --source?"),
        (("serve", "--tokn=geheimes-zeichen"), "unknown flag --tokn; did you mean --token?"),
        (("bench", "x", "--engine", "litrt"), "found 'litrt'; did you mean litert?"),
        (("camera", "x", "--qqqqqq"), "unknown flag --qqqqqq\n"),
        (("camera", "x", "film.mp4"), "arguments: film.mp4; did you mean --source film.mp4?\n"),
        (
            ("classify", "x", "a.png", "--csv", "a.csv"),
            "unknown flag --csv here; `edgetl-run camera BUNDLE --source FILE --csv ...` has",
        ),
        (
            ("camera", "x", "--source", "rtsp://me:geheim@a/1", "--source", "pattern"),
            "--source: it takes one value, but is given twice with different ones; run edgetl-run",
        ),
        (("serve", "x", "--token", "geheim" * 3, "--token", "geheim" * 4), "is given twice with"),
        (("classify", "x", ""), "expected a path, got nothing; is a variable not set?"),
        (("doctor", "x", "y\x1b[31m"), "unrecognized arguments: y\\x1b[31m\n"),
    ],
)
def test_a_near_miss_gets_the_right_word(arguments, said, edgetl_run):
    done = edgetl_run(*arguments)
    assert said in done.stderr
    assert "geheim" not in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_what_is_given_twice_alike_is_taken(tiny, frame, edgetl_run):
    flags = ("--top", "1", "--variant", "litert-int8")
    done = edgetl_run("classify", tiny, frame, *flags, *flags, "--json")
    assert len(json.loads(done.stdout)["top"]) == 1


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_verify_shows_no_password_of_an_address(flags, edgetl_run):
    done = edgetl_run("verify", "https://me:geheim@host/parts.zip", *flags)
    assert done.returncode == 1
    assert "host/parts.zip" in done.stdout
    assert "geheim" not in done.stdout + done.stderr


def test_a_flag_may_still_be_shortened(edgetl_run):
    assert edgetl_run("--vers").stdout.startswith("edgetl-run 0.")


@pytest.mark.parametrize("command", ["verify", "classify", "camera", "bench"])
def test_what_is_no_bundle_ends_with_1(command, tmp_path, edgetl_run):
    done = edgetl_run(command, tmp_path, *(["a.png"] if command == "classify" else []))
    assert done.returncode == 1
    assert "is not a bundle" in done.stderr


def test_help_and_version_need_no_bundle(edgetl_run):
    assert "classify" in edgetl_run("--help").stdout
    assert edgetl_run("--version").stdout.startswith("edgetl-run 0.")


@pytest.mark.parametrize("command", ["classify", "camera"])
def test_a_reader_that_goes_after_one_line_is_no_trouble(
    command, tiny, make_video, start_edgetl_run
):
    video = make_video(200, 100.0)
    arguments = (video,) if command == "classify" else ("--source", video)
    process = start_edgetl_run(command, tiny, *arguments, "--json")
    json.loads(process.stdout.readline())
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 1
    assert "edgetl-run" not in errors
    assert "Traceback" not in errors
    assert "Exception ignored" not in errors


def test_a_reader_that_was_never_there_is_no_trouble(tiny, edgetl_run):
    with subprocess.Popen(["true"], stdin=subprocess.PIPE) as reader:
        reader.wait()
        done = edgetl_run("verify", tiny, stdout=reader.stdin.fileno())
    assert "edgetl-run" not in done.stderr


@pytest.mark.parametrize("command", ["verify", "classify"])
def test_results_that_cannot_be_written_end_with_1(command, tiny, frame, edgetl_run):
    with open("/dev/full", "w") as full:
        done = edgetl_run(command, tiny, *([frame] if command == "classify" else []), stdout=full)
    assert done.returncode == 1
    assert "edgetl-run: cannot write the results" in done.stderr


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("camera", "--help")])
def test_help_that_cannot_be_written_ends_with_1(arguments, edgetl_run):
    with open("/dev/full", "w") as full:
        done = edgetl_run(*arguments, stdout=full)
    assert done.returncode == 1
    assert "cannot write the results: No space left on device" in done.stderr


@pytest.mark.parametrize("encoding", ["iso8859-1", "ascii"])
def test_json_is_utf8_whatever_the_locale(
    encoding, tiny, write_checksummed, frame, tmp_path, edgetl_run, monkeypatch
):
    manifest = (tiny / "bundle.json").read_bytes()
    bundle = write_checksummed(manifest.replace(b'"gear"', '"Äpfel 螺"'.encode()))
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    with (tmp_path / "out.json").open("wb") as out:
        done = edgetl_run("classify", bundle, frame, "--json", stdout=out)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out.json").read_bytes().decode("utf-8"))
    assert "Äpfel 螺" in [one["label"] for one in record["top"]]


@pytest.fixture
def film(make_video):
    return make_video(30)


@pytest.mark.parametrize("flags", [(), ("--realtime",)])
@pytest.mark.parametrize("option", ["--jsonl", "--csv", "--pictures", "--video"])
def test_a_file_whose_answers_were_lost_ends_with_1(option, flags, tiny, film, edgetl_run):
    out = {"--pictures": "/proc/pictures", "--video": "/proc/new.avi"}.get(option, "/dev/full")
    done = edgetl_run("camera", tiny, "--source", film, option, out, *flags)
    assert done.returncode == 1
    assert f"output {option[2:]} lacks" in done.stderr
    assert out in done.stderr


@pytest.fixture
def pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@contextmanager
def start_reader(*command):
    """Waits for no writer that never comes."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        try:
            yield reader
        finally:
            reader.kill()


@pytest.mark.parametrize("option", ["--jsonl", "--csv"])
def test_a_pipe_that_nobody_reads_is_refused_for_a_file(option, tiny, film, pipe, edgetl_run):
    done = edgetl_run("camera", tiny, "--source", film, option, pipe)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{pipe}: nothing reads this pipe; start its reader first" in done.stderr


def test_a_pipe_with_a_reader_gets_every_answer(tiny, film, pipe, edgetl_run):
    with start_reader("cat", pipe) as reader:
        done = edgetl_run("camera", tiny, "--source", film, "--jsonl", pipe)
        assert done.returncode == 0, done.stderr
        assert len(reader.communicate()[0].splitlines()) == 30


def test_a_pipe_whose_reader_goes_ends_with_1(tiny, film, pipe, edgetl_run):
    with start_reader("head", "-n1", pipe):
        done = edgetl_run("camera", tiny, "--source", film, "--jsonl", pipe, "--realtime")
    assert done.returncode == 1
    assert "output jsonl lacks" in done.stderr


def test_a_camera_waits_for_the_reader_of_a_pipe(tiny, pipe, start_edgetl_run):
    source = ("--source", "pattern", "--fps", 20, "--terminal", "none")
    process = start_edgetl_run("camera", tiny, *source, "--jsonl", pipe)
    assert any("nothing reads this pipe" in line for line in process.stderr)
    with pipe.open() as reader:
        assert reader.readline().startswith('{"version"')
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 0


def test_answers_that_standard_output_lost_end_with_1(tiny, film, edgetl_run):
    with open("/dev/full", "w") as full:
        done = edgetl_run("camera", tiny, "--source", film, "--json", stdout=full)
    assert done.returncode == 1
    assert "output terminal lacks 30 answers: cannot write the results: No space" in done.stderr


@pytest.mark.parametrize(("out", "code"), [("/dev/full", 1), ("/dev/null", 0)])
def test_a_camera_that_was_to_give_so_many_answers_ends_with_1_where_they_were_lost(
    out, code, tiny, edgetl_run
):
    flags = ("--source", "pattern", "--max-frames", 3, "--json")
    with open(out, "w") as full:
        done = edgetl_run("camera", tiny, *flags, stdout=full)
    assert done.returncode == code
    assert ("output terminal lacks 3 answers: cannot write the results" in done.stderr) == code


@pytest.mark.parametrize("flags", [(), ("--realtime",)])
def test_a_file_whose_answers_are_whole_ends_with_0(flags, tiny, film, tmp_path, edgetl_run):
    outputs = [f"--{kind}={tmp_path / kind}" for kind in ("jsonl", "csv", "pictures")]
    done = edgetl_run("camera", tiny, "--source", film, *outputs, *flags)
    assert done.returncode == 0, done.stderr
    assert "lacks" not in done.stderr
    assert len((tmp_path / "jsonl").read_text().splitlines()) == 30 or flags


def test_of_a_file_no_answer_is_rotated_away(tiny, make_video, tmp_path, edgetl_run):
    film = make_video(4000, name="long.avi")
    out = tmp_path / "answers.jsonl"
    arguments = ("--jsonl", out, "--file-quota-mb", 1, "--terminal", "none")
    done = edgetl_run("camera", tiny, "--source", film, *arguments)
    assert done.returncode == 0, done.stderr
    assert out.stat().st_size > 2e6
    assert len(out.read_text().splitlines()) == 4000


def close_stdout():
    os.close(1)


@pytest.mark.parametrize("command", ["verify", "classify"])
def test_results_for_a_closed_standard_output_end_with_1(command, tiny, frame, edgetl_run):
    arguments = [frame] if command == "classify" else []
    done = edgetl_run(command, tiny, *arguments, "--json", preexec_fn=close_stdout)
    assert done.returncode == 1
    assert "cannot write the results: standard output is closed" in done.stderr


def test_answers_for_a_closed_standard_output_are_no_success_of_the_terminal(
    tiny, make_video, edgetl_run
):
    arguments = ("--source", make_video(10), "--json")
    done = edgetl_run("camera", tiny, *arguments, preexec_fn=close_stdout)
    assert (
        "output terminal failed: cannot write the results: standard output is closed" in done.stderr
    )


def test_a_camera_without_a_standard_output_has_nothing_to_complain_of(tiny, edgetl_run):
    arguments = ("--source", "pattern", "--max-frames", 10)
    done = edgetl_run("camera", tiny, *arguments, preexec_fn=close_stdout)
    assert done.returncode == 0
    assert "terminal" not in done.stderr


@pytest.fixture
def foreign(tiny, write_checksummed, monkeypatch):
    """A bundle whose label Latin-1 holds a part of only, and such a terminal."""
    manifest = (tiny / "bundle.json").read_bytes()
    monkeypatch.setenv("PYTHONIOENCODING", "iso8859-1")
    return write_checksummed(manifest.replace(b'"gear"', '"Äpfel 螺"'.encode()))


def test_a_line_is_in_the_encoding_of_the_terminal(foreign, make_video, tmp_path, edgetl_run):
    arguments = ("camera", foreign, "--source", make_video(10), "--top", 3)
    with (tmp_path / "out").open("wb") as out:
        assert edgetl_run(*arguments, stdout=out).returncode == 0
    assert "Äpfel \\u87ba" in (tmp_path / "out").read_bytes().decode("iso8859-1")
    with (tmp_path / "out").open("wb") as out:
        assert edgetl_run(*arguments, "--json", stdout=out).returncode == 0
    assert "Äpfel 螺" in (tmp_path / "out").read_bytes().decode("utf-8")


def test_a_settings_file_can_be_read_again_whatever_the_locale(tmp_path, edgetl_run, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "iso8859-1")
    path = tmp_path / "edgetl.toml"
    for arguments in (("--jsonl", "/x/Äpfel 螺"), ("--config", path)):
        with (tmp_path / "out").open("wb") as out:
            assert edgetl_run("config", *arguments, stdout=out).returncode == 0
        os.replace(tmp_path / "out", path)
        assert 'jsonl = "/x/Äpfel 螺"' in path.read_bytes().decode("utf-8")


def test_what_the_system_refuses_is_no_trouble_of_the_results(tiny, edgetl_run):
    limited = functools.partial(resource.setrlimit, resource.RLIMIT_NOFILE, (5, 5))
    done = edgetl_run("serve", tiny, "--port", 0, "--source", "pattern", preexec_fn=limited)
    assert done.returncode == 1
    assert "Too many open files" in done.stderr
    assert "write the results" not in done.stderr


def test_a_folder_that_is_gone_is_named(tiny, tmp_path, edgetl_run):
    gone = tmp_path / "gone"
    gone.mkdir()
    remove = functools.partial(shutil.rmtree, gone)
    arguments = ("install-service", tiny, "--name", "door", "--dry-run")
    done = edgetl_run(*arguments, cwd=gone, preexec_fn=remove)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the current folder no longer exists" in done.stderr


INTERRUPT = """
import os, signal, sys
name, how, *sys.argv = sys.argv[1:]

class Interrupt:
    def find_spec(self, found, path, target=None):
        if found != name:
            return
        sys.meta_path.remove(self)
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            if how == "raised":
                raise
            if how == "changed":
                raise ImportError("numpy.core.multiarray failed to import")
            Lost()

class Lost:
    def __del__(self):
        raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
from edgetl_runtime.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize("how", ["raised", "changed", "lost"])
@pytest.mark.parametrize(
    "module",
    [
        *("edgetl_runtime.commands.program", "argparse", "edgetl_runtime.image.folders", "cv2"),
        *("edgetl_runtime.engines.litert_engine", "edgetl_runtime.engines.onnx_engine"),
    ],
)
def test_ctrl_c_needs_no_traceback_whatever_an_import_makes_of_it(
    module, how, tiny, golden, run_python
):
    """As a library may: it hands it on, takes it for a broken import, or drops it."""
    engine = "onnx" if "onnx" in module else "litert"
    pictures = [golden] * 200
    done = run_python(INTERRUPT, module, how, "-", "classify", tiny, *pictures, "--engine", engine)
    assert done.returncode == 130
    assert done.stderr.replace(GREETING, "") == ""


def test_a_library_that_does_not_load_is_one_sentence(tiny, tmp_path, monkeypatch, edgetl_run):
    broken = "raise ImportError('libaom.so: failed to map segment', name='cv2')"
    (tmp_path / "cv2.py").write_text(broken)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    done = edgetl_run("bench", tiny, "--runs", 1)
    assert done.returncode == 1
    assert "cannot load cv2: libaom.so: failed to map segment; is there too little" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def golden(tiny):
    return tiny / "golden"


def test_the_camera_sums_up_what_became_of_the_frames(tiny, edgetl_run, tmp_path):
    pytest.importorskip("simplejpeg")
    jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), 99, np.uint8))[1].tobytes()
    odd = jpeg[:-2] + bytes(40) + jpeg[-2:]
    (tmp_path / "jpegs").write_bytes(odd)
    with (tmp_path / "jpegs").open("rb") as file:
        done = edgetl_run("camera", tiny, "--source", "-", stdin=file)
    assert done.returncode == 0, done.stderr
    assert "1 answer, 0 older frames dropped, 1 with extra bytes" in done.stderr


@pytest.mark.parametrize("umask", [0, 0o002])
def test_nobody_else_may_write_what_the_service_makes(umask, tiny, tmp_path, edgetl_run):
    pytest.importorskip("uvicorn")
    folder = tmp_path / "new" / "state"
    state = ("--state-dir", folder, "--jsonl", folder / "answers" / "a.jsonl")
    source = ("--source", "pattern", "--max-frames", 3)
    arguments = ("serve", tiny, *source, *state, "--port", 0)
    done = edgetl_run(*arguments, preexec_fn=lambda: os.umask(umask))
    assert done.returncode == 0, done.stderr
    made = [folder.parent, *folder.parent.rglob("*")]
    assert len(made) > 5
    for path in made:
        assert path.stat().st_mode & 0o022 == 0, path


def test_the_name_that_a_video_got_is_said(tiny, film, tmp_path, edgetl_run):
    for name in ("out.avi", "out-2.avi"):
        done = edgetl_run("camera", tiny, "--source", film, "--video", "out.avi")
        assert done.returncode == 0, done.stderr
        assert f"edgetl-run: the video is {name}\n" in done.stderr
        assert (tmp_path / name).is_file()


def test_the_doctor_names_a_folder_without_a_bundle_once(tmp_path, edgetl_run):
    (tmp_path / "empty").mkdir()
    done = edgetl_run("doctor", "empty", "--json")
    (check,) = (one for one in parse(done)[0]["checks"] if one["name"] == "bundle")
    assert check["found"].startswith("empty is not a bundle")
