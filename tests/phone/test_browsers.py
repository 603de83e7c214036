"""The browsers themselves: that tests can drive them, and what the page may rely on."""

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.browsers.browser import ScriptError


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder and the address at which it is served."""
    folder = tmp_path_factory.mktemp("site")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever).start()
    (folder / "index.html").write_text(
        "<!doctype html><title>A page</title><input type=file id=file>"
    )
    yield folder, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_a_browser_evaluates_and_awaits(any_browser, site) -> None:
    any_browser.open(site[1])
    assert any_browser.evaluate("document.title") == "A page"
    assert any_browser.evaluate("Promise.resolve({a: [1, 'ü', null]})") == {"a": [1, "ü", None]}
    assert any_browser.evaluate("undefined") is None


def test_what_is_thrown_is_reported(any_browser, site) -> None:
    any_browser.open(site[1])
    with pytest.raises(ScriptError, match="no such thing"):
        any_browser.evaluate("Promise.reject(new Error('no such thing'))")
    with pytest.raises(ScriptError, match="nowhere"):
        any_browser.evaluate("nowhere.at.all")
