"""With TLS the page's token crosses the network encrypted, and phones learn whom to trust."""

import fcntl
import http.client
import ipaddress
import json
import os
import plistlib
import pty
import signal
import socket
import ssl
import struct
import subprocess
import sys
import termios
import urllib.request
from contextlib import closing, suppress
from datetime import timedelta
from hashlib import sha256

import pytest
from cryptography import x509

from edgetl_runtime.errors import ServiceError
from edgetl_runtime.serving import connections, encryption
from edgetl_runtime.serving.authority import find_folder, open_authority
from edgetl_runtime.serving.server import PageServer
from edgetl_runtime.settings.sections import ServeSettings

TOKEN = "a-token-of-the-test"
OFFERED = {
    "/": "text/html; charset=utf-8",
    "/ca.crt": "application/x-x509-ca-cert",
    "/edgetl.mobileconfig": "application/x-apple-aspen-config",
    "/code.svg": "image/svg+xml",
    "/icon.svg": "image/svg+xml",
    "/style.css": "text/css; charset=utf-8",
    "/trust.css": "text/css; charset=utf-8",
}


class Secure:
    """A page over HTTPS, and clients that trust nothing but what its trust page hands out."""

    def __init__(self, board, **settings):
        self.codes = []
        self.server = PageServer(
            ServeSettings(**{"port": 0, "tls": True, "token": TOKEN} | settings),
            show_codes=self.codes.extend,
        )
        self.url = self.server.start(board)
        self.output = self.server.output
        self.host, _, port = self.url.split("/")[2].rpartition(":")
        self.port = int(port)
        self.trust_port = int(self.server.trust_hint.partition("//")[2].split("/")[0].split(":")[1])
        self.authority = self.plain("/ca.crt").data

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.authority)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    def ask(self, path, method="GET", body=None, headers=None, *, token=TOKEN):
        shown = {"Authorization": f"Bearer {token}"} if token else {}
        connection = http.client.HTTPSConnection(
            "localhost", self.port, timeout=20, context=self.context()
        )
        return fetch(connection, path, method, body, shown | (headers or {}))

    def plain(self, path, method="GET"):
        connection = http.client.HTTPConnection("127.0.0.1", self.trust_port, timeout=20)
        return fetch(connection, path, method, None, {})

    def handshake(self) -> x509.Certificate:
        with self.connect() as secure:
            return x509.load_der_x509_certificate(secure.getpeercert(binary_form=True))

    def connect(self) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.port), 20)
        return self.context().wrap_socket(plain, server_hostname="127.0.0.1")


def fetch(connection, path, method, body, headers):
    with closing(connection):
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        response.data = response.read()
        return response


