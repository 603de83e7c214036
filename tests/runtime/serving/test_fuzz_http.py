"""Whatever bytes come, the server answers or hangs up, says nothing on stderr, and serves on."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

TOKEN = "correct-horse-battery-staple"
METHODS = [b"GET", b"HEAD", b"POST", b"OPTIONS", b"PUT", b"TRACE", b"get", b"CONNECT"]
PATHS = [
    *(b"/", b"/healthz", b"/metrics", b"/api/state", b"/api/classify", b"/page.js", b"/%00"),
    *(b"/?token=", b"/?token=%ff", b"//", b"*", b"http://localhost/", b"/healthz?a=b&&=", b"/%2e"),
]
HEADERS = [
    *(
        b"Host: localhost",
        b"Host: evil",
        b"Host: [::1",
        b"Connection: close",
        b"Expect: 100-continue",
    ),
    *(
        b"Content-Length: 5",
        b"Content-Length: x",
        b"Transfer-Encoding: chunked",
        b"Cookie: a=b; ;=",
    ),
    *(b"Cookie: edgetl_1=\xff", b"Origin: http://localhost", b"Origin: null", b"Accept: */*;q=x"),
    *(b"Content-Type: image/jpeg", b"Content-Type: image/png", b"Authorization: Bearer x"),
    *(b"Authorization: \xff", b"Sec-Fetch-Site: cross-site", b"Upgrade: h2c", b"Range: bytes=0-1"),
    *(
        b"Accept: application/openmetrics-text; version=9",
        b"X: " + b"a" * 9000,
        b"Connection: upgrade",
    ),
]
BODIES = [
    *(b"", b"abcde", b"5\r\nabcde\r\n0\r\n\r\n", b"ffffffffffffffffff\r\n", b"\xff\xd8\xff\xd9"),
    *(b"\x89PNG\r\n\x1a\n" + bytes(20), b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
]


@pytest.fixture
def pages(serve):
    """One that anybody on the board may ask, and one that demands a token."""
    return serve(), serve(host="0.0.0.0", token=TOKEN)


requests = st.builds(
    lambda method, path, version, headers, body: (
        b"%s %s HTTP/%s\r\n" % (method, path, version)
        + b"".join(header + b"\r\n" for header in headers)
        + b"\r\n"
        + body
    ),
    st.sampled_from(METHODS),
    st.sampled_from(PATHS) | st.binary(max_size=20),
    st.sampled_from([b"1.1", b"1.0", b"0.9", b"2", b""]),
    st.lists(st.sampled_from(HEADERS) | st.binary(max_size=30), max_size=6),
    st.sampled_from(BODIES) | st.binary(max_size=200),
)
changes = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=3)


def ask(port: int, data: bytes) -> bytes:
    """All that the server says after the asker has said all."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while part := connection.recv(65536):
                answer += part
        except (ConnectionResetError, BrokenPipeError):
            return b""
        return answer


@given(data=requests, changes=changes, keep=st.floats(0, 1) | st.just(1.0), guarded=st.booleans())
def test_no_bytes_stop_the_server(pages, data, changes, keep, guarded):
    changed = bytearray(data)
    for place, value in changes:
        changed[int(place * len(changed))] = value
    page = pages[guarded]
    answer = ask(page.port, bytes(changed[: round(keep * len(changed))]))
    assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
    assert not answer.startswith(b"HTTP/1.1 500")
    assert TOKEN.encode() not in answer
    health = ask(
        page.port, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    assert health.startswith(b"HTTP/1.1 200 ")
