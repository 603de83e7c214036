"""The live page in a real browser: it shows what is, in plain words, and runs no foreign code."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from edgetl_runtime.answers import Answer, make_event
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.capture.feed import FeedStatus
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.outputs.output import OutputStatus
from edgetl_runtime.pipeline.pipeline import Pipeline
from edgetl_runtime.pipeline.status import Status
from edgetl_runtime.prediction import Prediction
from edgetl_runtime.serving.server import PageServer
from edgetl_runtime.settings.sections import ServeSettings
from edgetl_runtime.system.board import Health
from edgetl_runtime.system.clock import format_time
from edgetl_runtime.system.percentiles import Percentiles

TOKEN = "correct-horse-battery-staple"
TINY = Path(__file__).parent / "data" / "tiny.bundle"
NASTY = {
    "markup": "<img src=x onerror=alert(1)><script>document.title='owned'</script>",
    "right to left": "\u202eقفل الباب\u202c \u202egnp.exe",
    "emoji": "👩‍🔧🔩🏳️‍🌈 schraube",
    "long": "w" * 200,
    "words": "a label of many words that goes on " * 6,
}
TROUBLE = {
    "degraded": ("mqtt: the broker is away", "Running, with a problem"),
    "stale": ("the last answer is 7 s old", "old"),
    "no_camera": ("/dev/video0 is not there", "camera"),
    "failed": ("the model outputs values that are not probabilities", "model"),
}
LIVE = "document.querySelector('#view').dataset.shown === 'live'"


class StillFeed:
    """Satisfies `FrameFeed`; nothing comes."""

    source, live = "camera", True

    def take(self, timeout_s: float) -> None:
        return None

    def status(self) -> FeedStatus:
        return FeedStatus("delivering", "", (640, 480), 30.0)

    def close(self) -> None:
        pass


class Board:
    """A board of which the test decides how it is; its status is a pipeline's, with changes."""

    def __init__(self, classifier: Classifier) -> None:
        self.classify = classifier
        pipeline = Pipeline(classifier, StillFeed())
        times = Percentiles(3.0, 5.0, 7, 9.0, 3.0)
        self.now: Status = msgspec.structs.replace(
            pipeline.status(),
            **{"state": "ok", "reason": "", "uptime_s": 90_061.0, "answered": 1234, "fps": 29.5},
            **dict.fromkeys(("preprocess_ms", "invoke_ms", "age_ms"), times),
            board=Health(51.0, False),
            outputs=(OutputStatus("mqtt", 12, 0, 0, ""),),
        )
        self.labels = ("bolt", "gear", "washer")
        self.page: PageServer | None = None
        self.events = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._feed)

    def status(self) -> Status:
        return self.now

    def change(self, **fields: object) -> None:
        self.now = msgspec.structs.replace(self.now, **fields)

    def serve(self, port: int = 0, **settings: object) -> str:
        self.page = PageServer(ServeSettings(port=port, **{"token": TOKEN} | settings))
        return self.page.start(self)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        if self.page:
            self.page.close()

    def _feed(self) -> None:
        picture = np.full((480, 640, 3), 90, np.uint8)
        cv2.circle(picture, (320, 240), 120, (40, 160, 220), -1)
        number = 0
        while not self._stop.wait(0.03):
            number += 1
            if self.page and self.now.state in ("ok", "degraded"):
                output = self.page.output
                shown = picture if output.wants_picture() else None
                answer = self._answer(number, shown)
                if output.accepts(answer):
                    output.write(answer)

    def _answer(self, number: int, picture: np.ndarray | None) -> Answer:
        scores = np.array((0.8, 0.15, 0.05), np.float32)
        now = time.monotonic()
        one = Prediction(self.labels, scores, 0.5, now - 0.03, now, 1.2, 8.0 + number % 3)
        label, event = self.labels[0], None
        if number == 1 or self.events == 0:
            self.events += 1
            event = make_event(self.events, label, None, 0.8)
        return Answer(
            *("camera", number, (640, 480), one, scores, label, 0.8, False, False),
            *(event, format_time(time.time()), picture),
        )


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.open(Bundle.open(TINY))


