"""A secret that goes to another host in clear text is told once, with what to do."""

import pytest

from edgetl_runtime.service.cleartext import find_exposed
from edgetl_runtime.settings.sections import OutputSettings, ServeSettings, Settings, SourceSettings

MQTT, POST = {"EDGETL_MQTT_PASSWORD": "s3cret"}, {"EDGETL_POST_TOKEN": "s3cret"}


def find(source="0", environment=None, **output):
    settings = Settings(source=SourceSettings(address=source), output=OutputSettings(**output))
    return list(find_exposed(settings, environment or {}))


@pytest.mark.parametrize(
    "address",
    [
        "http://me:s3cret@camera/v",
        "http://me:s3/cret@192.168.1.5/v",
        "HTTP://me:s3cret@[fe80::1]/v",
        "http://camera/v.cgi?pwd=s3cret",
        "http://camera/v.cgi?user=me&Password=s3cret",
        "http://camera/user=me_password=s3cret",
        "http://me:s3cret@localhost.example/v",
        "http://me:s3cret@127.0.0.1.example/v",
    ],
)
def test_a_cameras_password_over_plain_http(address):
    (told,) = find(address)
    assert "camera's password" in told
    assert "https://" in told
    assert "s3cret" not in told


@pytest.mark.parametrize(
    ("environment", "url", "what"),
    [
        (POST, "http://collector:8000/events", "the token of --post"),
        (
            {},
            "http://collector/hook?token=s3cret",
            "the user name or password in the address of --post",
        ),
    ],
)
def test_a_token_over_plain_http(environment, url, what):
    (told,) = find(environment=environment, post=url)
    assert told.startswith(what)
    assert "https://" in told
    assert "s3cret" not in told


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("0.0.0.0", True),
        ("::", True),
        ("192.168.1.5", True),
        ("board.local", True),
        ("127.0.0.1", False),
        ("127.8.8.8", False),
        ("::1", False),
        ("[::1]", False),
        ("localhost", False),
    ],
)
def test_a_page_that_others_may_open(host, told):
    settings = Settings(serve=ServeSettings(host=host))
    assert (
        any("sends the page's token" in one for one in find_exposed(settings, {}, page=True))
        is told
    )
    assert list(find_exposed(settings, {})) == []


def test_a_page_with_tls_exposes_nothing():
    settings = Settings(serve=ServeSettings(host="0.0.0.0", tls=True))
    assert list(find_exposed(settings, {}, page=True)) == []


def test_a_brokers_password_without_tls():
    (told,) = find(environment=MQTT, mqtt="mqtt://me@broker")
    assert "mqtts://" in told


@pytest.mark.parametrize(
    ("environment", "options"),
    [
        ({}, {"source": "http://camera:8080/v?size=640x480"}),
        ({}, {"source": "https://me:s3cret@camera/v"}),
        ({}, {"source": "rtsp://me:s3cret@camera/v"}),
        *[
            ({}, {"source": f"http://me:s3cret@{host}/v"})
            for host in ("127.0.0.1:81", "127.9.9.9", "localhost", "[::1]:81", "a.localhost")
        ],
        (POST, {"post": "https://collector/events"}),
        (POST, {"post": "http://127.0.0.1:8000/events"}),
        ({}, {"post": "http://collector/events"}),
        (POST, {"mqtt": "mqtt://me@broker"}),
        (MQTT, {"mqtt": "mqtts://me@broker"}),
        (MQTT, {"mqtt": "mqtt://me@localhost"}),
        (MQTT, {"mqtt": "mqtt://broker"}),
        ({}, {"mqtt": "mqtt://me@broker"}),
    ],
)
def test_what_is_encrypted_stays_here_or_is_no_secret_is_not_told(environment, options):
    assert find(environment=environment, **options) == []
