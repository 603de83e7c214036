"""HTTP, commands and callbacks: real servers and processes, also slow, dead and refusing ones."""

import json
import os
import socket
import struct
import sys
import threading
import time

import pytest

from edgetl_runtime.errors import OptionsError, OutputError, UndeliveredError
from edgetl_runtime.outputs import post as post_module
from edgetl_runtime.outputs.callback import Callback
from edgetl_runtime.outputs.command import Command
from edgetl_runtime.outputs.post import Post
from edgetl_runtime.system.tls import Identity


@pytest.fixture
def event(make_answer):
    return make_answer(index=5, previous="washer", number=7)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(post_module, "_TIMEOUT_S", 0.2)


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_an_event_is_posted_as_json(receiver, event):
    Post(receiver.url, 2).write(event)
    ((path, headers, body),) = receiver.received
    assert path == "/events?camera=1"
    assert headers["Content-Type"] == "application/json"
    assert "Authorization" not in headers
    record = json.loads(body)
    assert record["event"]["number"] == 7
    assert record["label"] == "gear"


def test_a_token_from_the_environment_is_sent(receiver, event, monkeypatch):
    monkeypatch.setenv("EDGETL_POST_TOKEN", "s3cret")
    Post(receiver.url, 2).write(event)
    assert receiver.received[0][1]["Authorization"] == "Bearer s3cret"


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_an_overloaded_server_gets_the_event_later(receiver, event, status):
    receiver.status = status
    with pytest.raises(UndeliveredError, match=str(status)):
        Post(receiver.url, 2).write(event)


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_server_that_refuses_an_event_is_not_asked_again(receiver, event, status):
    receiver.status = status
    with pytest.raises(OutputError, match=str(status)) as caught:
        Post(receiver.url, 2).write(event)
    assert not isinstance(caught.value, UndeliveredError)


@pytest.mark.parametrize(
    ("status", "hint"),
    [(401, "EDGETL_POST_TOKEN set"), (403, "EDGETL_POST_TOKEN"), (404, "path"), (405, "POST")],
)
def test_what_a_refusal_may_mean_is_asked(receiver, event, status, hint):
    receiver.status = status
    with pytest.raises(OutputError, match=f"status {status}; .*{hint}.*[?]$"):
        Post(receiver.url, 2).write(event)


