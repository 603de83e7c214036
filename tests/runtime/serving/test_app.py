"""Each address answers what it promises."""

import json

import msgspec
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse

from edgetl_runtime.system.board import Health


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/chart.js", "text/javascript; charset=utf-8"),
        ("/elements.js", "text/javascript; charset=utf-8"),
        ("/teach.js", "text/javascript; charset=utf-8"),
        ("/why.js", "text/javascript; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
    ],
)
def test_the_page_and_its_parts_come_from_the_package(page, path, kind):
    response = page.ask(path)
    assert (response.status, response.getheader("content-type")) == (200, kind)
    assert len(response.data) > 200


@pytest.mark.parametrize("path", ["/", "/healthz", "/nothing", "/api/classify"])
def test_every_answer_carries_the_security_headers(page, path):
    headers = page.ask(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


@pytest.mark.parametrize(
    ("state", "status"),
    [
        *(("ok", 200), ("degraded", 200)),
        *(("starting", 503), ("stale", 503), ("no_camera", 503), ("failed", 503)),
    ],
)
def test_health_tells_whether_answers_can_be_trusted(page, board, state, status):
    board.now = msgspec.structs.replace(board.now, state=state, reason="because", lessons=2)
    response = page.ask("/healthz")
    assert response.status == status
    assert json.loads(response.data) == {"state": state, "reason": "because", "lessons": 2}


def test_the_state_is_the_status_and_the_newest_answer(page):
    assert page.ask_json("/api/state")["answer"] is None
    page.publish(label=None, stale=True)
    told = page.ask_json("/api/state")
    assert told["status"]["feed"]["bad"] == {"truncated": 7}
    assert told["status"]["recent_events"][0]["label"] == "gear"
    assert told["answer"]["label"] is None
    assert told["answer"]["stale"] is True
    assert [one["label"] for one in told["answer"]["top"]] == ["gear", "bolt", "washer"]
    assert told["answer"]["top"][0]["score"] == pytest.approx(0.65)


def test_passwords_in_addresses_are_not_told(page, board):
    reason = "rtsp://me:secret@camera/1 delivers nothing"
    output = msgspec.structs.replace(board.now.outputs[0], error="mqtt://me:secret@host is away")
    board.now = msgspec.structs.replace(
        board.now,
        reason=reason,
        feed=msgspec.structs.replace(board.now.feed, reason=reason),
        outputs=(output,),
    )
    for path in ("/api/state", "/healthz"):
        told = page.ask(path).data
        assert b"secret" not in told
        assert b"rtsp://***@camera/1 delivers nothing" in told


def read_metrics(page, accept="text/plain") -> dict[tuple[str, ...], float]:
    response = page.ask("/metrics", headers={"Accept": accept})
    assert response.status == 200
    families = (parse_open if "openmetrics" in accept else parse)(response.data.decode())
    samples = [sample for family in families for sample in family.samples]
    return {(one.name, *map(str, one.labels.values())): one.value for one in samples}


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text; version=1.0.0"])
def test_metrics_are_the_status_in_base_units(page, accept):
    metrics = read_metrics(page, accept)
    expected = {
        ("edgetl_answers_total",): 1234,
        ("edgetl_withheld_total",): 1,
        ("edgetl_rejected_total",): 2,
        ("edgetl_model_failures_total",): 3,
        ("edgetl_frame_failures_total",): 4,
        ("edgetl_label_changes_total",): 5,
        ("edgetl_reloads_total",): 6,
        ("edgetl_state", "ok"): 1,
        ("edgetl_state", "no_camera"): 0,
        ("edgetl_uptime_seconds",): 12.5,
        ("edgetl_invoke_seconds", "50"): 0.004,
        ("edgetl_frame_age_seconds", "99"): 0.009,
        ("edgetl_last_answer_age_seconds",): 0.1,
        ("edgetl_source_frames_total",): 1300,
        ("edgetl_source_dropped_total",): 66,
        ("edgetl_source_bad_total", "truncated"): 7,
        ("edgetl_source_odd_total", "extra bytes"): 12,
        ("edgetl_source_reconnects_total",): 8,
        ("edgetl_output_written_total", "mqtt"): 9,
        ("edgetl_output_dropped_total", "mqtt"): 10,
        ("edgetl_output_failed_total", "mqtt"): 11,
        ("edgetl_lessons",): 0,
        ("edgetl_temperature_celsius",): 51.5,
        ("edgetl_throttled",): 0,
        ("edgetl_page_viewers",): 0,
    }
    assert {name: metrics.get(name) for name in expected} == expected
    assert any(name[0] == "process_resident_memory_bytes" for name in metrics)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/openmetrics-text; version=1.x;q=0.5", "application/openmetrics-text"),
        ("application/openmetrics-text;version=;escaping=nope", "application/openmetrics-text"),
        ("application/openmetrics-text; version=\xb2.\xff", "application/openmetrics-text"),
        ("text/plain; version=x.y; escaping=no", "text/plain"),
        (",;=,", "text/plain"),
    ],
)
def test_metrics_come_whatever_version_is_asked_for(page, accept, kind):
    response = page.ask("/metrics", headers={"Accept": accept})
    assert response.status == 200
    assert response.getheader("content-type").startswith(kind)


