"""Why an RTSP camera cannot be opened, from a server that refuses in several ways."""

import functools
import re
import socket

import pytest

from edgetl_runtime.capture.camera import Camera
from edgetl_runtime.errors import CameraError
from edgetl_runtime.settings.sections import SourceSettings

DIGEST = 'WWW-Authenticate: Digest realm="camera", nonce="abc123"\r\n'
BASIC = 'WWW-Authenticate: Basic realm="camera"\r\n'


class Server:
    """Answers every request but OPTIONS with one and the same status.

    Attributes:
        status: And further fields, each with its line end.
        tries: The fields `Authorization` that came.
    """

    def __init__(self, listen, status, fields=""):
        self.status, self.fields = status, fields
        self.tries = []
        self.place = f"127.0.0.1:{listen(self._handle)}"

    def _handle(self, connection):
        with connection, connection.makefile("rwb") as file:
            try:
                while head := self._read_head(file):
                    number = re.search(r"CSeq: (\d+)", head)[1]
                    self.tries += re.findall(r"Authorization: (.*)\r\n", head)
                    status = "200 OK" if head.startswith("OPTIONS") else self.status
                    file.write(f"RTSP/1.0 {status}\r\nCSeq: {number}\r\n{self.fields}\r\n".encode())
                    file.flush()
            except OSError:
                return

    def _read_head(self, file):
        lines = []
        while (line := file.readline()) not in (b"", b"\r\n"):
            lines.append(line.decode())
        return "".join(lines)


@pytest.fixture
def serve(listen):
    return functools.partial(Server, listen)


def fail(address):
    with pytest.raises(CameraError) as caught:
        Camera(address, SourceSettings(read_timeout_s=2))
    return str(caught.value)


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("404 Not Found", "it says 404 Not Found; the camera has no such path"),
        ("403 Forbidden", "it says 403 Forbidden; this user may not view it"),
        ("503 Service Unavailable", "it is busy"),
        ("418 Teapot", "it says 418 Teapot"),
        ("200 OK", "it answers, but sends no readable video"),
    ],
)
def test_a_refusal_is_said_with_what_to_do(status, says, serve):
    assert says in fail(f"rtsp://{serve(status).place}/live")


def test_a_server_that_is_not_there_is_named():
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert "the connection was refused" in fail(f"rtsp://127.0.0.1:{port}/live")


@pytest.mark.parametrize("demand", [DIGEST, BASIC])
def test_a_missing_and_a_wrong_password_are_told_apart(demand, serve):
    server = serve("401 Unauthorized", demand)
    assert "it requires a user name and password" in fail(f"rtsp://{server.place}/live")
    assert server.tries == []
    message = fail(f"rtsp://me:wr0ng@{server.place}/live")
    assert "it rejects this user name or password (401 Unauthorized)" in message
    assert "wr0ng" not in message
    # Cameras lock an account after five or more.
    assert 1 <= len(server.tries) <= 3


def test_a_refused_password_is_not_tried_again_soon(serve, opened, at_once, take_until):
    server = serve("401 Unauthorized", DIGEST)
    camera = opened(f"rtsp://me:wr0ng@{server.place}/live", keep_trying=True, _backoff=at_once())
    take_until(camera, lambda status: status.state == "lost")
    tried = len(server.tries)
    for _ in range(10):
        camera.take(0.05)
    assert len(server.tries) == tried
    assert "tried again in 30 min" in camera.status().reason
