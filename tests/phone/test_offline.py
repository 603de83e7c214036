"""The page without its server, and one version after another; they never mix."""

import shutil
from pathlib import Path

import pytest

from tests.browsers.browser import Browser
from tests.browsers.hosting import Host
from tests.phone.conftest import TINY
from tests.phone.doctoring import MODEL, find_folder, rewrite
from tests.phone.driving import OFFLINE, STATE, TEXT
from tests.phone.test_page import classify
from tests.waiting import wait_until

NEW = "0123456789ab"
BUILD = "edgetl.ready.then(() => JSON.parse(document.getElementById('site').textContent).version)"
CACHES = "caches.keys()"
REGISTRATION = "navigator.serviceWorker.getRegistration()"
GOLDEN = TINY / "golden" / "0.png"


def visit(browser: Browser, url: str) -> str:
    """Opens the page, and waits until it works offline; its version."""
    browser.open(url)
    version: str = browser.evaluate(BUILD)
    browser.wait_for(OFFLINE, 60)
    assert browser.evaluate(OFFLINE) == "works"
    return version


def shows(browser: Browser, version: str) -> bool:
    """Whether the page is of this version; it may be on its way out."""
    try:
        return bool(
            browser.evaluate(f"edgetl && document.documentElement.innerHTML.includes('{version}')")
        )
    except AssertionError:
        return False


def is_offered(browser: Browser, url: str, old: str) -> bool:
    """Whether a visit offers a new version; a browser may look for it as late as at the next."""
    browser.open(url)
    assert browser.evaluate(BUILD) == old
    try:
        browser.wait_for("!document.getElementById('update').hidden", 15)
    except AssertionError:
        return False
    return True


def make_newer(site: Path, target: Path) -> Path:
    """A newer version, of which the style alone is other."""
    shutil.copytree(site, target)
    style = (find_folder(target) / "style.css").read_bytes()
    rewrite(target, {"style.css": style + b"/* newer */\n"}, version=NEW)
    return target


def test_after_the_first_visit_the_page_needs_no_server(any_browser, host):
    version = visit(any_browser, host.url)
    online = classify(any_browser, GOLDEN)
    host.stop()
    any_browser.open(host.url)
    assert any_browser.evaluate(BUILD) == version
    assert classify(any_browser, GOLDEN)["top"] == online["top"]


def test_a_first_visit_fetches_what_this_browser_needs_and_no_more(chromium, host):
    visit(chromium, host.url)
    assert not [path for path in host.asked if "compat" in path or "512.png" in path]


def test_a_new_version_is_offered_takes_over_and_fetches_what_changed(
    any_browser, host, site, tmp_path
):
    old = visit(any_browser, host.url)
    host.stop()
    host.start(make_newer(site, tmp_path / "newer"))
    host.asked.clear()
    wait_until(lambda: is_offered(any_browser, host.url, old), "the offer")
    any_browser.evaluate("void setTimeout(() => document.getElementById('update-now').click())")
    wait_until(lambda: shows(any_browser, NEW), "the new version")
    assert any_browser.evaluate(BUILD) == NEW
    assert any_browser.evaluate(CACHES) == [f"edgetl / {NEW}"]
    fetched = {path.partition("/v-")[2].partition("/")[2] for path in host.asked if "/v-" in path}
    # Icons are the browser's own wish.
    assert {name for name in fetched if not name.startswith("icons/")} == {"style.css"}
    host.stop()
    any_browser.open(host.url)
    assert any_browser.evaluate(BUILD) == NEW


def test_an_update_without_room_leaves_the_old_version_and_nothing_of_the_new(
    chromium, host, site, tmp_path
):
    old = visit(chromium, host.url)
    host.stop()
    host.start(make_newer(site, tmp_path / "newer"))
    origin = host.url.rstrip("/")
    chromium.call("Storage.overrideQuotaForOrigin", origin=origin, quotaSize=1)
    chromium.open(host.url)
    update = f"{REGISTRATION}.then((one) => one.update()).then(() => 'found', () => 'failed')"
    chromium.evaluate(update)
    chromium.wait_for(f"{REGISTRATION}.then((one) => !one.installing && !one.waiting)", 60)
    wait_until(lambda: host.asked[-20:].count("/sw.js"), "the update")
    assert chromium.evaluate(CACHES) == [f"edgetl / {old}"]
    chromium.call("Storage.overrideQuotaForOrigin", origin=origin)
    host.stop()
    chromium.open(host.url)
    assert chromium.evaluate(BUILD) == old


