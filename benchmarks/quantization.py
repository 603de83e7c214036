"""What each recipe keeps of a trained model, before and after the repair, and how fast it is.

    EDGETL_TEST_DATA=... .venv/bin/python benchmarks/quantization.py [--backbones A,B] [--runs DIR]
        [--recipes int8,float32] [--repairs] [--growth] [--json]

Trains each backbone on TrashNet with edgetl's defaults, or takes the runs that lie in DIR under
the backbones' names. Latency: p50 of single-threaded invokes, all files in turn, as a ratio to
float32 of the same engine. --repairs tries each repair of int8 but layers in float, also where an
earlier one is good enough: whether retraining in 8 bits is worth its minutes. --growth times an
export of int8 with 1/4, 1/2 and all validation photos instead.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from data import test_data

from edgetl.exporting.runs import describe_run
from edgetl.options import TrainOptions
from edgetl.progress import follow
from edgetl.run import Run
from edgetl.training.train import train
from edgetl_export.evaluate.gate import make_gate
from edgetl_export.options import ExportOptions
from edgetl_export.package.bundling import export_model
from edgetl_export.quantize.calibration import Inputs
from edgetl_export.quantize.model_files import FileWriter
from edgetl_export.quantize.search import Judge
from edgetl_export.quantize.tradeoff import Measured, Outcome, Tradeoff, measure_tradeoff
from edgetl_export.recipes import find_recipes
from edgetl_export.trained import ScoredPhotos, Trained

BACKBONES = "mobilenet_v2_0.35,mobilenet_v1_0.25,mobilenet_v2_1.0,efficientnet_v2_b0"
RECIPES = "int8,mixed,dynamic,float16,float32"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbones", default=BACKBONES)
    parser.add_argument("--recipes", default=RECIPES)
    parser.add_argument("--runs", type=Path, help="where trained runs lie, or shall be kept")
    parser.add_argument("--repairs", action="store_true")
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.environ.setdefault("EDGETL_WEIGHTS_DIR", str(test_data() / "weights"))
    with tempfile.TemporaryDirectory() as name:
        folder = options.runs or Path(name)
        trained = (describe_run(find_run(one, folder)) for one in options.backbones.split(","))
        if options.repairs:
            show_repairs(trained, as_json=options.json)
            return
        if options.growth:
            show_growth(next(trained), Path(name), as_json=options.json)
            return
        recipes = find_recipes(options.recipes.split(","))
        found = [measure_tradeoff(one, recipes, make_gate(ExportOptions())) for one in trained]
    if options.json:
        print(json.dumps([msgspec.to_builtins(one) for one in found]))
        return
    for one in found:
        print_table(one)
    print_summary(found)


def find_run(backbone: str, folder: Path) -> Run:
    """A trained run, from the folder or made there."""
    if not (folder / backbone).is_dir():
        print(f"training {backbone}", file=sys.stderr)
        photos = test_data() / "trashnet"
        return train(photos, folder / backbone, TrainOptions(backbone=backbone))
    return Run.open(folder / backbone)


def print_table(found: Tradeoff) -> None:
    print(f"\n{found.backbone}: {found.top1:.1%} of {found.examples} photos before export")
    line = "{:15} {:44} {:>10} {:>6} {:>6} {:>6} {:>18} {:>6}"
    print(
        line.format("recipe", "repair", "bytes", "top-1", "drop", "agree", "worst class", "speed")
    )
    for outcome in found.outcomes:
        for one in dict.fromkeys((outcome.plain, outcome.chosen)):
            speed = f"{1 / one.latency_ratio:.2f}x" if one.latency_ratio else "-"
            worst = f"{one.worst_class} {100 * one.worst_class_drop:+.1f}"
            cells = (f"{one.top1:.1%}", f"{100 * one.drop:+.1f}", f"{one.agreement:.1%}")
            repair = one.repair or "-"
            print(line.format(outcome.recipe, repair, f"{one.bytes:,}", *cells, worst, speed))


def print_summary(found: list[Tradeoff]) -> None:
    for name in ("litert-int8", "onnx-int8"):
        files = [one for trade in found for one in pick(trade, name)]
        if not files:
            continue
        before = [100 * one.plain.drop for one in files]
        after = [100 * one.chosen.drop for one in files]
        print(
            f"\n{name}: drop before the repair {statistics.mean(before):+.2f} points on average, "
            f"{max(before):+.2f} at most; after it {statistics.mean(after):+.2f} and "
            f"{max(after):+.2f} (goals 0.5 and 1.0)"
        )
        for trade, outcome in zip(found, files, strict=True):
            print(f"  {trade.backbone}: {compare(trade, name, outcome.chosen)}")


def pick(found: Tradeoff, name: str) -> Iterator[Outcome]:
    return (one for one in found.outcomes if one.recipe == name)


def compare(found: Tradeoff, name: str, chosen: Measured) -> str:
    """Bytes and speed against float32 of the same engine."""
    text = f"{1 / chosen.latency_ratio:.2f} times float32's speed" if chosen.latency_ratio else ""
    for reference in pick(found, name.replace("int8", "float32")):
        text += f", {chosen.bytes / reference.plain.bytes:.3f} of its bytes"
    return f"{text} (goals 1.7 with LiteRT; 0.35 for the larger ones)"


def show_repairs(models: Iterator[Trained], *, as_json: bool) -> None:
    """Top-1 lost and agreement with the trained model after each repair of int8 for LiteRT."""
    (recipe,) = find_recipes(["litert-int8"])
    records = []
    for trained in models:
        inputs = Inputs(trained.preprocessing)
        writer = FileWriter(trained, inputs)
        gate = make_gate(ExportOptions())
        judge = Judge(trained, gate, weigh=lambda file: len(file.data), inputs=inputs)
        for plan in writer.plan(recipe, repair="quick"):
            if plan.keep:
                continue
            start = time.perf_counter()
            metrics = judge.judge(writer.write(plan)).metrics
            one = {
                "network": trained.backbone,
                "repair": plan.repair or "none",
                "top1": metrics.top1,
                "drop": 100 * metrics.drop,
                "agreement": metrics.agreement,
                "seconds": time.perf_counter() - start,
            }
            records.append(one)
            if not as_json:
                print(
                    f"{one['network']:20} {one['repair']:34} top-1 {metrics.top1:.1%}, drop "
                    f"{one['drop']:+.2f}, agreement {metrics.agreement:.1%}, "
                    f"{one['seconds']:.0f} s",
                    flush=True,
                )
    if as_json:
        print(json.dumps(records))


def show_growth(trained: Trained, folder: Path, *, as_json: bool) -> None:
    """Seconds of an export of int8 with more and more validation photos."""
    whole = len(trained.validation.photos)
    settings = ExportOptions(recipes=("litert-int8",), allow_drop=True)
    records = []
    for share in (4, 2, 1):
        photos = whole // share
        part = ScoredPhotos(trained.validation.photos[:photos], trained.validation.scores[:photos])
        less = msgspec.structs.replace(trained, validation=part)
        start = time.perf_counter()
        export_model(less, folder / f"{photos}.bundle", settings)
        records.append({"photos": photos, "seconds": round(time.perf_counter() - start, 2)})
    if as_json:
        print(json.dumps(records))
        return
    for record in records:
        print(f"{record['photos']:5} validation photos: {record['seconds']:.1f} s")


if __name__ == "__main__":
    with follow(True):
        main()
