"""`window.edgetl` for other pages, and what the page refuses to do for anybody."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgetl_runtime.classifier import Classifier
from tests.browsers.browser import Browser
from tests.browsers.hosting import Host
from tests.phone.conftest import TINY
from tests.phone.doctoring import change_manifest, rename_labels
from tests.phone.driving import STATE
from tests.phone.test_page import READY, classify

GOLDEN = TINY / "golden" / "0.png"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    one = Host(tmp_path)
    yield one
    one.stop()


@pytest.mark.parametrize("size", [(1, 1), (4000, 3000)])
def test_a_frame_of_any_size_is_classified_as_on_the_device(any_browser, served, tmp_path, size):
    width, height = size
    rows, columns = np.mgrid[:height, :width]
    frame = np.dstack([rows // 13, columns // 17, (rows + columns) // 25]).astype(np.uint8)
    cv2.circle(frame, (width // 2, height // 2), min(size) // 3, (20, 90, 240), -1)
    image = tmp_path / "frame.png"
    cv2.imwrite(str(image), frame)
    any_browser.open(served.url)
    any_browser.evaluate(READY)
    expected = Classifier.open(TINY, variant="litert-int8")(image)
    found = classify(any_browser, image)
    assert found["label"] == expected.label
    scores = {one["label"]: one["score"] for one in found["top"]}
    assert scores == pytest.approx(dict(expected.top()), abs=0.02)


def test_what_is_rejected_has_no_label(chromium, own_site, host):
    def reject(manifest: dict) -> None:
        for variant in manifest["variants"]:
            variant["calibration"]["reject_threshold"] = 0.999

    change_manifest(own_site, reject)
    chromium.open(f"{host.url}site/")
    found = classify(chromium, GOLDEN)
    assert found["label"] is None
    assert found["score"] == found["top"][0]["score"] > 0.3


def test_a_page_within_a_page_answers_and_asks_for_no_camera(any_browser, own_site, host, tmp_path):
    (tmp_path / "index.html").write_text(
        "<!doctype html><iframe id=inner src=site/ allow=camera></iframe>"
    )
    any_browser.open(host.url)
    inner = "document.getElementById('inner').contentWindow"
    any_browser.wait_for(f"{inner}.edgetl")
    ready = any_browser.evaluate(f"{inner}.{READY}")
    assert ready["golden"] == "passed"
    blob = "fetch('site/golden.png').then((one) => one.blob())"
    shutil.copy(GOLDEN, own_site / "golden.png")
    answer = any_browser.evaluate(f"{blob}.then((one) => {inner}.edgetl.classify(one))")
    assert answer["top"][0]["label"] in ready["labels"]
    assert any_browser.evaluate(f"{inner}.{STATE}") == "ready"


# Quotes and tags, right-to-left with an override, and as long as a label may be.
ODD = {
    "gear": """<img src="x" onerror='ran = 1'>"><script>ran = 1</script>&amp;""",
    "spring": "مفتاح \u202eربط",
    "washer": "ü" * 127 + "x",
}


def test_labels_are_text_and_nothing_else(any_browser, own_site, host):
    rename_labels(own_site, ODD)
    any_browser.open(f"{host.url}site/", width=500, height=800)
    assert any_browser.evaluate(READY)["labels"] == list(ODD.values())
    any_browser.choose_file("#file", GOLDEN)
    any_browser.wait_for(f"{STATE} === 'photo' && document.querySelector('#top bdi')")
    expected = classify(any_browser, GOLDEN)
    texts = "[...document.querySelectorAll('{}')].map((one) => one.textContent)"
    shown = any_browser.evaluate(texts.format("#top bdi"))
    assert shown == [one["label"] for one in expected["top"]]
    assert any_browser.evaluate(texts.format("#label")) == [expected["label"] or "Unknown"]
    choices = any_browser.evaluate(texts.format("#label-choices bdi"))
    assert choices == [*ODD.values(), "None of these"]
    assert any_browser.evaluate("typeof ran") == "undefined"
    assert any_browser.evaluate("document.querySelectorAll('[src=x]').length") == 0
    assert any_browser.evaluate("document.scrollingElement.scrollWidth <= innerWidth")


# Ways out of the page; each resolves, whether it gets through or not.
WAYS = """
async (other) => {
  const settle = (make) => new Promise((done) => {
    const one = make(done);
    if (one) one.onload = one.onerror = one.onopen = one.onclose = done;
    setTimeout(done, 3000);
  });
  await fetch(`${other}fetch`, {mode: 'no-cors'}).catch(() => 0);
  await settle(() => new WebSocket(`${other.replace('http', 'ws')}socket`)).catch(() => 0);
  if (typeof importScripts === 'function') {
    try { importScripts(`${other}script.js`); } catch {}
    return;
  }
  navigator.sendBeacon(`${other}beacon`, 'x');
  await settle(() => Object.assign(new Image(), {src: `${other}image.png`}));
  const tags = [['script', 'src'], ['link', 'href'], ['iframe', 'src'], ['video', 'src']];
  for (const [tag, key] of tags) {
    const one = Object.assign(document.createElement(tag), {[key]: other + tag, rel: 'stylesheet'});
    document.body.append(one);
    await settle(() => one);
  }
}
"""
IN_WORKER = """
(other) => new Promise((done) => {{
  const text = `(${{{ways}}})(${{JSON.stringify(other)}}).then(() => postMessage('done'))`;
  const worker = new Worker(URL.createObjectURL(new Blob([text])));
  worker.onmessage = worker.onerror = () => done();
}})
"""


def try_all(browser: Browser, other: str) -> None:
    browser.evaluate(f"({WAYS})('{other}').then(() => 0)")
    browser.evaluate(f"({IN_WORKER.format(ways=WAYS)})('{other}').then(() => 0)")


def test_the_policy_lets_nothing_out_of_page_and_worker(any_browser, served, tmp_path):
    (tmp_path / "free.html").write_text("<!doctype html><body>")
    other = Host(tmp_path)
    outside = Host(tmp_path)
    try:
        any_browser.open(served.url)
        any_browser.evaluate(READY)
        try_all(any_browser, other.url)
        assert other.asked == []
        # The ways themselves work.
        any_browser.open(f"{outside.url}free.html")
        try_all(any_browser, other.url)
        assert {"/fetch", "/socket", "/image.png", "/script", "/script.js"} <= set(other.asked)
    finally:
        other.stop()
        outside.stop()


def test_the_models_own_worker_has_the_policy_as_well(chromium, served, tmp_path):
    other = Host(tmp_path)
    try:
        chromium.open(served.url)
        chromium.evaluate(READY)
        (worker,) = chromium.workers()
        chromium.evaluate(f"({WAYS})('{other.url}').then(() => 0)", session=worker)
        assert other.asked == []
    finally:
        other.stop()
