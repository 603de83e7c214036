"""Streams show what is newest, and viewers cost the pipeline nothing, however slow they are."""

import json
import re
import socket
import time

import cv2
import msgspec
import numpy as np
import pytest

from edgetl_runtime.answers import Event
from edgetl_runtime.serving import connections, feed, streams

TIME = "2026-05-28T20:26:40.250Z"

NASTY = "<img src=x onerror=alert(1)>\n\ndata: {}\r\nevent: state"


def rss_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def read_until(connection: socket.socket, enough) -> bytes:
    data = b""
    deadline_s = time.monotonic() + 20
    while not enough(data):
        assert time.monotonic() < deadline_s, data[-300:]
        part = connection.recv(65536)
        assert part, "the stream ended"
        data += part
    return data


def unchunked(data: bytes) -> bytes:
    """The body of a chunked answer, as far as it came."""
    body, rest = b"", data.partition(b"\r\n\r\n")[2]
    while match := re.match(rb"([0-9a-f]+)\r\n", rest):
        size = int(match[1], 16)
        body += rest[match.end() : match.end() + size]
        rest = rest[match.end() + size + 2 :]
    return body


def events_in(data: bytes) -> list[tuple[str, object]]:
    found = re.findall(r"event: (.*)\ndata: (.*)\n\n", unchunked(data).decode())
    return [(name, json.loads(told)) for name, told in found]


def test_the_live_picture_is_a_row_of_whole_jpegs(page, feeding):
    with page.stream("/stream.mjpg") as connection:
        data = read_until(connection, lambda data: data.count(b"--frame") >= 4)
    assert b"content-type: multipart/x-mixed-replace; boundary=frame" in data
    parts = unchunked(data).split(b"--frame\r\n")[1:3]
    for part in parts:
        head, _, body = part.partition(b"\r\n\r\n")
        length = int(re.search(rb"Content-Length: (\d+)", head)[1])
        picture = cv2.imdecode(np.frombuffer(body[:length], np.uint8), 1)
        assert picture.shape == (240, 320, 3)
        assert body[length:] == b"\r\n"


def test_a_new_viewer_is_not_shown_an_old_picture(page, monkeypatch):
    with page.output.watched():
        page.publish()
    monkeypatch.setattr(streams, "FRESH_S", 0.0)
    with page.stream("/stream.mjpg") as connection:
        data = read_until(connection, lambda data: data.count(b"--frame") >= 1)
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1000)
    assert b"\xff\xd8" not in data


def test_a_picture_is_encoded_once_for_all_viewers(page, monkeypatch, wait_until):
    encoded = []

    def encode(picture):
        encoded.append(1)
        return encode_picture(picture)

    encode_picture = feed.encode_picture
    monkeypatch.setattr(feed, "encode_picture", encode)
    viewers = [page.stream("/stream.mjpg") for _ in range(10)]
    wait_until(lambda: page.output.watching == 10)
    published = 0
    for _ in range(5):
        wait_until(page.output.wants_picture)
        published += page.publish()
    for viewer in viewers:
        read_until(viewer, lambda data: data.count(b"--frame") >= 2)
        viewer.close()
    assert len(encoded) == published == 5
    wait_until(lambda: page.output.watching == 0)


def test_events_begin_with_the_last_minute_and_the_state(page):
    page.publish()
    page.publish(event=Event(1, NASTY, None, 0.5, TIME))
    with page.stream("/events") as connection:
        data = read_until(connection, lambda data: b"event: answer" in data)
    told = events_in(data)
    assert b"content-type: text/event-stream" in data
    assert [name for name, _ in told] == ["history", "state", "event", "answer"]
    (seconds, preprocess_ms, invoke_ms, age_ms), _ = told[0][1]
    assert -20 < seconds <= 0
    assert (preprocess_ms, invoke_ms) == (1.5, 4.5)
    assert age_ms == pytest.approx(20, abs=1)
    assert told[1][1]["state"] == "ok"
    assert told[2][1] == {
        **{"number": 1, "label": NASTY, "previous": None, "score": 0.5, "time": TIME}
    }
    assert told[3][1]["label"] == "gear"


