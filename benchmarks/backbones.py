"""Which network for how many milliseconds: accuracy of head, blocks and shipped int8, and latency.

    EDGETL_TEST_DATA=... .venv/bin/python benchmarks/backbones.py --out FOLDER
        [--networks NAME[@SIZE],...] [--data trashnet,rubbish,parts,small] [--seeds 5]
        [--finetune auto] [--epochs N] [--teacher NAME[@SIZE]]
        [--table] [--latency] [--picture FILE.svg] [--json]

Each network is trained as `edgetl train --finetune auto` does and exported as int8 for LiteRT, with
each seed, which decides the split, too; all figures are of the validation photos. --teacher is
trained first, on the same split. Runs are kept in FOLDER/runs and results in FOLDER/results.jsonl;
what lies there is not measured again, so that the hours that all of it takes may be cut into
pieces. --table only reads what lies there.

Data: TrashNet (6 classes of rubbish, 1,781 photos); rubbish (4 classes, 709 photos of a small
camera); parts (the 6 that `edgetl demo` draws, 80 of each); small (TrashNet shrunk to 32 x 32 px,
as CIFAR-10's pictures are). Latency: p50 of single-threaded invokes of the int8 files, all in turn,
as a ratio to MobileNetV2 1.0 at 224 px.
"""

import argparse
import itertools
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
from data import test_data
from processor import print_processor

from edgetl.networks.backbones import find_backbone
from edgetl.options import FittingOptions, TrainOptions
from edgetl.run import Run
from edgetl.training.train import train

NETWORKS = (
    "mobilenet_v1_0.25,mobilenet_v2_0.35,mobilenet_v2_0.35@320,mobilenet_v2_1.0,"
    "efficientnet_lite0,efficientnet_lite0@272,efficientnet_lite1,efficientnet_lite2,"
    "efficientnet_v2_b0"
)
DATA = "trashnet,rubbish,parts,small"
PEER = "mobilenet_v2_1.0@224"
SMALL_PX = 32
DRAWN_A_CLASS = 80
ROUNDS = 60
# With fewer seeds a mean is not drawn.
DRAWN_SEEDS = 3


class How(msgspec.Struct, frozen=True):
    """How a network is trained; see the options of `edgetl train`."""

    finetune: Any = "auto"
    epochs: int | None = None
    teacher: str = ""

    @property
    def title(self) -> str:
        words = [str(self.finetune)]
        words += [f"{self.epochs} epochs"] if self.epochs else []
        words += [f"teacher {self.teacher}"] if self.teacher else []
        return ", ".join(words)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Of one training. Accuracies are validation top-1, 0..1; `drop` is that of `int8`, points."""

    data: str
    network: str
    how: str
    seed: int
    head: float
    trained: float
    int8: float
    drop: float
    bytes: int
    repair: str
    training_s: float


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--networks", default=NETWORKS)
    parser.add_argument("--data", default=DATA)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--finetune", default="auto", help="as for edgetl train")
    parser.add_argument("--epochs", type=int, help="of fine-tuning")
    parser.add_argument("--teacher", help="a network that is trained first")
    parser.add_argument("--table", action="store_true", help="measure no accuracy")
    parser.add_argument("--latency", action="store_true", help="time the files that lie there")
    parser.add_argument("--picture", type=Path, help="the Pareto line, as SVG")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> None:
    options = parse()
    os.environ["EDGETL_WEIGHTS_DIR"] = str(test_data() / "weights")
    os.environ["EDGETL_CACHE"] = str(options.out / "cache")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    networks = [complete(name) for name in options.networks.split(",")]
    finetune = int(options.finetune) if options.finetune.isdigit() else options.finetune
    how = How(finetune, options.epochs, complete(options.teacher) if options.teacher else "")
    seeds = range(0 if options.table else options.seeds)
    for data, network, seed in itertools.product(options.data.split(","), networks, seeds):
        measure(options.out, data, network, seed, how)
    if options.latency:
        time_files(options.out, networks)
    results = list(read_results(options.out))
    ratios = read_ratios(options.out)
    if options.picture:
        draw(options.picture, results, ratios)
    if options.json:
        print(json.dumps({"results": msgspec.to_builtins(results), "ratios": ratios}))
    else:
        print_tables(results, ratios)


def complete(name: str) -> str:
    """`NAME@SIZE`, with the network's own size where none is given."""
    backbone, _, size = name.partition("@")
    return f"{backbone}@{size or find_backbone(backbone).size_px}"


