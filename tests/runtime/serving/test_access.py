"""Strangers, other pages in the same browser and forged names get nothing."""

import http.client
import json
from contextlib import closing

import pytest
from starlette.datastructures import URL
from starlette.requests import Request

from edgetl_runtime.serving.access import Access
from edgetl_runtime.serving.token import make_token

PATHS = ("/", "/page.js", "/api/state", "/metrics", "/stream.mjpg", "/events", "/snapshot.jpg")
TOKEN = "correct-horse-battery-staple"


@pytest.fixture(scope="module")
def page(serve_long):
    """A page that only this machine can reach, with a token that was made."""
    return serve_long()


@pytest.fixture(scope="module")
def guarded(serve_long):
    """A page that the network can reach."""
    return serve_long(host="0.0.0.0", token=TOKEN)


@pytest.fixture
def board(module_board):
    module_board.seen.clear()
    return module_board


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1:8080", "[::1]", "board.lan", "evil@a", ""]
)
def test_nothing_is_seen_without_the_token_not_even_on_the_loopback(page, path, host):
    response = page.ask(path, headers={"Host": host}, anonymous=True)
    assert response.status == 401
    assert "?token=TOKEN" in response.data.decode()


@pytest.mark.parametrize("path", ["/", "/api/state"])
@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("?token=wrong", {}),
        ("", {"Authorization": "Bearer wrong"}),
    ],
)
def test_a_wrong_token_is_said_to_be_wrong(page, path, query, headers):
    response = page.ask(path + query, headers=headers, anonymous=True)
    assert response.status == 401
    assert "this token is wrong" in response.data.decode()
    missing = page.ask(path, anonymous=True).data.decode()
    assert "a token is required" in missing
    assert "is wrong" not in missing


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "http://:1"},
        {"Origin": "http://evil.example", "Host": "board.lan", "X-Forwarded-Host": "board.lan"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ],
)
def test_another_site_cannot_have_a_picture_classified(page, board, jpeg, headers):
    given = {"Content-Type": "image/jpeg"} | headers
    response = page.ask("/api/classify", "POST", jpeg, given)
    assert response.status == 403
    assert "proxy_set_header Host $http_host;" in json.loads(response.data)["error"]
    assert board.seen == []


@pytest.mark.parametrize("path", PATHS)
def test_another_site_cannot_embed_anything(page, path):
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert page.ask(path, headers=headers).status == 403


def test_a_link_from_another_site_may_be_followed(page):
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert page.ask("/", headers=headers).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://pi:8080", "Host": "pi:8080", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "http://pi:8080", "Host": "pi:8080"},
        {"Origin": "https://Board.lan", "Host": "board.lan"},
        # What nginx makes of it by default, and with `Host $host`.
        {"Origin": "https://pi", "Host": "127.0.0.1:8080", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "http://pi:8443", "Host": "pi"},
        {"Origin": "http://[fe80::1]:8443", "Host": "[fe80::1]"},
        {"Origin": "http://pi", "Host": "127.0.0.1:8080", "X-Forwarded-Host": "pi"},
        {"Origin": "http://pi", "Host": "a", "X-Forwarded-Host": "pi, inner.proxy"},
    ],
)
def test_our_own_page_may_ask(page, jpeg, headers):
    given = headers | {"Content-Type": "image/jpeg"}
    assert page.ask("/api/classify", "POST", jpeg, given).status == 200


def test_no_other_site_is_told_that_it_may_send_such_headers(page):
    for name in ("x-forwarded-host", "content-type"):
        asked = {"Origin": "http://evil.example", "Access-Control-Request-Headers": name}
        response = page.ask("/api/classify", "OPTIONS", headers=asked, anonymous=True)
        assert response.status == 403
        assert not response.getheader("access-control-allow-headers")


def test_no_answer_lets_another_site_read_it(page):
    names = page.ask("/api/state").headers.keys()
    assert not [name for name in names if name.startswith("access-control")]


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_token_is_made_and_shown(serve, host):
    first, second = serve(host=host), serve(host=host)
    assert len(first.token) >= 43
    assert first.token != second.token
    assert first.host not in ("0.0.0.0", "")


def test_a_token_that_was_set_is_demanded(serve):
    page = serve(token=TOKEN)
    assert page.ask("/api/state", anonymous=True).status == 401
    assert page.ask(f"/api/state?token={TOKEN}", anonymous=True).status == 200


def test_another_address_of_the_loopback_answers_by_the_name_that_it_shows(serve):
    page = serve(host="127.0.0.2")
    with closing(http.client.HTTPConnection(page.host, page.port, timeout=20)) as connection:
        connection.request("GET", f"/api/state?token={page.token}")
        assert connection.getresponse().status == 200


@pytest.mark.parametrize("host", ["a/healthz?", "a/healthz#", "a/?token=", "a\\healthz"])
@pytest.mark.parametrize("path", PATHS)
def test_the_host_header_does_not_choose_the_path_that_is_judged(guarded, host, path):
    assert guarded.ask(path, headers={"Host": host}, anonymous=True).status == 401


@pytest.mark.parametrize("host", ["a/healthz?", "a/healthz#"])
def test_the_rules_never_ask_for_the_address_that_the_host_header_makes(host):
    # Starlette before 1.0 takes the path of `Request.url` out of the Host header.
    headers = [(b"host", host.encode())]
    scope = {"type": "http", "method": "GET", "path": "/api/state", "headers": headers}
    request = Request(scope | {"query_string": b""})
    request._url = URL(f"http://{host}/api/state")
    assert request.url.path == "/healthz"
    assert Access(TOKEN, "edgetl").refusal(request).status_code == 401