def test_the_last_answer_comes_once_more_without_its_label_when_the_camera_is_lost(page, board):
    page.publish()
    with page.stream("/events") as connection:
        data = read_until(connection, lambda data: b"event: answer" in data)
        board.now = msgspec.structs.replace(board.now, state="no_camera")
        data += read_until(connection, lambda data: b"event: answer" in data)
    told = [answer["label"] for name, answer in events_in(data) if name == "answer"]
    assert told == ["gear", None]


def test_answers_come_at_most_ten_times_a_second_and_events_all(page, feeding):
    with page.stream("/events") as connection:
        read_until(connection, lambda data: b"event: answer" in data)
        for number in range(1, 41):
            page.publish(event=Event(number, "gear", None, 0.5, TIME))
            time.sleep(0.005)
        start_s = time.monotonic()
        data = read_until(connection, lambda data: data.count(b"event: state") >= 3)
    took_s = time.monotonic() - start_s
    assert data.count(b"event: event") == 40
    assert data.count(b"event: answer") <= 10 * took_s + 40 + 5


def test_the_state_comes_each_second_without_any_answer(page):
    with page.stream("/events") as connection:
        data = read_until(connection, lambda data: data.count(b"event: state") >= 3)
    assert b"event: answer" not in data


def test_viewers_beyond_the_limit_are_told_so_and_places_come_back(page, monkeypatch, wait_until):
    viewers = [page.stream("/events") for _ in range(streams.MAX_STREAMS)]
    for viewer in viewers:
        read_until(viewer, lambda data: b"event: state" in data)
    for path in ("/events", "/stream.mjpg"):
        response = page.ask(path)
        assert response.status == 503
        assert "too many viewers" in json.loads(response.data)["error"]
    assert page.ask("/healthz").status == 200
    for viewer in viewers:
        viewer.close()

    def is_let_in() -> bool:
        with page.stream("/events") as connection:
            return b"200 OK" in connection.recv(1000)

    wait_until(is_let_in)


def test_fifty_viewers_that_never_read_neither_slow_the_answers_nor_fill_the_memory(
    page, feeding, monkeypatch, wait_until
):
    monkeypatch.setattr(connections, "READING_S", 1.0)
    with page.stream("/stream.mjpg") as first:
        read_until(first, lambda data: data.count(b"--frame") >= 3)
    before = rss_bytes()
    began = len(feeding)
    viewers = [page.stream("/stream.mjpg", receive_bytes=1024) for _ in range(50)]
    wait_until(lambda: page.output.watching == streams.MAX_STREAMS)
    # One who reads gets new images all the same, once a silent one was cut off.
    wait_until(lambda: len(feeding) - began > 300)
    assert page.ask("/healthz").status == 200
    wait_until(lambda: page.output.watching == 0)
    with page.stream("/stream.mjpg") as reader:
        read_until(reader, lambda data: data.count(b"--frame") >= 3)
    grown = rss_bytes() - before
    for viewer in viewers:
        viewer.close()
    # 32 viewers: a socket buffer of 256 KB is the kernel's, 64 KB and an image are ours.
    assert grown < 32 * 300_000
    assert sorted(feeding[began:])[len(feeding[began:]) // 2] < 0.02


def test_a_slow_viewer_gets_new_pictures_and_not_a_queue_of_old_ones(page, feeding, wait_until):
    with page.stream("/stream.mjpg", receive_bytes=4096) as slow:
        wait_until(lambda: page.output.watching == 1)
        time.sleep(1.0)
        skipped_to = page.output.picture(60.0).number
        data = b""
        while data.count(b"--frame") < 12:
            data += slow.recv(4096)
            time.sleep(0.0005)
        assert page.output.picture(60.0).number - skipped_to >= 1
    # 50 a second for a second: he saw a few of them at most, which waited in the kernel.
    assert skipped_to >= 20
