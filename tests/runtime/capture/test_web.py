"""What a camera's web server may answer, each from a real server that counts how it is asked."""

import base64
import gzip
import hashlib
import itertools
import re
import threading
import time

import cv2
import numpy as np
import pytest

from edgetl_runtime.capture.camera import Camera
from edgetl_runtime.errors import CameraError
from edgetl_runtime.settings.sections import SourceSettings

OK = b"HTTP/1.1 200 OK\r\n"
PAGE = b"<!DOCTYPE html><html><head><title>Camera log-in</title></head>" + b"<p>x</p>" * 200


def jpeg_of(level):
    noise = np.random.default_rng(level).integers(0, 9, (48, 64, 3))
    return cv2.imencode(".jpg", np.uint8(noise + level))[1].tobytes()


def answer(body, kind="image/jpeg", *fields, status=b"HTTP/1.1 200 OK"):
    lines = [status, b"Content-Type: " + kind.encode(), b"Content-Length: %d" % len(body), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


class Server:
    """A server for one client at a time: others are turned away, as small cameras do.

    Attributes:
        reply: (number of the request from 0, its head) -> the pieces of the answer.
        heads: Of all requests, as text.
        turned_away: How many came while one was served.
    """

    def __init__(self, listen):
        self.reply = lambda number, head: [answer(PAGE, "text/html")]
        self.heads = []
        self.turned_away = 0
        self._busy = threading.Lock()
        self.port = listen(self._handle)
        self.url = f"http://127.0.0.1:{self.port}/stream"

    def _handle(self, connection):
        # A client may hang up and ask again faster than this thread notices.
        if not self._busy.acquire(timeout=0.3):
            self.turned_away += 1
            connection.close()
            return
        try:
            with connection:
                head = b""
                while b"\r\n\r\n" not in head:
                    if not (data := connection.recv(65536)):
                        return
                    head += data
                self.heads.append(head.decode())
                for piece in self.reply(len(self.heads) - 1, head.decode()):
                    connection.sendall(piece)
        except OSError:
            return
        finally:
            self._busy.release()


@pytest.fixture
def server(listen):
    return Server(listen)


def fail(server, url=None, **settings):
    """What is said of a camera that cannot be opened, or delivers nothing."""
    settings = {"read_timeout_s": 2.0, **settings}
    with (
        pytest.raises(CameraError) as caught,
        Camera(url or server.url, SourceSettings(**settings)) as camera,
    ):
        next(iter(camera))
    return str(caught.value)


def parts_of(boundary, jpegs):
    for jpeg in jpegs:
        yield boundary + b"\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg + b"\r\n"
        time.sleep(0.005)


def multipart(fields, boundary=b"--edge", count=60):
    yield OK + fields + b"\r\n\r\n"
    yield from parts_of(boundary, map(jpeg_of, range(count)))


def test_a_server_for_one_client_is_asked_once(server):
    kind = b"Content-Type: multipart/x-mixed-replace; boundary=edge"
    server.reply = lambda *_: multipart(kind, count=200)
    with Camera(server.url) as camera:
        assert len(list(itertools.islice(camera, 5))) == 5
    assert (len(server.heads), server.turned_away) == (1, 0)


def test_a_server_of_other_video_for_one_client_is_asked_once(server, make_video, wording):
    data = make_video(60, name="video.avi").read_bytes()
    server.reply = lambda *_: [OK + b"Content-Type: video/x-msvideo\r\n\r\n", data]
    with Camera(server.url) as camera, pytest.raises(CameraError, match=wording):
        levels = []
        for frame in camera:
            levels.append(frame.image.mean())
    assert levels
    assert (len(server.heads), server.turned_away) == (1, 0)


def test_a_film_that_must_be_read_from_its_end_is_left_to_ffmpeg(server, make_video, wording):
    data = make_video(20, name="video.mp4").read_bytes()

    def reply(_, head):
        asked = re.search(r"Range: bytes=(\d+)-", head)
        start = int(asked[1]) if asked else 0
        status = b"HTTP/1.1 206 Partial Content" if asked else b"HTTP/1.1 200 OK"
        place = b"Content-Range: bytes %d-%d/%d" % (start, len(data) - 1, len(data))
        fields = [b"Accept-Ranges: bytes", *([place] if asked else [])]
        return [answer(data[start:], "video/mp4", *fields, status=status)]

    server.reply = reply
    with Camera(server.url) as camera, pytest.raises(CameraError, match=wording):
        for frame in camera:
            assert frame.image.shape == (48, 64, 3)
    assert camera.status().delivered > 0


@pytest.mark.parametrize(
    ("fields", "boundary"),
    [
        (b'Content-Type: multipart/x-mixed-replace; boundary="--edge"', b"--edge"),
        (b"Content-Type: multipart/x-mixed-replace; boundary=edge", b"edge"),
        (b"Content-Type: multipart/x-mixed-replace;boundary=another", b"--edge"),
        (b"Content-Type: multipart/x-mixed-replace", b"--edge"),
        (b"Content-Type: multipart/mixed; boundary=edge", b"--edge"),
        (b"content-type:Multipart/X-Mixed-Replace;  Boundary=edge ", b"--edge"),
    ],
)
def test_odd_boundaries_are_understood(fields, boundary, server):
    server.reply = lambda *_: multipart(fields, boundary, count=200)
    with Camera(server.url) as camera:
        assert len(list(itertools.islice(camera, 5))) == 5
        assert camera.status().bad == {}
    assert len(server.heads) == 1


@pytest.mark.parametrize("size", [7, 1000, 10**6])
def test_a_chunked_stream_is_put_together(size, server):
    def reply(*_):
        fields = b"Content-Type: multipart/x-mixed-replace; boundary=edge"
        yield OK + fields + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
        for part in parts_of(b"--edge", map(jpeg_of, range(100))):
            for at in range(0, len(part), size):
                piece = part[at : at + size]
                yield b"%x\r\n%s\r\n" % (len(piece), piece)

    server.reply = reply
    with Camera(server.url) as camera:
        assert len(list(itertools.islice(camera, 5))) == 5
        assert camera.status().bad == {}


def test_a_snapshot_is_asked_for_again_and_again(server):
    server.reply = lambda number, _: [answer(jpeg_of(number % 200))]
    with Camera(server.url, SourceSettings(fps=20)) as camera:
        frames = list(itertools.islice(camera, 5))
        assert camera.status().reconnects == 0
    assert [round(frame.image.mean() - 4) for frame in frames] == pytest.approx(
        [0, 1, 2, 3, 4], abs=2
    )
    assert len(server.heads) in (5, 6)
    assert server.turned_away == 0


@pytest.mark.parametrize("challenge", ['Digest realm="camera", nonce="abc"', "Basic realm=camera"])
def test_a_snapshot_with_a_password_is_asked_for_again_and_again(challenge, server):
    server.reply = lambda number, head: [
        answer(jpeg_of(number % 200)) if find_authorization(head) else demand(challenge)
    ]
    address = server.url.replace("//", "//me:secret@")
    with Camera(address, SourceSettings(fps=20)) as camera:
        assert len(list(itertools.islice(camera, 5))) == 5
    # Digest wants a new answer to each challenge; a server of Basic challenges but once.
    refused = [head for head in server.heads if not find_authorization(head)]
    assert (len(refused) == 1) == challenge.startswith("Basic")


def test_jpegs_one_after_another_in_one_answer_are_a_stream(server, wording):
    server.reply = lambda *_: [
        OK + b"Content-Type: image/jpeg\r\n\r\n",
        *itertools.chain.from_iterable((jpeg_of(n), b"\r\n") for n in range(40)),
    ]
    with Camera(server.url) as camera, pytest.raises(CameraError, match=wording):
        list(camera)
    assert camera.status().delivered > 1
    assert len(server.heads) == 1


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (answer(PAGE, "text/html"), 'sends a web page "Camera log-in", not video'),
        (answer(b"busy", "text/html; charset=utf-8"), "a web page, not video (200 OK, text/html)"),
        (answer(PAGE, "video/mp4"), 'a web page "Camera log-in"'),
        (answer(b'{"error": "no"}', "application/json"), 'text ("{"error": "no"}")'),
        (answer(b"\x89PNG\r\n\x1a\n" + bytes(99), "image/png"), "sends a PNG image, neither JPEGs"),
        (answer(b"", "image/jpeg"), "it answers (200 OK, image/jpeg), and sends nothing"),
        (answer(b"", "video/mp4"), "and sends nothing"),
        (
            answer(gzip.compress(PAGE), "text/html", b"Content-Encoding: gzip"),
            "it sends compressed data (gzip)",
        ),
        (answer(bytes(range(256)) * 30, "video/mpeg"), "(200 OK, video/mpeg), but sends no"),
        (answer(b"", "a/b", status=b"HTTP/1.1 403 Forbidden"), "403 Forbidden; this user may not"),
        (answer(b"", "a/b", status=b"HTTP/1.1 404 Not Found"), "404 Not Found; the server has"),
        (answer(b"", "a/b", status=b"HTTP/1.1 410 Gone"), "the server says 410 Gone"),
        (
            answer(b"", "a/b", status=b"HTTP/1.1 500 Oops"),
            "500 Oops; the camera has an internal error",
        ),
        (answer(b"", "a/b", status=b"HTTP/1.1 503 Busy"), "503 Busy; it is busy"),
        (answer(b"", "a/b", status=b"HTTP/1.1 400 Bad Request"), "does it need https://"),
        (
            answer(b"", "a/b", b"Location: rtsp://10.0.0.9/live", status=b"HTTP/1.1 302 Found"),
            "redirects to rtsp://10.0.0.9/live, which is not a web address",
        ),
        (
            answer(b"", "a/b", b"Location: /stream", status=b"HTTP/1.1 302 Found"),
            "leads on to /stream, in a loop, as servers do that require a log-in in a browser; "
            "give",
        ),
        (
            answer(b"", "a/b", status=b"HTTP/1.1 304 Not Modified"),
            "the server says 304 Not Modified, and sends no image; give the",
        ),
        (
            answer(b"", "a/b", status=b"HTTP/1.1 502 Bad Gateway"),
            "502 Bad Gateway; the camera has an internal error",
        ),
        (b"RTSP/1.0 400 Bad Request\r\n\r\n", "does not speak HTTP"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "does not speak HTTP"),
        (b"", "closes the connection without an answer"),
    ],
)
def test_what_a_server_answers_is_said_with_what_to_do(reply, says, server):
    server.reply = lambda *_: [reply]
    message = fail(server)
    assert message.startswith(f"cannot open {server.url}: ")
    assert says in message
    assert "_" not in message.partition(": ")[2]
    assert (len(server.heads) > 1) == (b"Location: /" in reply)


