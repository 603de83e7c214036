"""Variants of one training, side by side: trained, in a table, in a plot."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from drawing import PALETTE, Dot, Line, Panel, draw_dots, draw_panels
from experiments import photo_parser_for, show_skipped

from edgetl.console import print_table
from edgetl.dataset.listing import list_folder
from edgetl.dataset.photo import show_path
from edgetl.networks.framework import load_tensorflow
from edgetl.options import FittingOptions, HeadOptions, SplitOptions, TrainOptions
from edgetl.reporting.wording import percent
from edgetl.run import Run
from edgetl.training.train import resume, train
from edgetl.training.workspace import is_resumable

# Validation photos choose the epochs and the best variant, so test photos are kept aside; a data
# set that names its parts keeps them.
_SPLIT = SplitOptions(test_fraction=0.2)


class Variant(msgspec.Struct, frozen=True):
    """One training among those that are compared; the name is also its folder's."""

    name: str
    options: TrainOptions


class Outcome(msgspec.Struct, frozen=True):
    """A variant, trained."""

    name: str
    run: Run

    @property
    def test(self) -> float | None:
        """Top-1 on the test photos, 0..1; None without any."""
        return next((one.top1 for one in self.run.predictions if one.split == "test"), None)

    @property
    def overfit(self) -> float:
        """Accuracy in training less that in validation in the last epoch, -1..1."""
        curves = self.run.histories[-1].curves
        return curves["accuracy"][-1] - curves["val_accuracy"][-1]

    @property
    def computing_s(self) -> float:
        """Seconds that the frozen part took, over all photos; next to none where it is cached."""
        seconds = self.run.file.seconds
        return sum(seconds.get(name, 0.0) for name in seconds if name.startswith(("feat", "maps")))

    @property
    def fitting_s(self) -> float:
        """Seconds that fitting took, over all stages."""
        seconds = self.run.file.seconds
        return sum(value for name, value in seconds.items() if name.startswith("fitting"))


def variant_parser_for(
    doc: str, name: str, *, epochs: int, photos: int, size_px: int
) -> argparse.ArgumentParser:
    """A parser of what every experiment with variants takes; see `experiments.parser_for`."""
    parser = photo_parser_for(doc, name, epochs=epochs, photos=photos, size_px=size_px)
    parser.add_argument("--head-epochs", type=int, help="of heads  [until done]")
    parser.add_argument("--head", choices=("linear", "mlp"), default="linear", help="[linear]")
    parser.add_argument("--l2", type=float, help="of heads  [by cross-validation]")
    parser.add_argument("--augment", default="light", help="none, light, camera, heavy  [light]")
    parser.add_argument("--overwrite", action="store_true", help="train again what is finished")
    return parser


def transfer_options(chosen: argparse.Namespace, backbone: str, finetune: Any) -> TrainOptions:
    """A pretrained backbone: frozen under a new head, or with some or all of it fine-tuned."""
    training = FittingOptions(
        epochs=chosen.head_epochs,
        finetune_epochs=None if finetune == "none" else chosen.epochs,
        l2=chosen.l2,
    )
    return TrainOptions(
        backbone=backbone,
        size_px=chosen.size,
        weights=chosen.weights,
        seed=chosen.seed,
        finetune=finetune,
        split=_SPLIT,
        augment=chosen.augment,
        head=HeadOptions(kind=chosen.head),
        training=training,
    )


def scratch_options(chosen: argparse.Namespace, network: str, size_px: int) -> TrainOptions:
    """A small network from random weights."""
    return TrainOptions(
        backbone=network,
        size_px=size_px,
        weights="none",
        seed=chosen.seed,
        augment=chosen.augment,
        split=_SPLIT,
        training=FittingOptions(epochs=chosen.epochs),
    )


