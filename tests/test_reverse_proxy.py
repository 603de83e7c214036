"""The page behind a real nginx: by default, with other headers, below a path, with TLS in front."""

import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
TINY = ROOT / "tests" / "data" / "tiny.bundle"
PICTURE = TINY / "golden" / "0.png"
LIVE = "document.querySelector('#view').dataset.shown === 'live'"
# Another name than localhost, to which a browser sends no Sec-Fetch-Site over plain HTTP.
NAME = "board.test"
FRAME = """
daemon off;
master_process off;
pid FOLDER/pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path FOLDER/client_body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
    SERVER
}
"""
DEFAULT = "location / { proxy_pass http://127.0.0.1:8080; HEADERS }"
BELOW = "location /camera/ { proxy_pass http://127.0.0.1:8080/; HEADERS }"
HEADERS = {
    "default": "",
    "host": "proxy_set_header Host $host;",
    "http_host": "proxy_set_header Host $http_host;",
    "forwarded": "proxy_set_header X-Forwarded-Host $http_host;"
    "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
    "proxy_set_header X-Forwarded-Proto $scheme;",
}


class Served(NamedTuple):
    """A running `edgetl-run serve`."""

    port: int
    token: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    state = tmp_path_factory.mktemp("state")
    command = [sys.executable, "-m", "edgetl_runtime", "serve", str(TINY), "--source", "pattern"]
    options = ["--port", "0", "--terminal", "none", "--state-dir", str(state)]
    process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
    assert process.stderr
    try:
        told = next(line for line in process.stderr if "the page is at" in line)
        port = int(re.search(r"127\.0\.0\.1:(\d+)/", told)[1])
        while ask(f"http://127.0.0.1:{port}/healthz")[0] != 200:
            time.sleep(0.05)
        yield Served(port, (state / "page-token").read_text().strip())
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert "page failed" not in process.stderr.read()
    finally:
        process.kill()
        with process:
            pass


