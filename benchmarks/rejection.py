"""Which detector tells things of no class apart, and still knows the classes elsewhere?

    EDGETL_TEST_DATA=... .venv/bin/python benchmarks/rejection.py --cache FOLDER
        [--more FOLDER] [--networks mobilenet_v2_0.35,RUN] [--few] [--json]
    ... benchmarks/rejection.py --bundle BUNDLE [--more FOLDER] [--learn-scene LABEL]
    ... benchmarks/rejection.py --costs BUNDLE

Detectors are trained on TrashNet's training photos. Each rejects 5 % of the known test photos that
are classified correctly, and is judged by

- far: the share of bees and ants, frames of a road, of a hand, and single photos that gets a label;
- near: the AUROC of known photos against those of a class that was left out, mean of all classes;
- shifts: the share of known photos rejected where another camera might have taken them: the
  augmentation `camera` at half, full and double strength, reduced to 160 px, and as the JPEG of a
  webcam; frames of a video of bottles, and photos of bottles and cans. `lost` is the share among
  photos that would have been classified correctly, since nothing is lost with a wrong label;
- other: the share of photos of batteries and cigarettes that gets a label.

FOLDER of --more has `trashnet_other/<class>/*.jpg`, photos of TrashNet that are not in
EDGETL_TEST_DATA, and `hymenoptera_data`, bees and ants; without it the validation photos are the
test, too. RUN is a run of `edgetl train` on TrashNet with the default split; its own features are
compared with those of the lower maps, which training left as they were, and with those of the
frozen backbone. No parameter is chosen by the test sources.

--bundle judges the files of a bundle of such a run instead, at their own threshold and where 5 %
are rejected; near is then measured by detectors made again, without a class, on features of the
file. --learn-scene has the int8 file learn the place of the bottles from the first half of the
video, as LABEL, and compares what it says before and after. --costs compares bytes and time of the
files of a bundle without an unknown class with and without a detector of the usual size.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from data import test_data
from rejection_candidates import exposed, list_candidates
from rejection_files import compare_costs, judge_bundle, learn_scene
from rejection_judging import COLUMNS, Judge
from rejection_sources import Source, Space, list_sources, open_space

from edgetl.run import Run
from edgetl_export.unknown.detecting import SHARE_OF_BYTES
from edgetl_export.unknown.detector import MOST_PROTOTYPES

NETWORKS = "mobilenet_v2_0.35,mobilenet_v2_1.0,efficientnet_v2_b0"
# Of the int8 files that `edgetl export` writes without an unknown class, with 6 classes.
INT8_BYTES = {
    "mobilenet_v2_0.35": 617_472,
    "mobilenet_v2_1.0": 2_715_152,
    "efficientnet_v2_b0": 7_000_000,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--more", type=Path)
    parser.add_argument("--networks", default=NETWORKS)
    parser.add_argument("--few", action="store_true", help="only the best known ones")
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--costs", type=Path)
    parser.add_argument("--learn-scene", metavar="LABEL")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    data = test_data()
    if options.costs:
        compare_costs(options.costs)
        return
    sources = list_sources(data, options.more)
    with tempfile.TemporaryDirectory() as folder:
        # The same sources are of other photos without --more.
        kept = (options.cache or Path(folder)) / ("more" if options.more else "alone")
        if options.bundle:
            examined = judge_bundle(options.bundle, sources, kept)
            if options.learn_scene:
                learn_scene(options.bundle, sources, options.learn_scene, examined["litert-int8"])
            return
        for network in options.networks.split(","):
            compare(network, sources, data, kept, options)


def compare(network: str, sources: dict[str, Source], data: Path, kept: Path, options) -> None:
    headed = open_space(network, sources, data, kept)
    if not Path(network).is_dir():
        show(network, network, headed, headed, sources, options)
        return
    backbone = Run.open(network).spec.backbone
    frozen = open_space(backbone, sources, data, kept)
    same = [n for n in range(len(headed.parts)) if is_same(headed, frozen, n)]
    options.few = True
    spaces = {"its own features": headed, "features of the frozen backbone": frozen}
    if same:
        spaces[f"its lowest {len(same)} maps"] = keep(headed, same)
    for name, space in spaces.items():
        show(f"{network}, {name}", backbone, space, headed, sources, options)


def is_same(one: Space, other: Space, tap: int) -> bool:
    first, second = (space.take("val", "mean", [tap]) for space in (one, other))
    return np.allclose(first, second, atol=1e-3)


def keep(space: Space, taps: list[int]) -> Space:
    pooled = {}
    for name, rows in space.pooled.items():
        edges = np.cumsum([0, *space.parts]) * rows.shape[1] // sum(space.parts)
        pooled[name] = np.concatenate([rows[:, edges[n] : edges[n + 1]] for n in taps], axis=1)
    return Space(tuple(space.parts[n] for n in taps), pooled)


def count_prototypes(backbone: str, features: int) -> int:
    """How many a tenth of the int8 file has room for, as `edgetl export` counts."""
    room = SHARE_OF_BYTES * INT8_BYTES[backbone] - 4096
    return int(min(MOST_PROTOTYPES, room // (features + 4)))


def show(title, backbone, space: Space, headed: Space, sources, options) -> None:
    prototypes = count_prototypes(backbone, sum(space.parts))
    judge = Judge(space, headed, sources, prototypes)
    print(f"\n{title}: maps of {space.parts} channels, {prototypes} prototypes")
    print(judge.describe_head())
    print(f"{'':<52}" + "".join(f"{name:>11}" for name in COLUMNS))
    for name, candidate in list_candidates(few=options.few).items():
        verdict = judge.judge(candidate, saw_road=candidate is exposed)
        if options.json:
            cells = dict(zip(COLUMNS, verdict.cells, strict=True))
            print(json.dumps({"network": title, "detector": name} | cells), flush=True)
            continue
        cells = [
            "-" if np.isnan(cell) else f"{cell:.3f}" if column == "near" else f"{cell:.0%}"
            for column, cell in zip(COLUMNS, verdict.cells, strict=True)
        ]
        print(f"{name:<52}" + "".join(f"{cell:>11}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
