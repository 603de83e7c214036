"""Which frames are worth a label: diverse ones, unsure ones, or any?

    EDGETL_TEST_DATA=... .venv/bin/python benchmarks/labelling.py [--backbone mobilenet_v2_0.35]
        [--seeds 10] [--start 10] [--labels 50,100,200] [--pools photos,still]
        [--cache FOLDER] [--json]

A head is trained on 10 photos a class of TrashNet; 30 % of the photos are for measuring. From the
others, the pool, a number of photos is chosen, labelled and added to the training. All features are
those of the frozen ImageNet backbone. The pools:

- photos: each photo once;
- still: as from a camera. Of the photos 20 are in view for a long time (40 nearly equal frames), 60
  for a while (8 frames), the others for one frame. Nothing is done about copies;
- camera: the same, but the frames of a photo differ as the `camera` augmentation makes them;
- new class: as still, but the head has not learned one class, another one with each seed.

How photos are chosen:

- random: as `--collect sampled` does in the long run;
- unsure: the smallest differences between the two best scores, of the whole pool;
- unsure, as collected: any whose difference is below 0.3, as `--collect unsure` keeps them;
- diverse, as collected: frame after frame, as `--collect diverse` keeps them: the distance to what
  is known and kept, times doubt (1 - the difference);
- distance alone: farthest first, of the whole pool (greedy), without doubt;
- distance alone, as collected: the same, frame after frame;
- distance among unsure, as collected: the same, of frames whose difference is below 0.3;
- half unsure: half of them by distance alone, half unsure, both as collected.

Figures are means over seeds of the share of right answers; +- is the standard error of the
difference to random, which is chosen from the same pool and measured on the same photos. Before,
all photos are put into groups as `edgetl data import --group` does.
"""

import argparse
import hashlib
import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
from data import test_data

from edgetl_runtime.learning.head import Head, fit_head
from edgetl_runtime.outputs.diversity import Diversity

TEST_SHARE = 0.3
LONG, LONG_FRAMES = 20, 40
SHORT, SHORT_FRAMES = 60, 8
UNSURE_BELOW = 0.3
PENALTY = 1e-2
STILL = {
    "rotation": 2,
    "shift": 0.02,
    "zoom": 0.02,
    "exposure": 0.1,
    "blur": 0.5,
    "noise": 4,
    "jpeg": 30,
}
POOLS = ("photos", "still", "camera", "new class")

Choose = Callable[["Pool", int, np.random.Generator], np.ndarray]