@pytest.fixture
def board(classifier: Classifier, browser) -> Iterator[Board]:
    board = Board(classifier)
    board.start()
    yield board
    # Away from the page, so that it does not complain about a server that is gone.
    browser.open("about:blank")
    board.close()


@pytest.fixture
def shown(board: Board, browser) -> Callable[..., str]:
    """Opens the page and waits until it is live."""

    def show(**options: object) -> str:
        url = board.serve()
        browser.open(f"{url}?token={TOKEN}", **options)
        browser.wait_for(LIVE)
        return url

    return show


def text(place: str) -> str:
    return f"document.querySelector('{place}').textContent"


def test_the_page_shows_picture_label_figures_and_chart(shown, board, browser):
    url = shown()
    browser.wait_for(f"{text('#label')} === 'bolt'")
    browser.wait_for("document.querySelectorAll('#top li').length === 3")
    assert browser.evaluate("document.querySelector('#picture').naturalWidth") == 640
    assert browser.evaluate(text("#top li .value")) == "80 %"
    bar = "document.querySelector('#top .fill').getBoundingClientRect().width"
    track = "document.querySelector('#top .track').getBoundingClientRect().width"
    browser.wait_for(f"Math.abs({bar} / {track} - 0.8) < 0.01")
    browser.wait_for("document.querySelectorAll('#chart path.age').length === 1")
    browser.wait_for(f"{text('#fps')} === '29.5'")
    assert browser.evaluate(text("#temperature")) == "51"
    assert browser.evaluate(text("#events bdi")) == "bolt"
    assert "1 d 1 h" in browser.evaluate(text("#counts"))
    assert "tiny.bundle" in browser.evaluate("document.title")
    assert browser.evaluate("document.querySelector('#banner').hidden") is True
    assert all(one.startswith(url) for one in browser.requests())
    assert browser.complaints() == []


@pytest.mark.parametrize("width", [320, 375, 1280])
@pytest.mark.parametrize("kind", sorted(NASTY))
def test_a_label_is_only_ever_text_and_fits_the_screen(shown, board, browser, kind, width):
    label = NASTY[kind]
    board.labels = (label, label + "2", label + "3")
    board.change(bundle=f"/models/{label.replace('/', '_')}", reason=label, state="degraded")
    shown(width=width, height=812)
    quoted = msgspec.json.encode(label).decode()
    browser.wait_for(f"{text('#label')} === {quoted}")
    browser.wait_for(f"{text('#banner-reason')} === {quoted}")
    browser.wait_for("document.querySelectorAll('#events li').length > 0")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate("document.scripts.length") == 1
    assert browser.evaluate("document.querySelectorAll('main img').length") == 2
    assert browser.evaluate("document.title") != "owned"
    assert browser.complaints() == []


@pytest.mark.parametrize("state", sorted(TROUBLE))
def test_trouble_is_named_in_plain_words(shown, board, browser, state):
    shown()
    reason, word = TROUBLE[state]
    board.change(state=state, reason=reason, last_answer_age_s=7.0)
    browser.wait_for(f"{text('#banner-reason')} === '{reason}'")
    assert word in browser.evaluate(text("#banner-title"))
    assert browser.evaluate("document.querySelector('#banner').getAttribute('role')") == "status"
    is_live = state == "degraded"
    assert browser.evaluate(LIVE) is is_live
    assert (browser.evaluate(text("#label")) == "bolt") is is_live
    assert bool(browser.evaluate("document.querySelectorAll('#top li').length")) is is_live
    board.change(state="ok", reason="")
    browser.wait_for("document.querySelector('#banner').hidden")
    browser.wait_for(f"{LIVE} && {text('#label')} === 'bolt'")