def measure(out: Path, data: str, network: str, seed: int, how: How) -> None:
    """Trains, exports and appends the result, unless it lies there."""
    from edgetl.exporting.runs import export_run
    from edgetl_export.options import ExportOptions

    key = (data, network, how.title, seed)
    if any((one.data, one.network, one.how, one.seed) == key for one in read_results(out)):
        return
    run = find_run(out, data, network, seed, how)
    with tempfile.TemporaryDirectory(dir=out) as folder:
        recipes = ExportOptions(recipes=("litert-int8",), allow_drop=True)
        bundle = export_run(run, Path(folder) / "int8.bundle", recipes).bundle
        (variant,) = bundle.manifest.variants
        kept = out / "files" / f"{network}.tflite"
        kept.parent.mkdir(exist_ok=True)
        if not kept.exists():
            shutil.copyfile(bundle.path / variant.file, kept)
    first = run.histories[0]
    result = Result(
        data=data,
        network=network,
        how=how.title,
        seed=seed,
        head=first.curves["val_accuracy"][max(first.best_epoch, 1) - 1],
        trained=run.metrics.top1,
        int8=variant.metrics.top1,
        drop=100 * variant.metrics.drop,
        bytes=variant.bytes,
        repair=variant.repair,
        training_s=run.file.seconds["total"],
    )
    with (out / "results.jsonl").open("ab") as file:
        file.write(msgspec.json.encode(result) + b"\n")
    print(
        f"{data} {network} {how.title} seed {seed}: head {result.head:.1%}, trained "
        f"{result.trained:.1%}, int8 {result.int8:.1%}, {result.training_s:.0f} s",
        file=sys.stderr,
        flush=True,
    )


def find_run(out: Path, data: str, network: str, seed: int, how: How) -> Run:
    """The run, which is trained if it does not lie there; so is its teacher."""
    folder = out / "runs" / f"{data}-{network}-{how.title.replace(', ', '-')}-{seed}"
    if (folder / "run.json").is_file():
        return Run.open(folder)
    teacher = ""
    if how.teacher:
        teacher = str(find_run(out, data, how.teacher, seed, How()).path)
    backbone, _, size = network.partition("@")
    settings = TrainOptions(
        backbone=backbone,
        size_px=int(size),
        seed=seed,
        finetune=how.finetune,
        teacher=teacher,
        training=FittingOptions(finetune_epochs=how.epochs),
    )
    return train(find_photos(out, data), folder, settings, overwrite=True)


def find_photos(out: Path, data: str) -> Path:
    """The folder of a data set; what is drawn or shrunk is made once."""
    if data in ("trashnet", "rubbish"):
        return test_data() / data
    folder = out / "data" / data
    if not folder.is_dir():
        making = folder.with_name(f"{data}.making")
        shutil.rmtree(making, ignore_errors=True)
        if data == "small":
            shrink_photos(test_data() / "trashnet", making)
        else:
            from edgetl.demo import draw_data

            making.mkdir(parents=True)
            draw_data(making, DRAWN_A_CLASS)
            (making / "photos").rename(folder)
            return folder
        making.rename(folder)
    return folder


