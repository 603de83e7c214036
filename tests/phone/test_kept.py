"""Frames that are kept on the phone, and their way to the workstation."""

import json
import zipfile
from pathlib import Path

import pytest

from edgetl.dataset.importing import import_collected
from tests.browsers.browser import Browser
from tests.browsers.chromium import Chromium
from tests.phone.conftest import TINY
from tests.phone.doctoring import change_manifest
from tests.phone.driving import (
    ANSWERED,
    LABEL,
    LIVE,
    STATE,
    allow,
    click,
)
from tests.waiting import wait_until

# A function of the frames' store.
WITH_STORE = """
(async (work) => {
  const heard = (asked) => new Promise((done) => {
    asked.onsuccess = asked.oncomplete = () => done(asked.result);
  });
  const database = await heard(indexedDB.open('edgetl /'));
  const changing = database.transaction(['frames', 'pictures'], 'readwrite');
  const store = changing.objectStore('frames');
  const result = work(await heard(store.getAll()), store, changing.objectStore('pictures'));
  await heard(changing);
  database.close();
  return result;
})
"""
FRAMES = f"({WITH_STORE})((all) => all)"
# Three of 33 MB, made of the one that is there.
FILL = f"""({WITH_STORE})(([{{id, ...first}}], store, pictures) => {{
  for (let i = 0; i < 3; i++) {{
    const bytes = 33.34e6;
    store.add({{...first, bytes}}).onsuccess = ({{target}}) =>
      pictures.add(new ArrayBuffer(bytes), target.result);
  }}
}})"""
# The answer to the frozen picture, as the hook gives it.
STILL = """
new Promise((done) => document.getElementById('still').toBlob(done))
  .then((blob) => edgetl.classify(blob))
"""
PICTURE = "document.getElementById('still').toDataURL()"
GOLDEN = TINY / "golden" / "0.png"
BARS = "[...document.querySelectorAll('#top .value')].map((one) => parseInt(one.textContent))"


def begin(browser: Chromium, url: str) -> None:
    allow(browser, url)
    browser.open(url)
    browser.wait_for(LIVE, 60)


def keep(browser: Browser, label: str | None, unlike: str = "") -> str:
    """Keeps what the camera sees, with the label that a person chose.

    Args:
        browser: Its page is live.
        label: The label.
        unlike: A picture; the camera shows its film over and over.

    Returns:
        The picture.
    """
    click(browser, "keep")
    browser.wait_for("document.getElementById('label-it').open")
    while (picture := browser.evaluate(PICTURE)) == unlike:
        browser.evaluate("document.getElementById('label-it').close()")
        click(browser, "freeze")
        browser.wait_for(LIVE)
        click(browser, "keep")
        browser.wait_for("document.getElementById('label-it').open")
    if label:
        browser.evaluate(f"document.querySelector('#label-choices [value={label}]').click()")
    click(browser, "label-save")
    browser.wait_for("!document.getElementById('label-it').open")
    click(browser, "freeze")
    browser.wait_for(LIVE)
    return str(picture)


def save(browser: Chromium, folder: Path) -> Path:
    """The zip that a tap on the button downloads."""
    what = {"behavior": "allow", "downloadPath": str(folder)}
    browser.call("Browser.setDownloadBehavior", session="", **what)
    # The page counts what is kept before it offers it.
    browser.wait_for("!document.getElementById('kept-save').disabled")
    click(browser, "kept-save")
    # Under its name it may not be whole yet.
    wait_until(lambda: [*filter(zipfile.is_zipfile, folder.glob("edgetl-frames-*.zip"))], "the zip")
    (found,) = folder.glob("*.zip")
    return found


def test_the_frozen_picture_has_its_own_answer(phone, host):
    begin(phone, host.url)
    for _ in range(3):
        click(phone, "freeze")
        phone.wait_for(f"{STATE} === 'frozen'")
        answer = phone.evaluate(STILL)
        assert phone.evaluate(BARS) == [round(100 * one["score"]) for one in answer["top"]]
        assert phone.evaluate(LABEL) == (answer["label"] or "Unknown")
        click(phone, "freeze")
        phone.wait_for(LIVE)