@pytest.mark.parametrize("code", ["402 Payment Required", "410 Gone", "418 I'm a teapot"])
def test_no_cause_is_guessed_for_what_a_server_rarely_says(code, server):
    server.reply = lambda *_: [answer(b"", "a/b", status=b"HTTP/1.1 " + code.encode())]
    assert "https" not in fail(server)


def test_a_snapshot_that_came_cut_costs_one_frame(server):
    pictures = [jpeg_of(n) for n in range(9)]
    server.reply = lambda number, _: [
        cut(pictures[number % 9][: 600 if number % 3 == 1 else None], b"Connection: close\r\n")
    ]
    with Camera(server.url, SourceSettings(fps=50)) as camera:
        assert len(list(itertools.islice(camera, 5))) == 5
        assert camera.status().bad["truncated"] >= 2
        assert set(camera.status().bad) == {"truncated"}
        assert camera.status().reconnects == 0


@pytest.mark.parametrize("other", [b"application/json", b"text/plain"])
@pytest.mark.parametrize("count", [1, 3])
def test_what_comes_between_the_pictures_is_left_out(other, count, server):
    between = b"--edge\r\nContent-Type: " + other + b'\r\n\r\n{"people": 0}\r\n'

    def reply(*_):
        yield OK + b"Content-Type: multipart/x-mixed-replace; boundary=edge\r\n\r\n"
        for part in parts_of(b"--edge", map(jpeg_of, range(200))):
            yield part + count * between

    server.reply = reply
    with Camera(server.url) as camera:
        assert len(list(itertools.islice(camera, 5))) == 5
        assert camera.status().bad == {}


