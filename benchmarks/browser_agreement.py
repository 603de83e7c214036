"""The page's and MediaPipe's answers beside those of the Python runtime, on real photos.

Half of the photos show things of the classes (TrashNet), half show batteries and cigarettes.
MediaPipe, which resizes by its own rule, is given the model's inputs.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from arena import INT8, ROOT, link, start, write
from data import test_data

from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.prediction import Prediction
from tests.browsers.browser import Browser
from tests.browsers.hosting import Host

AT_ONCE = 10
OTHER_THINGS = ("battery", "cigarette")
MEDIAPIPE = ROOT / ".venv-mediapipe" / "bin" / "python"
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
    if MEDIAPIPE.is_file():
        yield ask_mediapipe(classifier, photos, expected, folder)


def choose(count: int) -> list[Path]:
    """Evenly spaced photos of TrashNet, and as many of other things."""
    known = sorted((test_data() / "trashnet").glob("*/*.jpg"))
    others = [one for name in OTHER_THINGS for one in (test_data() / "rubbish" / name).iterdir()]
    return [*spread(known, count // 2), *spread(sorted(others), count // 2)]


def spread(photos: list[Path], count: int) -> list[Path]:
    return [photos[index * len(photos) // count] for index in range(min(count, len(photos)))]


def ask_mediapipe(
    classifier: Classifier, photos: list[Path], expected: list[Prediction], folder: Path
) -> dict:
    apply = classifier.bundle.manifest.preprocessing.apply
    inputs = [folder / f"{number}.png" for number in range(len(photos))]
    for file, photo in zip(inputs, photos, strict=True):
        cv2.imwrite(str(file), cv2.cvtColor(apply(read_picture(photo)), cv2.COLOR_RGB2BGR))
    model = classifier.bundle.path / classifier.variant.file
    command = [MEDIAPIPE, ROOT / "benchmarks" / "mediapipe_client.py", model, *inputs]
    said = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    same = [one == name_best(other) for one, other in zip(said["labels"], expected, strict=True)]
    return {
        "bundle": classifier.bundle.path.name,
        "client": "MediaPipe Tasks",
        "photos": len(same),
        "unknown": sum(map(is_unknown, expected)),
        "same_top1": sum(same),
    }


def name_best(prediction: Prediction) -> str:
    return prediction.labels[prediction.index]


def is_unknown(prediction: Prediction) -> bool:
    return prediction.index == prediction.unknown


def describe(bundle: Bundle, browser: Browser, expected: list[Prediction]) -> dict:
    ready = browser.evaluate("edgetl.ready")
    answers = classify(browser, len(expected))
    pairs = list(zip(answers, expected, strict=True))
    differences = [measure_difference(answer, one) for answer, one in pairs]
    same = [answer["top"][0]["label"] == name_best(one) for answer, one in pairs]
    report = browser.evaluate(f"edgetl.bench({BENCH_RUNS})")
    return {
        "bundle": bundle.path.name,
        "client": browser.name,
        "build": ready["build"],
        "golden_difference": ready["worst_difference"],
        "photos": len(pairs),
        "unknown": sum(map(is_unknown, expected)),
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
