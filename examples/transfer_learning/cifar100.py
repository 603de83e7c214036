"""CIFAR-100: a hundred classes, and which of them are mixed up.

    python examples/transfer_learning/cifar100.py cifar-100-binary

DATA is the folder that the binary version unpacks to (never the Python version: it holds
pickles), or a folder {train,test}/CLASS/*.png. The fine labels count. Transfer with and without
fine-tuning; then the pairs of classes that the better one confuses most.
"""

from collections.abc import Sequence

from cifar import CIFAR100, prepare
from drawing import Bar, draw_bars
from experiments import add_backbone, run_script
from variants import (
    Outcome,
    Variant,
    conclude,
    draw_last_stages,
    show_outcomes,
    train_variants,
    transfer_options,
    variant_parser_for,
)

from edgetl.console import print_table
from edgetl.metrics import measure
from edgetl.reporting.findings import ConfusedPair, find_confused_pairs

_PAIRS = 10


def main(arguments: Sequence[str] | None = None) -> None:
    parser = variant_parser_for(__doc__, "cifar100", epochs=12, photos=100, size_px=96)
    add_backbone(parser)
    chosen = parser.parse_args(arguments)
    data = prepare(chosen.data, chosen.out, CIFAR100, chosen.photos_a_class, chosen.seed)
    variants = [
        Variant("frozen backbone", transfer_options(chosen, chosen.backbone, "none")),
        Variant("fine-tuned", transfer_options(chosen, chosen.backbone, "auto")),
    ]
    outcomes = train_variants(data, variants, chosen)
    show_outcomes(outcomes)
    pairs = show_confused(max(outcomes, key=lambda one: one.run.metrics.top1))
    draw_last_stages(chosen.out / "curves.svg", outcomes)
    plot = chosen.out / "confused.svg"
    bars = [Bar(f"{one.true} as {one.named}", 100 * one.count / one.of) for one in pairs]
    draw_bars(plot, bars, "photos of the class, %")
    conclude(plot, outcomes, chosen.out)


def show_confused(outcome: Outcome) -> list[ConfusedPair]:
    """Prints and returns the pairs that are mixed up most, on test photos where there are any."""
    part = outcome.run.predictions[-1]
    labels = outcome.run.manifest.labels
    metrics = measure(labels, part.classes, part.probabilities.argmax(axis=1))
    pairs = find_confused_pairs(metrics)[:_PAIRS]
    rows = [
        (one.true, one.named, f"{one.count} of {one.of}", f"{one.back} of {one.back_of}")
        for one in pairs
    ]
    print(f"\nmost confused by {outcome.name}, {part.split} photos:")
    print_table(("class", "is named", "so often", "and the reverse"), rows)
    return pairs


if __name__ == "__main__":
    run_script(main)
