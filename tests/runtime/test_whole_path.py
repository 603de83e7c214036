"""`edgetl-run bench --source`: the whole path at work, and what limits it."""

import http.server
import json
import threading
import time

import msgspec
import numpy as np
import pytest

from edgetl_runtime.benchmarking.path_record import Busy, PathBenchmark, find_limit
from edgetl_runtime.benchmarking.reading import read_benchmark, read_report
from edgetl_runtime.benchmarking.whole_path import (
    PathRules,
    make_path_rules,
    measure_path,
    measure_settings,
)
from edgetl_runtime.capture.camera import Camera
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.errors import BenchmarkError, CameraError
from edgetl_runtime.outputs.output import PlainOutput
from edgetl_runtime.settings.sections import ModelSettings, Settings, SourceSettings

SHORT = PathRules("custom", seconds=1.5, warmup_s=0.3)
JPEG_FRAMES = 40


class Slow(PlainOutput):
    """An output that needs its time."""

    name = "slow"
    lossless = True

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.answers = []

    def write(self, answer):
        time.sleep(self.seconds)
        self.answers.append(answer)


@pytest.fixture
def slow_model(bundle, fake_engine):
    """A model that takes 30 ms for a frame."""

    class SlowEngine(fake_engine):
        def run(self, pixels):
            time.sleep(0.03)
            return super().run(pixels)

    variant = bundle.variant("litert-int8")
    scores = np.full(variant.output.shape[-1], 1 / variant.output.shape[-1])
    return Classifier(bundle, variant, SlowEngine(*scores))


@pytest.fixture
def measure(tiny):
    """Measures the committed bundle on a source."""

    def measure(address, rules=SHORT, **source):
        model = ModelSettings(bundle=str(tiny), threads=1)
        settings = Settings(model=model, source=SourceSettings(address=str(address), **source))
        return measure_settings(settings, rules)

    return measure


@pytest.fixture(scope="module")
def pattern(tiny):
    """The report of a source of ten frames a second."""
    model = ModelSettings(bundle=str(tiny), threads=1)
    source = SourceSettings(address="pattern", fps=10, size="320x240")
    rules = PathRules("custom", seconds=2.5, warmup_s=0.3)
    # Again, if something else on this machine made it skip frames.
    for _ in range(3):
        found = measure_settings(Settings(model=model, source=source), rules)
        if not found.skipped:
            break
    return found


def test_a_source_that_is_slower_than_everything_is_the_limit(pattern):
    assert pattern.limit == "source"
    assert pattern.live
    assert pattern.delivered_fps < 11.5
    assert abs(pattern.delivered - pattern.answered - pattern.skipped) <= 2
    assert (pattern.lost, pattern.output_lost, pattern.reconnects) == (0, 0, 0)


def test_a_frame_is_older_than_its_preparation_and_its_invoke_took(pattern):
    assert pattern.age_ms.p50 > pattern.preprocess_ms.p50 + pattern.invoke_ms.p50
    # Drawing; the tenth of a second until the next frame is due is waiting.
    assert 0 < pattern.capture_ms.p50 / 1e3 < 0.5 / pattern.delivered_fps
    assert pattern.busy.capture == pytest.approx(
        pattern.capture_ms.mean * pattern.delivered_fps / 1e3, rel=0.5
    )


def test_the_report_says_what_was_measured_and_on_what(pattern, bundle):
    assert pattern.bundle_sha256 == bundle.sha256
    assert pattern.frame_px == (320, 240)
    assert pattern.source == "pattern"
    assert set(pattern.software) == {"edgetl-runtime", "numpy", "opencv"}
    assert pattern.peak_rss_mib > 10
    assert pattern.capture_peak_rss_mib > 10
    assert 0 < pattern.processor_share < 1.1
    assert 0 <= pattern.capture_processor_share < 1.1
    assert pattern.find_fault() == ""


def test_a_report_is_read_again_and_is_no_latency(pattern, tmp_path):
    path = tmp_path / "path.json"
    path.write_bytes(msgspec.json.encode(pattern))
    assert read_report(path) == pattern
    assert isinstance(pattern, PathBenchmark)
    with pytest.raises(BenchmarkError, match="is of a whole path"):
        read_benchmark(path)
    wrong = msgspec.to_builtins(pattern) | {"limit": "invoke"}
    path.write_text(json.dumps(wrong))
    with pytest.raises(BenchmarkError, match="limit is invoke, its other figures say source"):
        read_report(path)


def test_a_slow_model_is_the_limit_and_frames_are_skipped_for_newer_ones(slow_model):
    feed = Camera("pattern", SourceSettings(fps=100, size="320x240"))
    found = measure_path(slow_model, feed, Slow(0), Settings(), SHORT)
    assert found.limit == "invoke"
    assert found.busy.invoke > 0.6
    assert found.answered_fps < 34
    assert found.skipped > found.answered
    assert found.invoke_ms.p50 >= 30
    assert found.age_ms.p50 > 30


def test_a_slow_output_of_a_file_is_the_limit(tiny, make_video):
    output = Slow(0.02)
    feed = Camera(str(make_video(20)), SourceSettings(loop=True))
    rules = PathRules("custom", seconds=1.0, warmup_s=1.8)
    found = measure_path(Classifier.open(tiny), feed, output, Settings(), rules)
    assert found.limit == "outputs"
    assert found.busy.outputs > 0.6
    assert found.write_ms.p50 >= 20
    # It makes the pipeline wait, rather than lose an answer.
    assert found.hand_over_ms.p50 > 5
    assert found.output_lost == 0


