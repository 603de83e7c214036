"""Cats against dogs: heads, regularization and optimizers on features that are computed once.

    python examples/transfer_learning/cats_vs_dogs.py PetImages

DATA is PetImages with its folders Cat and Dog, some of whose files are broken, or any folder of
two classes. The frozen backbone runs once over each photo; then every cell of the grid, a head
with a sigmoid, is fitted on the cached features in seconds. Validation photos choose the best
epoch of each cell and the best cell; test photos judge that one only, once.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from cached_features import Rows, extract
from drawing import PALETTE, Line, Panel, draw_panels
from experiments import add_backbone, photo_parser_for, run_script, show_skipped
from photos import choose_photos, find_inside

from edgetl.console import print_table
from edgetl.dataset.manifest import DatasetManifest, scan
from edgetl.history import StageHistory
from edgetl.metrics import estimate_share
from edgetl.networks.framework import load_tensorflow
from edgetl.options import FittingOptions, HeadOptions
from edgetl.reporting.wording import percent, span
from edgetl_export.progress import track
from edgetl_runtime.errors import DatasetError

OPTIMIZERS = ("adam", "sgd", "rmsprop")


class Setup(msgspec.Struct, frozen=True):
    """One row of the grid: a head and its penalties, and the flags that say the same."""

    name: str
    flags: str
    head: HeadOptions = HeadOptions(output="sigmoid")
    l1: float = 0.0
    l2: float = 0.0


def _mlp(**more) -> HeadOptions:
    return HeadOptions(kind="mlp", hidden=(128,), output="sigmoid", **more)


_FLAGS = "--head mlp --hidden 128"
SETUPS = (
    Setup("linear", "--l2 0"),
    Setup("linear, L1", "--l1 0.001 --l2 0", l1=1e-3),
    Setup("linear, L2", "--l2 0.03", l2=0.03),
    Setup("mlp", f"{_FLAGS} --l2 0", _mlp()),
    Setup("mlp, L1 and L2", f"{_FLAGS} --l1 0.0003 --l2 0.01", _mlp(), 3e-4, 0.01),
    Setup("mlp, dropout", f"{_FLAGS} --dropout 0.5 --l2 0", _mlp(dropout=0.5)),
    Setup("mlp, batch norm", f"{_FLAGS} --batch-norm --l2 0", _mlp(batch_norm=True)),
    Setup(
        "mlp, both",
        f"{_FLAGS} --dropout 0.5 --batch-norm --l2 0",
        _mlp(dropout=0.5, batch_norm=True),
    ),
)


class Cell(msgspec.Struct, frozen=True):
    """One fitted head."""

    setup: Setup
    optimizer: str
    history: StageHistory
    val_right: int
    test_right: int
    seconds: float


def main(arguments: Sequence[str] | None = None) -> None:
    parser = photo_parser_for(__doc__, "cats_vs_dogs", epochs=20, photos=1000, size_px=160)
    add_backbone(parser)
    parser.add_argument("--optimizers", nargs="+", choices=OPTIMIZERS, default=list(OPTIMIZERS))
    chosen = parser.parse_args(arguments)
    data = choose_photos(
        find_inside(chosen.data, "PetImages"), chosen.out, chosen.photos_a_class, chosen.seed
    )
    manifest = scan(data, test_fraction=0.2, seed=chosen.seed)
    if len(manifest.labels) != 2:
        raise DatasetError(
            f"{chosen.data} has {len(manifest.labels)} classes, expected two, such as Cat and Dog; "
            "animals10.py takes any number"
        )
    load_tensorflow()
    rows = extract(manifest, chosen)
    cells = fit_grid(rows, chosen)
    show(manifest, rows, cells)
    plot = chosen.out / "loss.svg"
    draw_losses(plot, cells)
    conclude(plot, data, cells, rows, chosen)


def fit_grid(rows: Rows, chosen: argparse.Namespace) -> list[Cell]:
    """Fits every head with every optimizer, all with the same seed."""
    grid = [(setup, optimizer) for setup in SETUPS for optimizer in chosen.optimizers]
    return [
        _fit(rows, setup, optimizer, chosen)
        for setup, optimizer in track(grid, "fitting heads", len(grid))
    ]


def _fit(rows: Rows, setup: Setup, optimizer: str, chosen: argparse.Namespace) -> Cell:
    from head_fitting import fit_head

    start = time.monotonic()
    training = FittingOptions(epochs=chosen.epochs, optimizer=optimizer, l1=setup.l1, l2=setup.l2)
    train = rows.train.using_every_row()
    fitted = fit_head(train, rows.val, 2, setup.head, training, seed=chosen.seed)
    seconds = time.monotonic() - start
    right = [fitted.count_right(part) for part in (rows.val, rows.test)]
    return Cell(setup, optimizer, fitted.history, *right, seconds)


def show(manifest: DatasetManifest, rows: Rows, cells: Sequence[Cell]) -> None:
    optimizers = list(dict.fromkeys(cell.optimizer for cell in cells))
    by_setup = [[cell for cell in cells if cell.setup is setup] for setup in SETUPS]
    table = []
    for own in by_setup:
        accuracies = [percent(cell.val_right / len(rows.val.classes)) for cell in own]
        gaps = [_overfit(cell) for cell in own]
        epochs = " ".join(str(cell.history.best_epoch) for cell in own)
        seconds = sum(cell.seconds for cell in own) / len(own)
        table.append(
            (own[0].setup.name, *accuracies, f"{np.mean(gaps):+.2f}", epochs, f"{seconds:.1f}")
        )
    header = ("head", *optimizers, "overfit", "best epochs", "s a cell")
    print_table(header, table)
    counts = ", ".join(f"{len(manifest.select(name))} {name}" for name in ("train", "val", "test"))
    print(f"photos: {counts}; columns {', '.join(optimizers)}: validation accuracy")
    print("overfit: validation less training loss in the last epoch, nats, mean of the row")
    fits = [cell.seconds for cell in cells]
    print(
        f"features: {rows.seconds:.1f} s ({rows.computed} photos computed, the others from the "
        f"cache); {len(cells)} heads: {sum(fits):.1f} s, {np.median(fits):.1f} s each (median)"
    )
    show_skipped(manifest.skipped)


def _overfit(cell: Cell) -> float:
    return cell.history.curves["val_loss"][-1] - cell.history.curves["loss"][-1]


def draw_losses(path: Path, cells: Sequence[Cell]) -> None:
    """Losses over the epochs: a panel a head, a colour an optimizer, training dashed."""
    panels = []
    for setup in SETUPS:
        lines = []
        own = [cell for cell in cells if cell.setup is setup]
        for color, cell in zip(PALETTE, own, strict=False):
            curves = cell.history.curves
            lines.append(Line("_training", curves["loss"], color, dashed=True))
            kept = cell.history.best_epoch
            lines.append(Line(cell.optimizer, curves["val_loss"], color, kept=kept))
        panels.append(Panel(setup.name, lines))
    draw_panels(path, panels, "loss, nats", highest=1.0)


def conclude(
    plot: Path, data: Path, cells: Sequence[Cell], rows: Rows, chosen: argparse.Namespace
) -> None:
    """Judges the best cell on photos that chose nothing, and says how to train it for good."""
    best = max(cells, key=lambda cell: (cell.val_right, -min(cell.history.curves["val_loss"])))
    total = len(rows.test.classes)
    interval = span(estimate_share(best.test_right, total))
    print(
        f"best on validation: {best.setup.name} with {best.optimizer}; on {total} test photos "
        f"{percent(best.test_right / total)} (95%: {interval})"
    )
    print(
        f"next: edgetl train {data} --out {chosen.out}/best --finetune none --output sigmoid "
        f"--backbone {chosen.backbone} --weights {chosen.weights} --size {chosen.size} "
        f"--test-fraction 0.2 --seed {chosen.seed} --epochs {chosen.epochs} "
        f"--optimizer {best.optimizer} {best.setup.flags}"
    )
    print(f"look at: {plot}")


if __name__ == "__main__":
    run_script(main)