def train_variants(
    data: Path, variants: Sequence[Variant], chosen: argparse.Namespace
) -> list[Outcome]:
    """Trains each variant into a folder of its own; what an earlier call finished is kept."""
    load_tensorflow()
    outcomes = []
    for number, variant in enumerate(variants, 1):
        print(f"{number} of {len(variants)}: {variant.name}", file=sys.stderr)
        folder = chosen.out / variant.name.replace(" ", "-")
        outcomes.append(Outcome(variant.name, _train(data, variant.options, folder, chosen)))
    return outcomes


def _train(data: Path, options: TrainOptions, folder: Path, chosen: argparse.Namespace) -> Run:
    if not chosen.overwrite and is_resumable(folder):
        return resume(folder, data=data, choose=lambda before: options)
    if not chosen.overwrite and (finished := _find_finished(data, options, folder)):
        print("  finished before; --overwrite trains it again", file=sys.stderr)
        return finished
    return train(data, folder, options, overwrite=chosen.overwrite)


def _find_finished(data: Path, options: TrainOptions, folder: Path) -> Run | None:
    """The run of an earlier call, if it was the same training of the same files."""
    if not (folder / "run.json").is_file():
        return None
    run = Run.open(folder)
    listing = list_folder(data)
    known = {one.path for one in (*run.manifest.examples, *run.manifest.skipped)}
    listed = {one.path for one in listing.photos}
    listed |= {show_path(path, listing.root) for path, _ in listing.left_out}
    same_files = run.manifest.root == str(listing.root) and known == listed
    return run if same_files and run.file.options == options else None


def show_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Prints a row a variant, then what was skipped."""
    header = (
        "variant",
        "trained",
        "validation",
        "test",
        "overfit",
        "computing s",
        "fitting s",
        "total s",
    )
    rows = [
        (
            one.name,
            one.run.spec.describe_cut(),
            percent(one.run.metrics.top1),
            percent(one.test),
            f"{100 * one.overfit:+.1f}",
            f"{one.computing_s:.1f}",
            f"{one.fitting_s:.1f}",
            f"{one.run.file.seconds['total']:.1f}",
        )
        for one in outcomes
    ]
    print_table(header, rows)
    parts = {name: len(outcomes[0].run.manifest.select(name)) for name in ("train", "val", "test")}
    counts = ", ".join(f"{count} {name}" for name, count in parts.items())
    print(f"photos: {counts}; overfit: training less validation accuracy, last epoch, points")
    show_skipped(outcomes[0].run.manifest.skipped)


def draw_last_stages(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Training and validation accuracy over the epochs of each variant's last stage."""
    panels = []
    for one in outcomes:
        stage = one.run.histories[-1]
        curves = {name: [100 * value for value in stage.curves[name]] for name in stage.curves}
        lines = (
            Line("training", curves["accuracy"], PALETTE[0], dashed=True),
            Line("validation", curves["val_accuracy"], PALETTE[1], kept=stage.best_epoch),
        )
        panels.append(Panel(f"{one.name} ({stage.name})", lines))
    draw_panels(path, panels, "accuracy, %", highest=102)


def draw_seconds(path: Path, outcomes: Sequence[Outcome], groups: Sequence[str]) -> None:
    """Accuracy against seconds, a dot an outcome; on test photos, where there are any."""
    dots = [
        Dot(
            group,
            one.name.removeprefix(group).strip(),
            one.computing_s + one.fitting_s,
            100 * (one.run.metrics.top1 if one.test is None else one.test),
        )
        for one, group in zip(outcomes, groups, strict=True)
    ]
    draw_dots(path, dots)


def conclude(plot: Path, outcomes: Sequence[Outcome], out: Path) -> None:
    """Says what to do with the best on validation photos, and where the picture is."""
    best = max(outcomes, key=lambda one: one.run.metrics.top1).run
    folders = " ".join(str(one.run.path) for one in outcomes)
    print(f"compare: edgetl compare {folders}")
    print(f"report: {best.report}")
    print(f"next: edgetl export {best.path} --out {out / (best.path.name + '.bundle')}")
    print(f"look at: {plot}")