@pytest.mark.parametrize(
    "length", [b"99999999999999", b"9" * 6000, b"0" * 6000 + b"1", b"-1", b"many", b""]
)
def test_a_length_that_cannot_be_true_is_none(length, server):
    def reply(*_):
        yield OK + b"Content-Type: multipart/x-mixed-replace; boundary=edge\r\n\r\n"
        yield from parts_of(b"--edge\r\nContent-Length: " + length, map(jpeg_of, range(200)))

    server.reply = reply
    with Camera(server.url) as camera:
        assert len(list(itertools.islice(camera, 3))) == 3
        assert camera.status().bad == {}


def test_a_redirect_to_a_log_in_page_names_it(server):
    moved = answer(b"", "a/b", b"Location: /login.html", status=b"HTTP/1.1 302 Found")
    server.reply = lambda number, _: [answer(PAGE, "text/html") if number else moved]
    page = f"http://127.0.0.1:{server.port}/login.html"
    assert f'it redirects to {page} and sends a web page "Camera log-in"' in fail(server)


def test_a_server_that_falls_silent_after_its_headers_is_named(server):
    def reply(*_):
        yield OK + b"Content-Type: video/mp4\r\n\r\n"
        time.sleep(4)

    server.reply = reply
    assert "it answers (200 OK, video/mp4), then sends nothing" in fail(server, read_timeout_s=0.5)


