"""CIFAR-10: networks from scratch against transfer learning.

    python examples/transfer_learning/cifar10.py cifar-10-batches-bin

DATA is the folder that the binary version unpacks to (never the Python version: it holds
pickles), or a folder {train,test}/CLASS/*.png. LeNet (1998) and a plain CNN learn all their
weights from these photos; the pretrained network brings its own and learns a head, then its top
blocks, too. The table's test column is the one to quote: validation photos chose the epochs.
"""

from collections.abc import Sequence

from cifar import CIFAR10, SIDE_PX, prepare
from experiments import add_backbone, run_script
from variants import (
    Variant,
    conclude,
    draw_last_stages,
    scratch_options,
    show_outcomes,
    train_variants,
    transfer_options,
    variant_parser_for,
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = variant_parser_for(__doc__, "cifar10", epochs=12, photos=500, size_px=96)
    add_backbone(parser)
    chosen = parser.parse_args(arguments)
    data = prepare(chosen.data, chosen.out, CIFAR10, chosen.photos_a_class, chosen.seed)
    variants = [
        Variant("lenet from scratch", scratch_options(chosen, "lenet", SIDE_PX)),
        Variant("cnn from scratch", scratch_options(chosen, "cnn", SIDE_PX)),
        Variant("frozen backbone", transfer_options(chosen, chosen.backbone, "none")),
        Variant("fine-tuned", transfer_options(chosen, chosen.backbone, "auto")),
    ]
    outcomes = train_variants(data, variants, chosen)
    show_outcomes(outcomes)
    plot = chosen.out / "curves.svg"
    draw_last_stages(plot, outcomes)
    conclude(plot, outcomes, chosen.out)


if __name__ == "__main__":
    run_script(main)
