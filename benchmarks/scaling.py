"""How training grows with the photos: time of the features, and memory.

    EDGETL_TEST_DATA=... .venv/bin/python benchmarks/scaling.py [--backbone NAME] [--json]
        [--parts features,memory] [--photos 1000,10000,100000]

features: `Extractor.extract` on 1, 2 and 4 times 400 photos with an empty cache, against the bare
LiteRT invokes of the same photos, decoded before, on as many threads. memory: `edgetl train
--finetune 1` in a child process on TrashNet and on four times its photos (mirrored and cropped);
the peak of the memory that the process owns (RssAnon), apart from mapped cache files, which the
system drops when it needs room. growth: `edgetl train --finetune none` at 64 px on 1, 10 and 100
thousand photos: drawn parts, each drawing in ten views of its own angle, place and light.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from data import test_data

from edgetl.drawings import PARTS

PHOTOS = 400
TIMES = (1, 2, 4)
VIEWS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="efficientnet_v2_b0")
    parser.add_argument("--parts", default="features,memory")
    parser.add_argument("--photos", default="1000,10000,100000", help="of growth")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    data = test_data()
    os.environ["EDGETL_WEIGHTS_DIR"] = str(data / "weights")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for part in options.parts.split(","):
        measure = {
            "features": measure_features,
            "memory": measure_memory,
            "growth": partial(measure_growth, counts=[*map(int, options.photos.split(","))]),
        }[part]
        with tempfile.TemporaryDirectory() as folder:
            os.environ["EDGETL_CACHE"] = f"{folder}/cache"
            record = measure(data, options.backbone, Path(folder))
        if options.json:
            print(json.dumps({part: record}), flush=True)
        else:
            show(part, options.backbone, record)


def measure_features(data: Path, backbone_name: str, folder: Path) -> dict:
    from edgetl.networks.backbones import find_backbone
    from edgetl.networks.features import Extractor, FeatureRequest, LiteRTNetwork
    from edgetl.networks.weights import find_weights
    from edgetl_runtime.image.decoding import read_picture
    from edgetl_runtime.image.preprocessing import Preprocessing

    backbone = find_backbone(backbone_name)
    preprocessing = Preprocessing(backbone.size_px, backbone.size_px)
    extractor = Extractor(
        backbone, find_weights("imagenet", backbone, backbone.size_px), preprocessing
    )
    photos = sorted((data / "trashnet").rglob("*.jpg"))[:PHOTOS]
    extractor.extract([FeatureRequest(photos[0], "warm-up")])
    network = LiteRTNetwork((extractor.folder / "extractor.tflite").read_bytes())
    inputs = [preprocessing.apply(read_picture(photo)) for photo in photos]
    seconds: dict = {}
    # The bare engine before and after, since the machine's speed changes.
    bare = [time_invokes(network, inputs)]
    for times in TIMES:
        wanted = [
            FeatureRequest(photo, f"{times}-{n}-{photo}") for n in range(times) for photo in photos
        ]
        start = time.perf_counter()
        extractor.extract(wanted)
        seconds[times] = time.perf_counter() - start
    bare.append(time_invokes(network, inputs))
    mean_bare = sum(bare) / len(bare)
    return {
        "photos": PHOTOS,
        "bare_s": bare,
        "seconds": seconds,
        "ratio": {times: seconds[times] / times / mean_bare for times in TIMES},
    }


def time_invokes(network, inputs) -> float:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(network.run, inputs[:8]))
        start = time.perf_counter()
        list(pool.map(network.run, inputs))
        return time.perf_counter() - start


def measure_memory(data: Path, backbone: str, folder: Path) -> dict:
    peaks = {}
    for times in (1, 4):
        photos = multiply(data / "trashnet", folder / f"photos-{times}", times)
        peaks[times] = train_and_watch(photos, folder / f"run-{times}", backbone)
    return {"photos": len(list((data / "trashnet").rglob("*.jpg"))), "peaks": peaks}


def measure_growth(_data: Path, backbone: str, folder: Path, *, counts: list[int]) -> dict:
    drawn = folder / "drawn"
    grown = {}
    for count in counts:
        table = draw_views(drawn, count)
        flags = ["--finetune", "none", "--size", "64"]
        grown[count] = train_and_watch(table, folder / f"run-{count}", backbone, flags)
    return {"grown": grown}


def draw_views(folder: Path, count: int) -> Path:
    """A table of the first `count` views; those that are missing are drawn."""
    wanted = [(label, seed) for seed in range(-(-count // len(PARTS) // VIEWS)) for label in PARTS]
    with ProcessPoolExecutor() as pool:
        paths = pool.map(draw_views_of, [(folder, *one) for one in wanted], chunksize=8)
        listed = [path for several in paths for path in several][:count]
    table = folder / f"{count}.csv"
    table.write_text("path,label\n" + "".join(f"{path},{path.parent.name}\n" for path in listed))
    return table


def draw_views_of(wanted: tuple[Path, str, int]) -> list[Path]:
    import cv2
    import numpy as np

    from edgetl.drawings import draw_part

    folder, label, seed = wanted
    paths = [folder / label / f"{seed:05d}_{view}.jpg" for view in range(VIEWS)]
    if paths[-1].is_file():
        return paths
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng([PARTS.index(label), seed])
    picture = draw_part(label, seed, 96)
    for path in paths:
        turn = cv2.getRotationMatrix2D((48, 48), random.uniform(0, 360), random.uniform(0.9, 1.2))
        turn[:, 2] += random.uniform(-6, 6, 2)
        view = cv2.warpAffine(picture, turn, (96, 96), borderMode=cv2.BORDER_REFLECT)
        cv2.imwrite(str(path), cv2.convertScaleAbs(view, alpha=random.uniform(0.6, 1.3)))
    return paths


def multiply(photos: Path, target: Path, times: int) -> Path:
    import cv2

    for path in sorted(photos.rglob("*.jpg")):
        out = target / path.parent.name
        out.mkdir(parents=True, exist_ok=True)
        picture = cv2.imread(str(path))
        height, width = picture.shape[:2]
        for n in range(times):
            part = picture[: height - 90 * (n // 2), : width - 120 * (n // 2)]
            cv2.imwrite(str(out / f"{n}_{path.name}"), cv2.flip(part, 1) if n % 2 else part)
    return target


def train_and_watch(photos: Path, out: Path, backbone: str, flags: list[str] | None = None) -> dict:
    command = [sys.executable, "-m", "edgetl", "train", str(photos)]
    command += ["--out", str(out), "--backbone", backbone]
    command += flags or ["--finetune", "1", "--views", "1", "--finetune-epochs", "2"]
    peak = {"RssAnon": 0, "RssFile": 0}
    with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE) as child:
        while child.poll() is None:
            for name, kib in read_memory(child.pid).items():
                peak[name] = max(peak[name], kib)
            time.sleep(0.1)
        record = json.loads(child.stdout.read())
    rows = sum(path.stat().st_size for path in Path(os.environ["EDGETL_CACHE"]).rglob("*.features"))
    return {
        "own_mib": peak["RssAnon"] / 1024,
        "mapped_mib": peak["RssFile"] / 1024,
        "cache_mib": rows / 2**20,
        "seconds": record["seconds"]["total"],
        "stages": record["seconds"],
        "top1": record["val_top1"],
    }


def read_memory(pid: int) -> dict[str, int]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    fields = dict(line.split(":", 1) for line in lines)
    return {name: int(fields[name].split()[0]) for name in ("RssAnon", "RssFile") if name in fields}


def show(part: str, backbone: str, record: dict) -> None:
    print(f"{backbone}, {part}")
    if part == "features":
        print(f"  bare invokes of {record['photos']} photos: {record['bare_s']} s")
        for times, seconds in record["seconds"].items():
            ratio = record["ratio"][times]
            print(f"  {times} x photos: {seconds:6.1f} s, {ratio:.2f} of the bare invokes a photo")
        return
    if part == "growth":
        for count, one in record["grown"].items():
            print(
                f"  {count:7,} photos: {one['seconds']:.0f} s, own {one['own_mib']:.0f} MiB, "
                f"mapped {one['mapped_mib']:.0f} MiB, top-1 {one['top1']:.1%}"
            )
        return
    for times, peak in record["peaks"].items():
        print(
            f"  {times} x {record['photos']} photos: own {peak['own_mib']:.0f} MiB, mapped "
            f"{peak['mapped_mib']:.0f} MiB, cache so far {peak['cache_mib']:.0f} MiB, "
            f"{peak['seconds']:.0f} s"
        )


if __name__ == "__main__":
    main()