@pytest.mark.parametrize("damage", ["missing", "cut", "page cut"])
def test_half_a_new_version_leaves_the_old_one_at_work(chromium, host, site, tmp_path, damage):
    old = visit(chromium, host.url)
    newer = make_newer(site, tmp_path / "newer")
    style = find_folder(newer) / "style.css"
    index = newer / "index.html"
    if damage == "missing":
        style.unlink()
    else:
        file = style if damage == "cut" else index
        file.write_bytes(file.read_bytes()[:-40])
    host.stop()
    host.start(newer)
    chromium.open(host.url)
    chromium.evaluate(f"{REGISTRATION}.then((one) => one.update()).catch(() => 0)")
    chromium.wait_for(f"{REGISTRATION}.then((one) => !one.installing && !one.waiting)", 60)
    asked = "/" if damage == "page cut" else f"/v-{NEW}/style.css"
    wait_until(lambda: asked in host.asked, "the update")
    assert chromium.evaluate("document.getElementById('update').hidden")
    host.stop()
    chromium.open(host.url)
    assert chromium.evaluate(BUILD) == old
    assert classify(chromium, GOLDEN)["label"]


def test_the_first_visitor_of_half_a_version_is_told(chromium, host, own_site):
    (find_folder(own_site) / MODEL).unlink()
    chromium.open(host.url)
    chromium.wait_for(f"{STATE} === 'failed'")
    text = chromium.evaluate(TEXT)
    assert "litert-int8.tflite is not on the server (status 404)" in text
    assert "copy the whole folder" in text


def test_a_page_that_fails_takes_the_new_version_by_itself(
    chromium, host, own_site, site, tmp_path
):
    (find_folder(own_site) / MODEL).unlink()
    chromium.open(host.url)
    chromium.wait_for(f"{STATE} === 'failed'")
    chromium.wait_for(f"{REGISTRATION}.then((one) => one?.active?.state === 'activated')", 60)
    host.stop()
    host.start(make_newer(site, tmp_path / "newer"))
    chromium.open(host.url)
    wait_until(lambda: shows(chromium, NEW), "the new version")
    assert chromium.evaluate(BUILD) == NEW


REPLACE = """
(async () => {{
  const [name] = await caches.keys();
  const cache = await caches.open(name);
  for (const {{url}} of await cache.keys()) if (url.endsWith({end!r})) {change}
}})()
"""
DELETED = "await cache.delete(url);"
OTHER = "await cache.put(url, new Response('of another version'));"


@pytest.mark.parametrize("change", [DELETED, OTHER], ids=["deleted", "replaced"])
@pytest.mark.parametrize("end", ["/app.js", "/worker.js", ".tflite", ".wasm", "0.png"])
def test_half_a_cache_is_repaired_from_the_network(chromium, host, end, change):
    version = visit(chromium, host.url)
    chromium.evaluate(REPLACE.format(end=end, change=change))
    assert visit(chromium, host.url) == version
    host.stop()
    chromium.open(host.url)
    assert chromium.evaluate(BUILD) == version


@pytest.mark.parametrize("change", [DELETED, OTHER], ids=["deleted", "replaced"])
def test_half_a_cache_names_nothing_without_a_network(chromium, host, change):
    visit(chromium, host.url)
    chromium.evaluate(REPLACE.format(end=".tflite", change=change))
    host.stop()
    chromium.open(host.url)
    chromium.wait_for(f"{STATE} === 'failed'")
    assert "connect to the network once and reload" in chromium.evaluate(TEXT)
    assert chromium.evaluate("edgetl.ready.then(() => 'named', () => 'refused')") == "refused"


def test_a_page_of_another_version_in_the_cache_is_not_shown(chromium, host):
    version = visit(chromium, host.url)
    other = (
        "await cache.put(url, new Response('<p>other', {headers: {'Content-Type': 'text/html'}}));"
    )
    chromium.evaluate(REPLACE.format(end=f":{host.url.split(':')[2]}", change=other))
    chromium.open(host.url)
    assert chromium.evaluate(BUILD) == version


def test_two_pages_of_one_origin_leave_each_other_alone(chromium, site, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(site, root / "one")
    make_newer(site, root / "one" / "two")
    host = Host(root)
    try:
        old = visit(chromium, f"{host.url}one/")
        assert visit(chromium, f"{host.url}one/two/") == NEW
        assert sorted(chromium.evaluate(CACHES)) == [
            f"edgetl /one/ {old}",
            f"edgetl /one/two/ {NEW}",
        ]
        host.stop()
        for path, version in (("one/", old), ("one/two/", NEW)):
            chromium.open(host.url + path)
            assert chromium.evaluate(BUILD) == version
    finally:
        host.stop()
