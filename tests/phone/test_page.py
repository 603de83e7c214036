"""The page in three browsers: it checks itself, classifies, and talks to nobody else."""

import base64
from pathlib import Path

import pytest

from edgetl_export.phone.serving import SiteServer
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.classifier import Classifier
from tests.browsers.browser import Browser
from tests.phone.conftest import TINY

READY = "edgetl.ready"


def classify(browser: Browser, image: Path) -> dict:
    """What the page answers for an image file."""
    data = base64.b64encode(image.read_bytes()).decode()
    return browser.evaluate(
        f"edgetl.classify(new Blob([Uint8Array.from(atob('{data}'), (one) => one.charCodeAt(0))]))"
    )


@pytest.fixture
def opened(any_browser: Browser, served: SiteServer) -> Browser:
    any_browser.open(served.url)
    return any_browser


def test_the_golden_frames_pass_in_every_browser(opened):
    ready = opened.evaluate(READY)
    assert ready["golden"] == "passed"
    assert ready["worst_difference"] < Bundle.open(TINY).variant("litert-int8").golden_tolerance
    assert ready["labels"] == list(Bundle.open(TINY).labels)
    assert ready["variant"] == "litert-int8"


def test_webkit_takes_the_build_for_iphones(webkit, served):
    webkit.open(served.url)
    assert webkit.evaluate(READY)["build"] == "compat"


def test_a_golden_frame_is_classified_as_on_the_device(opened):
    opened.evaluate(READY)
    classifier = Classifier.open(TINY, variant="litert-int8")
    for golden in sorted((TINY / "golden").glob("*.png")):
        expected, found = classifier(golden), classify(opened, golden)
        assert found["label"] == expected.label
        assert found["score"] == pytest.approx(expected.score, abs=0.02)
        assert [one["label"] for one in found["top"]] == [name for name, _ in expected.top()]