def test_a_server_that_wants_tls_is_asked_about_it(event, wording):
    """It hangs up on a client that does not begin with TLS."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            taken, _ = server.accept()
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            taken.close()

        threading.Thread(target=hang_up).start()
        post = Post(f"http://127.0.0.1:{server.getsockname()[1]}", 2)
        with pytest.raises(UndeliveredError, match=wording):
            post.write(event)


def test_a_redirect_is_not_followed(receiver, event, wording):
    receiver.status, receiver.headers = 302, {"Location": receiver.url + "&other=1"}
    with pytest.raises(OutputError, match=wording):
        Post(receiver.url, 2).write(event)
    assert len(receiver.received) == 1


def test_a_slow_server_is_given_up_in_time(receiver, event, wording):
    receiver.delay_s = 60
    start_s = time.monotonic()
    with pytest.raises(UndeliveredError, match=wording):
        Post(receiver.url, 2).write(event)
    assert time.monotonic() - start_s < 20


def test_a_dead_server_is_an_error(event):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(UndeliveredError, match=f"127.0.0.1:{port}: the connection was refused"):
        Post(f"http://127.0.0.1:{port}", 2).write(event)


def test_a_server_that_speaks_no_http_is_an_error(event, wording):
    with socket.create_server(("127.0.0.1", 0)) as server:
        post = Post(f"http://127.0.0.1:{server.getsockname()[1]}", 2)
        with pytest.raises(UndeliveredError, match=wording):
            post.write(event)


def test_a_slow_server_never_slows_the_pipeline(receiver, start_worker, make_answer):
    receiver.delay_s = 60
    worker = start_worker(Post(receiver.url, 2))
    start_s = time.monotonic()
    for index in range(2000):
        worker.publish(make_answer(index, previous="washer"))
    assert time.monotonic() - start_s < 10


def test_events_reach_a_server_that_was_away(
    receiver, start_worker, make_answer, wait_until, monkeypatch
):
    receiver.status = 503
    worker = start_worker(Post(receiver.url, 2))
    for number in (1, 2, 3):
        worker.publish(make_answer(previous="washer", number=number))
    wait_until(lambda: worker.status().error)
    receiver.status = 200
    wait_until(lambda: worker.status().written == 3)
    numbers = [json.loads(body)["event"]["number"] for _, _, body in receiver.received]
    assert numbers[-3:] == [1, 2, 3]
    assert worker.status().failed == 0


def test_a_server_with_ones_own_certificate_is_trusted_by_its_ca(secure_receiver, authority, event):
    Post(secure_receiver.url, 2, Identity("post", ca=str(authority.ca))).write(event)
    assert len(secure_receiver.received) == 1
    says = "its certificate is not trusted; give the CA that signed it: --post-ca FILE"
    with pytest.raises(UndeliveredError, match=says):
        Post(secure_receiver.url, 2).write(event)


def test_a_ca_for_a_post_without_tls_is_refused(authority, wording):
    with pytest.raises(OptionsError, match=wording):
        Post("http://127.0.0.1", 2, Identity("post", ca=str(authority.ca)))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/",
        "host:80",
        "http://",
        "http://host:99999/",
        "http://h/a b",
        "http://h/\r\nX: y",
    ],
)
def test_an_address_that_is_none_is_refused(url, wording):
    with pytest.raises(OptionsError, match=wording):
        Post(url, 2)


def test_a_password_in_the_address_is_refused_and_not_shown(wording):
    with pytest.raises(OptionsError, match=wording) as caught:
        Post("http://me:hunter2@host/", 2)
    assert "hunter2" not in str(caught.value)


def test_a_command_is_told_through_its_environment(tmp_path, event, monkeypatch):
    monkeypatch.setenv("EDGETL_MQTT_PASSWORD", "s3cret")
    Command(f"env | grep EDGETL_ | sort > {tmp_path}/told").write(event)
    assert (tmp_path / "told").read_text().splitlines() == [
        "EDGETL_EVENT=7",
        "EDGETL_FILE=",
        "EDGETL_LABEL=gear",
        "EDGETL_POSITION_S=",
        "EDGETL_PREVIOUS=washer",
        "EDGETL_SCORE=0.7500",
        "EDGETL_SOURCE=camera",
        "EDGETL_TIME=2026-05-28T20:26:40.250Z",
    ]


def test_a_label_is_never_a_command(tmp_path, make_answer):
    label = f'"; touch {tmp_path}/owned; $(touch {tmp_path}/owned) `touch {tmp_path}/owned` \0'
    Command(f'printf %s "$EDGETL_LABEL" > {tmp_path}/label').write(
        make_answer(label=label, previous=None)
    )
    assert (tmp_path / "label").read_text() == label.replace("\0", "")
    assert not (tmp_path / "owned").exists()


def test_a_command_that_fails_is_an_error_and_prints_to_standard_error(event, capfd, wording):
    with pytest.raises(OutputError, match=wording):
        Command("echo hello; exit 3").write(event)
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "hello\n")


def test_a_command_that_hangs_is_killed_with_all_that_it_started(
    tmp_path, event, wait_until, wording
):
    command = Command(f"sleep 1000 & echo $! > {tmp_path}/pid; wait", timeout_s=0.5)
    with pytest.raises(OutputError, match=wording):
        command.write(event)
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not is_running(pid), "the end of what the command started")


def test_a_hanging_command_does_not_outlive_the_process(tmp_path, run_python, wait_until):
    code = f"""
import time
import numpy as np
from edgetl_runtime.answers import Answer, Event
from edgetl_runtime.outputs.command import Command
from edgetl_runtime.outputs.worker import OutputWorker
from edgetl_runtime.prediction import Prediction
scores = np.ones(1, np.float32)
prediction = Prediction(("a",), scores, 0.0, 0.0, 0.0, 0.0, 0.0)
time_ = "2026-05-28T20:26:40.250Z"
event = Event(1, "a", None, 1.0, time_)
worker = OutputWorker(Command("echo $$ > {tmp_path}/pid; sleep 1000"), live=True)
worker.publish(Answer("s", 0, (1, 1), prediction, scores, "a", 1.0, False, False, event, time_))
while not open("{tmp_path}/pid", "a+").tell():
    time.sleep(0.01)
worker.close(0.1)
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not is_running(pid), "the end of the command")


