"""A browser that was given the authority takes the site for secure, and nothing elsewhere."""

import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from edgetl_export.phone.serving import SiteServer
from tests.browsers.chromium import Chromium

PAGE = "<!doctype html><title>site</title><p>here"
CAN_FILM = "isSecureContext && Boolean(navigator.mediaDevices) && 'serviceWorker' in navigator"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    (folder / "index.html").write_text(PAGE)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteServer]:
    authority = tmp_path_factory.mktemp("config") / "authority"
    with SiteServer(folder, port=0, authority=authority) as server:
        yield server


@pytest.fixture(scope="module")
def trusting(
    server: SiteServer, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Chromium]:
    """Chromium with the authority in the store of its user."""
    if not shutil.which("certutil"):
        pytest.skip("certutil is not installed; on Debian: apt-get install libnss3-tools")
    assert server.trust
    home = tmp_path_factory.mktemp("home")
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    (home / "ca.crt").write_bytes(server.trust.authority.der)
    for arguments in (
        ("-N", "--empty-password"),
        ("-A", "-t", "C,,", "-n", "edgetl", "-i", str(home / "ca.crt")),
    ):
        subprocess.run(["certutil", "-d", f"sql:{store}", *arguments], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        yield request.getfixturevalue("browser")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_site_over_https_may_use_the_camera(server, trusting, host):
    trusting.open(f"https://{host}:{server.port}/")
    assert trusting.evaluate("document.title") == "site"
    assert trusting.evaluate(CAN_FILM) is True


def test_a_site_that_adb_reverse_brings_may_use_the_camera(folder, trusting):
    with SiteServer(folder, port=0, secure=False) as plain:
        trusting.open(plain.url)
        assert trusting.evaluate("document.title") == "site"
        assert trusting.evaluate(CAN_FILM) is True


def test_the_trust_page_breaks_none_of_its_own_rules(server, trusting):
    assert server.trust
    trusting.open(server.trust.page_url)
    assert trusting.evaluate("document.querySelector('.code img').naturalWidth") > 0
    assert trusting.evaluate("getComputedStyle(document.querySelector('ol')).listStyleType") == (
        "decimal"
    )
    assert trusting.complaints() == []


@pytest.mark.parametrize(("name", "opens"), [("localhost", True), ("bank.test", False)])
def test_a_stolen_authority_opens_no_site_elsewhere(server, trusting, tmp_path, name, opens):
    assert server.trust
    stolen = server.trust.folder / "ca.pem"
    for command in (
        f"req -newkey rsa:2048 -nodes -keyout key.pem -subj /CN={name} "
        f"-addext subjectAltName=DNS:{name} -out request.pem",
        f"x509 -req -in request.pem -CA {stolen} -CAkey {stolen} -copy_extensions copy -days 2 "
        "-out signed.pem",
    ):
        subprocess.run(["openssl", *command.split()], check=True, capture_output=True, cwd=tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "signed.pem", tmp_path / "key.pem")
    with HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as bank:
        bank.socket = context.wrap_socket(bank.socket, server_side=True)
        bank.handle_error = lambda *_: None
        thread = threading.Thread(target=bank.serve_forever, args=(0.02,))
        thread.start()
        try:
            trusting.open(f"https://{name}:{bank.server_port}/")
            shown = trusting.evaluate("document.body.innerText")
            assert ("ERR_CERT" in shown) is not opens
        finally:
            bank.shutdown()
            thread.join()
