import pytest

from edgetl_runtime.text.masking import mask, mask_text


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://admin:geheim@cam/s", "rtsp://***@cam/s"),
        ("rtsp://a:b/c@127.0.0.1/s", "rtsp://***@127.0.0.1/s"),
        ("rtsp://a:b?c@127.0.0.1:554/s", "rtsp://***@127.0.0.1:554/s"),
        ("rtsp://a:b#c@127.0.0.1/s", "rtsp://***@127.0.0.1/s"),
        ("rtsp://a:b@c@127.0.0.1/s", "rtsp://***@127.0.0.1/s"),
        ("rtsp://a:@@127.0.0.1/s", "rtsp://***@127.0.0.1/s"),
        ("rtsp://a:b c@127.0.0.1/s", "rtsp://***@127.0.0.1/s"),
        ("rtsp://a:[b@127.0.0.1/s", "rtsp://***@127.0.0.1/s"),
        ("rtsp://a%40b:c@[::1]:554/s", "rtsp://***@[::1]:554/s"),
        ("rtsp://to/ken@cam/s", "rtsp://***@cam/s"),
        ("rtsp://a:b", "rtsp://***"),
        ("rtsp://a:1b", "rtsp://***"),
        ("http://cam/v?key=a/b?c@d", "http://***"),
        ("http://a:b@cam/v?key=c@d", "http://***"),
        ("http:/a:b@cam/s", "http:/***@cam/s"),
        ("http://cam/v.cgi?pwd=secret", "http://cam/v.cgi?pwd=***"),
        ("http://cam/v.cgi?user=a&pwd=b&size=1", "http://cam/v.cgi?user=***&pwd=***&size=***"),
        ("http://cam/v.cgi?a:b", "http://cam/v.cgi?***"),
        ("http://cam/v.cgi?dG9rZW4=", "http://cam/v.cgi?***"),
        ("http://cam?pwd=secret", "http://cam?pwd=***"),
        ("http://cam/v#pwd=secret", "http://cam/v#pwd=***"),
        ("rtsp://cam/user=a_password=b_c_channel=1.sdp", "rtsp://cam/user=***"),
        ("rtsps://cam:7441/4kQz81LmW0xTb7aP?enableSrtp", "rtsps://cam:7441/***?***"),
    ],
)
def test_what_may_be_a_secret_is_not_shown(address, shown):
    assert mask(address) == shown


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://cam:554/Streaming/Channels/101",
        "http://192.168.1.5:8080/video.mjpg",
        "rtsp://cam/h264Preview_01_main",
        "/home/pi/a@b?c.avi",
        "file:///home/pi/a@b.avi",
        "0",
        "picamera:1",
        "-",
    ],
)
def test_what_holds_no_secret_is_shown_as_it_is(address):
    assert mask(address) == address


def test_addresses_are_masked_wherever_a_text_quotes_them():
    text = "cannot open 'rtsp://a:b@cam/s' nor http://cam/v?pwd=c nor rtsp://a:b c@cam/s"
    assert mask_text(text, "rtsp://a:b c@cam/s") == (
        "cannot open 'rtsp://***@cam/s' nor http://cam/v?pwd=*** nor rtsp://***@cam/s"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot open ad:s3cret@127.0.0.1:21001/x", "cannot open ***@127.0.0.1:21001/x"),
        ("cannot open //ad:s3cret@h/x", "cannot open ***@h/x"),
        ("cannot open http:\\\\ad:s3cret@h: no", "cannot open ***@h: no"),
        (
            "http://h/s?password=x: the server says 404",
            "http://h/s?password=***: the server says 404",
        ),
        ("rtsp://me:p?w@cam/x, then", "rtsp://***@cam/x, then"),
    ],
)
def test_passwords_without_a_scheme_and_before_punctuation_are_masked(text, shown):
    assert mask_text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "mqtt: expected mqtt://user@host:1883 or mqtts://host, got http://x",
        "does it need https://?",
        "at 12:30 write to a@b.de",
    ],
)
def test_what_we_say_ourselves_stays_readable(text):
    assert mask_text(text) == text
