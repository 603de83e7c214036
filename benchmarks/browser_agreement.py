"""The page's answers in each browser beside those of the Python runtime, on real photos."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from arena import INT8, link, start, write
from data import test_data

from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.prediction import Prediction
from tests.browsers.browser import Browser
from tests.browsers.hosting import Host

AT_ONCE = 10
BENCH_RUNS = 20
CLASSIFY = """
(async () => {{
  const answers = [];
  for (const path of {}) {{
    const response = await fetch(path);
    answers.push(await edgetl.classify(await response.blob()));
  }}
  return answers;
}})()
"""


def measure_agreement(
    bundle: Bundle, browsers: list[str], work: Path, count: int
) -> Iterator[dict]:
    """For each browser how many photos have the same best label, and how far scores are apart."""
    folder = work / "agreement"
    photos = choose(count)
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    for number, photo in enumerate(photos):
        link(folder / "photos" / f"{number}.jpg", photo)
    write(bundle, folder)
    classifier = Classifier.open(bundle.path, variant=INT8)
    expected = [classifier(photo) for photo in photos]
    with Host(folder) as host:
        for name in browsers:
            with start(name, work) as browser:
                browser.open(f"{host.url}site/")
                yield describe(bundle, browser, expected)


def choose(count: int) -> list[Path]:
    """Photos at equal steps through all of TrashNet, in order."""
    photos = sorted((test_data() / "trashnet").glob("*/*.jpg"))
    return [photos[index * len(photos) // count] for index in range(min(count, len(photos)))]


def describe(bundle: Bundle, browser: Browser, expected: list[Prediction]) -> dict:
    ready = browser.evaluate("edgetl.ready")
    answers = classify(browser, len(expected))
    pairs = list(zip(answers, expected, strict=True))
    differences = [measure_difference(answer, one) for answer, one in pairs]
    same = [answer["top"][0]["label"] == one.labels[one.index] for answer, one in pairs]
    report = browser.evaluate(f"edgetl.bench({BENCH_RUNS})")
    return {
        "bundle": bundle.path.name,
        "browser": browser.name,
        "build": ready["build"],
        "golden_difference": ready["worst_difference"],
        "photos": len(pairs),
        "same_top1": sum(same),
        "same_label": sum(answer["label"] == one.label for answer, one in pairs),
        "largest_difference": max(differences),
        "median_difference": float(np.median(differences)),
        "wasm_mib": report["browser"]["wasm_memory_mib"],
    }


def classify(browser: Browser, count: int) -> list[dict]:
    """What the page answers, a few photos at a time."""
    paths = [f"/photos/{number}.jpg" for number in range(count)]
    answers: list[dict] = []
    for first in range(0, count, AT_ONCE):
        answers += browser.evaluate(CLASSIFY.format(json.dumps(paths[first : first + AT_ONCE])))
    return answers


def measure_difference(answer: dict, expected: Prediction) -> float:
    """Largest difference of a score, of the labels that the page tells (the best five)."""
    known = dict(zip(expected.labels, expected.scores, strict=True))
    return float(max(abs(one["score"] - known[one["label"]]) for one in answer["top"]))
