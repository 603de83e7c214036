"""How far the scores of a bundle's files are apart on this machine and on a board's processor.

    sudo EDGETL_TEST_DATA=... .venv/bin/python benchmarks/agreement.py BUNDLE... [--count 252]
        [--float-count 40] [--photos FOLDER]... [--keep FOLDER] [--json]
    .venv/bin/python benchmarks/agreement.py --compare HERE.npz THERE.npz [--json]

The board is a root of tests/boards/root.sh; SUITE, ARCH and BOARD choose it. First both prepare
the photos, and it is told whether the model's inputs are equal, bit for bit. Then both score the
inputs that this machine prepared: what differs there is the engine's arithmetic. Where inputs
differ, the board scores its own as well. --keep keeps inputs and scores as .npz, so that other
rules can be tried on them.

Logits are the logarithms of a photo's scores less their mean; scores below golden.LEAST_SCORE
count as that. Differences are the largest over a photo's classes. The deviation is the figure
that `edgetl-run verify` judges golden frames by: over all photos, and over random fives, of which
a bundle's golden frames are one.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
from data import test_data
from numpy.typing import NDArray

from edgetl_runtime.bundle.golden_frames import measure_deviation, to_logits

ROOT = Path(__file__).resolve().parent.parent
BOARDS = ROOT / "tests" / "boards"
PICTURES = {".jpg", ".jpeg", ".png", ".bmp"}
QUANTILES = (0.5, 0.9, 0.99, 1.0)
FIVE = 5
DRAWS = 2000

Scores = NDArray[np.float32]


class Inputs(msgspec.Struct, frozen=True):
    """What two machines made of the same photos for one bundle: shares that are equal."""

    bundle: str
    photos: int
    equal_photos: float
    equal_values: float
    largest_difference: int


class Agreement(msgspec.Struct, frozen=True):
    """Two machines' scores of one file; quantiles as in QUANTILES."""

    file: str
    photos: int
    equal_bits: bool
    same_top1: float
    probability: tuple[float, ...]
    logit: tuple[float, ...]
    deviation: float
    deviation_of_five: tuple[float, ...]


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory() as name:
        folder = (options.keep or Path(name)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        inputs: list[Inputs] = []
        pairs = [tuple(options.compare)] if options.compare else []
        if not options.compare:
            inputs = prepare_both(options, folder)
            pairs = score_both(options, folder, own_inputs=any(i.equal_photos < 1 for i in inputs))
        found = {there.stem: list(compare(here, there)) for here, there in pairs}
    if options.json:
        print(json.dumps(msgspec.to_builtins({"inputs": inputs, "scores": found})))
    else:
        show(inputs, found)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", type=Path, nargs="*")
    parser.add_argument("--photos", type=Path, action="append", help="default: TrashNet")
    parser.add_argument("--count", type=int, default=252)
    parser.add_argument("--float-count", type=int, default=40)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--compare", type=Path, nargs=2, metavar=("HERE", "THERE"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if bool(options.bundles) == bool(options.compare):
        parser.error("give bundles, or --compare and two files")
    options.bundles = [path.resolve() for path in options.bundles]
    return options


def prepare_both(options: argparse.Namespace, folder: Path) -> list[Inputs]:
    subprocess.run([BOARDS / "install.sh"], check=True)
    folders = [path.resolve() for path in options.photos or [test_data() / "trashnet"]]
    photos = choose(folders, options.count)
    listed = folder / "photos.txt"
    listed.write_text("".join(f"{photo}\n" for photo in photos))
    for place in ("here", "there"):
        run(
            place,
            folder,
            folders,
            "prepare",
            folder / f"{place}-inputs.npz",
            listed,
            *options.bundles,
        )
    with np.load(folder / "here-inputs.npz") as here, np.load(folder / "there-inputs.npz") as there:
        return [compare_inputs(name, here[name], there[name]) for name in here.files]


def choose(folders: list[Path], count: int) -> list[Path]:
    """Photos at equal steps through all that the folders hold, in order."""
    found = [f for folder in folders for f in sorted(folder.rglob("*")) if f.suffix in PICTURES]
    return [found[index * len(found) // count] for index in range(min(count, len(found)))]


def score_both(
    options: argparse.Namespace, folder: Path, *, own_inputs: bool
) -> list[tuple[Path, Path]]:
    """Pairs of files with this machine's and the board's scores."""
    cases = [("here", "here", "here"), ("there", "here", "engine")]
    cases += [("there", "there", "inputs-and-engine")] if own_inputs else []
    for place, inputs, name in cases:
        what = (folder / f"{name}.npz", folder / f"{inputs}-inputs.npz", *options.bundles)
        run(place, folder, [], "score", *what, "--float-count", options.float_count)
    return [(folder / "here.npz", folder / f"{name}.npz") for _, _, name in cases[1:]]


def run(place: str, folder: Path, read: list[Path], *arguments: object) -> None:
    """Runs scoring.py here or on the board, at the same paths."""
    command = ["python", ROOT / "benchmarks" / "scoring.py", *arguments]
    if place == "here":
        command[0] = sys.executable
    else:
        read = [
            ROOT,
            *read,
            *(a for a in arguments if isinstance(a, Path) and a.suffix == ".bundle"),
        ]
        shown = [word for path in read for word in ("--read", path)]
        command = [BOARDS / "root.sh", *shown, "--write", folder, *command]
    subprocess.run(list(map(str, command)), check=True, env=os.environ, stderr=sys.stderr)


def compare_inputs(bundle: str, here: NDArray[np.uint8], there: NDArray[np.uint8]) -> Inputs:
    equal = here == there
    return Inputs(
        bundle,
        len(here),
        float(equal.all(axis=(1, 2, 3)).mean()),
        float(equal.mean()),
        int(np.abs(here.astype(np.int16) - there).max()),
    )


def compare(here: Path, there: Path) -> Iterator[Agreement]:
    """Files of both, on the photos that both have scored."""
    with np.load(here) as ours, np.load(there) as theirs:
        for name in (n for n in ours.files if n in theirs.files):
            count = min(len(ours[name]), len(theirs[name]))
            yield compare_scores(name, ours[name][:count], theirs[name][:count])


def compare_scores(file: str, here: Scores, there: Scores) -> Agreement:
    logits = np.abs(to_logits(here) - to_logits(there)).max(axis=1)
    random = np.random.default_rng(0)
    draws = [random.choice(len(here), min(FIVE, len(here)), replace=False) for _ in range(DRAWS)]
    return Agreement(
        file,
        len(here),
        bool((here == there).all()),
        float((here.argmax(axis=1) == there.argmax(axis=1)).mean()),
        quantiles(np.abs(here - there).max(axis=1)),
        quantiles(logits),
        measure_deviation(here, there),
        quantiles(np.array([measure_deviation(here[draw], there[draw]) for draw in draws])),
    )


def quantiles(values: NDArray[np.floating]) -> tuple[float, ...]:
    return tuple(float(value) for value in np.quantile(values, QUANTILES))


def show(inputs: list[Inputs], found: dict[str, list[Agreement]]) -> None:
    for one in inputs:
        print(
            f"{one.bundle}: inputs of {one.equal_photos:.1%} of {one.photos} photos are equal, "
            f"{one.equal_values:.2%} of the values, by {one.largest_difference} levels at most"
        )
    line = "{:44} {:>6} {:>6} {:>28} {:>28} {:>9} {:>28}"
    for what, rows in found.items():
        print(f"\n{what}; quantiles 0.5, 0.9, 0.99, 1")
        print(
            line.format("file", "photos", "top-1", "probability", "logit", "deviation", "of five")
        )
        for row in rows:
            three = (" ".join(f"{v:.4f}" for v in q) for q in (row.probability, row.logit))
            five = " ".join(f"{value:.4f}" for value in row.deviation_of_five)
            cells = (f"{row.same_top1:.1%}", *three, f"{row.deviation:.4f}", five)
            print(
                line.format(row.file, row.photos, *cells)
                + ("  equal bits" if row.equal_bits else "")
            )


if __name__ == "__main__":
    main()