def test_an_output_that_fails_and_a_board_that_throttles_are_shown(shown, board, browser):
    shown()
    failing = OutputStatus("mqtt", 12, 3, 4, "the broker is away")
    board.change(outputs=(failing,), board=Health(82.0, True))
    browser.wait_for("!document.querySelector('#throttled').hidden")
    assert browser.evaluate(text("#outputs .note")) == "the broker is away"
    assert browser.evaluate("document.querySelector('#outputs li').className") == "bad"
    assert browser.evaluate("document.querySelector('#heat').className") == "hot"


def test_what_differs_from_the_validation_photos_is_shown(shown, board, browser):
    shown()
    verdict = "<b>gear</b> is seen twice as often as in the photos"
    board.change(drift=msgspec.structs.replace(board.now.drift, verdicts=(verdict,)))
    found = "document.querySelector('#drift bdi')?.textContent"
    browser.wait_for(f"{found} === {json.dumps(verdict)}")


def test_a_board_that_is_gone_is_named_and_comes_back_by_itself(shown, board, browser):
    url = shown()
    board.page.close()
    browser.wait_for("document.querySelector('#chip').dataset.state === 'lost'")
    assert "lost; reconnecting" in browser.evaluate(text("#banner-title"))
    assert browser.evaluate(f"{LIVE} || {text('#label')} === 'bolt'") is False
    board.serve(port=int(url.rstrip("/").rpartition(":")[2]))
    browser.wait_for(f"{LIVE} && {text('#label')} === 'bolt'")
    assert browser.evaluate("document.querySelector('#banner').hidden") is True


def test_nothing_is_streamed_to_a_page_that_was_left(shown, board, browser):
    shown()
    assert board.page.output.watching == 1
    browser.open("about:blank")
    deadline_s = time.monotonic() + 20
    while board.page.output.watching:
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_the_picture_can_be_paused(shown, board, browser):
    shown()
    browser.evaluate("document.querySelector('#pause').click()")
    browser.wait_for("document.querySelector('#view').dataset.shown === 'none'")
    assert browser.evaluate("document.querySelector('#pause').ariaPressed") == "true"
    browser.evaluate("document.querySelector('#pause').click()")
    browser.wait_for(LIVE)


def test_a_picture_of_ones_own_is_classified(shown, board, browser, tmp_path, classifier):
    shown()
    picture = cv2.imread(str(TINY / "golden" / "0.png"))
    path = tmp_path / "mine.png"
    cv2.imwrite(str(path), picture)
    browser.choose_file("#file", path)
    browser.wait_for("document.querySelectorAll('#tried li').length > 0")
    expected = classifier(picture).label or "Unknown"
    assert browser.evaluate(text("#verdict")) == expected
    assert browser.evaluate("document.querySelector('#preview').naturalWidth") > 0
    assert browser.complaints() == []


def test_what_is_no_picture_is_refused_in_words(shown, board, browser, tmp_path):
    shown()
    path = tmp_path / "note.png"
    path.write_bytes(b"no image")
    browser.choose_file("#file", path)
    browser.wait_for("document.querySelector('#verdict').className === 'bad'")
    assert browser.evaluate(text("#verdict")) == "Neither a JPEG nor a PNG image."


