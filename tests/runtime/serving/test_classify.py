"""A picture that somebody sends is classified, or refused with a reason and at a bounded cost."""

import json
import struct
import threading
import zlib

import cv2
import numpy as np
import pytest

from edgetl_runtime.classifier import Classifier
from edgetl_runtime.errors import EngineError, FrameError
from edgetl_runtime.serving import bodies
from edgetl_runtime.settings.sections import ServeSettings

JPEG = {"Content-Type": "image/jpeg"}
PNG = {"Content-Type": "image/png"}


def head(page):
    return page.head("POST", "/api/classify") + b"Content-Type: image/jpeg\r\n"


def send(page, data, headers=JPEG):
    response = page.ask("/api/classify", "POST", data, headers)
    return response.status, json.loads(response.data)


def test_a_jpeg_is_classified(page, board, jpeg):
    status, told = send(page, jpeg)
    assert status == 200
    assert (told["label"], told["source"], told["size_px"]) == ("gear", "upload", [320, 240])
    assert [one["label"] for one in told["top"]] == ["gear", "washer", "bolt"]
    assert board.seen[0].shape == (240, 320, 3)


def test_a_png_with_parameters_in_its_type_is_classified(page, board):
    picture = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    png = cv2.imencode(".png", picture)[1].tobytes()
    status, _ = send(page, png, {"Content-Type": "Image/PNG; charset=binary"})
    assert status == 200
    assert (board.seen[0] == picture).all()


def test_the_model_sees_what_was_sent(page, board, tiny, golden_frames):
    classifier = Classifier.open(tiny)
    board.classify = classifier
    for frame in golden_frames:
        status, told = send(page, cv2.imencode(".png", frame)[1].tobytes(), PNG)
        expected = classifier(frame)
        assert status == 200
        assert told["label"] == expected.label
        assert told["score"] == pytest.approx(expected.score, abs=1e-5)


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "multipart/form-data", "application/x-www-form-urlencoded"]
)
def test_what_a_form_of_another_site_could_send_is_refused(page, board, jpeg, kind):
    status, told = send(page, jpeg, {"Content-Type": kind})
    assert status == 415
    assert "with the header Content-Type: image/jpeg" in told["error"]
    assert told["error"].endswith(f"found {kind!r}" if kind else "found none")
    assert board.seen == []


def test_an_empty_body_is_refused(page):
    assert send(page, b"") == (400, {"error": "an empty body; send the bytes of an image"})


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"<html>" + data,
        lambda data: data[:3],
        lambda data: b"\x89PNG\r\n\x1a\n" + bytes(30),
    ],
)
def test_what_is_no_whole_picture_is_refused(page, board, jpeg, change):
    status, told = send(page, change(jpeg))
    assert status == 422
    assert told["error"]
    assert board.seen == []


def png_of(width: int, height: int) -> bytes:
    """A PNG that says it is so large, and holds nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_picture_that_would_fill_the_memory_is_refused_before_it_is_decoded(page):
    status, told = send(page, png_of(30_000, 30_000), PNG)
    assert status == 413
    assert "30000x30000" in told["error"]


def test_a_body_that_says_it_is_too_large_is_refused_unread(serve):
    page = serve(max_picture_mb=1)
    with page.connect(head(page) + b"Content-Length: 1000001\r\n\r\n") as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_grows_too_large_is_refused_while_it_comes(serve, jpeg):
    page = serve(max_picture_mb=1)
    with page.connect(head(page) + b"Transfer-Encoding: chunked\r\n\r\n") as connection:
        for _ in range(11):
            connection.sendall(b"186a0\r\n" + bytes(100_000) + b"\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")
    assert send(page, jpeg)[0] == 200


def test_a_too_large_body_is_refused_so_that_its_sender_sees_it(serve, jpeg):
    page = serve(max_picture_mb=1)
    status, told = send(page, jpeg + bytes(3_000_000))
    assert status == 413
    assert "over 1 MB" in told["error"]


def test_a_body_that_never_ends_is_cut_off(page, jpeg, monkeypatch):
    monkeypatch.setattr(bodies, "BODY_S", 0.3)
    with page.connect(head(page) + b"Content-Length: 1000\r\n\r\nabc") as connection:
        data = b""
        while part := connection.recv(1000):
            data += part
    assert data.startswith(b"HTTP/1.1 408 ")
    assert send(page, jpeg)[0] == 200


def test_a_body_that_ends_early_costs_nothing(page, jpeg, wait_until):
    for _ in range(5):
        page.connect(head(page) + b"Content-Length: 1000\r\n\r\nabc").close()
    wait_until(lambda: send(page, jpeg)[0] == 200)


def test_more_pictures_than_two_at_once_are_told_to_come_again(page, board, jpeg, wait_until):
    go, begun = threading.Event(), []
    board.on_classify = lambda: (begun.append(1), go.wait(20))
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(send(page, jpeg)[0])) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(begun) == 2)
    assert send(page, jpeg)[0] == 503
    go.set()
    for thread in threads:
        thread.join()
    assert answers == [200, 200]
    assert send(page, jpeg)[0] == 200


@pytest.mark.parametrize(("error", "status"), [(FrameError, 422), (EngineError, 503)])
def test_an_error_of_the_pipeline_is_told(page, board, jpeg, error, status):
    def fail() -> None:
        raise error("it is so")

    board.on_classify = fail
    assert send(page, jpeg) == (status, {"error": "it is so"})


def test_the_page_takes_as_much_as_the_settings_say():
    assert ServeSettings().max_picture_mb == 10
