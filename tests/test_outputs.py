"""Everything that `edgetl-run` outputs: an answer has one form, and no secret is in it."""

import base64
import contextlib
import http.server
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import jsonschema
import pytest

import edgetl_runtime
from edgetl_runtime.answers import describe_schema
from tests.waiting import wait_until

paho = pytest.importorskip("paho.mqtt.client")

TINY = Path(__file__).parent / "data" / "tiny.bundle"
SCHEMA = Path(edgetl_runtime.__file__).parent / "answers.schema.json"
# With all that ends a host or a name in a URL.
PASSWORD = "hunter2/hunter3?hunter4#hunter5@hunter6"
TOKEN = "kept-for-myself-0123456789"
OUTPUTS = [
    *("--port", "0", "--state-dir", "state", "--read-timeout-s", "2", "--json"),
    *("--jsonl", "a.jsonl", "--csv", "a.csv", "--video", "a.avi", "--pictures", "pictures"),
    *("--collect", "sampled", "--collect-folder", "kept", "--callback", "actions:react"),
    *("--command", "env >> command.txt"),
]
CALLBACK = """
def react(answer):
    with open("callback.txt", "a") as file:
        file.write(f"{answer.source}\\n")
"""


class Camera(http.server.BaseHTTPRequestHandler):
    """Sends pictures to whoever has the password."""

    secret = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()

    def do_GET(self) -> None:
        if self.headers["Authorization"] != self.secret:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=edge")
        self.end_headers()
        picture = cv2.imread(str(TINY / "golden" / "0.png"))
        for number in itertools.count():
            picture[0, 0] = number % 256
            jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
            try:
                self.wfile.write(b"--edge\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg + b"\r\n")
            except OSError:
                return
            time.sleep(0.02)

    def log_message(self, *_: object) -> None:
        pass


class Collector(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted."""

    got: list[bytes]

    def do_POST(self) -> None:
        self.got.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(handler: type) -> Iterator[http.server.ThreadingHTTPServer]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def broker(folder: Path) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = folder / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nuser root\npersistence false\nallow_anonymous true\n"
    )
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        pytest.skip("no mosquitto on the PATH; on Debian: apt-get install mosquitto")
    process = subprocess.Popen(
        [program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def read_retained(port: int) -> list[bytes]:
    from paho.mqtt.enums import CallbackAPIVersion

    got: list[bytes] = []
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda one, *_: one.subscribe("#", 1)
    client.on_message = lambda _, __, message: got.append(
        message.topic.encode() + b" " + message.payload
    )
    client.connect("127.0.0.1", port)
    client.loop_start()
    wait_until(lambda: any(b"/state" in one for one in got))
    time.sleep(0.3)
    client.disconnect()
    client.loop_stop()
    return got


class Run:
    """`edgetl-run serve` with every output, and all that it outputs."""

    def __init__(self, folder: Path, flags: list[str]) -> None:
        self.folder, self.more = folder / "told", []
        self.folder.mkdir()
        (self.folder / "actions.py").write_text(CALLBACK)
        self._systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._systemd.bind(str(folder / "notify"))
        self._systemd.setblocking(False)
        with (self.folder / "stdout").open("w") as out, (self.folder / "stderr").open("w") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "edgetl_runtime", "serve", str(TINY), *OUTPUTS, *flags],
                stdout=out,
                stderr=err,
                cwd=self.folder,
                env=os.environ | {"NOTIFY_SOCKET": str(folder / "notify")},
            )

    def told(self) -> str:
        return (self.folder / "stderr").read_text()

    def find_page(self) -> str:
        wait_until(lambda: "the page is at" in self.told())
        return re.search(r"http://127\.0\.0\.1:\d+/", self.told())[0]

    def ask(self, url: str, picture: bytes | None = None) -> bytes:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "image/png"}
        request = urllib.request.Request(url, picture, headers=headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            data = b"".join(_until_an_answer(answer)) if url.endswith("events") else answer.read()
        self.more.append(data)
        return data

    def end(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(30)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.more.append(self._systemd.recv(65536))
        self._systemd.close()
        assert code == 0

    def put_out(self) -> dict[str, bytes]:
        files = [file for file in self.folder.rglob("*") if file.is_file()]
        found = {str(file.relative_to(self.folder)): file.read_bytes() for file in files}
        return found | {f"more {n}": data for n, data in enumerate(self.more)}


def _until_an_answer(stream) -> Iterator[bytes]:
    """The lines of an endless stream, to the end of its first answer."""
    name = b""
    for line in stream:
        yield line
        if name == b"event: answer\n" and line.startswith(b"data: "):
            return
        name = line


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """All that a camera with a password, every output and the page put out, by name."""
    folder = tmp_path_factory.mktemp("all")
    Collector.got = []
    with serving(Camera) as camera, serving(Collector) as collector, broker(folder) as port:
        place = f"127.0.0.1:{camera.server_port}/user=hunter7?pwd=hunter8"
        settings = folder / "settings.toml"
        settings.write_text(
            f"[source]\naddress = {json.dumps(f'http://me:{PASSWORD}@{place}')}\n"
            f"[serve]\ntoken = {json.dumps(TOKEN)}\n"
        )
        flags = ["--config", str(settings), "--mqtt", f"mqtt://127.0.0.1:{port}"]
        flags += ["--post", f"http://127.0.0.1:{collector.server_port}/x"]
        run = Run(folder, flags)
        try:
            url = run.find_page()
            wait_until(lambda: Collector.got and json.loads(run.ask(f"{url}api/state"))["answer"])
            run.more += read_retained(port)
            for path in ("", "metrics", "healthz", "events"):
                run.ask(url + path)
            picture = (TINY / "golden" / "0.png").read_bytes()
            run.ask(f"{url}api/classify", picture)
            camera.shutdown()
            Camera.secret = "another"
            run.ask(f"{url}api/state")
        finally:
            run.end()
    return run.put_out() | {f"posted {n}": data for n, data in enumerate(Collector.got)}


def test_neither_password_nor_token_is_in_anything_that_is_put_out(found):
    written = {name.partition("/")[0] for name in found}
    assert {"a.jsonl", "a.csv", "a.avi", "kept", "callback.txt", "command.txt"} <= written
    for name in ("stdout", "a.jsonl", "a.csv", "callback.txt", "command.txt", "posted 0"):
        assert b"http://***@127.0.0.1" in found[name], name
    assert [name for name, data in found.items() if b"hunter" in data] == []
    assert [name for name, data in found.items() if TOKEN.encode() in data] == []


def test_an_answer_has_one_form_on_every_wire(found):
    schema = json.loads(SCHEMA.read_bytes())
    answers = jsonschema.Draft202012Validator(schema)
    by_wire = list_answers(found)
    for wire, records in by_wire.items():
        assert records, wire
        for record in records:
            answers.validate(record)
            assert "label" in record
    events = [one["event"] for one in by_wire["jsonl"] if one["event"]]
    told = re.findall(rb"event: event\ndata: (.*)\n", b"".join(found.values()))
    assert json.loads(told[0]) == events[0]


def list_answers(found: dict[str, bytes]) -> dict[str, list[dict[str, object]]]:
    more = [data for name, data in found.items() if name.startswith("more")]
    states = [json.loads(data) for data in more if data.startswith(b'{"status"')]
    kept = [name for name in found if name.startswith("kept/") and name.endswith(".json")]
    return {
        "terminal": [json.loads(line) for line in found["stdout"].splitlines()],
        "jsonl": [json.loads(line) for line in found["a.jsonl"].splitlines()],
        "post": [json.loads(data) for name, data in found.items() if name.startswith("posted")],
        "mqtt": [json.loads(one.partition(b" ")[2]) for one in more if b"/state {" in one[:80]],
        "state": [one["answer"] for one in states if one["answer"]],
        "classify": [json.loads(one) for one in more if one.startswith(b'{"version"')],
        "events": [
            json.loads(line) for line in re.findall(rb"event: answer\ndata: (.*)\n", b"".join(more))
        ],
        "collect": [json.loads(found[name])["answer"] for name in kept],
    }


def test_classify_speaks_it_too_and_names_what_it_does_not_use(tmp_path):
    shutil.copy(TINY / "golden" / "0.png", tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    done = subprocess.run(
        [sys.executable, "-m", "edgetl_runtime", "classify", TINY, tmp_path, "--json"],
        capture_output=True,
        check=True,
    )
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(records) == 2
    for record in records:
        jsonschema.Draft202012Validator(json.loads(SCHEMA.read_bytes())).validate(record)


def test_the_schema_is_that_of_the_records():
    assert SCHEMA.read_bytes() == describe_schema(), "make schema writes it again"


@pytest.mark.parametrize(
    "flags",
    [
        ["camera", str(TINY), "--source", f"http://me:{PASSWORD}@127.0.0.1:9/v"],
        ["camera", str(TINY), "--source", f"rtsp://me:{PASSWORD}@127.0.0.1:9/v"],
        ["camera", str(TINY), "--source", f"rtsp:/me:{PASSWORD}@127.0.0.1:9/v"],
        ["camera", str(TINY), "--source", f"nonsense://me:{PASSWORD}@127.0.0.1:9/v"],
        ["camera", str(TINY), "--source", "http://me:a hunter2\n@127.0.0.1:9/v"],
        ["camera", str(TINY), "--source", "rtsp://me:hunter2 hunter3@127.0.0.1:9/v"],
        ["camera", str(TINY), "--source", "pattern", "--post", f"http://me:{PASSWORD}@a/x"],
        ["camera", str(TINY), "--source", "0", "--post", f"https://a/x?key={PASSWORD} hunter7"],
        ["camera", str(TINY), "--source", "pattern", "--mqtt", f"mqtt://me:{PASSWORD}@a"],
        ["camera", f"http://me:{PASSWORD}@a/parts.zip", "--source", "pattern"],
        ["classify", str(TINY), f"http://me:{PASSWORD}@127.0.0.1:9/v.jpg"],
        ["doctor", f"http://me:{PASSWORD}@a/parts.zip"],
        ["serve", str(TINY), "--source", "pattern", "--token", "hunter2"],
    ],
)
def test_no_refusal_quotes_a_password(flags, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "edgetl_runtime", *flags],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode in (1, 2, 3)
    assert "hunter" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