@pytest.mark.parametrize("state", ["stale", "no_camera", "failed"])
def test_the_last_answer_loses_its_label_with_the_camera(page, board, state):
    page.publish()
    assert page.ask_json("/api/state")["answer"]["label"] == "gear"
    board.now = msgspec.structs.replace(board.now, state=state)
    answer = page.ask_json("/api/state")["answer"]
    assert (answer["label"], answer["stale"]) == (None, True)


def test_what_is_not_known_is_no_metric(page, board):
    board.now = msgspec.structs.replace(
        board.now,
        **dict.fromkeys(("score", "preprocess_ms", "invoke_ms", "age_ms", "last_answer_age_s")),
        board=Health(None, None),
    )
    names = {name[0] for name in read_metrics(page)}
    assert not names & {"edgetl_invoke_seconds", "edgetl_temperature_celsius", "edgetl_throttled"}
    assert "edgetl_score" not in names


def test_a_reason_or_a_path_with_any_character_keeps_the_metrics_readable(page, board):
    nasty = '"\\\n{}é\u202e\U0001f600'
    feed = msgspec.structs.replace(board.now.feed, bad={nasty: 3})
    board.now = msgspec.structs.replace(board.now, bundle=nasty, feed=feed)
    assert read_metrics(page)["edgetl_source_bad_total", nasty] == 3


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/../server.py", 404),
        ("GET", "/page.js/../../server.py", 404),
        ("POST", "/healthz", 405),
        ("DELETE", "/", 405),
        ("GET", "/api/classify", 405),
        ("OPTIONS", "/api/classify", 405),
        ("TRACE", "/", 405),
    ],
)
def test_what_is_not_there_is_refused_as_json(page, method, path, status):
    response = page.ask(path, method)
    assert response.status == status
    told = json.loads(response.data)["error"]
    if status == 405:
        way = "POST" if path == "/api/classify" else "GET or HEAD"
        assert told == f"this address does not accept the method '{method}'; use {way}"
    assert told


@pytest.mark.parametrize("path", ["/stream.mjpg", "/events", "/", "/healthz", "/api/state"])
def test_a_head_request_ends_at_once(page, path):
    response = page.ask(path, "HEAD")
    assert (response.status, response.data) == (200, b"")


def test_a_snapshot_is_made_for_the_one_who_asks(page, feeding):
    response = page.ask("/snapshot.jpg")
    assert response.status == 200
    assert response.data.startswith(b"\xff\xd8")


def test_without_a_camera_there_is_no_snapshot(page, monkeypatch):
    monkeypatch.setattr("edgetl_runtime.serving.app._SNAPSHOT_S", 0.1)
    response = page.ask("/snapshot.jpg")
    assert response.status == 503
    assert "no frame arrived" in json.loads(response.data)["error"]
