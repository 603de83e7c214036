"""The page is taught before a real camera, and shows what its model looks at."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgetl.dataset.importing import import_collected
from edgetl_export.phone.site import write_site
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.heatmaps.placement import find_window, spread
from edgetl_runtime.image.decoding import decode_picture
from tests.browsers.browser import Browser
from tests.browsers.chromium import Chromium
from tests.browsers.film import HEADER
from tests.browsers.hosting import Host
from tests.phone.conftest import LEARNING, TINY
from tests.phone.doctoring import change_manifest
from tests.phone.driving import ANSWERED, CHECKED, LABEL, LIVE, STATE, click, start_phone
from tests.phone.test_kept import begin, save
from tests.runtime.conftest import draw_cross

TAUGHT = "Checked, then taught"
OPEN = "document.getElementById('teach').open"
TROUBLE = "document.getElementById('teach-trouble').textContent"
REPORT = "document.getElementById('teach-report').textContent"
LESSONS = "[...document.querySelectorAll('#lesson-list bdi')].map((one) => one.textContent)"
HEAT = "!document.getElementById('heat').hidden"
GOLDEN = LEARNING / "golden" / "0.png"
VARIANT = "litert-int8"
# How opaque each pixel of the heat map is.
ALPHA = """(() => {
  const canvas = document.getElementById('heat');
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return [canvas.width, canvas.height, [...data].filter((_, i) => i % 4 === 3)];
})()"""


@pytest.fixture(scope="module")
def crosses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of crosses, which the model does not know."""
    target = tmp_path_factory.mktemp("crosses") / "film.y4m"
    with target.open("wb") as film:
        film.write(HEADER)
        for seed in range(30):
            picture = cv2.resize(draw_cross(seed), (640, 480))
            film.write(b"FRAME\n" + cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420).tobytes())
    return target