def test_every_browser_freezes_and_keeps(any_browser, host):
    any_browser.open(host.url)
    any_browser.wait_for(f"{STATE} === 'ready' || {STATE} === 'live'", 60)
    click(any_browser, "start")
    any_browser.wait_for(LIVE, 60)
    click(any_browser, "freeze")
    any_browser.wait_for(f"{STATE} === 'frozen'")
    answer = any_browser.evaluate(STILL)
    shown = any_browser.evaluate(BARS)
    assert shown == pytest.approx([100 * one["score"] for one in answer["top"]], abs=1)
    keep(any_browser, "spring")
    (frame,) = any_browser.evaluate(FRAMES)
    assert frame["corrected_label"] == "spring"
    assert frame["bytes"] > 1000


def test_kept_frames_reach_the_folder_of_the_corrected_label(phone, host, tmp_path):
    begin(phone, host.url)
    keep(phone, "_unknown_", unlike=keep(phone, "washer"))
    path = save(phone, tmp_path)
    report = import_collected(path, tmp_path / "photos", keep_similar=True)
    assert not report.refused
    assert not report.doubted
    assert {(one.suggested, one.corrected, one.kind) for one in report.imported} == {
        ("washer", True, "picked"),
        ("_unknown_", True, "picked"),
    }
    assert len(list((tmp_path / "photos" / "washer").iterdir())) == 1


def test_a_kept_frame_carries_the_answer_to_itself(phone, host, tmp_path):
    begin(phone, host.url)
    click(phone, "keep")
    phone.wait_for("document.getElementById('label-it').open")
    shown = phone.evaluate(BARS)
    click(phone, "label-save")
    phone.wait_for("!document.getElementById('label-it').open")
    with zipfile.ZipFile(save(phone, tmp_path)) as packed:
        (record,) = (one for one in packed.namelist() if one.endswith(".json"))
        answer = json.loads(packed.read(record))["answer"]
    assert [round(100 * one["score"]) for one in answer["top"]] == shown
    assert answer["label"] == answer["frame_label"]


def test_unknown_frames_are_kept_by_themselves_where_that_is_wished(
    phone, own_site, host, tmp_path
):
    def reject(manifest: dict) -> None:
        for variant in manifest["variants"]:
            variant["calibration"]["reject_threshold"] = 0.999

    change_manifest(own_site, reject)
    begin(phone, host.url)
    assert phone.evaluate(FRAMES) == []
    click(phone, "keep-auto")
    phone.wait_for(f"{FRAMES}.then((all) => all.length > 0)")
    frame, *_ = phone.evaluate(FRAMES)
    assert "rejected" in frame["kinds"]
    assert frame["corrected_label"] is None
    report = import_collected(save(phone, tmp_path), tmp_path / "photos")
    assert {one.suggested for one in report.imported} == {"_unsorted_"}


def test_over_the_quota_the_oldest_go_first(phone, host):
    begin(phone, host.url)
    keep(phone, "gear")
    phone.evaluate(FILL)
    before = [one["id"] for one in phone.evaluate(FRAMES)]
    keep(phone, "washer")
    after = phone.evaluate(FRAMES)
    # The first, which is small, did not make room enough.
    assert [one["id"] for one in after[:-1]] == before[2:]
    assert after[-1]["corrected_label"] == "washer"
    assert sum(one["bytes"] for one in after) <= 100e6


def test_what_was_kept_is_there_after_a_reload_and_can_be_deleted(phone, host):
    begin(phone, host.url)
    keep(phone, "spring")
    begin(phone, host.url)
    click(phone, "open-kept")
    phone.wait_for("document.querySelectorAll('#kept-list img').length === 1")
    assert phone.evaluate("document.querySelector('#kept-list bdi').textContent") == "spring"
    phone.evaluate("document.querySelector('#kept-list button').click()")
    phone.wait_for("document.getElementById('label-it').open")
    click(phone, "label-delete")
    phone.wait_for(f"{FRAMES}.then((all) => all.length === 0)")
    phone.wait_for("document.getElementById('kept-summary').textContent.includes('None yet')")


def test_a_whole_session_asks_nobody_but_the_pages_own_server(phone, host, tmp_path):
    begin(phone, host.url)
    keep(phone, "gear")
    save(phone, tmp_path)
    phone.choose_file("#file", GOLDEN)
    phone.wait_for(f"{STATE} === 'photo' && {ANSWERED}")
    phone.evaluate("edgetl.bench(10).then(() => 0)")
    click(phone, "open-kept")
    phone.wait_for("document.querySelectorAll('#kept-list img').length === 1")
    asked = phone.requests()
    assert len(asked) > 5
    own = (host.url, f"blob:{host.url}")
    assert [url for url in asked if not url.startswith(own)] == []