def test_a_slow_output_of_a_camera_loses_answers(tiny):
    feed = Camera("pattern", SourceSettings(fps=200, size="160x120"))
    rules = PathRules("custom", seconds=1.0, warmup_s=1.0)
    found = measure_path(Classifier.open(tiny), feed, Slow(0.1), Settings(), rules)
    assert found.limit == "outputs"
    assert found.output_lost > 0


def test_a_file_is_read_as_fast_as_it_goes_and_has_no_age(measure, make_video):
    found = measure(make_video(20), loop=True)
    assert not found.live
    assert found.age_ms is None
    assert found.limit != "source"
    assert found.skipped == 0
    # Of a video of 25 frames a second.
    assert found.answered_fps > 40
    assert found.capture_ms.p50 > 0


def test_a_file_that_is_played_as_a_camera_would_has_an_age(measure, make_video):
    found = measure(make_video(50), loop=True, realtime=True)
    assert found.live
    # No faster than the 25 frames a second that it was taken with.
    assert found.answered_fps < 27
    assert found.age_ms.p50 > 0
    # Its thread sleeps until each frame is due.
    assert found.busy.capture < 0.5


def test_a_file_that_ends_early_is_no_full_run(measure, make_video):
    found = measure(make_video(400), PathRules("full", seconds=60, warmup_s=0.05))
    assert found.rules == "custom"
    assert found.duration_s < 30


def test_too_few_answers_are_an_error(measure, make_video):
    with pytest.raises(BenchmarkError, match="too few to measure; is the source too short"):
        measure(make_video(5))


def test_a_camera_that_goes_away_is_an_error_that_names_it(measure, golden_frames):
    import cv2

    jpeg = cv2.imencode(".jpg", golden_frames[0])[1].tobytes()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            for _ in range(JPEG_FRAMES):
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}"
                self.wfile.write(head.encode() + b"\r\n\r\n" + jpeg + b"\r\n")
                time.sleep(0.02)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(CameraError, match="stopped delivering after 40 frames: the stream"):
            measure(f"http://127.0.0.1:{server.server_port}/", PathRules("quick", seconds=10))
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("busy", "skipped", "live", "limit"),
    [
        ((0.1, 0.2, 0.5, 0.1), 0, True, "source"),
        ((0.1, 0.2, 0.95, 0.1), 0, True, "invoke"),
        ((0.99, 0.2, 0.95, 0.1), 0, True, "capture"),
        ((0.1, 0.8, 0.7, 0.1), 10, True, "preprocess"),
        ((0.1, 0.8, 0.7, 0.1), 9, True, "source"),
        ((0.1, 0.2, 0.6, 0.1), 0, False, "invoke"),
        ((0.1, 0.2, 0.4, 0.1), 0, False, "hand_over"),
        ((0.1, 0.2, 0.4, 0.1), 50, True, "hand_over"),
        ((0.1, 0.2, 0.4, 0.93), 0, True, "outputs"),
    ],
)
def test_the_stage_without_time_to_spare_is_the_limit(busy, skipped, live, limit):
    assert find_limit(Busy(*busy), 100, skipped, live=live) == limit


def test_a_minute_is_measured_unless_something_else_is_asked_for():
    assert make_path_rules(None).seconds == 60
    assert make_path_rules(None, quick=True).seconds == 10
    assert make_path_rules(3.0, quick=True) == PathRules("custom", 3.0)


def test_the_command_says_what_limits_the_path(edgetl_run, tiny, tmp_path):
    out = tmp_path / "path.json"
    done = edgetl_run(
        *("bench", tiny, "--source", "pattern", "--fps", 20, "--size", "160x120"),
        *("--seconds", 1.5, "--out", out),
    )
    assert done.returncode == 0, done.stderr
    assert "limited by: the source, which delivers " in done.stdout
    assert "\nage " in done.stdout
    assert "\nnext: edgetl-run camera " in done.stdout
    assert read_report(out).limit == "source"


def test_a_settings_file_says_source_and_model_but_no_output_is_used(edgetl_run, tiny, tmp_path):
    jsonl = tmp_path / "answers.jsonl"
    (tmp_path / "camera.toml").write_text(
        f'[model]\nbundle = "{tiny}"\nvariant = "litert-float32"\n'
        '[source]\naddress = "pattern"\nfps = 20.0\n[view]\nrotate = 90\n'
        f'[pace]\nmax_fps = 1.0\n[output]\njsonl = "{jsonl}"\nmqtt = "mqtt://127.0.0.1:1"\n'
    )
    done = edgetl_run("bench", "--config", "camera.toml", "--seconds", 1.5, "--json")
    assert done.returncode == 0, done.stderr
    found = msgspec.json.decode(done.stdout, type=PathBenchmark)
    assert found.variant == "litert-float32"
    assert found.answered > 20
    assert found.output == "JSON lines in a temporary folder"
    assert not jsonl.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--source", "/nowhere.mp4"), 1, "cannot open /nowhere.mp4: "),
        (("--size", "640x480"), 2, "flags of a source or view need a source"),
        (("--source", "pattern", "--runs", 5), 2, "--runs: not with a source"),
        (("--source", "pattern", "--frame-size", "64x64"), 2, "--frame-size: not with a source"),
        (("--source", "pattern", "--raw"), 2, "--raw: not with a source"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(edgetl_run, tiny, arguments, code, words):
    done = edgetl_run("bench", tiny, *arguments)
    assert done.returncode == code
    assert done.stdout == ""
    assert words in done.stderr


def test_without_a_bundle_there_is_nothing_to_measure(edgetl_run):
    done = edgetl_run("bench")
    assert (done.returncode, "expected BUNDLE" in done.stderr) == (2, True)
    done = edgetl_run("bench", "--source", "pattern")
    assert (done.returncode, "no bundle given" in done.stderr) == (1, True)
