"""The server starts with an address or a reason, and ends in time whatever its clients do."""

import contextlib
import os
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from urllib.parse import quote

import pytest

from edgetl_runtime.errors import ServiceError
from edgetl_runtime.serving.server import PageServer
from edgetl_runtime.serving.token import keep_token
from edgetl_runtime.settings.sections import ServeSettings

NO_EXTRA = """
import sys
sys.modules["uvicorn"] = None
from edgetl_runtime.errors import ServiceError
from edgetl_runtime.serving.server import PageServer
from edgetl_runtime.settings.sections import ServeSettings
try:
    PageServer(ServeSettings(port=0)).start(None)
except ServiceError as error:
    print(error)
"""
LIGHT = """
import sys
import edgetl_runtime.serving.server
print(sorted(set(sys.modules) & {"starlette", "uvicorn", "anyio", "h11", "prometheus_client"}))
"""


def test_the_address_that_is_shown_opens_the_page(page):
    assert page.url == f"http://127.0.0.1:{page.port}/?token={page.token}"
    jar = urllib.request.HTTPCookieProcessor()
    with urllib.request.build_opener(jar).open(page.url, timeout=20) as response:
        assert (response.status, response.url) == (200, f"http://127.0.0.1:{page.port}/")


def test_a_port_in_use_is_named_with_what_to_do(page, board):
    second = PageServer(ServeSettings(port=page.port))
    with pytest.raises(ServiceError, match=rf"127\.0\.0\.1:{page.port}: the port is in use; stop"):
        second.start(board)
    second.close()
    assert page.ask("/healthz").status == 200


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("192.0.2.1", "not an address of this machine; give"),
        ("nobody.invalid", "no such address"),
        ("a" * 80 + ".b", "no such address"),
    ],
)
def test_an_address_that_is_not_ours_is_refused(board, host, message):
    with pytest.raises(ServiceError, match=message):
        PageServer(ServeSettings(host=host, port=0)).start(board)


def test_a_missing_extra_is_named(run_python):
    done = run_python(NO_EXTRA)
    assert "pip install 'edgetl-runtime[serve]'" in done.stdout, done.stderr


def test_the_server_module_imports_nothing_of_the_extra(run_python):
    done = run_python(LIGHT)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_server_that_never_started_closes_and_held_nothing():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = PageServer(ServeSettings(port=port))
    with socket.create_server(("127.0.0.1", port)):
        server.close()
    assert "page" not in [thread.name for thread in threading.enumerate()]


def test_a_second_close_does_nothing(page, serve):
    page.server.close()
    second = serve(port=page.port)
    page.server.close()
    assert second.ask("/healthz").status == 200


def test_an_answer_after_the_end_is_taken_in_silence(page, board, capsys, wait_until):
    with page.stream("/stream.mjpg"):
        wait_until(page.output.wants_picture)
        page.server.close()
    wait_until(lambda: not page.output.wants_picture())
    assert not page.publish()
    assert not page.publish(event=board.now.recent_events[0])
    assert capsys.readouterr().err == ""


def test_the_port_is_free_again_at_once(page, serve):
    page.ask("/healthz")
    page.server.close()
    assert serve(port=page.port).ask("/healthz").status == 200


@pytest.mark.usefixtures("feeding")
def test_the_server_closes_whatever_its_clients_do(page, wait_until):
    never_reads = [page.stream("/stream.mjpg", receive_bytes=1024) for _ in range(4)]
    reads = [page.stream(path) for path in ("/stream.mjpg", "/events")]
    silent = [page.connect(), page.connect(b"GET / HT")]
    half_sent = page.connect(
        page.head("POST", "/api/classify")
        + b"Content-Type: image/jpeg\r\nContent-Length: 100000\r\n\r\nabc"
    )
    for connection in reads:
        assert connection.recv(1000)
    time.sleep(0.3)
    page.server.close()
    # They are all still there: it was the server that ended them.
    wait_until(lambda: "page" not in [thread.name for thread in threading.enumerate()])
    for connection in (*never_reads, *reads, *silent, half_sent):
        connection.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", page.port), timeout=5)


def test_a_classification_that_hangs_does_not_keep_the_server_open(page, board, jpeg, wait_until):
    hang, begun, ended = threading.Event(), threading.Event(), []
    board.on_classify = lambda: (begun.set(), ended.append(hang.wait(20)))
    head = page.head("POST", "/api/classify") + b"Content-Type: image/jpeg\r\n"
    head += b"Content-Length: %d\r\n\r\n" % len(jpeg)
    with page.connect(head + jpeg):
        assert begun.wait(10)
        page.server.close()
        assert ended == []
        hang.set()
        wait_until(lambda: "page" not in [one.name for one in threading.enumerate()])