def shrink_photos(source: Path, target: Path) -> None:
    for path in sorted(source.glob("*/*.jpg")):
        photo = cv2.imread(str(path))
        side = min(photo.shape[:2])
        top, left = ((length - side) // 2 for length in photo.shape[:2])
        middle = photo[top : top + side, left : left + side]
        small = cv2.resize(middle, (SMALL_PX, SMALL_PX), interpolation=cv2.INTER_AREA)
        place = target / path.parent.name / f"{path.stem}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place), small)


def read_results(out: Path) -> Iterator[Result]:
    path = out / "results.jsonl"
    lines = path.read_bytes().splitlines() if path.is_file() else []
    return (msgspec.json.decode(line, type=Result) for line in lines)


def time_files(out: Path, networks: list[str]) -> None:
    """Writes each file's time as a ratio to the peer's, the median over rounds."""
    from ai_edge_litert.interpreter import Interpreter

    print_processor()
    engines = {}
    for network in networks:
        path = out / "files" / f"{network}.tflite"
        if path.is_file():
            engine = Interpreter(model_path=str(path), num_threads=1)
            engine.allocate_tensors()
            entry = engine.get_input_details()[0]
            noise = np.random.default_rng(0).integers(0, 255, entry["shape"]).astype(entry["dtype"])
            engine.set_tensor(entry["index"], noise)
            engines[network] = engine
    if PEER not in engines:
        sys.exit(f"{out / 'files' / PEER}.tflite is missing: measure {PEER}, too")
    ratios: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(ROUNDS):
        seconds = {}
        for network, engine in engines.items():
            start = time.perf_counter()
            engine.invoke()
            seconds[network] = time.perf_counter() - start
        for network, one in seconds.items():
            ratios[network].append(one / seconds[PEER])
    found = {network: statistics.median(each) for network, each in ratios.items()}
    (out / "latency.json").write_text(json.dumps(found, indent=2))


def read_ratios(out: Path) -> dict[str, float]:
    path = out / "latency.json"
    found: dict[str, float] = json.loads(path.read_text()) if path.is_file() else {}
    return found


def group(results: list[Result]) -> Mapping[tuple[str, str, str], list[Result]]:
    groups: defaultdict[tuple[str, str, str], list[Result]] = defaultdict(list)
    for one in results:
        groups[one.data, one.how, one.network].append(one)
    return groups


def print_tables(results: list[Result], ratios: Mapping[str, float]) -> None:
    line = "{:28} {:>6} {:>10} {:>7}  {:>11} {:>11} {:>11} {:>6} {:>5} {:>5}"
    titles = ("network", "M par", "int8 bytes", "latency", "head", "trained", "int8")
    groups = group(results)
    for data, how in dict.fromkeys(key[:2] for key in groups):
        print(f"\n{data}, --finetune {how}: mean and deviation of top-1 over seeds, %")
        print(line.format(*titles, "drop", "seeds", "s"))
        for (of, by, network), each in groups.items():
            if (of, by) != (data, how):
                continue
            ratio = ratios.get(network)
            spreads = (spread([getattr(one, name) for one in each]) for name in titles[4:])
            print(
                line.format(
                    network,
                    f"{find_backbone(network.partition('@')[0]).parameters / 1e6:.2f}",
                    f"{each[0].bytes:,}",
                    f"{ratio:.2f}" if ratio else "-",
                    *spreads,
                    f"{statistics.mean(one.drop for one in each):+.2f}",
                    len(each),
                    f"{statistics.median(one.training_s for one in each):.0f}",
                )
            )


def spread(values: list[float]) -> str:
    deviation = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.1f}{deviation}"


def draw(path: Path, results: list[Result], ratios: Mapping[str, float]) -> None:
    """Shipped int8 accuracy over latency; a line joins those that none beats in both."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    points = sorted(
        (
            ratios[network],
            100 * statistics.mean(one.int8 for one in each),
            network.removesuffix("@224") + (", taught" if "teacher" in how else ""),
        )
        for (data, how, network), each in group(results).items()
        if data == "trashnet" and network in ratios and len(each) >= DRAWN_SEEDS
    )
    best, line = 0.0, []
    for ratio, accuracy, _ in sorted(points, key=lambda one: (one[0], -one[1])):
        if accuracy > best:
            best = accuracy
            line.append((ratio, accuracy))
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(*zip(*line, strict=True), color="#1d63d8", linewidth=1.5, zorder=1)
    for ratio, accuracy, name in points:
        on_line = (ratio, accuracy) in line
        axes.scatter(ratio, accuracy, color="#1d63d8" if on_line else "#8a94a6", zorder=2)
        axes.annotate(
            name,
            (ratio, accuracy),
            textcoords="offset points",
            xytext=(6, -11),
            fontsize=8,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([0.1, 0.2, 0.3, 0.5, 1, 1.5, 2, 3]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    # The names stand to the right of their points.
    axes.set_xlim(0.85 * points[0][0], 1.7 * points[-1][0])
    axes.margins(y=0.1)
    axes.set(
        xlabel="latency, as a multiple of MobileNetV2 1.0 (log scale)",
        ylabel="TrashNet, shipped int8, validation top-1, %",
    )
    axes.grid(color="#dfe3e9")
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