def names_of(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


@pytest.fixture(autouse=True)
def _own_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def secure(board, capsys):
    """Starts encrypted pages; none of them may have complained when the test is over."""
    started = []

    def start(**settings):
        started.append(Secure(board, **settings))
        return started[-1]

    yield start
    for one in started:
        one.server.close()
        one.output.close()
    assert capsys.readouterr().err == ""


def test_who_trusts_the_authority_gets_the_page(secure):
    page = secure()
    assert page.url == f"https://127.0.0.1:{page.port}/"
    assert page.ask("/healthz", token=None).data == b'{"state":"ok"}'
    assert page.ask("/api/state").status == 200
    assert page.ask("/api/state", token=None).status == 401


def test_who_does_not_trust_it_sends_nothing(secure):
    page = secure()
    stranger = ssl.create_default_context()
    connection = http.client.HTTPSConnection("localhost", page.port, timeout=20, context=stranger)
    with pytest.raises(ssl.SSLCertVerificationError):
        fetch(connection, f"/?token={TOKEN}", "GET", None, {})


def test_plain_http_gets_nothing_from_the_encrypted_port(secure):
    page = secure()
    with closing(socket.create_connection(("127.0.0.1", page.port), 20)) as plain:
        plain.sendall(f"GET /api/state?token={TOKEN} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        heard = b""
        with suppress(ConnectionResetError):
            while part := plain.recv(4096):
                heard += part
    assert b"HTTP" not in heard


def test_the_cookie_is_for_encrypted_connections_only(secure):
    page = secure()
    response = page.ask(f"/?token={TOKEN}", token=None)
    assert response.status == 303
    assert {"Secure", "HttpOnly", "SameSite=strict"} <= set(
        response.getheader("set-cookie").split("; ")
    )


@pytest.mark.parametrize(("scheme", "status"), [("https", 200), ("http", 403)])
def test_only_an_encrypted_page_is_ours(secure, jpeg, scheme, status):
    page = secure()
    headers = {"Content-Type": "image/jpeg", "Origin": f"{scheme}://localhost:{page.port}"}
    assert page.ask("/api/classify", "POST", jpeg, headers).status == status


def test_a_stream_is_delivered_and_ends_with_the_server(secure):
    page = secure()
    with page.connect() as stream:
        head = f"GET /events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        stream.sendall(head.encode())
        data = stream.recv(1000)
        page.server.close()
        with suppress(ssl.SSLEOFError, ConnectionResetError):
            while part := stream.recv(65_536):
                data += part
    assert data.startswith(b"HTTP/1.1 200")
    assert b"data:" in data


def test_a_second_start_has_the_same_authority_and_another_certificate(secure):
    first, second = secure(), secure()
    assert first.authority == second.authority
    assert first.handshake().serial_number != second.handshake().serial_number


def test_a_changed_address_gets_a_new_certificate_while_the_page_runs(secure, monkeypatch):
    page = secure()
    first, second = page.handshake(), page.handshake()
    assert first == second
    moved = (ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("192.168.77.5"))
    monkeypatch.setattr(encryption, "list_names", lambda: moved)
    third = page.handshake()
    assert third.serial_number != first.serial_number
    assert names_of(third).get_values_for_type(x509.IPAddress) == list(moved)


def test_a_certificate_is_renewed_while_the_page_runs(secure, monkeypatch):
    page = secure()
    first = page.handshake()
    monkeypatch.setattr(encryption, "_RENEW_AFTER", timedelta(0))
    assert page.handshake().serial_number != first.serial_number


def connect_silently(page):
    return socket.create_connection(("127.0.0.1", page.port), 20)


def is_closed(connection) -> bool:
    connection.settimeout(20)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_who_never_shakes_hands_is_cut_off(secure, monkeypatch):
    monkeypatch.setattr(connections, "HEAD_S", 0.3)
    page = secure()
    with connect_silently(page) as silent:
        assert is_closed(silent)
    assert page.ask("/healthz").status == 200


def test_handshakes_count_as_connections(secure, monkeypatch, wait_until):
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 3)
    monkeypatch.setattr(connections, "HEAD_S", 60.0)
    page = secure()
    silent = [connect_silently(page) for _ in range(3)]
    with connect_silently(page) as one_too_many:
        assert is_closed(one_too_many)
    for connection in silent:
        connection.close()

    def is_free() -> bool:
        try:
            return page.ask("/healthz").status == 200
        except OSError:
            return False

    wait_until(is_free)


def test_the_server_closes_although_a_handshake_never_ends(secure, wait_until):
    page = secure()
    with connect_silently(page) as silent:
        page.server.close()
        assert is_closed(silent)


def test_the_trust_page_offers_the_authority_and_nothing_else(secure):
    page = secure()
    for path, kind in OFFERED.items():
        response = page.plain(path)
        assert (response.status, response.getheader("content-type")) == (200, kind), path
        assert TOKEN.encode() not in response.data
        assert b"PRIVATE KEY" not in response.data
        assert "set-cookie" not in response.headers
        policy = response.getheader("content-security-policy")
        assert policy.startswith("default-src 'none'; img-src 'self'; style-src 'self';")
        assert response.getheader("x-content-type-options") == "nosniff"
    for path in ("/api/state", "/healthz", "/ca.pem", "/../ca.pem", "/page.js", "/x"):
        assert page.plain(path).status == 404, path
    assert page.plain("/", "POST").status == 405


def test_what_it_hands_out_is_this_authority_by_its_fingerprint(secure):
    page = secure()
    authority = open_authority(find_folder())
    assert page.authority == authority.der
    digest = sha256(page.authority).hexdigest().upper()
    fingerprint = ":".join(digest[n : n + 2] for n in range(0, 64, 2))
    assert fingerprint in page.server.trust_hint
    shown = page.plain("/").data.decode()
    assert fingerprint in shown
    assert f'href="{page.url}"' in shown
    assert "Certificate Trust Settings" in shown
    assert "CA certificate" in shown


def test_the_profile_is_one_that_an_iphone_installs(secure):
    page = secure()
    profile = plistlib.loads(page.plain("/edgetl.mobileconfig").data)
    (content,) = profile["PayloadContent"]
    assert profile["PayloadType"] == "Configuration"
    assert content["PayloadType"] == "com.apple.security.root"
    assert content["PayloadContent"] == page.authority
    # The same authority replaces itself, another one does not.
    again = plistlib.loads(page.plain("/edgetl.mobileconfig").data)
    assert again["PayloadUUID"] == profile["PayloadUUID"] != content["PayloadUUID"]


def test_the_trust_page_takes_the_next_free_port(secure):
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with suppress(OSError), closing(socket.create_server(("127.0.0.1", port + 1))):
        page = secure(port=port)
        assert port + 2 <= page.trust_port <= port + 32
        assert page.plain("/").status == 200


def test_a_page_for_the_network_has_codes_to_scan_and_one_for_this_machine_has_none(secure):
    assert secure().codes == []
    page = secure(host="0.0.0.0")
    assert [code.address for code in page.codes] == [
        page.server.trust_hint.split(" opens ")[1].split()[0],
        page.url,
    ]


def test_an_authority_that_others_can_read_stops_the_start_and_frees_the_port(board, tmp_path):
    open_authority(find_folder())
    (find_folder() / "ca.pem").chmod(0o644)
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = PageServer(ServeSettings(port=port, tls=True))
    with pytest.raises(ServiceError, match="chmod 600"):
        server.start(board)
    with closing(socket.create_server(("127.0.0.1", port))):
        server.close()


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_the_command_says_where_the_page_and_its_authority_are(
    start_edgetl_run, tiny, tmp_path, flags
):
    state = tmp_path / "state"
    process = start_edgetl_run(
        *("serve", tiny, "--source", "pattern", "--tls", "--host", "0.0.0.0", "--port", "0"),
        *("--state-dir", state, *flags),
    )
    said = []
    for line in process.stderr:
        said.append(line)
        if "fingerprint" in line:
            break
    told = "".join(said)
    assert "unencrypted" not in told
    url = told.partition("the page is at ")[2].split(";")[0].split()[0]
    port = int(url.rpartition(":")[2].strip("/"))
    token = (state / "page-token").read_text().strip()
    assert token not in told
    authority = open_authority(state / "authority")
    assert authority.fingerprint in told
    assert not find_folder().exists()
    context = ssl.create_default_context(cadata=authority.der)
    request = urllib.request.Request(
        f"https://localhost:{port}/api/state", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, context=context, timeout=20) as response:
        assert json.load(response)["status"]["labels"]
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 0


@pytest.mark.parametrize(("flags", "shows"), [((), True), (("--json",), False)])
def test_a_person_at_a_terminal_gets_codes_and_a_program_none(tiny, flags, shows):
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 50, 120, 0, 0))
    command = (sys.executable, "-m", "edgetl_runtime", "serve", str(tiny), "--source", "pattern")
    address = ("--tls", "--host", "0.0.0.0", "--port", "0", *flags)
    environment = os.environ | {"PYTHONIOENCODING": "utf-8"}
    with subprocess.Popen(
        [*command, *address], stdout=subprocess.DEVNULL, stderr=slave, env=environment
    ) as process:
        os.close(slave)
        told = b""
        while b"fingerprint" not in told:
            told += os.read(master, 65_536)
        process.terminate()
        with suppress(OSError):
            while os.read(master, 65_536):
                pass
    os.close(master)
    assert (b"\033[38;5;231;48;5;16m" in told) is shows
    assert b"/?token=" in told