def test_no_command_is_refused(wording):
    with pytest.raises(OptionsError, match=wording):
        Command("  ")


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """Writes a module into the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(code, name="my_relay"):
        (tmp_path / f"{name}.py").write_text(code)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    yield write
    sys.modules.pop("my_relay", None)


def test_a_callback_from_the_current_folder_gets_each_answer(own_module, make_answer):
    own_module("seen = []\ndef on(answer):\n    seen.append(answer.label)\n")
    callback = Callback("my_relay:on")
    callback.write(make_answer(label="gear"))
    assert sys.modules["my_relay"].seen == ["gear"]
    assert callback.accepts(make_answer())
    assert not callback.wants_picture()


def test_a_callback_may_ask_for_pictures_and_for_events_only(own_module, make_answer):
    own_module("def on(answer): ...\non.wants_picture = on.only_events = True\n")
    callback = Callback("my_relay:on")
    assert callback.wants_picture()
    assert not callback.accepts(make_answer())
    assert callback.accepts(make_answer(previous="gear"))


def test_a_callback_that_raises_is_an_error_and_is_called_again(
    own_module, start_worker, make_answer, wait_until
):
    own_module(
        "calls = 0\ndef on(answer):\n    global calls\n    calls += 1\n    1 / (calls - 1)\n"
    )
    worker = start_worker(Callback("my_relay:on"))
    worker.publish(make_answer())
    wait_until(lambda: "my_relay:on raised ZeroDivisionError" in worker.status().error)
    worker.publish(make_answer())
    wait_until(lambda: worker.status().written == 1)


UNREADABLE = """
class Odd(Exception):
    def __str__(self):
        raise KeyboardInterrupt
"""


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("import asyncio; raise asyncio.CancelledError('why')", "CancelledError: why"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("raise Odd", "Odd"),
        ("raise ValueError('x' * 10**6)", f"ValueError: {'x' * 300}..."),
        ("raise ValueError('a\\nb')", "ValueError: a b"),
    ],
)
def test_whatever_a_callback_raises_ends_neither_thread_nor_program(
    own_module, start_worker, make_answer, wait_until, fault, message
):
    own_module(f"{UNREADABLE}\ncalls = 0\ndef on(answer):\n    {fault}\n")
    worker = start_worker(Callback("my_relay:on"))
    worker.publish(make_answer())
    wait_until(lambda: worker.status().error == f"my_relay:on raised {message}")
    sys.modules["my_relay"].on.__code__ = (lambda answer: None).__code__
    worker.publish(make_answer())
    wait_until(lambda: worker.status().written == 1)


@pytest.mark.parametrize("fault", ["raise SystemExit(0)", "raise GeneratorExit", "raise Odd"])
def test_whatever_a_module_raises_is_a_refusal(own_module, fault):
    own_module(f"{UNREADABLE}\n{fault}\n")
    kind = fault.split()[1].partition("(")[0]
    with pytest.raises(OptionsError, match=f"my_relay cannot be imported .{kind}"):
        Callback("my_relay:on")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("my_relay", "expected module:function"),
        ("my_relay:", "expected module:function"),
        ("gone_module:on", "cannot be imported"),
        ("my_relay:off", "has no function off"),
        ("my_relay:number", "has no function number"),
        ("my_relay:none", "my_relay:none must take one argument, the answer"),
        ("my_relay:two", "my_relay:two must take one argument, the answer"),
    ],
)
def test_a_callback_that_is_not_there_is_refused(own_module, place, message):
    own_module("number = 1\ndef on(answer): ...\ndef none(): ...\ndef two(a, b): ...\n")
    with pytest.raises(OptionsError, match=message):
        Callback(place)


def test_a_module_that_fails_is_named(own_module, wording):
    own_module("raise KeyError('GPIO')\n")
    with pytest.raises(OptionsError, match=wording):
        Callback("my_relay:on")


def test_importing_the_outputs_imports_no_extra(run_python):
    modules = [
        name[:-3]
        for name in os.listdir(os.path.dirname(post_module.__file__))
        if name.endswith(".py") and name != "__init__.py"
    ]
    done = run_python(
        "import importlib, sys\n"
        f"for name in {modules}: importlib.import_module('edgetl_runtime.outputs.' + name)\n"
        "print([n for n in ('paho', 'starlette', 'uvicorn', 'simplejpeg') if n in sys.modules])"
    )
    assert done.stdout == "[]\n", done.stderr
