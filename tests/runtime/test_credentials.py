import pytest

from edgetl_runtime.text.credentials import find_host, names_host, split_credentials


@pytest.mark.parametrize(
    ("password", "host"),
    [
        *[(one, "camera:8080") for one in ("b", "a/b", "a?b", "a#b", "a@b", "a:b", "/?#@", "@@")],
        *[(one, "[fe80::1%eth0]:554") for one in ("a/b", "a?b", "a#b", "a@b", "[b")],
        *[(one, "192.168.1.5") for one in ("p@ss/w?r#d", "1/2", "12345/6@7", "a@b/c", "x/y@z")],
        *[(one, "localhost:1") for one in ("p@s/s", "1?2")],
        ("a%2Fb", "camera"),
        ("50%", "camera"),
    ],
)
@pytest.mark.parametrize("tail", ["", "/", "/v.cgi?size=1#x", "?size=1"])
def test_a_password_may_hold_what_ends_a_host_elsewhere(password, host, tail):
    found = split_credentials(f"rtsp://me:{password}@{host}{tail}")
    expected = password.replace("%2F", "/")
    assert found == (f"rtsp://{host}{tail}", "me", expected)
    # Every parser of URLs now reads the same.
    again = split_credentials(found.escaped)
    assert again == found
    assert found.escaped.partition("@")[0].count("/") == 2


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("rtsp://me:a/b@Camera:554/s", "camera"),
        ("http://me:a@[fe80::1%eth0]:8080/", "fe80::1%eth0"),
        ("http://[::1]", "::1"),
        ("http://192.168.1.5?x=1", "192.168.1.5"),
        ("0", ""),
    ],
)
def test_the_host_is_found(address, host):
    assert find_host(address) == host


@pytest.mark.parametrize(
    "address",
    [
        "http://camera:8080/a@b",
        "http://camera/?mail=me@example.org",
        "rtsp://[::1]:554/a@b",
        "http://192.168.1.5/a@192.168.1.6",
        "rtsp://camera/user=a_password=b.sdp",
        "http://camera",
    ],
)
def test_an_at_behind_the_host_is_no_password(address):
    assert split_credentials(address) == (address, None, "")
    assert split_credentials(address).escaped == address


def test_a_password_never_goes_to_a_host_that_stands_in_the_query():
    found = split_credentials("http://me:s3cret@camera/v?mail=me@example.org")
    assert found == ("http://camera/v?mail=me@example.org", "me", "s3cret")


def test_a_name_alone_is_a_name():
    assert split_credentials("http://me@camera/") == ("http://camera/", "me", "")
    assert split_credentials("http://me@camera/").escaped == "http://me@camera/"


@pytest.mark.parametrize(
    "place", ["camera", "camera:80", "[::1]:80", "[fe80::1%eth0]", "me:a/b@camera"]
)
def test_a_host_is_named(place):
    assert names_host(f"rtsp://{place}")
    assert names_host(f"rtsp://{place}/v?a=b")


@pytest.mark.parametrize(
    "place", ["", "[::1", "::1]", "a b", "camera:99999", "camera:x", "me@", "/v"]
)
def test_no_host_is_named(place):
    assert not names_host(f"http://{place}")