def test_pages_in_place_of_pictures_are_named(server):
    def reply(*_):
        yield OK + b"Content-Type: multipart/x-mixed-replace; boundary=edge\r\n\r\n"
        yield from parts_of(b"--edge", [PAGE] * 30)

    server.reply = reply
    assert "10 bad frames in a row, the last a web page, not a JPEG" in fail(server)


DIGEST = 'realm="camera", nonce="abc123", qop="auth"'


def demand(*challenges):
    fields = [b"WWW-Authenticate: " + one.encode() for one in challenges]
    return answer(b"", "text/html", *fields, status=b"HTTP/1.1 401 Unauthorized")


def find_authorization(head):
    found = re.search(r"^Authorization: (.*)\r$", head, re.MULTILINE)
    return found[1] if found else ""


def is_digest_of(head, password, algorithm):
    """RFC 7616, section 3.4."""
    told = dict(re.findall(r'(\w+)="?([^",]+)"?', find_authorization(head)))
    if not told:
        return False

    def digest(text):
        return hashlib.new(algorithm, text.encode()).hexdigest()

    secret, request = digest(f"me:camera:{password}"), digest(f"GET:{told['uri']}")
    between = f"{told['nonce']}:{told['nc']}:{told['cnonce']}:{told['qop']}"
    return told["response"] == digest(f"{secret}:{between}:{request}")


