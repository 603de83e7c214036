"""The live page of a real board in a browser: it explains, is taught, and says what came of it."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

TOKEN = "correct-horse-battery-staple"
DATA = Path(__file__).parent / "data"
LIVE = "document.querySelector('#view').dataset.shown === 'live'"
SIZE_PX = 96


def draw_cross(seed: int) -> np.ndarray:
    """A dark cross before a light wall, on the left half, uint8 BGR."""
    random = np.random.default_rng(seed)
    wall = int(random.integers(150, 230)) + random.normal(0, 4, (SIZE_PX, SIZE_PX, 3))
    image = wall.clip(0, 255).astype(np.uint8)
    x, y, arm = int(random.integers(26, 34)), int(random.integers(30, 66)), 20
    for side in (1, -1):
        cv2.line(image, (x - arm, y - side * arm), (x + arm, y + side * arm), (40, 40, 40), 9)
    return image


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "crosses.avi"
    size = (SIZE_PX, SIZE_PX)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, size)
    for seed in range(30):
        writer.write(draw_cross(seed))
    writer.release()
    return path


@pytest.fixture
def shown(tmp_path: Path, film: Path, browser) -> Iterator[Callable[..., Path]]:
    """Starts a board on a copy of a bundle, and opens its page."""
    started: list[subprocess.Popen[str]] = []

    def show(name: str, **options: object) -> Path:
        bundle = Path(shutil.copytree(DATA / name, tmp_path / name))
        command = [sys.executable, "-m", "edgetl_runtime", "serve", str(bundle)]
        source = ["--source", str(film), "--realtime", "--loop", "--terminal", "none"]
        process = subprocess.Popen(
            [*command, *source, "--port", "0", "--token", TOKEN], stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stderr
        told = next(line for line in process.stderr if "the page is at" in line)
        url = re.search(r"http:\S+[^;\s]", told)[0]
        browser.open(f"{url}?token={TOKEN}", **options)
        browser.wait_for(LIVE)
        return bundle

    yield show
    browser.open("about:blank")
    for process in started:
        process.kill()
        with process:
            pass


def text(place: str) -> str:
    return f"document.querySelector('{place}').textContent"


def is_shown(place: str) -> str:
    return f"document.querySelector('{place}')?.checkVisibility() === true"


def click(browser, place: str) -> None:
    browser.evaluate(f"document.querySelector('{place}').click()")


def teach(browser, label: str) -> None:
    browser.evaluate(
        f"document.querySelector('#thing').value = '{label}';"
        "document.querySelector('#teach-thing').requestSubmit()"
    )


def test_a_thing_is_taught_explained_and_forgotten_on_a_phone(shown, browser):
    bundle = shown("learning.bundle", width=375, height=812)
    browser.wait_for(is_shown("#teach-thing"))
    teach(browser, "cross")
    browser.wait_for(f"/^In [123] s/.test({text('#teach-thing button')})")
    browser.wait_for(rf"/cross: \d s left, \d+ frames/.test({text('#taking-told')})")
    assert browser.evaluate(LIVE) is True
    assert browser.evaluate(is_shown("#teach-thing")) is False
    browser.wait_for(f"{text('#taught strong')} === 'Learned: cross'")
    told = browser.evaluate(text("#taught p"))
    assert re.search(r"\d+ of 30 validation photos correct, \d+ before", told)
    browser.wait_for(f"{text('#label')} === 'cross'")
    browser.wait_for(f"{text('#lessons bdi')} === 'cross'")
    assert (bundle.with_name(f"{bundle.name}.overlay") / "overlay.json").is_file()

    click(browser, "#why")
    browser.wait_for(is_shown("#heat-map"))
    browser.wait_for(f"/^cross, /.test({text('#why-told')})")
    canvas, picture = (
        f"JSON.stringify(document.querySelector('{one}').getBoundingClientRect().toJSON())"
        for one in ("#heat-map", "#picture")
    )
    assert (
        browser.evaluate(f"String(JSON.parse({canvas}).height === JSON.parse({picture}).height)")
        == "true"
    )
    assert browser.evaluate("document.documentElement.scrollWidth") <= 375

    click(browser, "#undo")
    browser.wait_for(f"{text('#taught strong')} === 'Undone'")
    named = "[...document.querySelectorAll('#top bdi')].map((one) => one.textContent)"
    browser.wait_for(f"!{named}.includes('cross')")
    browser.wait_for("document.querySelector('#learned').hidden")
    assert browser.complaints() == []


def test_a_map_is_of_the_chosen_class_and_only_made_while_it_is_shown(shown, browser):
    shown("learning.bundle")
    browser.wait_for(is_shown("#why"))
    asked = "performance.getEntriesByType('resource')"
    asked += ".filter((one) => one.name.includes('heat-map')).length"
    assert browser.evaluate(asked) == 0
    click(browser, "#why")
    browser.wait_for(is_shown("#heat-map"))
    browser.evaluate(
        "const choice = document.querySelector('#why-label'); choice.value = 'washer';"
        "choice.dispatchEvent(new Event('change'))"
    )
    browser.wait_for(f"/^washer, /.test({text('#why-told')})")
    click(browser, "#why")
    browser.wait_for("document.querySelector('#heat-map').hidden")
    browser.evaluate("new Promise((done) => setTimeout(done, 700))")
    count = browser.evaluate(asked)
    browser.evaluate("new Promise((done) => setTimeout(done, 1500))")
    assert browser.evaluate(asked) == count > 0


def test_what_cannot_be_taught_is_refused_in_words(shown, browser):
    shown("learning.bundle")
    browser.wait_for(is_shown("#teach-thing"))
    teach(browser, "a/b")
    browser.wait_for(f"{text('#taught strong')} === 'Not begun'")
    assert "that can name a folder" in browser.evaluate(text("#taught p"))
    teach(browser, "cross")
    browser.wait_for(is_shown("#taking-stop"))
    click(browser, "#taking-stop")
    browser.wait_for(f"{text('#taught strong')} === 'Not learned'")
    assert browser.evaluate(text("#taught p")) == "Stopped; nothing was learned."
    assert browser.evaluate(is_shown("#teach-thing")) is True


def test_a_model_without_maps_and_memory_says_so_instead_of_offering_them(shown, browser):
    shown("tiny.bundle")
    browser.wait_for(is_shown("#why-not"))
    browser.wait_for(is_shown("#teach-not"))
    assert browser.evaluate(is_shown("#why")) is False
    assert browser.evaluate(is_shown("#teach-thing")) is False
    assert "which learning needs" in browser.evaluate(text("#teach-not"))
    assert browser.complaints() == []


def test_the_place_is_learned_as_nothing_that_is_known(shown, browser):
    shown("learning.bundle")
    browser.wait_for(is_shown("#teach-place"))
    browser.evaluate(
        "document.querySelector('#there-s').options[0].value = 3;"
        "document.querySelector('#there-s').value = 3;"
        "document.querySelector('#teach-place').requestSubmit()"
    )
    browser.wait_for(f"{text('#taught strong')} === 'Learned: the place'")
    browser.wait_for(f"{text('#label')} === 'Unknown'")
    assert browser.evaluate(text("#meaning")) == "It is none of the things that are known."
    browser.wait_for(f"{text('#top li.first.unknown bdi')} === 'unknown'")
    browser.wait_for(f"{text('#lessons bdi')} === 'nothing that is known'")

    click(browser, "#why")
    browser.wait_for(f"/^unknown; most like (gear|spring|washer), /.test({text('#why-told')})")
    browser.evaluate(
        "const choice = document.querySelector('#why-label'); choice.value = 'washer';"
        "choice.dispatchEvent(new Event('change'))"
    )
    browser.wait_for(f"/^washer, /.test({text('#why-told')})")
