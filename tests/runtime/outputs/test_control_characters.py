"""Labels, file names and what servers say are text: they end no line and rule no terminal."""

import csv
import http.server
import json
import re
import shutil
import threading
from contextlib import closing

import pytest

from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.errors import BundleError, OptionsError, OutputError
from edgetl_runtime.outputs.logs import CsvRows
from edgetl_runtime.outputs.mqtt import check_topic, parse_broker
from edgetl_runtime.outputs.post import Post
from edgetl_runtime.outputs.terminal import show_answer, show_event
from edgetl_runtime.outputs.worker import OutputWorker
from edgetl_runtime.service.doctor import Check, format_checks

ESCAPE = "\x1b]0;owned\x07\x1b[2J"
ODD = [
    ESCAPE,
    "a\nb",
    "a\r\nb",
    "a\0b",
    "a\tb",
    "a\x7fb",
    "a\x9bb",
    "a\u2028b",
    "a\u2029b",
    "a\x85b",
]
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")
FORMULAS = ["=cmd()", "+1+cmd()", "-1+cmd()", "@SUM(A1)", " =cmd()", "\uff1dcmd()", "=HYPERLINK(0)"]


@pytest.mark.parametrize("label", ODD)
def test_a_label_with_a_control_character_is_refused_before_it_is_written_anywhere(
    label, edit, wording
):
    bundle = edit(lambda manifest: manifest.update(labels=["gear", label, "washer"]))
    with pytest.raises(BundleError, match=wording) as caught:
        Bundle.open(bundle)
    assert not CONTROL.search(str(caught.value))


@pytest.mark.parametrize("command", ["verify", "classify", "bench", "doctor", "camera"])
def test_no_command_hands_a_file_name_to_the_terminal(
    command, tiny, tmp_path, monkeypatch, edgetl_run
):
    # From within: a message shows the beginning of a long path only.
    monkeypatch.chdir(tmp_path)
    bundle = f"{ESCAPE}.bundle"
    shutil.copytree(tiny, bundle)
    picture = shutil.copy(tiny / "golden" / "4.png", f"{ESCAPE}.png")
    more = {
        "classify": [picture, f"{ESCAPE}missing.png"],
        "bench": ["--runs", "2"],
        "camera": ["--source", picture],
    }
    done = edgetl_run(command, bundle, *more.get(command, []))
    assert not CONTROL.search(done.stdout + done.stderr)
    assert command == "bench" or "\\x1b]0;owned" in done.stdout + done.stderr


def test_what_a_camera_says_does_not_reach_the_terminal(tiny, edgetl_run):
    class Camera(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.wfile.write(b"HTTP/1.0 404 \x1b]0;owned\x07\x9b2J\r\n\r\n")

        def log_message(self, *_):
            pass

    with closing(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Camera)) as server:
        server.close = server.server_close
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        done = edgetl_run("camera", tiny, "--source", f"http://127.0.0.1:{server.server_port}/")
        server.shutdown()
        thread.join()
    assert done.returncode == 1
    assert "\\x1b]0;owned" in done.stderr
    assert not CONTROL.search(done.stdout + done.stderr)


@pytest.mark.parametrize("text", ODD)
def test_a_line_stays_one_line(make_answer, text):
    answer = make_answer(source=f"{text}.avi", label=text, previous=text, labels=(text, "b", "c"))
    for line in (show_answer(answer, 3), show_event(answer.event, answer)):
        assert line.isprintable()
    checks = [Check(name="bundle", verdict="failed", found=text, remedy=text)]
    assert len(format_checks(checks).splitlines()) == 2


@pytest.mark.parametrize("text", [*ODD, *FORMULAS])
def test_a_row_stays_a_row_and_no_cell_is_a_formula(tmp_path, make_answer, text):
    file = tmp_path / "a.csv"
    output = CsvRows(file, 3, 10**6, only_events=False)
    output.write(make_answer(source=text, label=text, previous=text, labels=(text, "b", "c")))
    output.close()
    lines = file.read_text("utf-8").split("\n")
    assert len(lines) == 3
    header, row = csv.reader(lines[:2])
    cells = dict(zip(header, row, strict=True))
    shown = {
        cells[name] for name in ("source", "label", "top1_label", "event_label", "event_previous")
    }
    assert len(shown) == 1
    assert all(cell.isprintable() and cell.lstrip()[0] not in "=+-@\uff1d" for cell in shown)


@pytest.mark.parametrize("source", ["-", "gear", "a=b", "0", "C:\\film.avi"])
def test_a_plain_cell_stays_as_it_is(tmp_path, make_answer, source):
    file = tmp_path / "a.csv"
    output = CsvRows(file, 1, 10**6, only_events=False)
    output.write(make_answer(source=source))
    output.close()
    header, row = csv.reader(file.read_text("utf-8").splitlines())
    assert dict(zip(header, row, strict=True))["source"] == source


def test_a_failing_output_does_not_reach_the_terminal(make_answer, capfd):
    class Failing:
        name, lossless = "mine", False

        def wants_picture(self):
            return False

        def accepts(self, answer):
            return True

        def write(self, answer):
            raise OutputError(f"{ESCAPE} at http://me:hunter2@host/x")

        def close(self):
            raise OutputError(ESCAPE)

    worker = OutputWorker(Failing(), live=True)
    worker.publish(make_answer())
    worker.close()
    told = capfd.readouterr().err
    assert "\\x1b]0;owned" in told
    assert not CONTROL.search(told)
    assert "hunter2" not in told + worker.status().error


@pytest.mark.parametrize(
    "topic",
    ["a+b", "#", "a/#", "a\0", "a\nb", "a\x1bb", "$SYS/a", "a\x9fb", "/a", "a/", "", "a" * 70_000],
)
def test_a_topic_that_none_can_publish_to_is_refused(topic, wording):
    with pytest.raises(OptionsError, match=wording) as caught:
        check_topic(topic)
    assert len(str(caught.value)) < 400
    assert not CONTROL.search(str(caught.value))


@pytest.mark.parametrize("user", ["a%00", "a%0ab", "a%1bb"])
def test_the_name_of_a_brokers_user_holds_no_control_character(user, wording):
    with pytest.raises(OptionsError, match=wording):
        parse_broker(f"mqtt://{user}@host")


@pytest.mark.parametrize("token", ["a\r\nX-Evil: 1", "a\n", "a\0b", "tökén", "a\x7f"])
def test_a_token_that_no_header_can_hold_is_refused_at_once_and_not_shown(
    token, monkeypatch, wording
):
    if "\0" in token:
        monkeypatch.setattr("os.environ", {"EDGETL_POST_TOKEN": token})
    else:
        monkeypatch.setenv("EDGETL_POST_TOKEN", token)
    with pytest.raises(OptionsError, match=wording) as caught:
        Post("http://127.0.0.1:9/x", 1)
    assert token not in str(caught.value)


def test_json_holds_no_line_break_of_its_own(tiny, tmp_path, edgetl_run):
    picture = shutil.copy(tiny / "golden" / "4.png", tmp_path / "a\nb\x1b.png")
    done = edgetl_run("classify", tiny, picture, "--json")
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["source"] == str(picture)
    assert not CONTROL.search(line)
