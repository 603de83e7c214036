"""A multi-layer perceptron on Iris, by the trainer that also fits heads on photos.

    python examples/transfer_learning/iris.py [DATA] [--out FOLDER]

DATA is a CSV of four lengths in cm and a species; the 150 flowers of Fisher 1936 lie beside this
script. Each head is judged by 5-fold cross-validation: three folds to learn from, one to choose
the best epoch by, one that it never saw; every flower is in that last one once.
"""

import csv
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from drawing import PALETTE, Line, Panel, draw_panels
from experiments import parser_for, run_script

from edgetl.console import print_table
from edgetl.history import StageHistory
from edgetl.metrics import estimate_share
from edgetl.networks.framework import load_tensorflow
from edgetl.options import FittingOptions, HeadOptions
from edgetl.reporting.wording import percent, span
from edgetl_export.progress import track
from edgetl_runtime.errors import DatasetError

FLOWERS = Path(__file__).with_name("iris.csv")
FOLDS = 5
HEADS = {
    "linear": HeadOptions(kind="linear"),
    "mlp": HeadOptions(kind="mlp", hidden=(16,)),
}
# Highest rates for four features; those that edgetl takes suit a thousand.
RATES = {"adam": 0.05, "sgd": 0.1, "rmsprop": 0.02}
# Strength of the L2 penalty on the standardized lengths.
L2 = 0.01
# 90 flowers to learn from make equal batches, and one compiled step.
BATCH = 30


class Flowers(msgspec.Struct, frozen=True, eq=False):
    """Lengths in cm, float32 (flowers, 4), and index of the species, int64 (flowers,)."""

    lengths: np.ndarray
    species: np.ndarray
    names: tuple[str, ...]


class Judged(msgspec.Struct, frozen=True):
    """One head: flowers of the unseen folds classified correctly, curves of each fold, seconds."""

    head: str
    optimizer: str
    right: int
    total: int
    histories: tuple[StageHistory, ...]
    seconds: float


def main(arguments: Sequence[str] | None = None) -> None:
    parser = parser_for(__doc__, "iris", epochs=60)
    parser.add_argument("data", nargs="?", type=Path, default=FLOWERS, help="[iris.csv]")
    parser.add_argument("--heads", nargs="+", choices=HEADS, default=list(HEADS))
    parser.add_argument("--optimizers", nargs="+", choices=RATES, default=list(RATES))
    options = parser.parse_args(arguments)
    flowers = read_flowers(options.data)
    load_tensorflow()
    cells = [(head, optimizer) for head in options.heads for optimizer in options.optimizers]
    judged = [
        judge(flowers, head, optimizer, epochs=options.epochs, seed=options.seed)
        for head, optimizer in track(cells, "cross-validating", len(cells))
    ]
    show(judged)
    plot = options.out / "error.svg"
    draw_errors(plot, judged)
    print(f"look at: {plot}")
    print("next: python examples/transfer_learning/cats_vs_dogs.py DATA  (the same on photos)")


def read_flowers(path: Path) -> Flowers:
    """Reads the table.

    Raises:
        DatasetError: If it is no table of four numbers and a name.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            _, *rows = [row for row in csv.reader(file) if row]
        lengths = np.array([[float(cell) for cell in row[:4]] for row in rows], np.float32)
        species = [row[4] for row in rows]
    except (OSError, ValueError, IndexError, csv.Error) as error:
        raise DatasetError(
            f"{path} cannot be used ({error}); expected a header and rows of four lengths in cm "
            f"and a species, as in {FLOWERS}"
        ) from error
    names = tuple(sorted(set(species)))
    counts = [species.count(name) for name in names]
    if len(names) < 2 or min(counts) < FOLDS:
        raise DatasetError(
            f"{path} has {len(names)} species with {min(counts, default=0)} flowers at least; "
            f"expected two species or more, and {FOLDS} flowers of each; add rows"
        )
    return Flowers(lengths, np.array([names.index(one) for one in species]), names)


def assign_folds(species: np.ndarray, seed: int) -> np.ndarray:
    """A fold for each flower, int64 (flowers,); each has the same share of every species."""
    random = np.random.default_rng(seed)
    folds = np.zeros(len(species), np.int64)
    for one in np.unique(species):
        own = random.permutation(np.flatnonzero(species == one))
        folds[own] = np.arange(len(own)) % FOLDS
    return folds


def judge(flowers: Flowers, head: str, optimizer: str, *, epochs: int, seed: int = 0) -> Judged:
    """Cross-validates one head."""
    from head_fitting import fit_head, keep_rows

    start = time.monotonic()
    training = FittingOptions(
        epochs=epochs, batch=BATCH, optimizer=optimizer, learning_rate=RATES[optimizer], l2=L2
    )
    folds = assign_folds(flowers.species, seed)
    right, histories = 0, []
    for fold in range(FOLDS):
        unseen, chooses = folds == fold, folds == (fold + 1) % FOLDS
        train, val, test = (
            keep_rows(flowers.lengths[part], flowers.species[part])
            for part in (~(unseen | chooses), chooses, unseen)
        )
        fitted = fit_head(train, val, len(flowers.names), HEADS[head], training, seed=seed)
        right += fitted.count_right(test)
        histories.append(fitted.history)
    seconds = time.monotonic() - start
    return Judged(head, optimizer, right, len(folds), tuple(histories), seconds)


def show(judged: Sequence[Judged]) -> None:
    header = ("head", "optimizer", "unseen folds", "95% interval", "best epochs", "seconds")
    rows = [
        (
            one.head,
            one.optimizer,
            f"{percent(one.right / one.total)} ({one.right} of {one.total})",
            span(estimate_share(one.right, one.total)),
            " ".join(str(history.best_epoch) for history in one.histories),
            f"{one.seconds:.1f}",
        )
        for one in judged
    ]
    print_table(header, rows)


def draw_errors(path: Path, judged: Sequence[Judged]) -> None:
    """Share named wrong, %, an epoch: the mean over the folds."""
    panels = [
        Panel(
            f"{one.head}, {one.optimizer}",
            (
                Line("training", _mean_error(one, "accuracy"), PALETTE[0], dashed=True),
                Line("validation", _mean_error(one, "val_accuracy"), PALETTE[1]),
            ),
        )
        for one in judged
    ]
    draw_panels(path, panels, "error, % of the flowers", highest=70)


def _mean_error(judged: Judged, curve: str) -> list[float]:
    accuracies = np.array([history.curves[curve] for history in judged.histories])
    return list(100 * (1 - accuracies.mean(axis=0)))


if __name__ == "__main__":
    run_script(main)
