"""A site's folder over HTTPS: the right type, the smaller bytes, nothing beside the folder."""

import gzip
import http.client
import socket
import ssl
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edgetl_export.phone.serving import SiteServer
from edgetl_runtime.errors import ServiceError

VERSION = "v-0123456789ab"
WASM = b"\0asm" + bytes(range(256)) * 4
FILES = {
    "index.html": (b"<!doctype html><title>site</title>", "text/html; charset=utf-8"),
    "sw.js": (b"// worker", "text/javascript; charset=utf-8"),
    "manifest.webmanifest": (b"{}", "application/manifest+json"),
    ".nojekyll": (b"", ""),
    f"{VERSION}/style.css": (b"p{}", "text/css; charset=utf-8"),
    f"{VERSION}/bundle.json": (b"{}", "application/json"),
    f"{VERSION}/litert/a.wasm": (WASM, "application/wasm"),
    f"{VERSION}/model.tflite": (b"TFL3", "application/octet-stream"),
    f"{VERSION}/golden/0.png": (b"\x89PNG", "image/png"),
    f"{VERSION}/LICENSE": (b"Apache", "application/octet-stream"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("served")
    site = root / "site"
    for name, (data, _) in FILES.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_bytes(data)
    wasm = site / VERSION / "litert" / "a.wasm"
    wasm.with_suffix(".wasm.gz").write_bytes(gzip.compress(WASM))
    wasm.with_suffix(".wasm.br").write_bytes(b"as brotli")
    (root / "secret.txt").write_text("secret")
    (site / "out.txt").symlink_to(root / "secret.txt")
    (site / "loop.txt").symlink_to(site / "loop.txt")
    return site


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    authority = tmp_path_factory.mktemp("config") / "authority"
    with SiteServer(folder, host="127.0.0.1", port=0, authority=authority) as server:
        yield server


@pytest.fixture(scope="module")
def ask(server: SiteServer) -> Any:
    """One request over HTTPS, by a client whose only trust is the authority."""
    assert server.trust
    context = ssl.create_default_context(cadata=server.trust.authority.der)
    context.verify_flags |= ssl.VERIFY_X509_STRICT

    def run(path: str, method: str = "GET", **headers: str) -> Any:
        connection = http.client.HTTPSConnection(
            "localhost", server.port, timeout=20, context=context
        )
        with closing(connection):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, None, named)
            response = connection.getresponse()
            response.body = response.read()
            return response

    return run


@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith(".")])
def test_each_file_has_its_type_and_says_how_long_it_is_good_for(ask, name):
    data, kind = FILES[name]
    response = ask(f"/{name}")
    assert (response.status, response.body) == (200, data)
    assert response.getheader("content-type") == kind
    assert response.getheader("x-content-type-options") == "nosniff"
    assert response.getheader("vary") == "Accept-Encoding"
    lasting = "public, max-age=31536000, immutable" if name.startswith(VERSION) else "no-cache"
    assert response.getheader("cache-control") == lasting
    # They would keep out the page's own worker on an iPhone.
    assert not [one for one in response.headers if one.lower().startswith("cross-origin")]


def test_the_folder_itself_is_its_index(ask):
    assert ask("/").body == FILES["index.html"][0]


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("br;q=0, gzip;q=0.5", "gzip"),
        ("BR", "br"),
        ("*", "br"),
        ("*;q=0", None),
        ("identity", None),
        ("gzip;q=x", None),
        ("", None),
    ],
)
def test_a_browser_gets_the_smallest_that_it_takes(ask, accepted, encoding):
    response = ask(f"/{VERSION}/litert/a.wasm", accept_encoding=accepted)
    assert response.getheader("content-encoding") == encoding
    assert response.getheader("content-type") == "application/wasm"
    assert response.getheader("vary") == "Accept-Encoding"
    whole = {"br": b"as brotli", "gzip": gzip.compress(WASM), None: WASM}[encoding]
    assert len(response.body) == len(whole)
    if encoding == "gzip":
        assert gzip.decompress(response.body) == WASM
    else:
        assert response.body == whole


def test_a_file_without_smaller_siblings_is_sent_as_it_is(ask):
    response = ask("/sw.js", accept_encoding="br, gzip")
    assert (response.getheader("content-encoding"), response.body) == (None, b"// worker")


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/../secret.txt",
            "/%2e%2e/secret.txt",
            "/..%2fsecret.txt",
            f"/{VERSION}/../../secret.txt",
        ),
        *("//etc/passwd", "/%2fetc/passwd", "/out.txt", "/loop.txt", "/.nojekyll", "/%00"),
        *(f"/{VERSION}", f"/{VERSION}/", f"/{VERSION}//style.css", "/./index.html", "/index.html/"),
        *("/" + "a" * 300, "/" + "a/" * 3000, "/none.js", "/..\\secret.txt", "/%ff"),
    ],
)
def test_nothing_beside_the_folder_is_given_and_no_folder_is_listed(ask, path):
    response = ask(path)
    assert response.status == 404
    assert response.body == b"no such file"
    assert response.getheader("cache-control") == "no-cache"


def test_a_site_is_read_only(ask):
    assert ask("/", "HEAD").body == b""
    assert ask("/", "POST").status == ask("/", "DELETE").status == 405


def test_the_trust_page_stands_beside_the_site(server):
    assert server.trust
    assert server.url == f"https://127.0.0.1:{server.port}/"
    address = server.trust.page_url.split("/")[2]
    with closing(http.client.HTTPConnection(address, timeout=20)) as connection:
        connection.request("GET", "/ca.crt")
        assert connection.getresponse().read() == server.trust.authority.der


def test_without_https_only_this_machine_is_served(folder):
    with SiteServer(folder, host="0.0.0.0", port=0, secure=False) as server:
        assert (server.url, server.trust) == (f"http://localhost:{server.port}/", None)
        with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)) as plain:
            plain.request("GET", "/sw.js")
            assert plain.getresponse().read() == b"// worker"
        # Another address of the loopback stands for the network.
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", server.port), 5)


def test_a_port_in_use_is_named_with_what_to_do(server, folder, tmp_path):
    with pytest.raises(ServiceError, match=f"127.0.0.1:{server.port}: the port is in use; stop"):
        SiteServer(folder, host="127.0.0.1", port=server.port, authority=tmp_path / "authority")


def test_a_folder_that_is_no_site_is_refused(tmp_path):
    with pytest.raises(ServiceError, match="has no index"):
        SiteServer(tmp_path, port=0)