@pytest.mark.parametrize(
    ("challenges", "algorithm"),
    [
        ([f"Digest {DIGEST}"], "md5"),
        ([f"Digest {DIGEST}, algorithm=MD5", 'Basic realm="camera"'], "md5"),
        ([f'Basic realm="camera", Digest {DIGEST}'], "md5"),
        ([f"Digest {DIGEST}, algorithm=SHA-256"], "sha256"),
    ],
)
def test_a_digest_camera_is_opened_with_its_password(challenges, algorithm, server):
    kind = b"Content-Type: multipart/x-mixed-replace; boundary=edge"
    server.reply = lambda _, head: (
        multipart(kind) if is_digest_of(head, "pass wört", algorithm) else [demand(*challenges)]
    )
    with Camera(server.url.replace("//", "//me:pass%20w%C3%B6rt@")) as camera:
        assert next(iter(camera)).image.shape == (48, 64, 3)
    assert len(server.heads) == 2


@pytest.mark.parametrize("challenge", [f"Digest {DIGEST}", 'Basic realm="camera"'])
def test_a_camera_that_wants_a_password_says_where_it_goes(challenge, server):
    server.reply = lambda *_: [demand(challenge)]
    message = fail(server)
    assert (
        "it requires a user name and password (401 Unauthorized): write NAME:PASSWORD@" in message
    )
    assert len(server.heads) == 1


@pytest.mark.parametrize("challenge", [f"Digest {DIGEST}", 'Basic realm="camera"'])
def test_a_wrong_password_is_tried_once(challenge, server, opened, at_once, take_until):
    server.reply = lambda *_: [demand(challenge)]
    address = server.url.replace("//", "//me:wr0ng@")
    message = fail(server, address)
    assert "it rejects this user name or password (401 Unauthorized)" in message
    assert "wr0ng" not in message
    assert sum(bool(find_authorization(head)) for head in server.heads) == 1
    # Nor is it tried again at the pace of a camera that was switched off.
    camera = opened(address, keep_trying=True, _backoff=at_once())
    take_until(camera, lambda status: status.state == "lost")
    asked = len(server.heads)
    for _ in range(10):
        camera.take(0.05)
    assert len(server.heads) == asked
    assert "tried again in 30 min" in camera.status().reason


def test_a_log_in_of_an_unknown_kind_is_named(server):
    server.reply = lambda *_: [demand("Negotiate", 'Bearer realm="x"')]
    message = fail(server, server.url.replace("//", "//me:secret@"))
    assert "an unsupported kind of log-in: negotiate, bearer" in message


def test_a_password_goes_to_no_other_server(server, listen):
    other = Server(listen)
    other.reply = lambda *_: [demand('Basic realm="camera"')]
    place = f"Location: http://localhost:{other.port}/".encode()
    server.reply = lambda *_: [answer(b"", "a/b", place, status=b"HTTP/1.1 302 Found")]
    message = fail(server, server.url.replace("//", "//me:secret@"))
    assert "it redirects to another server, which requires a password" in message
    assert not any("Authorization" in head for head in other.heads)


def test_a_password_follows_a_redirect_on_its_own_server(server):
    token = f"Basic {base64.b64encode(b'me:secret').decode()}"
    moved = answer(b"", "a/b", b"Location: /live", status=b"HTTP/1.1 302 Found")
    kind = b"Content-Type: multipart/x-mixed-replace; boundary=edge"

    def reply(number, head):
        if number == 0:
            return [moved]
        return multipart(kind) if find_authorization(head) == token else [demand("Basic realm=x")]

    server.reply = reply
    with Camera(server.url.replace("//", "//me:secret@")) as camera:
        assert next(iter(camera)).image.shape == (48, 64, 3)
    assert [head.split()[1] for head in server.heads] == ["/stream", "/live", "/live"]


def test_a_token_that_is_wanted_is_told_with_what_to_do(server):
    server.reply = lambda *_: [demand('Bearer realm="x"')]
    for address in (server.url, server.url.replace("//", "//me:secret@")):
        message = fail(server, address)
        assert "an unsupported kind of log-in: bearer; many cameras accept a token" in message


