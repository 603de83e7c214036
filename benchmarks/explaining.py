"""Do heat maps show the thing, what do they show without a trained head, and what do they cost?

    EDGETL_TEST_DATA=... .venv/bin/python benchmarks/explaining.py [--work FOLDER] [--count 100]
        [--backbones mobilenet_v2_0.35,mobilenet_v2_1.0,efficientnet_v2_b0]
        [--variants litert-float32,litert-int8] [--json]

A linear head is trained on drawn parts, and another one on TrashNet, each exported; with --work
they are kept and used again. Nothing that is shown was trained on.

- `part`: a drawn part lies in one quarter of a bench. The hottest cell for its class must lie on
  it: within its reach, and half a cell of the coarsest map. `quarter`: in its quarter.
- `half`: two test photos of TrashNet of two classes side by side, each predicted correctly when it
  is alone. For each of the two classes the hottest cell must lie in its photo's half.
- `last`: the same by the last map alone, as Zhou et al. 2016 had it.
- `shuffled`: the same with the numbers of the head's kernel shuffled, the mean of several shuffles.
  Chance is one half in `half`. On a bench with one thing, about one half of all random heads have
  their highest value on the thing, and the others their lowest.
- `cost`: time of an explanation over that of an answer, alternating, by the median; memory of the
  second engine, MB.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from data import test_data

from edgetl.drawings import PARTS, draw_part, draw_part_at
from edgetl.run import Run
from edgetl_runtime import Classifier
from edgetl_runtime.bundle.head import Head
from edgetl_runtime.heatmaps.explainer import Explainer
from edgetl_runtime.image.decoding import read_picture
from edgetl_runtime.image.preprocessing import Frame
from edgetl_runtime.system.memory import rss_mib

BACKBONES = "mobilenet_v2_0.35,mobilenet_v2_1.0,efficientnet_v2_b0"
PHOTOS_A_PART, PHOTO_PX, SCENE_PX = 80, 240, 320
COARSEST_CELLS = 7
PHOTOS_A_CLASS = 20
SHUFFLES = 5
RUNS = 60


class Scene(NamedTuple):
    """A drawn part: where it lies and how far it reaches, as fractions of the picture."""

    picture: Frame
    label: str
    place: tuple[float, float]
    reach: float


Hit = Callable[[Explainer], dict[str, bool]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--backbones", default=BACKBONES)
    parser.add_argument("--variants", default="litert-float32,litert-int8")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = options.work or Path(folder)
        for backbone in options.backbones.split(","):
            for data in ("parts", "trashnet"):
                prepare(work, data, backbone)
            for variant in options.variants.split(","):
                record = measure_apart(work, backbone, variant, options.count)
                print(json.dumps(record) if options.json else tell(record), flush=True)


def prepare(work: Path, data: str, backbone: str) -> None:
    """Trains a head and exports it, each in a process of its own; not what is there already."""
    photos = draw_photos(work / "parts") if data == "parts" else test_data() / data
    run, bundle = find(work, data, backbone)
    environment = os.environ | {"EDGETL_WEIGHTS_DIR": str(test_data() / "weights")}
    environment.setdefault("EDGETL_CACHE", str(work / "cache"))
    fit = ["--backbone", backbone, "--finetune", "none", "--views", "0", "--test-fraction", "0.2"]
    recipes = ["--recipe", "litert-float32", "--recipe", "litert-int8", "--allow-drop"]
    for made, command in (
        (run, ["train", photos, "--out", run, *fit]),
        (bundle, ["export", run, "--out", bundle, *recipes]),
    ):
        if not made.exists():
            edgetl = [sys.executable, "-m", "edgetl.cli", *map(str, command)]
            subprocess.run(edgetl, check=True, env=environment, stdout=sys.stderr)


def find(work: Path, data: str, backbone: str) -> tuple[Path, Path]:
    return work / f"{data}-{backbone}", work / f"{data}-{backbone}.bundle"


def draw_photos(folder: Path) -> Path:
    for label in PARTS:
        (folder / label).mkdir(parents=True, exist_ok=True)
        for seed in range(PHOTOS_A_PART):
            path = folder / label / f"{seed:03}.png"
            if not path.exists():
                cv2.imwrite(str(path), draw_part(label, seed, PHOTO_PX))
    return folder


def measure_apart(work: Path, backbone: str, variant: str, count: int) -> dict:
    """In a process of its own: memory that another model left would be used again."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        return fresh.submit(measure, work, backbone, variant, count).result()


def measure(work: Path, backbone: str, variant: str, count: int) -> dict:
    run, bundle = find(work, "trashnet", backbone)
    trash = Classifier.open(bundle, variant=variant)
    cost = measure_cost(trash)
    parts = Classifier.open(find(work, "parts", backbone)[1], variant=variant)
    scenes = [draw_scene(n) for n in range(count)]
    correct = np.mean([parts(one.picture).label == one.label for one in scenes])
    return {
        "backbone": backbone,
        "variant": variant,
        "correct": float(correct),
        "shares": compare(parts, lambda: map(aim_at_part, scenes))
        | compare(trash, lambda: map(aim_at_halves, pair_photos(trash, run, count))),
        "cost": cost,
    }


