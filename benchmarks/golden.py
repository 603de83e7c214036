"""What golden frames see: how far scores move by rounding, and how far by damage.

    .venv/bin/python benchmarks/golden.py BUNDLE [--photos FOLDER] [--json]

Scores of the int8 LiteRT file, in the unit of `golden_frames.measure_deviation`, over
random fives of photos (of EDGETL_TEST_DATA unless said otherwise). "Other kernels" are LiteRT's own
instead of XNNPACK's: another right way to round. Everything else is damage, put into the file or
its input on purpose; `edgetl-run verify` allows what `golden_frames.TOLERANCE` says.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from data import test_data

from edgetl_export.graph.flatbuffer import read_tree, write_tree
from edgetl_runtime.bundle.golden_frames import TOLERANCE, measure_deviation
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.image.decoding import read_picture

FIVES, PHOTOS = 1000, 120
WEIGHTY = (3, 4, 9)  # Convolution, depthwise convolution, dense.
Change = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    bundle = Bundle.open(options.bundle)
    variant = bundle.variant("litert-int8")
    pictures = load(bundle, options.photos or test_data() / "trashnet")
    records = measure(bundle.read(variant), pictures)
    if options.json:
        print(json.dumps(records))
        return
    print(f"{len(pictures)} photos, fives drawn {FIVES} times; allowed is {TOLERANCE['int8']}")
    print(f"{'what':58s} {'least':>7s} {'median':>7s} {'most':>7s}")
    for record in records:
        print(f"{record['what']:58s}", *(f"{record[k]:7.3f}" for k in ("least", "median", "most")))


def load(bundle: Bundle, folder: Path) -> np.ndarray:
    files = sorted(file for file in folder.rglob("*") if file.suffix in (".jpg", ".png"))
    chosen = files[:: max(1, len(files) // PHOTOS)]
    return np.stack([bundle.manifest.preprocessing.apply(read_picture(file)) for file in chosen])


def measure(model: bytes, pictures: np.ndarray) -> list[dict]:
    right = run(model, pictures)
    records = [
        record("other kernels", right, run(model, pictures, kernels="own")),
        record("levels one up or down at random", right, run(model, shake(pictures))),
        record("channels swapped", right, run(model, pictures[..., ::-1])),
        record("half of the levels", right, run(model, pictures // 2)),
        record("levels of 0..1", right, run(model, pictures // 255)),
        record("head: its outputs change places", right, run(damage(model, -1, roll), pictures)),
    ]
    layers = count_layers(model)
    for place in sorted({0, 1, layers // 4, layers // 2, 3 * layers // 4, layers - 2}):
        for name, change in (("shuffled", shuffle), ("half set to 0", halve)):
            what = f"layer {place + 1} of {layers}: weights {name}"
            records.append(record(what, right, run(damage(model, place, change), pictures)))
    return records


def record(what: str, right: np.ndarray, found: np.ndarray) -> dict:
    random = np.random.default_rng(0)
    fives = [random.choice(len(right), 5, replace=False) for _ in range(FIVES)]
    apart = [measure_deviation(right[five], found[five]) for five in fives]
    return {
        "what": what,
        "least": min(apart),
        "median": float(np.median(apart)),
        "most": max(apart),
    }


def run(model: bytes, pictures: np.ndarray, kernels: str = "xnnpack") -> np.ndarray:
    own = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    resolver = own if kernels == "own" else OpResolverType.AUTO
    interpreter = Interpreter(
        model_content=model, num_threads=1, experimental_op_resolver_type=resolver
    )
    interpreter.allocate_tensors()
    entry, exit_ = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scores = []
    for picture in pictures:
        interpreter.set_tensor(entry["index"], picture[np.newaxis].astype(entry["dtype"]))
        interpreter.invoke()
        scores.append(interpreter.get_tensor(exit_["index"])[0].copy())
    return np.stack(scores)


def shake(pictures: np.ndarray) -> np.ndarray:
    steps = np.random.default_rng(0).integers(-1, 2, pictures.shape)
    return (pictures + steps).clip(0, 255).astype(np.uint8)


def find_layers(tree, graph) -> list:
    codes = [max(one.builtinCode, one.deprecatedBuiltinCode) for one in tree.operatorCodes]
    return [one for one in graph.operators if codes[one.opcodeIndex] in WEIGHTY]


def count_layers(model: bytes) -> int:
    tree = read_tree(model)
    return len(find_layers(tree, tree.subgraphs[0]))


def damage(model: bytes, place: int, change: Change) -> bytes:
    tree = read_tree(model)
    graph = tree.subgraphs[0]
    tensor = graph.tensors[find_layers(tree, graph)[place].inputs[1]]
    buffer = tree.buffers[tensor.buffer]
    dtype = np.float32 if tensor.type == 0 else np.int8
    weights = np.array(buffer.data, np.uint8).view(dtype).reshape(tensor.shape)
    changed = np.ascontiguousarray(change(weights))
    buffer.data = np.frombuffer(changed.tobytes(), np.uint8)
    return write_tree(tree)


def roll(weights: np.ndarray) -> np.ndarray:
    return np.roll(weights, 1, axis=0)


def shuffle(weights: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).permutation(weights.reshape(-1)).reshape(weights.shape)


def halve(weights: np.ndarray) -> np.ndarray:
    flat = weights.reshape(-1).copy()
    flat[: len(flat) // 2] = 0
    return flat.reshape(weights.shape)


if __name__ == "__main__":
    main()