@pytest.mark.parametrize(
    "challenge",
    [
        'Digest realm="camera"',
        'Digest nonce="abc"',
        "Digest",
        "Digest realm=, nonce=",
        f"Digest {DIGEST.replace('auth', 'auth-int')}",
    ],
)
def test_a_digest_that_nobody_can_answer_is_no_other_server(challenge, server):
    server.reply = lambda *_: [demand(challenge)]
    message = fail(server, server.url.replace("//", "//me:secret@"))
    assert "an unsupported kind of log-in: a digest of an unknown form" in message


def test_a_digest_with_a_name_in_small_letters_is_answered(server):
    kind = b"Content-Type: multipart/x-mixed-replace; boundary=edge"
    asked = demand(f"Digest {DIGEST}, algorithm=md5")
    server.reply = lambda _, head: (
        multipart(kind) if is_digest_of(head, "secret", "md5") else [asked]
    )
    with Camera(server.url.replace("//", "//me:secret@")) as camera:
        assert next(iter(camera)).image.shape == (48, 64, 3)


@pytest.mark.parametrize(
    "where", ["http://ad:s3cret@127.0.0.1:{}/live", "//ad:s3cret@127.0.0.1:{}/x"]
)
def test_a_redirect_with_a_password_is_followed_without_it_and_never_shown(where, server):
    place = f"Location: {where.format(server.port)}".encode()
    moved = answer(b"", "a/b", place, status=b"HTTP/1.1 302 Found")
    server.reply = lambda number, _: [moved if number == 0 else answer(PAGE, "text/html")]
    message = fail(server)
    assert "s3cret" not in message
    assert "sends a web page" in message
    assert len(server.heads) == 2


def test_a_redirect_to_what_is_no_server_of_pictures_shows_no_password(server):
    place = b"Location: ftp://ad:s3cret@127.0.0.1/x"
    server.reply = lambda *_: [answer(b"", "a/b", place, status=b"HTTP/1.1 302 Found")]
    message = fail(server)
    assert "the server redirects to ftp://***@127.0.0.1/x, which is not a web address" in message


def cut(data, fields=b""):
    return OK + b"Content-Type: image/jpeg\r\n" + fields + b"\r\n" + data


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (cut(jpeg_of(1)[:999], b"Content-Length: 9999\r\n"), "frames in a row, the last truncated"),
        (cut(jpeg_of(1)[:999], b"Content-Length: 999\r\n"), "frames in a row, the last truncated"),
        (cut(jpeg_of(1), b"Content-Length: 999\r\n"), "frames in a row, the last truncated"),
        (
            cut(b"63\r\n" + jpeg_of(1)[:99] + b"\r\nzz\r\n", b"Transfer-Encoding: chunked\r\n"),
            "it ended early",
        ),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n", "is not valid HTTP"),
        (
            cut(b"\xff\xd8", b"Content-Length: 2\r\n"),
            "data that begins like a JPEG, but is not one",
        ),
    ],
    ids=["cut", "half", "length", "chunk", "headers", "start"],
)
def test_what_breaks_off_is_told_in_words_for_people(reply, says, server):
    server.reply = lambda *_: [reply]
    message = fail(server, fps=50)
    assert says in message
    assert not re.search(r"IncompleteRead|Error|Exception|codec|got more than", message)


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".local", "\u00fc" * 80])
def test_a_host_whose_name_cannot_be_one_is_told_in_words_for_people(host, server):
    message = fail(server, f"http://{host}/x")
    assert "its host name is not valid" in message or "its name cannot be resolved" in message
    assert "codec" not in message


def test_spaces_and_letters_of_a_path_are_escaped(server):
    fail(server, f"{server.url}/my caméra?a=b c")
    assert server.heads[0].startswith("GET /stream/my%20cam%C3%A9ra?a=b%20c HTTP/1.1")


def test_a_playlist_of_which_nothing_can_be_read_is_told_with_what_to_do(server):
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\ngone.ts\n#EXT-X-ENDLIST\n"
    server.reply = lambda *_: [answer(playlist, "application/vnd.apple.mpegurl")]
    assert "it is an HLS playlist whose segments cannot be read" in fail(server)