def compare(classifier: Classifier, hits: Callable[[], Iterator[Hit]]) -> dict[str, dict]:
    """Kind of hit -> which head -> share of heat maps."""
    explainers = {"all": [classifier.explainer], **replace_heads(classifier)}
    found: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for hit in hits():
        for name, several in explainers.items():
            for explainer in several:
                for kind, is_hit in hit(explainer).items():
                    found[kind.rstrip("12")][name].append(is_hit)
    return {
        kind: {name: float(np.mean(heads)) for name, heads in one.items()}
        for kind, one in found.items()
    }


def replace_heads(classifier: Classifier) -> dict[str, list[Explainer]]:
    explainer = classifier.explainer
    kernel, bias = explainer.head.kernel, explainer.head.bias
    last = np.zeros_like(kernel)
    assert classifier.variant.hidden is not None
    channels = classifier.variant.hidden.map_channels[-1]
    last[-channels:] = kernel[-channels:]
    random = np.random.default_rng(0)
    shuffled = [random.permuted(kernel.ravel()).reshape(kernel.shape) for _ in range(SHUFFLES)]

    def under(one: np.ndarray) -> Explainer:
        return explainer.replace_head(Head(one, bias), explainer.labels)

    return {"last": [under(last)], "shuffled": [under(one) for one in shuffled]}


def draw_scene(seed: int) -> Scene:
    """A part in the middle of one quarter of a bench, smaller than those of the training."""
    random, label = np.random.default_rng(seed), PARTS[seed % len(PARTS)]
    # Round parts fill a quarter sooner than long ones do.
    low, high = (0.32, 0.42) if label in ("gear", "nut", "washer") else (0.40, 0.46)
    quarter = int(random.integers(4))
    middle = (quarter % 2 / 2 + 0.25, quarter // 2 / 2 + 0.25)
    picture, reach = draw_part_at(label, seed, middle, random.uniform(low, high), SCENE_PX)
    return Scene(picture, label, middle, reach)


def aim_at_part(scene: Scene) -> Hit:
    def hit(explainer: Explainer) -> dict[str, bool]:
        x, y = explainer.explain(scene.picture, scene.label).hottest
        aside = math.hypot(x - scene.place[0], y - scene.place[1])
        same = (x < 0.5) == (scene.place[0] < 0.5) and (y < 0.5) == (scene.place[1] < 0.5)
        return {"part": aside < scene.reach + 0.5 / COARSEST_CELLS, "quarter": same}

    return hit


def pair_photos(
    classifier: Classifier, run: Path, count: int
) -> Iterator[tuple[Frame, tuple[str, str]]]:
    """Two test photos side by side, and their labels from left to right."""
    known = choose_known(classifier, Run.open(run))
    random = np.random.default_rng(1)
    labels = [label for label, photos in known.items() if photos]
    for _ in range(count):
        left, right = (labels[n] for n in random.choice(len(labels), 2, replace=False))
        pair = [known[one][random.integers(len(known[one]))] for one in (left, right)]
        height, width = pair[0].shape[:2]
        yield np.hstack([cv2.resize(one, (width, height)) for one in pair]), (left, right)


def choose_known(classifier: Classifier, run: Run) -> dict[str, list[Frame]]:
    """Label -> the first test photos, in random order, that are predicted correctly when alone."""
    root, labels = Path(run.manifest.root), run.spec.labels
    (test,) = (one for one in run.predictions if one.split == "test")
    known: dict[str, list[Frame]] = defaultdict(list)
    for n in np.random.default_rng(0).permutation(len(test.paths)):
        label = labels[test.truth[n]]
        if len(known[label]) < PHOTOS_A_CLASS:
            photo = read_picture(root / test.paths[n])
            if classifier(photo).top(1)[0][0] == label:
                known[label].append(photo)
    return known


def aim_at_halves(pair: tuple[Frame, tuple[str, str]]) -> Hit:
    picture, labels = pair

    def hit(explainer: Explainer) -> dict[str, bool]:
        left, right = explainer.explain_several(picture, labels)
        return {"half1": left.hottest[0] < 0.5, "half2": right.hottest[0] > 0.5}

    return hit


def measure_cost(classifier: Classifier) -> dict[str, float]:
    picture = draw_scene(0).picture
    classifier(picture)
    before_mib = rss_mib() or math.nan
    classifier.explain(picture)
    grown_mib = (rss_mib() or math.nan) - before_mib
    ratios = []
    for _ in range(RUNS):
        answer_s, explain_s = (take_s(call, picture) for call in (classifier, classifier.explain))
        ratios.append(explain_s / answer_s)
    return {"time": float(np.median(ratios)), "mb": grown_mib * 2**20 / 1e6}


def take_s(call: Callable[[Frame], object], picture: Frame) -> float:
    start_s = time.perf_counter()
    call(picture)
    return time.perf_counter() - start_s


def tell(record: dict) -> str:
    shares = "  ".join(
        f"{kind}: "
        + " ".join(f"{name} {share:.0%}" for name, share in record["shares"][kind].items())
        for kind in record["shares"]
    )
    cost = record["cost"]
    return (
        f"{record['backbone']} {record['variant']}: {shares}  (parts correct: "
        f"{record['correct']:.0%})  cost: {cost['time']:.2f} x an answer, {cost['mb']:.0f} MB"
    )


if __name__ == "__main__":
    main()
