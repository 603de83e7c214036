"""Animals-10: feature extraction against fine-tuning, and what each costs.

    python examples/transfer_learning/animals10.py raw-img

DATA is the archive's folder raw-img, whose classes have Italian names, or any folder
CLASS/photo.jpg. Each backbone is trained with nothing fine-tuned, with its top block, with its
usual number of blocks, and with all of it. A backbone whose weights cannot be had is left out.
VGG16, frozen under a dense hidden layer, is: --backbones vgg16 --finetune none --head mlp
"""

import sys
from collections.abc import Sequence

from experiments import run_script
from photos import choose_photos, find_inside
from variants import (
    Variant,
    conclude,
    draw_seconds,
    show_outcomes,
    train_variants,
    transfer_options,
    variant_parser_for,
)

from edgetl.networks.backbones import find_backbone
from edgetl.networks.weights import find_weights
from edgetl_runtime.errors import WeightsError

# The folders of the data set; a folder of another name is a class of that name.
ENGLISH = {
    "cane": "dog",
    "cavallo": "horse",
    "elefante": "elephant",
    "farfalla": "butterfly",
    "gallina": "chicken",
    "gatto": "cat",
    "mucca": "cow",
    "pecora": "sheep",
    "ragno": "spider",
    "scoiattolo": "squirrel",
}
BACKBONES = ("vgg16", "mobilenet_v2_0.35", "efficientnet_lite0", "efficientnet_v2_b0")
# What `--finetune` takes -> what it is called here.
FINETUNE = {"none": "head", "1": "top block", "auto": "auto", "all": "all"}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = variant_parser_for(__doc__, "animals10", epochs=6, photos=100, size_px=96)
    known = " ".join(BACKBONES)
    parser.add_argument("--backbones", nargs="+", default=list(BACKBONES), help=f"[{known}]")
    parser.add_argument("--finetune", nargs="+", choices=FINETUNE, default=list(FINETUNE))
    chosen = parser.parse_args(arguments)
    data = choose_photos(
        find_inside(chosen.data, "raw-img"),
        chosen.out,
        chosen.photos_a_class,
        chosen.seed,
        ENGLISH,
    )
    backbones = keep_available(chosen.backbones, chosen.weights, chosen.size)
    pairs = [(backbone, finetune) for backbone in backbones for finetune in chosen.finetune]
    variants = [
        Variant(
            f"{backbone} {FINETUNE[finetune]}",
            transfer_options(chosen, backbone, int(finetune) if finetune == "1" else finetune),
        )
        for backbone, finetune in pairs
    ]
    outcomes = train_variants(data, variants, chosen)
    show_outcomes(outcomes)
    plot = chosen.out / "accuracy-against-seconds.svg"
    draw_seconds(plot, outcomes, [backbone for backbone, _ in pairs])
    conclude(plot, outcomes, chosen.out)


def keep_available(names: Sequence[str], weights: str, size_px: int) -> list[str]:
    """The backbones whose weights are at hand or can be downloaded.

    Raises:
        WeightsError: If there is none; that of the last one.
    """
    kept, missing = [], None
    for name in names:
        try:
            find_weights(weights, find_backbone(name), size_px)
            kept.append(name)
        except WeightsError as error:
            missing = error
            print(f"leaving out {name}: {error}", file=sys.stderr)
    if missing and not kept:
        raise missing
    return kept


if __name__ == "__main__":
    run_script(main)
