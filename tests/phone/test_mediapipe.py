"""MediaPipe's own client for the browser reads our file: labels, input and scores.

`make test` installs the peers of benchmarks/browser; nothing comes from a CDN.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgetl_export.package.metadata import ModelInfo, add_tflite_metadata
from edgetl_runtime.bundle.golden_frames import measure_deviation, prepare
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.prediction import Scores
from tests.browsers.chromium import Chromium
from tests.browsers.hosting import Host

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "tests" / "data" / "tiny.bundle"
CLIENT = ROOT / "benchmarks" / "browser" / "node_modules" / "@mediapipe" / "tasks-vision"
VARIANTS = ("litert-int8", "litert-float32")
# The client reports its use to Google (the "Privacy Notice" of its README); this policy keeps it
# from that.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; img-src 'self' blob:"
)
PAGE = (
    f"""<!doctype html>
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>MediaPipe</title>
"""
    + """<script type="module">
import { FilesetResolver, ImageClassifier } from "./client/vision_bundle.mjs";
window.classify = async (model, pictures) => {
  const vision = await FilesetResolver.forVisionTasks("./client/wasm");
  const classifier = await ImageClassifier.createFromOptions(vision, {
    baseOptions: { modelAssetPath: model, delegate: "CPU" },
  });
  const answers = [];
  for (const source of pictures) {
    const picture = new Image();
    picture.src = source;
    await picture.decode();
    answers.push(classifier.classify(picture).classifications[0].categories.map(
      (one) => [one.categoryName, one.score]));
  }
  classifier.close();
  return answers;
};
window.ready = true;
</script>
"""
)

needs_client = pytest.mark.skipif(
    not CLIENT.is_dir(),
    reason="no MediaPipe for the browser: `make test` installs it with npm (Node.js)",
)
pytestmark = needs_client

Ask = Callable[[bytes], list[list[tuple[str, float]]]]


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.open(TINY)


@pytest.fixture(scope="module")
def site(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder that is served, with the client and the golden frames, and its address."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "index.html").write_text(PAGE)
    (folder / "client").symlink_to(CLIENT)
    for number, pixels in enumerate(prepare(bundle)):
        # As our preprocessing makes them, so that no other resize rule matters.
        cv2.imwrite(str(folder / f"{number}.png"), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    with Host(folder) as host:
        yield folder, host.url


@pytest.fixture(scope="module")
def ask(browser: Chromium, site: tuple[Path, str], bundle: Bundle) -> Ask:
    """Has MediaPipe classify the golden frames: (label, score) of each that it names, in order."""
    folder, address = site
    browser.open(f"{address}index.html")
    browser.wait_for("window.ready")
    pictures = [f"{number}.png" for number in range(len(bundle.manifest.golden))]

    def ask(model: bytes) -> list[list[tuple[str, float]]]:
        # A name of its own: the browser's cache may hold an earlier one.
        name = f"{hashlib.sha256(model).hexdigest()}.tflite"
        (folder / name).write_bytes(model)
        found = browser.evaluate(f"classify({json.dumps(name)}, {json.dumps(pictures)})")
        return [[(label, score) for label, score in answers] for answers in found]

    return ask


def describe(bundle: Bundle, **changes: Any) -> ModelInfo:
    size = bundle.manifest.preprocessing
    named = dict.fromkeys(("name", "description", "version", "author", "license"), "x")
    known = {"labels": bundle.labels, "width_px": size.width_px, "height_px": size.height_px}
    return ModelInfo(**named, **known | changes)


def order(bundle: Bundle, answers: list[list[tuple[str, float]]]) -> Scores:
    """float32 (frames, classes), in the order of our labels."""
    return np.array([[dict(one)[label] for label in bundle.labels] for one in answers], np.float32)


@pytest.mark.parametrize("name", VARIANTS)
def test_mediapipe_in_a_browser_names_our_labels_with_our_scores(
    name: str, bundle: Bundle, ask: Ask
) -> None:
    variant = bundle.variant(name)
    # Without a threshold all labels are named.
    model = add_tflite_metadata(bundle.read(variant), describe(bundle))
    found = ask(model)
    expected = np.array(variant.golden_scores, np.float32)
    deviation = measure_deviation(expected, order(bundle, found))
    assert deviation <= variant.golden_tolerance
    ours = [bundle.labels[n] for n in expected.argmax(axis=1)]
    assert [answers[0][0] for answers in found] == ours


def test_the_exported_file_as_it_is_names_our_label_above_its_threshold(
    bundle: Bundle, ask: Ask
) -> None:
    found = ask(bundle.read(bundle.variant("litert-int8")))
    expected = np.array(bundle.variant("litert-int8").golden_scores)
    named = [answers[0][0] if answers else None for answers in found]
    ours = [bundle.labels[n] for n in expected.argmax(axis=1)]
    assert any(named)
    assert all(theirs in (label, None) for theirs, label in zip(named, ours, strict=True))
    sure = expected.max(axis=1).argmax()
    assert named[sure] == ours[sure]


def test_the_label_names_come_from_the_metadata(bundle: Bundle, ask: Ask) -> None:
    labels = ("Schraube groß", "螺母, M5", 'it\'s a "nut"')
    model = add_tflite_metadata(
        bundle.read(bundle.variant("litert-int8")), describe(bundle, labels=labels)
    )
    expected = np.array(bundle.variant("litert-int8").golden_scores).argmax(axis=1)
    assert [answers[0][0] for answers in ask(model)] == [labels[n] for n in expected]


def test_the_threshold_in_the_metadata_rejects(bundle: Bundle, ask: Ask) -> None:
    scores = np.array(bundle.variant("litert-int8").golden_scores).max(axis=1)
    threshold = float(np.sort(scores)[-2:].mean())
    model = add_tflite_metadata(
        bundle.read(bundle.variant("litert-int8")), describe(bundle, reject_threshold=threshold)
    )
    assert [bool(answers) for answers in ask(model)] == (scores > threshold).tolist()


def test_the_policy_keeps_the_client_from_asking_anybody_else(
    browser: Chromium, site: tuple[Path, str], ask: Ask, bundle: Bundle
) -> None:
    assert ask(bundle.read(bundle.variant("litert-int8")))
    browser.evaluate("new Promise((done) => setTimeout(done, 500))")
    asked = {
        one["requestId"]: one["request"]["url"] for one in list_events(browser, "requestWillBeSent")
    }
    failed = list_events(browser, "loadingFailed")
    blocked = {one["requestId"] for one in failed if one.get("blockedReason") == "csp"}
    ours = (site[1], "blob:", "data:")
    assert f"{site[1]}client/vision_bundle.mjs" in asked.values()
    assert {
        url for n, url in asked.items() if n not in blocked and not url.startswith(ours)
    } == set()


def list_events(browser: Chromium, name: str) -> list[dict[str, Any]]:
    return [event["params"] for event in browser.events if event["method"] == f"Network.{name}"]