def test_the_page_follows_the_dark_mode_and_keeps_its_contrast(shown, board, browser):
    url = shown(scheme="light")
    colours = (
        "['--paper', '--card', '--ink', '--quiet', '--accent', '--warn', '--bad', '--warn-soft',"
        " '--bad-soft'].map((name) => getComputedStyle(document.documentElement)"
        ".getPropertyValue(name))"
    )
    seen = {}
    for scheme in ("light", "dark"):
        browser.open(url, scheme=scheme)
        seen[scheme] = [luminance(one) for one in browser.evaluate(colours)]
        paper, card, ink, quiet, accent, warn, bad, warn_soft, bad_soft = seen[scheme]
        for ground in (paper, card):
            assert min(contrast(one, ground) for one in (ink, quiet, accent, warn, bad)) >= 4.5
        for one, ground in ((warn, warn_soft), (bad, bad_soft), (ink, warn_soft), (ink, bad_soft)):
            assert contrast(one, ground) >= 4.5
    assert seen["light"][0] > 0.5 > seen["dark"][0]


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    levels = [int(colour.strip()[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in levels]
    return sum(weight * one for weight, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: float, other: float) -> float:
    """Contrast ratio (WCAG 2.2)."""
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


def test_nothing_moves_for_who_does_not_want_it(shown, board, browser):
    shown(motion="reduce")
    moving = "[...document.querySelectorAll('*')].filter((one) => "
    moving += "getComputedStyle(one).transitionDuration !== '0s').length"
    assert browser.evaluate(moving) == 0


def test_the_page_can_be_heard_and_used_with_keys_alone(shown, board, browser):
    shown()
    browser.wait_for(f"{text('#spoken')} === 'bolt'")
    assert browser.evaluate("document.querySelector('#spoken').ariaLive") == "polite"
    tree = browser.call("Accessibility.getFullAXTree")["nodes"]
    named = {
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in tree
        if not node["ignored"]
    }
    for role, name in (
        *(("button", "Pause"), ("image", "Live view of the camera")),
        *(("heading", "Label"), ("heading", "Changes"), ("list", "Best labels")),
    ):
        assert (role, name) in named, sorted(named)
    reached = []
    for _ in range(4):
        for kind in ("keyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", windowsVirtualKeyCode=9)
        reached.append(browser.evaluate("document.activeElement.id"))
    assert reached[:3] == ["pause", "events", "file"]


def test_the_address_with_the_token_opens_the_page_and_leaves_no_trace(board, browser):
    url = board.serve(host="0.0.0.0", token=None)
    browser.open(url)
    browser.wait_for(LIVE)
    assert browser.evaluate("location.search + location.pathname") == "/"
    assert browser.evaluate("document.cookie") == ""
    assert browser.evaluate("fetch('/api/state').then((answer) => answer.status)") == 200
    clean = url.partition("?")[0]
    browser.call("Network.clearBrowserCookies")
    browser.open(clean)
    assert "A token is required" in browser.evaluate("document.body.textContent")


@pytest.fixture
def start_device(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], str]]]:
    """Starts `edgetl-run serve` on a test pattern; gives the process and its address."""
    started: list[subprocess.Popen[str]] = []

    def start(port: int, *flags: str) -> tuple[subprocess.Popen[str], str]:
        command = [
            sys.executable,
            "-m",
            "edgetl_runtime",
            "serve",
            str(TINY),
            "--source",
            "pattern",
        ]
        options = ["--port", str(port), "--terminal", "none", *flags]
        process = subprocess.Popen(
            [*command, *options], stderr=subprocess.PIPE, text=True, cwd=tmp_path
        )
        started.append(process)
        assert process.stderr
        told = next(line for line in process.stderr if "the page is at" in line)
        return process, re.search(r"http:\S+[^;\s]", told)[0]

    yield start
    for process in started:
        process.kill()
        with process:
            pass


def test_a_device_that_is_killed_and_started_again_is_back_on_the_page(start_device, browser):
    process, url = start_device(0, "--token", TOKEN)
    browser.open(f"{url}?token={TOKEN}", width=375, height=812)
    browser.wait_for(LIVE)
    browser.wait_for("document.querySelectorAll('#top li').length === 3")
    process.kill()
    browser.wait_for("document.querySelector('#chip').dataset.state === 'lost'")
    assert browser.evaluate(LIVE) is False
    process.wait(10)
    process, _ = start_device(int(url.rstrip("/").rpartition(":")[2]), "--token", TOKEN)
    browser.wait_for(LIVE)
    browser.open("about:blank")
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert "Traceback" not in process.stderr.read()


def test_a_page_whose_token_is_of_yesterday_says_that_it_is_wrong(start_device, browser):
    process, url = start_device(0)
    browser.open(url)
    browser.wait_for(LIVE)
    process.kill()
    process.wait(10)
    _, other = start_device(int(url.split("/")[2].rpartition(":")[2]))
    assert other != url
    browser.wait_for("document.title === 'This token is wrong'")
    browser.open(other)
    browser.wait_for(LIVE)
    browser.open("about:blank")
