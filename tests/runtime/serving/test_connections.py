"""A connection that dawdles is ended, and many of them leave the page as it was."""

import http.client
import os
import time
from contextlib import closing

import pytest

from edgetl_runtime.serving import connections

ASK = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(connections, "HEAD_S", 0.5)
    monkeypatch.setattr(connections, "READING_S", 0.5)
    monkeypatch.setattr(connections, "LINGER_S", 0.5)


def read_all(connection) -> bytes:
    data = b""
    while part := connection.recv(65536):
        data += part
    return data


def test_a_connection_on_which_nothing_comes_is_ended(page):
    with page.connect() as connection:
        assert read_all(connection) == b""


def test_a_head_that_comes_byte_by_byte_is_cut_off(page):
    data, start_s = b"", time.monotonic()
    with page.connect(b"GET / HTTP/1.1\r\nHost: localhost\r\n") as connection:
        connection.settimeout(0.05)
        while not data and time.monotonic() - start_s < 20:
            try:
                connection.sendall(b"a")
                data = connection.recv(1000)
            except TimeoutError:
                continue
    assert data.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - start_s < 10
    assert page.ask("/healthz").status == 200


def test_a_second_request_has_the_same_deadline(page):
    with page.connect(ASK + b"GET / HTTP/1.1\r\n") as connection:
        data = read_all(connection)
    assert data.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 408 " in data


def test_a_connection_is_kept_for_the_next_request(page):
    with closing(http.client.HTTPConnection("127.0.0.1", page.port, timeout=10)) as connection:
        for _ in range(5):
            connection.request("GET", "/healthz")
            response = connection.getresponse()
            assert (response.status, bool(response.read())) == (200, True)


def test_a_stream_may_last_longer_than_a_head(page):
    with page.stream("/events") as connection:
        data, deadline_s = b"", time.monotonic() + 20
        while data.count(b"event: state") < 3 and time.monotonic() < deadline_s:
            data += connection.recv(65536)
    assert data.count(b"event: state") == 3


def test_a_body_that_nobody_asked_for_is_cut_off(page, wording):
    head = page.head("POST", "/nothing") + b"Content-Length: 1000000000\r\n\r\n"
    start_s = time.monotonic()
    with page.connect(head) as connection, pytest.raises(OSError, match=wording):
        while time.monotonic() - start_s < 20:
            connection.sendall(bytes(10_000))
            time.sleep(0.01)
    assert time.monotonic() - start_s < 10


def test_a_client_that_asks_and_asks_and_never_reads_is_cut_off(page, wait_until):
    ask = page.head("GET", "/page.js") + b"\r\n"
    with page.connect(ask * 500, receive_bytes=1024) as connection:
        state = page.server._server
        wait_until(lambda: state.connections)
        wait_until(lambda: not state.connections)
        connection.close()
    assert page.ask("/healthz").status == 200


def test_a_head_that_is_too_large_is_refused(page):
    with page.connect(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 70_000) as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")


def test_a_flood_of_connections_uses_up_a_bounded_number_of_descriptors(
    page, wait_until, monkeypatch
):
    monkeypatch.setattr(connections, "HEAD_S", 60.0)
    before = len(os.listdir("/proc/self/fd"))
    flood = [page.connect() for _ in range(200)]
    state = page.server._server
    wait_until(lambda: len(state.connections) == connections.MAX_CONNECTIONS)
    # All are accepted at first; those too many are closed at once.
    most = before + len(flood) + connections.MAX_CONNECTIONS + 10
    wait_until(lambda: len(os.listdir("/proc/self/fd")) < most)
    for connection in flood:
        connection.close()
    wait_until(lambda: not state.connections)
    assert page.ask("/healthz").status == 200


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0" * 100,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /api/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_gets_an_answer_or_an_end(page, data):
    with page.connect(data) as connection:
        answer = read_all(connection)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5"))
    assert page.ask("/healthz").status == 200


def test_what_follows_a_request_of_two_lengths_is_not_answered(page):
    request = b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
    body = b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    with page.connect(request + body + ASK) as connection:
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_an_upgrade_to_a_web_socket_is_answered_as_a_plain_request(page):
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
    with page.connect(request + b"Upgrade: websocket\r\n\r\n") as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
