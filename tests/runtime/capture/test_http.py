"""Motion JPEG over HTTP, from real servers that are cut off, fall silent or send rubbish."""

import base64
import http.server
import itertools
import threading
import time

import cv2
import numpy as np
import pytest

from edgetl_runtime.capture.camera import Camera
from edgetl_runtime.errors import CameraError, OptionsError
from edgetl_runtime.settings.sections import SourceSettings

HTML = b"<html>camera is rebooting</html>"


def jpeg_of(level, size=(48, 64)):
    noise = np.random.default_rng(level).integers(0, 9, (*size, 3))
    return cv2.imencode(".jpg", np.uint8(noise + level))[1].tobytes()


def with_length(jpeg):
    return b"--edge\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (
        len(jpeg),
        jpeg,
    )


def without_length(jpeg):
    return b"--edge\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg + b"\r\n"


class Server:
    """Sends what `parts()` yields, to one client after another."""

    def __init__(self, port=0, context=None):
        self.parts = lambda: map(with_length, map(jpeg_of, itertools.cycle(range(200))))
        self.content_type = "multipart/x-mixed-replace; boundary=edge"
        self.password = None
        self.connections = 0
        self.pause_s = 0.005
        self.stopping = threading.Event()
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                owner.connections += 1
                if owner.password and self.headers["Authorization"] != owner.password:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                    self.end_headers()
                    return
                self.send_response(200)
                self.send_header("Content-Type", owner.content_type)
                self.end_headers()
                for part in owner.parts():
                    if owner.stopping.wait(owner.pause_s):
                        return
                    self.wfile.write(part)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.handle_error = lambda *_: None
        self.port = self.server.server_address[1]
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.port}/stream.mjpg"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def wait(self, seconds=1000.0):
        self.stopping.wait(seconds)
        yield b""

    def close(self):
        self.stopping.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def serve():
    servers = []

    def start(**options):
        servers.append(Server(**options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def server(serve):
    return serve()


@pytest.mark.parametrize("part", [with_length, without_length])
def test_a_stream_gives_its_frames(part, server):
    server.parts = lambda: map(part, map(jpeg_of, itertools.cycle([40, 80, 120])))
    with Camera(server.url) as camera:
        levels = {round(frame.image.mean() / 40) for frame in itertools.islice(camera, 20)}
    assert levels == {1, 2, 3}
    assert camera.status().bad == {}


def test_the_end_of_a_stream_is_an_error_unless_it_shall_keep_trying(server, wording):
    server.parts = lambda: map(with_length, map(jpeg_of, range(60)))
    with (
        Camera(server.url) as camera,
        pytest.raises(CameraError, match=wording),
    ):
        list(camera)


def test_a_stream_that_falls_silent_is_opened_again(server, opened, impatient, at_once, take_until):
    sent = itertools.chain(map(with_length, map(jpeg_of, range(5))), server.wait())
    server.parts = lambda: (
        sent
        if server.connections == 1
        else map(with_length, map(jpeg_of, itertools.cycle(range(100))))
    )
    camera = opened(server.url, impatient, keep_trying=True, _backoff=at_once())
    take_until(camera, lambda status: status.state == "lost")
    take_until(camera, lambda status: status.state == "delivering")
    assert camera.status().reconnects == 1


def test_a_server_that_accepts_and_says_nothing_is_given_up(
    serve, opened, impatient, at_once, wording
):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(CameraError, match=wording):
            opened(url, impatient)


def test_a_server_that_trickles_is_opened_again(server, opened, impatient, at_once, take_until):
    def parts():
        if server.connections > 1:
            yield from map(with_length, map(jpeg_of, itertools.cycle(range(100))))
        yield with_length(jpeg_of(1))
        for byte in with_length(jpeg_of(2)):
            time.sleep(0.1)
            yield bytes([byte])

    server.parts = parts
    camera = opened(server.url, impatient, keep_trying=True, _backoff=at_once())
    take_until(camera, lambda status: status.state == "lost")
    take_until(camera, lambda status: status.state == "delivering")


def test_a_restarted_server_is_found_again(serve, opened, impatient, at_once, take_until):
    first = serve()
    camera = opened(first.url, impatient, keep_trying=True, _backoff=at_once())
    take_until(camera, lambda status: status.delivered > 5)
    first.close()
    take_until(camera, lambda status: status.state == "lost")
    serve(port=first.port)
    take_until(camera, lambda status: status.state == "delivering")
    assert camera.status().reconnects >= 1


def test_an_absent_server_is_an_error_or_waited_for(
    serve, opened, impatient, at_once, take_until, wording
):
    free = serve()
    free.close()
    with pytest.raises(CameraError, match=wording):
        Camera(free.url)
    camera = opened(free.url, impatient, keep_trying=True, _backoff=at_once())
    take_until(camera, lambda status: status.state == "lost")
    serve(port=free.port)
    take_until(camera, lambda status: status.state == "delivering")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda jpeg: jpeg[: len(jpeg) // 2], "truncated"),
        (lambda jpeg: jpeg[:30], "truncated"),
        (lambda jpeg: b"", "empty"),
        (lambda jpeg: HTML, "no JPEG"),
        (lambda jpeg: bytes(len(jpeg)), "no JPEG"),
        (lambda jpeg: jpeg[:2] + bytes(50) + jpeg[52:], "damaged"),
    ],
    ids=["cut", "cut in header", "empty", "HTML", "zeroed", "zeroed header"],
)
def test_a_bad_jpeg_costs_one_frame_and_is_counted(spoil, reason, server, take_until):
    good = map(jpeg_of, itertools.cycle(range(100)))
    server.parts = lambda: (
        with_length(spoil(jpeg) if number % 4 == 3 else jpeg) for number, jpeg in enumerate(good)
    )
    with Camera(server.url) as camera:
        take_until(camera, lambda status: status.bad.get(reason, 0) >= 3)
        status = camera.status()
    assert set(status.bad) == {reason}
    assert status.delivered >= 9
    assert server.connections == 1


@pytest.mark.parametrize("part", [with_length, without_length])
def test_jpegs_with_bytes_too_many_are_taken_and_counted(part, server, take_until):
    pytest.importorskip("simplejpeg")
    server.parts = lambda: (
        part(jpeg[:-2] + b"some bytes too many" + jpeg[-2:])
        for jpeg in map(jpeg_of, itertools.cycle(range(200)))
    )
    with Camera(server.url) as camera:
        # The counts come by a way of their own, a little after the frames.
        take_until(camera, lambda status: status.odd.get("extra bytes", 0) >= 19)
        status = camera.status()
    assert status.bad == {}
    assert status.odd["extra bytes"] >= 19
    assert server.connections == 1


SEFT = b"\0\0\x01\x0a\x0e\0\0\0Image_UTC_Data17642SEFHk\0\0\0\x01\0\0\0" + bytes(3000) + b"SEFT"


@pytest.mark.parametrize("pieces", [1, 3])
def test_a_snapshot_with_bytes_after_its_end_is_asked_for_again_and_again(
    pieces, server, take_until
):
    server.content_type = "image/jpeg"

    def send():
        data = jpeg_of(server.connections) + SEFT
        size = len(data) // pieces + 1
        return (data[at : at + size] for at in range(0, len(data), size))

    server.parts = send
    with Camera(server.url, SourceSettings(fps=50)) as camera:
        # The counts come by a way of their own, a little after the frames.
        take_until(camera, lambda status: status.odd.get("extra bytes", 0) >= 3)
        status = camera.status()
    assert status.bad == {}
    assert status.delivered >= 3
    assert (status.state, status.reconnects) == ("delivering", 0)


def test_a_stream_of_nothing_but_rubbish_is_opened_again(
    server, opened, impatient, at_once, take_until
):
    server.parts = lambda: itertools.repeat(with_length(HTML))
    camera = opened(server.url, impatient, keep_trying=True, _backoff=at_once())
    take_until(camera, lambda status: status.state == "lost" and status.reconnects > 1)
    assert "10 bad frames in a row" in camera.status().reason


def test_a_frozen_stream_is_opened_again_and_withheld(
    server, opened, impatient, at_once, take_until
):
    frozen = with_length(jpeg_of(7))
    server.parts = lambda: itertools.repeat(frozen)
    camera = opened(server.url, impatient, keep_trying=True, _backoff=at_once())
    take_until(camera, lambda status: status.state == "frozen" and status.reconnects == 1)
    server.parts = lambda: map(with_length, map(jpeg_of, itertools.cycle(range(100))))
    assert server.connections == 2


def test_a_stream_that_changes_its_size_goes_on(server, take_until):
    small, large = jpeg_of(9), jpeg_of(9, (120, 160))
    server.parts = lambda: map(with_length, itertools.cycle([small, large]))
    with Camera(server.url) as camera:
        shapes = {frame.image.shape for frame in itertools.islice(camera, 20)}
    assert shapes == {(48, 64, 3), (120, 160, 3)}


def test_only_as_many_pixels_are_decoded_as_the_model_needs(server):
    server.parts = lambda: map(with_length, map(lambda n: jpeg_of(n, (480, 640)), range(200)))
    with Camera(server.url, input_px=(96, 96)) as camera:
        frame = camera.take(5.0)
        assert frame.image.shape == (240, 320, 3)


def test_a_password_in_the_address_is_used_and_never_shown(server, opened, wording):
    token = base64.b64encode(b"me:s3cret").decode()
    server.password = f"Basic {token}"
    address = server.url.replace("//", "//me:s3cret@")
    with Camera(address) as camera:
        assert camera.take(5.0) is not None
        assert "s3cret" not in camera.source
        assert "//***@127.0.0.1" in camera.source
    with pytest.raises(CameraError, match=wording) as caught:
        Camera(address.replace("s3cret", "wr0ng"))
    assert "wr0ng" not in str(caught.value)


@pytest.mark.parametrize(
    "password", ["a/b", "a?b", "a#b", "a@b", "p@ss/w?r#d", "1/2:3", "%", "a%2Fb"]
)
def test_a_password_is_used_as_its_owner_wrote_it(server, password):
    plain = password.replace("%2F", "/")
    server.password = "Basic " + base64.b64encode(f"me:{plain}".encode()).decode()
    with Camera(server.url.replace("//", f"//me:{password}@")) as camera:
        assert camera.take(5.0) is not None
        assert camera.source == server.url.replace("//", "//***@")


def test_another_kind_of_video_over_http_is_left_to_ffmpeg(server, make_video, wording):
    data = make_video(30, name="video.avi").read_bytes()
    server.content_type = "video/x-msvideo"
    server.parts = lambda: [data]
    with Camera(server.url) as camera, pytest.raises(CameraError, match=wording):
        frames = []
        for frame in camera:
            frames.append(frame)
    assert frames
    assert frames[0].image.shape == (48, 64, 3)


def test_a_page_is_no_stream(server, wording):
    server.content_type = "text/html"
    server.parts = lambda: [HTML]
    with pytest.raises(CameraError, match=wording):
        Camera(server.url, SourceSettings(open_timeout_s=5))


def test_a_camera_with_ones_own_certificate_is_trusted_by_its_ca(serve, server_context, authority):
    server = serve(context=server_context)
    with Camera(server.url, SourceSettings(ca=str(authority.ca))) as camera:
        assert next(iter(camera)).image.shape == (48, 64, 3)
    says = "its certificate is not trusted; give the CA that signed it: --source-ca FILE"
    with pytest.raises(CameraError, match=says):
        Camera(server.url)


@pytest.mark.parametrize("address", ["http://127.0.0.1/x", "rtsp://127.0.0.1/x"])
def test_a_ca_for_a_camera_without_tls_is_refused(address, wording):
    with pytest.raises(OptionsError, match=wording):
        Camera(address, SourceSettings(ca="ca.pem"))