@pytest.mark.parametrize("path", PATHS)
def test_without_the_token_there_is_nothing(guarded, path):
    response = guarded.ask(path, anonymous=True)
    assert response.status == 401
    assert response.getheader("www-authenticate") == "Bearer"
    assert TOKEN.encode() not in response.data


def test_without_the_token_no_picture_is_classified(guarded, board, jpeg):
    headers = {"Content-Type": "image/jpeg"}
    assert guarded.ask("/api/classify", "POST", jpeg, headers, anonymous=True).status == 401
    assert board.seen == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer \xff\xfe"},
        {"Cookie": "edgetl=x; ;;=; a=b"},
        {"Cookie": '"' * 100},
    ],
)
def test_a_wrong_token_opens_nothing(guarded, headers):
    assert guarded.ask("/api/state", headers=headers, anonymous=True).status == 401


@pytest.mark.parametrize("query", ["token=", "token=wrong", f"token={TOKEN}x", f"Token={TOKEN}"])
def test_a_wrong_token_in_the_address_opens_nothing(guarded, query):
    assert guarded.ask(f"/?{query}", anonymous=True).status == 401


def test_the_token_opens_all_as_a_bearer(guarded, jpeg):
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert guarded.ask("/api/state", headers=bearer).status == 200
    headers = bearer | {"Content-Type": "image/jpeg"}
    assert guarded.ask("/api/classify", "POST", jpeg, headers).status == 200


def test_the_address_that_was_shown_becomes_a_cookie_and_a_clean_address(guarded):
    response = guarded.ask(f"/?token={TOKEN}", anonymous=True)
    assert (response.status, response.getheader("location")) == (303, "./")
    cookie, *attributes = response.getheader("set-cookie").split("; ")
    assert {"HttpOnly", "SameSite=strict"} <= set(attributes)
    # The browser takes the path of the address, which a proxy may have changed for us.
    assert not [one for one in attributes if one.startswith(("Path", "Secure"))]
    for headers in ({"Cookie": f"other=1; {cookie}"}, {"Cookie": cookie}):
        assert guarded.ask("/", headers=headers, anonymous=True).status == 200
        assert guarded.ask("/api/state", headers=headers, anonymous=True).status == 200


@pytest.mark.parametrize(
    ("told", "secure"), [("https", True), ("https, http", True), ("http", False)]
)
def test_behind_tls_the_cookie_never_crosses_the_network_in_clear_text(guarded, told, secure):
    headers = {"X-Forwarded-Proto": told}
    response = guarded.ask(f"/?token={TOKEN}", headers=headers, anonymous=True)
    assert ("Secure" in response.getheader("set-cookie").split("; ")) is secure


@pytest.mark.parametrize("order", [1, -1])
def test_the_cookie_of_another_board_below_the_same_proxy_does_not_hide_ours(guarded, order):
    cookie = guarded.ask(f"/?token={TOKEN}", anonymous=True).getheader("set-cookie").split("; ")[0]
    other = cookie.partition("=")[0] + "=of-another-board"
    headers = {"Cookie": "; ".join([cookie, other][::order])}
    assert guarded.ask("/api/state", headers=headers, anonymous=True).status == 200


def test_a_program_that_can_send_no_header_may_give_the_token_in_the_address(guarded):
    assert guarded.ask(f"/api/state?token={TOKEN}", anonymous=True).status == 200


def test_a_cookie_of_another_port_is_not_mistaken_for_ours(serve):
    one, other = serve(host="0.0.0.0"), serve(host="0.0.0.0")
    names = [
        page.ask(f"/?token={page.token}", anonymous=True).getheader("set-cookie").partition("=")[0]
        for page in (one, other)
    ]
    assert names[0] != names[1]


@pytest.mark.parametrize("headers", [{}, {"Host": "board.lan"}, {"X-Forwarded-For": "10.0.0.1"}])
def test_health_tells_strangers_the_state_and_no_more(guarded, page, headers):
    for one in (guarded, page):
        told = {"state": "ok"}
        assert one.ask_json("/healthz", headers=headers, anonymous=True) == told
        assert one.ask_json("/healthz", headers=headers) == told | {"reason": "", "lessons": 0}


@pytest.mark.parametrize("path", ["/camera/", "/camera/api/state", "/api/state/", "/healthz/"])
def test_a_path_that_a_proxy_left_in_the_address_is_named_with_what_to_do(guarded, path):
    response = guarded.ask(path)
    assert (response.status, response.getheader("location")) == (404, None)
    assert "proxy_pass http://127.0.0.1:8080/;" in json.loads(response.data)["error"]


def test_off_the_loopback_any_name_of_the_board_will_do(guarded):
    headers = {"Host": "pi.local:8080", "Authorization": f"Bearer {TOKEN}"}
    assert guarded.ask("/api/state", headers=headers).status == 200


def test_a_request_without_a_host_is_refused(page):
    with page.connect(b"GET /api/state HTTP/1.0\r\n\r\n") as connection:
        assert b" 401 " in connection.recv(100)
    with page.connect(b"GET /api/state HTTP/1.1\r\n\r\n") as connection:
        assert b" 400 " in connection.recv(100)


def test_two_hosts_are_refused(page):
    with closing(http.client.HTTPConnection("127.0.0.1", page.port, timeout=10)) as connection:
        connection.putrequest("GET", "/api/state", skip_host=True)
        connection.putheader("Host", "localhost")
        connection.putheader("Host", "evil.example")
        connection.endheaders()
        assert connection.getresponse().status == 400


def test_tokens_fit_into_a_url():
    assert make_token().replace("-", "").replace("_", "").isalnum()