class Pool(msgspec.Struct, frozen=True, eq=False):
    """Frames in their order in time.

    Attributes:
        rows: float32 (frames, features).
        truth: int (frames,).
        leads: float (frames,), of the best score over the second.
        known: float32 (photos, features), what the head has learned from.
        known_truth: int (photos,).
        classes: How many there are.
    """

    rows: np.ndarray
    truth: np.ndarray
    leads: np.ndarray
    known: np.ndarray
    known_truth: np.ndarray
    classes: int


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default="mobilenet_v2_0.35")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--start", type=int, default=10)
    parser.add_argument("--labels", default="50,100,200")
    parser.add_argument("--pools", default=",".join(POOLS))
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    counts = [int(word) for word in options.labels.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        features = compute(options.backbone, options.cache or Path(folder))
    show_groups(features, as_json=options.json)
    for pool in options.pools.split(",") if options.pools else ():
        record = compare(features, pool, options.seeds, options.start, counts)
        if options.json:
            print(json.dumps({"backbone": options.backbone, "pool": pool} | record), flush=True)
        else:
            show(pool, record, counts)


def compute(backbone_name: str, cache: Path) -> dict[str, np.ndarray]:
    """The features of photos and of the views of some of them.

    Returns:
        `photos` (photos, features), `truth` (photos,), and for each kind of views, `still` and
        `camera` (rows, features), with `owners`, the photo of each row.
    """
    data = test_data()
    os.environ["EDGETL_WEIGHTS_DIR"] = str(data / "weights")
    os.environ["EDGETL_CACHE"] = str(cache)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from edgetl.augmentation.parsing import parse_augmentation
    from edgetl.augmentation.strengths import Augmentation
    from edgetl.networks.backbones import find_backbone
    from edgetl.networks.features import Extractor, FeatureRequest
    from edgetl.networks.weights import find_weights
    from edgetl_runtime.image.preprocessing import Preprocessing

    files = sorted((data / "trashnet").glob("*/*.jpg"))
    labels = sorted({file.parent.name for file in files})
    backbone = find_backbone(backbone_name)
    preprocessing = Preprocessing(backbone.size_px, backbone.size_px)
    weights = find_weights("imagenet", backbone, backbone.size_px)
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    found = {"truth": np.array([labels.index(file.parent.name) for file in files])}
    plain = Extractor(backbone, weights, preprocessing)
    wanted = [FeatureRequest(*pair) for pair in zip(files, digests, strict=True)]
    found["photos"] = np.stack(plain.extract(wanted).rows)
    order = np.random.default_rng(0).permutation(len(files))[: LONG + SHORT]
    for name, strength in (
        ("still", Augmentation(**STILL)),
        ("camera", parse_augmentation("camera")),
    ):
        extractor = Extractor(backbone, weights, preprocessing, augmentation=strength)
        views = [LONG_FRAMES] * LONG + [SHORT_FRAMES] * SHORT
        result = extractor.extract(
            [
                FeatureRequest(files[n], digests[n], count - 1)
                for n, count in zip(order, views, strict=True)
            ]
        )
        found[name], found["owners"] = np.stack(result.rows), order[result.owner]
    return found


def show_groups(features: dict[str, np.ndarray], *, as_json: bool) -> None:
    """How many photos `edgetl data import --group` groups, and how many of them with their like."""
    from edgetl.dataset.grouping import group_alike

    truth = [str(n) for n in features["truth"]]
    groups = group_alike(point(features["photos"]), truth, [False] * len(truth))
    grouped = sum(len(one.members) for one in groups)
    right = sum(one.agreeing for one in groups)
    record = {"photos": len(truth), "groups": len(groups), "grouped": grouped, "right": right}
    if as_json:
        print(json.dumps(record), flush=True)
    else:
        print(
            f"{grouped} of {len(truth)} photos in {len(groups)} groups, {right / grouped:.1%} "
            "of them of the most frequent class of their group",
            flush=True,
        )


def compare(
    features: dict[str, np.ndarray], kind: str, seeds: int, start: int, counts: list[int]
) -> dict[str, object]:
    shares: dict[tuple[str, int], list[float]] = defaultdict(list)
    frames = unsure = 0.0
    for seed in range(seeds):
        random = np.random.default_rng(seed)
        new = seed % (int(features["truth"].max()) + 1) if kind == "new class" else None
        pool, head, test = split(features, kind, start, random, new)
        frames += len(pool.rows) / seeds
        unsure += float((pool.leads < UNSURE_BELOW).mean()) / seeds
        shares["start", 0].append(measure(head, test))
        for count in counts:
            for name, choose in CHOICES.items():
                shares[name, count].append(try_choice(pool, choose, count, test, random))
    rows = []
    for (name, count), found in shares.items():
        ahead = np.subtract(found, shares["random", count]) if count else np.zeros(seeds)
        rows.append(
            {
                "choice": name,
                "labels": count,
                "right": float(np.mean(found)),
                "ahead": float(ahead.mean()),
                "error": float(ahead.std(ddof=1) / np.sqrt(seeds)),
            }
        )
    return {"frames": frames, "unsure_share": unsure, "rows": rows}


def split(
    features: dict[str, np.ndarray],
    kind: str,
    start: int,
    random: np.random.Generator,
    new: int | None,
) -> tuple[Pool, Head, tuple[np.ndarray, np.ndarray]]:
    rows, truth = features["photos"], features["truth"]
    shuffled = random.permutation(len(rows))
    cut = round(TEST_SHARE * len(rows))
    test, rest = shuffled[:cut], shuffled[cut:]
    classes = range(int(truth.max()) + 1)
    first = np.concatenate([rest[truth[rest] == n][:start] for n in classes if n != new])
    others = np.array([n for n in rest if n not in set(first)])
    head = train(rows[first], truth[first], len(classes))
    seen, of = put_in_order(features, kind, others)
    logits = seen @ head.kernel + head.bias
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    best = np.sort(scores / scores.sum(axis=1, keepdims=True), axis=1)
    leads = best[:, -1] - best[:, -2]
    pool = Pool(seen, truth[of], leads, rows[first], truth[first], len(classes))
    return pool, head, (rows[test], truth[test])


def put_in_order(
    features: dict[str, np.ndarray], kind: str, photos: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The rows of a pool, and the photo that each is of."""
    if kind == "photos":
        return features["photos"][photos], photos
    rows, owners = [], []
    for photo in photos:
        views = features["still" if kind == "new class" else kind][features["owners"] == photo]
        shown = views if len(views) else features["photos"][photo][np.newaxis]
        rows.append(shown)
        owners += [photo] * len(shown)
    return np.concatenate(rows), np.array(owners)


def try_choice(
    pool: Pool,
    choose: Choose,
    count: int,
    test: tuple[np.ndarray, np.ndarray],
    random: np.random.Generator,
) -> float:
    chosen = choose(pool, count, random)
    rows = np.concatenate([pool.known, pool.rows[chosen]])
    truth = np.concatenate([pool.known_truth, pool.truth[chosen]])
    return measure(train(rows, truth, pool.classes), test)


def train(rows: np.ndarray, truth: np.ndarray, classes: int) -> Head:
    zero = Head(np.zeros((rows.shape[1], 2), np.float32), np.zeros(2, np.float32))
    return fit_head(zero, rows, truth, classes, penalty=PENALTY)


def measure(head: Head, test: tuple[np.ndarray, np.ndarray]) -> float:
    rows, truth = test
    return float(((rows @ head.kernel + head.bias).argmax(axis=1) == truth).mean())


def choose_random(pool: Pool, count: int, random: np.random.Generator) -> np.ndarray:
    return random.permutation(len(pool.rows))[:count]


def choose_unsure(pool: Pool, count: int, random: np.random.Generator) -> np.ndarray:
    return np.argsort(pool.leads, kind="stable")[:count]


def collect_unsure(pool: Pool, count: int, random: np.random.Generator) -> np.ndarray:
    return random.permutation(np.flatnonzero(pool.leads < UNSURE_BELOW))[:count]


def choose_distant(pool: Pool, count: int, random: np.random.Generator) -> np.ndarray:
    rows, known = point(pool.rows), point(pool.known)
    distances = 1 - (rows @ known.T).max(axis=1)
    chosen = []
    for _ in range(count):
        chosen.append(int(distances.argmax()))
        distances = np.minimum(distances, 1 - rows @ rows[chosen[-1]])
    return np.array(chosen)


def collect_distant(pool: Pool, count: int, random: np.random.Generator) -> np.ndarray:
    return stream(pool, np.arange(len(pool.rows)), count)


def collect_both(pool: Pool, count: int, random: np.random.Generator) -> np.ndarray:
    return stream(pool, np.flatnonzero(pool.leads < UNSURE_BELOW), count)


def collect_half(pool: Pool, count: int, random: np.random.Generator) -> np.ndarray:
    diverse = stream(pool, np.arange(len(pool.rows)), count // 2)
    unsure = collect_unsure(pool, len(pool.rows), random)
    return np.concatenate([diverse, np.setdiff1d(unsure, diverse, assume_unique=True)])[:count]


def collect_diverse(pool: Pool, count: int, random: np.random.Generator) -> np.ndarray:
    return stream(pool, np.arange(len(pool.rows)), count, 1 - pool.leads)


def stream(
    pool: Pool, frames: np.ndarray, most: int, doubts: np.ndarray | None = None
) -> np.ndarray:
    """The frames that are kept after the last one, within a limit on their number."""
    if doubts is None:
        doubts = np.ones(len(pool.rows))
    diversity = Diversity(pool.known)
    kept: set[int] = set()
    for frame in frames.tolist():
        distance = diversity.measure(pool.rows[frame])
        if distance < diversity.least:
            continue
        if len(kept) == most:
            weakest, number = diversity.rank()[0]
            if weakest >= distance * doubts[frame]:
                continue
            kept.remove(number)
            diversity.keep_only(kept)
        diversity.add(frame, pool.rows[frame], doubts[frame])
        kept.add(frame)
    return np.array(sorted(kept), int)


def point(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


CHOICES: dict[str, Choose] = {
    "random": choose_random,
    "unsure": choose_unsure,
    "unsure, as collected": collect_unsure,
    "diverse, as collected": collect_diverse,
    "distance alone": choose_distant,
    "distance alone, as collected": collect_distant,
    "distance among unsure, as collected": collect_both,
    "half unsure": collect_half,
}


def show(pool: str, record: dict, counts: list[int]) -> None:
    rows = {(row["choice"], row["labels"]): row for row in record["rows"]}
    start = rows["start", 0]["right"]
    print(
        f"{pool}: {record['frames']:.0f} frames, {record['unsure_share']:.0%} of them unsure; "
        f"before any label {start:.1%}"
    )
    print(f"  {'choice':<35}" + "".join(f"{f'{count} labels':>22}" for count in counts))
    for name in CHOICES:
        found = [rows[name, count] for count in counts]
        cells = (
            f"{r['right']:.1%} ({r['ahead'] * 100:+.1f} +- {r['error'] * 100:.1f})" for r in found
        )
        print(f"  {name:<35}" + "".join(f"{cell:>22}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