@pytest.fixture
def proxy(served: Served, tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Starts nginx in front of the page; gives its port."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("no nginx on the PATH; on Debian: apt-get install nginx-light")
    started: list[subprocess.Popen[bytes]] = []

    def start(location: str, headers: str = "") -> int:
        return start_server(f"server {{ listen 80; {location.replace('HEADERS', headers)} }}")

    def start_server(server: str) -> int:
        port = free_port()
        server = re.sub(r"listen \d+", f"listen {port}", server)
        server = server.replace("127.0.0.1:8080", f"127.0.0.1:{served.port}")
        text = FRAME.replace("FOLDER", str(tmp_path)).replace("SERVER", server)
        (tmp_path / "nginx.conf").write_text(text)
        command = [program, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-e", "stderr"]
        started.append(subprocess.Popen(command, stderr=subprocess.PIPE))
        wait_for_port(port, started[-1])
        return port

    start.server = start_server
    yield start
    for process in started:
        process.terminate()
        with process:
            pass


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + 20
    while time.monotonic() < deadline_s:
        assert process.poll() is None, process.stderr and process.stderr.read()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("nginx does not listen")


def ask(url: str, data: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data, named)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.mark.parametrize("headers", sorted(HEADERS))
@pytest.mark.parametrize("path", ["", "page.js", "api/state", "metrics", "snapshot.jpg", "events"])
def test_through_a_proxy_nothing_is_seen_without_the_token(served, proxy, headers, path):
    port = proxy(DEFAULT, HEADERS[headers])
    assert ask(f"http://127.0.0.1:{port}/{path}")[0] == 401
    picture = PICTURE.read_bytes()
    url = f"http://127.0.0.1:{port}/api/classify"
    assert ask(url, picture, Content_Type="image/png")[0] == 401
    assert (
        ask(url, picture, Content_Type="image/png", Authorization=f"Bearer {served.token}")[0]
        == 200
    )
    assert ask(f"http://127.0.0.1:{port}/healthz")[0] == 200


def try_page(browser, base: str, token: str) -> None:
    """Opens the page by its token, looks at picture, style and chart, and sends a picture."""
    browser.call("Network.clearBrowserCookies")
    browser.open(f"{base}?token={token}")
    browser.wait_for(LIVE)
    assert browser.evaluate("location.href") == base
    assert browser.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--ink')")
    browser.wait_for("document.querySelectorAll('#chart path.age').length === 1")
    browser.choose_file("#file", PICTURE)
    browser.wait_for("document.querySelector('#verdict').className")


@pytest.mark.parametrize("location", [DEFAULT, BELOW])
@pytest.mark.parametrize("headers", ["host", "http_host", "forwarded"])
def test_a_browser_uses_the_page_through_a_proxy(served, proxy, browser, headers, location):
    port = proxy(location, HEADERS[headers])
    path = "camera/" if location is BELOW else ""
    try_page(browser, f"http://{NAME}:{port}/{path}", served.token)
    assert browser.evaluate("document.querySelector('#verdict').className") == "answered"
    # The preview of the own image is a blob.
    asked = {one for one in browser.requests() if not one.startswith("blob:")}
    assert all(one.startswith(f"http://{NAME}:{port}/{path}") for one in asked)
    browser.open("about:blank")


def test_a_browser_uses_the_page_through_nginx_as_it_is_by_default(served, proxy, browser):
    port = proxy(DEFAULT)
    try_page(browser, f"http://localhost:{port}/", served.token)
    assert browser.evaluate("document.querySelector('#verdict').className") == "answered"
    # To another host, without TLS, a browser sends nothing by which a forgery could be told.
    try_page(browser, f"http://{NAME}:{port}/", served.token)
    told = browser.evaluate("document.querySelector('#verdict').textContent")
    assert "proxy_set_header Host $http_host;" in told
    browser.open("about:blank")


def test_a_path_without_its_slash_leads_to_the_page(served, proxy, browser):
    port = proxy(BELOW, HEADERS["http_host"])
    browser.call("Network.clearBrowserCookies")
    browser.open(f"http://{NAME}:{port}/camera?token={served.token}")
    browser.wait_for(LIVE)
    browser.open("about:blank")


def test_a_proxy_that_refuses_a_large_picture_is_named_on_the_page(
    served, proxy, browser, tmp_path
):
    headers = HEADERS["http_host"] + "client_max_body_size 1k;"
    port = proxy(DEFAULT, headers)
    (tmp_path / "large.png").write_bytes(PICTURE.read_bytes() + bytes(5000))
    browser.call("Network.clearBrowserCookies")
    browser.open(f"http://{NAME}:{port}/?token={served.token}")
    browser.wait_for(LIVE)
    browser.choose_file("#file", tmp_path / "large.png")
    browser.wait_for("document.querySelector('#verdict').className === 'bad'")
    assert "status 413" in browser.evaluate("document.querySelector('#verdict').textContent")
    browser.open("about:blank")


@pytest.fixture
def documented(served, proxy, tmp_path) -> int:
    """The port of nginx with the very server block that runtime/README.md shows."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on the PATH; on Debian: apt-get install openssl")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += [
        "-nodes",
        "-days",
        "2",
        "-subj",
        f"/CN={NAME}",
        "-addext",
        f"subjectAltName=DNS:{NAME}",
    ]
    command += ["-out", f"{tmp_path}/board.crt", "-keyout", f"{tmp_path}/board.key"]
    subprocess.run(command, check=True, capture_output=True)
    text = (ROOT / "runtime" / "README.md").read_text()
    server = re.search(r"```nginx\n(.*?)```", text, re.DOTALL)[1]
    return proxy.server(server.replace("/etc/ssl", str(tmp_path)))


def test_the_documented_proxy_serves_the_page_with_tls_below_a_path(served, documented, browser):
    browser.call("Security.setIgnoreCertificateErrors", ignore=True)
    base = f"https://{NAME}:{documented}/camera/"
    try_page(browser, base, served.token)
    assert browser.evaluate("document.querySelector('#verdict').className") == "answered"
    (cookie,) = browser.call("Network.getCookies", urls=[base])["cookies"]
    kept = {name: cookie[name] for name in ("path", "secure", "httpOnly", "sameSite")}
    assert kept == {"path": "/camera", "secure": True, "httpOnly": True, "sameSite": "Strict"}
    assert not browser.call("Network.getCookies", urls=[f"https://{NAME}:{documented}/"])["cookies"]
    browser.open("about:blank")


def test_streams_pass_the_documented_proxy_without_delay(served, documented):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    url = f"https://127.0.0.1:{documented}/camera/events"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {served.token}"})
    with urllib.request.urlopen(request, timeout=20, context=context) as stream:
        lines = [stream.readline() for _ in range(8)]
    assert b"event: state\n" in lines
    told = next(line for line in lines if line.startswith(b"data: {"))
    assert json.loads(told[6:])["state"] in ("ok", "degraded", "starting")