@pytest.fixture(scope="module")
def pupil(tmp_path_factory: pytest.TempPathFactory, crosses: Path) -> Iterator[Chromium]:
    """Chromium whose camera sees crosses."""
    browser = start_phone(tmp_path_factory.mktemp("pupil"), crosses)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def site(page: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page with a bundle that can learn; not to be changed."""
    return write_site(Bundle.open(LEARNING), tmp_path_factory.mktemp("site") / "site").path


def teach(browser: Chromium, name: str) -> None:
    click(browser, "teach-open")
    browser.evaluate(f"document.getElementById('teach-name').value = {name!r}")
    click(browser, "teach-thing")
    browser.wait_for(f"!{OPEN} || {TROUBLE} !== ''")
    browser.wait_for(OPEN, 60)


def close(browser: Chromium) -> None:
    browser.evaluate("document.getElementById('teach').close()")
    browser.wait_for(LIVE)


def test_a_thing_is_learned_kept_named_and_taken_home(pupil, host, tmp_path):
    begin(pupil, host.url)
    assert pupil.evaluate(LABEL) != "cross"
    assert pupil.evaluate(CHECKED) == "Model checked"
    teach(pupil, "cross")
    assert pupil.evaluate(TROUBLE) == ""
    assert "cross is learned" in pupil.evaluate(REPORT)
    close(pupil)
    pupil.wait_for(f"{LABEL} === 'cross'")
    # What the page says of itself is of the model as it was exported.
    assert pupil.evaluate(CHECKED) == TAUGHT
    begin(pupil, host.url)
    assert pupil.evaluate("edgetl.ready")["golden"] == "passed"
    assert pupil.evaluate("edgetl.ready")["labels"] == list(Bundle.open(LEARNING).labels)
    pupil.wait_for(f"{LABEL} === 'cross'")
    assert pupil.evaluate(CHECKED) == TAUGHT
    click(pupil, "open-kept")
    pupil.wait_for("!document.getElementById('kept-save').disabled")
    report = import_collected(save(pupil, tmp_path), tmp_path / "photos", keep_similar=True)
    assert not report.refused
    assert not report.doubted
    assert {(one.suggested, one.corrected) for one in report.imported} == {("cross", True)}
    pupil.evaluate("document.getElementById('kept').close()")
    click(pupil, "teach-undo")
    pupil.wait_for(f"{LESSONS}.length === 0 && {CHECKED} === 'Model checked'")
    pupil.wait_for(f"{LIVE} && {LABEL} !== 'cross'")


def test_the_place_is_learned_as_nothing_known(pupil, host):
    begin(pupil, host.url)
    click(pupil, "teach-open")
    pupil.evaluate("document.getElementById('place-seconds').value = '2'")
    click(pupil, "teach-place")
    pupil.wait_for(f"!{OPEN}")
    pupil.wait_for(OPEN, 60)
    assert pupil.evaluate(TROUBLE) == ""
    assert pupil.evaluate(LESSONS) == ["Nothing known"]
    close(pupil)
    pupil.wait_for(f"{LABEL} === 'Unknown'")
    bars = "[...document.querySelectorAll('#top bdi')].map((one) => one.textContent)"
    assert "unknown" in pupil.evaluate(bars)


def test_lessons_of_another_bundle_are_not_used(pupil, own_site, host):
    begin(pupil, host.url)
    teach(pupil, "cross")
    assert pupil.evaluate(LESSONS) == ["cross"]

    def touch(manifest: dict) -> None:
        manifest["provenance"]["version"] = "another"

    change_manifest(own_site, touch)
    pupil.evaluate("caches.keys().then((all) => Promise.all(all.map((one) => caches.delete(one))))")
    begin(pupil, host.url)
    assert pupil.evaluate(CHECKED) == "Model checked"
    assert pupil.evaluate(LABEL) != "cross"
    others = "document.getElementById('lessons-others').textContent"
    assert "1 lesson is of another model" in pupil.evaluate(others)


def test_what_is_no_name_is_refused_before_anything_is_shown(pupil, host):
    begin(pupil, host.url)
    for name in ("", "a/b", "unknown"):
        teach(pupil, name)
        assert pupil.evaluate(OPEN)
        assert pupil.evaluate(TROUBLE) != ""
        close(pupil)
    assert pupil.evaluate(CHECKED) == "Model checked"


def test_a_take_can_be_cancelled(pupil, host):
    begin(pupil, host.url)
    click(pupil, "teach-open")
    pupil.evaluate("document.getElementById('teach-name').value = 'cross'")
    click(pupil, "teach-thing")
    pupil.wait_for("document.body.dataset.taking === 'teach'")
    click(pupil, "take-cancel")
    pupil.wait_for("document.body.dataset.taking === undefined")
    pupil.wait_for(LIVE)
    assert pupil.evaluate(LESSONS) == []


def find_alpha(browser: Browser) -> np.ndarray:
    width, height, values = browser.evaluate(ALPHA)
    return np.array(values, float).reshape(height, width)


def test_every_browser_shows_where_the_evidence_lies_as_the_device_does(any_browser, host):
    any_browser.open(host.url)
    any_browser.evaluate("edgetl.ready.then(() => 0)")
    any_browser.evaluate("document.getElementById('why').click()")
    show = """(async () => {
      const blob = await (await fetch(ADDRESS)).blob();
      const files = new DataTransfer();
      files.items.add(new File([blob], '0.png', {type: 'image/png'}));
      const input = document.getElementById('file');
      input.files = files.files;
      input.dispatchEvent(new Event('change'));
    })()"""
    folder = next(Path(host.folder).glob("v-*")).name
    any_browser.evaluate(show.replace("ADDRESS", f"'{folder}/bundle/golden/0.png'"))
    any_browser.wait_for(f"{STATE} === 'photo' && {ANSWERED} && {HEAT}", 30)
    found = find_alpha(any_browser)
    classifier = Classifier.open(LEARNING, variant=VARIANT)
    picture = decode_picture(GOLDEN.read_bytes())
    heat = classifier.explain(picture)
    height, width = picture.shape[:2]
    window = find_window(classifier.bundle.manifest.preprocessing, width, height)
    expected = spread(heat.levels, window, width, height) * 0.75 * 255
    x, y = window.find(heat.hottest)
    rows, columns = np.mgrid[:height, :width]
    # The ring lies over it, too.
    away = np.hypot(rows - y, columns - x) > 3 + max(3, min(height, width) / 28) * 1.5
    assert found.shape == expected.shape
    assert np.abs(found - expected)[away].mean() < 4
    assert any_browser.evaluate("document.getElementById('why-label').textContent") == heat.label
    any_browser.evaluate("document.getElementById('why').click()")
    assert not any_browser.evaluate(HEAT)


def test_live_and_frozen_pictures_are_explained(pupil, host):
    begin(pupil, host.url)
    click(pupil, "why")
    pupil.wait_for(HEAT)
    click(pupil, "freeze")
    pupil.wait_for(f"{STATE} === 'frozen' && {HEAT}")
    assert find_alpha(pupil).max() > 150
    click(pupil, "freeze")
    click(pupil, "why")
    pupil.wait_for(f"{LIVE} && !{HEAT}")


def test_a_model_without_a_memory_offers_neither(pupil, page, tmp_path):
    folder = write_site(Bundle.open(TINY), tmp_path / "plain").path
    with Host(folder) as plain:
        pupil.open(plain.url)
        pupil.evaluate("edgetl.ready.then(() => 0)")
        assert pupil.evaluate("document.getElementById('teach-open').disabled")
        assert pupil.evaluate("document.getElementById('why').hidden")


def test_the_site_carries_the_memory(site):
    bundle = Bundle.open(LEARNING)
    memory = bundle.variant(VARIANT).memory
    assert memory
    (file,) = site.glob(f"v-*/bundle/{memory.file}")
    assert file.read_bytes() == bundle.read(memory)