@pytest.mark.parametrize("path", ["/stream.mjpg", "/events"])
def test_a_stream_that_is_read_ends_whole_when_the_server_closes(page, path, wait_until):
    with page.stream(path) as connection:
        data = connection.recv(1000)
        page.server.close()
        while part := connection.recv(65536):
            data += part
    assert data.endswith(b"\r\n0\r\n\r\n")


@pytest.fixture
def start(board):
    """Serves with a token file; returns the server and the address that it shows."""
    servers = []

    def start(settings, token_file=None, **options):
        servers.append(PageServer(settings, token_file, **options))
        return servers[-1], servers[-1].start(board)

    yield start
    for server in servers:
        server.close()


def open_with(address, token):
    jar = urllib.request.HTTPCookieProcessor()
    opener = urllib.request.build_opener(jar)
    with opener.open(f"{address}?token={quote(token, safe='')}", timeout=20) as response:
        assert response.status == 200
    with opener.open(f"{address}api/state", timeout=20) as response:
        assert response.status == 200


@pytest.mark.parametrize("token", ["0123456789abcdef", 'a/b?c#d&e=f+g%20;"\\,'])
def test_a_token_that_was_set_is_not_shown_and_opens_the_page(start, tmp_path, token):
    settings = ServeSettings(port=0, token=token)
    server, address = start(settings, tmp_path / "page-token", shows_kept_token=True)
    assert token not in address + server.token_hint
    assert quote(token, safe="") not in address + server.token_hint
    assert "the token that you set" in server.token_hint
    assert not (tmp_path / "page-token").exists()
    open_with(address, token)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_token_that_was_made_is_kept_for_its_owner_and_not_shown_to_logs(start, tmp_path, host):
    file = tmp_path / "state" / "page-token"
    first, address = start(ServeSettings(host=host, port=0), file)
    token = file.read_text().strip()
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(token) == 43
    assert token not in address + first.token_hint
    assert str(file) in first.token_hint
    open_with(address, token)
    start(ServeSettings(host=host, port=0), file)
    assert file.read_text().strip() == token


def test_a_person_is_shown_the_token_that_is_kept(start, tmp_path):
    file = tmp_path / "page-token"
    server, address = start(ServeSettings(port=0), file, shows_kept_token=True)
    assert address.endswith(f"/?token={file.read_text().strip()}")
    assert server.token_hint == ""


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_a_token_that_somebody_laid_there_is_replaced(tmp_path, kind):
    file = tmp_path / "page-token"
    if kind == "pipe":
        os.mkfifo(file)
    else:
        (tmp_path / "known").write_text("x" * 43)
        file.symlink_to(tmp_path / "known")
    token = keep_token(file)
    assert token != "x" * 43
    assert file.read_text().strip() == token
    assert stat.S_ISREG(file.lstat().st_mode)


def test_a_file_without_a_token_is_written_anew(start, tmp_path):
    file = tmp_path / "page-token"
    file.write_bytes(b"\xff short")
    start(ServeSettings(host="0.0.0.0", port=0), file)
    assert len(file.read_text().strip()) == 43


def test_a_folder_that_cannot_be_written_does_not_end_the_page(start, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    server, address = start(ServeSettings(port=0), tmp_path / "file" / "page-token")
    assert "cannot be created (File exists)" in server.token_hint
    bare, _, token = address.partition("?token=")
    open_with(bare, token)


@pytest.mark.parametrize("seen", [True, False])
def test_serve_shows_a_kept_token_to_a_person_and_not_to_a_log(tiny, tmp_path, seen):
    reading, writing = os.openpty() if seen else os.pipe()
    command = [sys.executable, "-m", "edgetl_runtime", "serve", str(tiny), "--source", "pattern"]
    command += ["--port", "0", "--state-dir", str(tmp_path), "--max-frames", "3"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=writing) as process:
        os.close(writing)
        told = b""
        # The end of a terminal is an error.
        with contextlib.suppress(OSError):
            while data := os.read(reading, 65536):
                told += data
        os.close(reading)
    assert process.returncode == 0, told
    assert b"the page is at http://127.0.0.1:" in told
    token = (tmp_path / "page-token").read_bytes().strip()
    assert (b"?token=" + token in told) is seen
    assert (str(tmp_path / "page-token").encode() in told) is not seen
