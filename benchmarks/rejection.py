"""Do scores mean what they say, and how many things that are no class get a label all the same?

    EDGETL_TEST_DATA=... .venv/bin/python benchmarks/rejection.py [--run RUN | --bundle BUNDLE]
        [--variants litert-float32,litert-int8] [--max-false-rejects 0.05] [--json]

Without --run and --bundle, mobilenet_v2_0.35 is trained on TrashNet first. The validation photos
are halved at random 20 times; temperature and threshold are chosen by one half, all figures are
of the other, and means of the 20. Things that are no class: photos of animals and people, frames
of a road from above, and frames of a hand. The threshold is chosen by held-out classes, or by the
frames of one video and then measured on the other and on the photos.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from data import test_data

from edgetl.dataset.manifest import DatasetManifest, scan
from edgetl.metrics import measure_reliability
from edgetl_export.evaluate.confidence import fit_temperature_of_scores, measure_calibration_error
from edgetl_export.evaluate.rejection import (
    choose_threshold,
    hold_out_classes,
    measure_rejection,
)
from edgetl_runtime import Bundle, Classifier
from edgetl_runtime.image.frames import read_frames
from edgetl_runtime.prediction import calibrate

OTHERS = {"photos": "photos", "road": "videos/car-detection.mp4", "hand": "videos/again.mkv"}
EVERY = 4
HALVINGS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--variants", default="litert-float32,litert-int8")
    parser.add_argument("--false-accept-rate", type=float, default=0.1)
    parser.add_argument("--max-false-rejects", type=float, default=0.05)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    data = test_data()
    with tempfile.TemporaryDirectory() as folder:
        variants = options.variants.split(",")
        bundle = options.bundle or export(data, Path(folder), options.run, variants)
        manifest = find_photos(data, bundle)
        for variant in variants:
            classifier = Classifier.open(bundle, variant=variant)
            record = {"variant": variant} | measure(classifier, manifest, data, options)
            if options.json:
                print(json.dumps(record), flush=True)
            else:
                show(record)


def export(data: Path, folder: Path, run: Path | None, variants: list[str]) -> Path:
    """A bundle of the run, or of one trained for this, in processes of their own."""
    environment = os.environ | {"EDGETL_WEIGHTS_DIR": str(data / "weights")}
    environment.setdefault("EDGETL_CACHE", str(folder / "cache"))
    bundle = folder / "bundle"
    recipes = [word for variant in variants for word in ("--recipe", variant)]
    commands = [
        ["export", str(run or folder / "run"), "--out", str(bundle), "--allow-drop", *recipes]
    ]
    if run is None:
        commands.insert(0, ["train", str(data / "trashnet"), "--out", str(folder / "run")])
    for command in commands:
        edgetl = [sys.executable, "-m", "edgetl.cli", *command]
        subprocess.run(edgetl, check=True, env=environment, stdout=sys.stderr)
    return bundle


def find_photos(data: Path, bundle: Path) -> DatasetManifest:
    """TrashNet, divided as it was for training; ends the benchmark if it was divided otherwise."""
    manifest = scan(data / "trashnet")
    if Bundle.open(bundle).manifest.provenance.dataset_digest != manifest.digest:
        sys.exit(f"{bundle} was not trained on {data / 'trashnet'} with the default split and seed")
    return manifest


def measure(classifier: Classifier, manifest: DatasetManifest, data: Path, options) -> dict:
    part = manifest.select("val")
    known = np.concatenate([score(classifier, manifest.file(one)) for one in part])
    truth = np.array([manifest.index(one) for one in part])
    others = {name: score_all(classifier, data / place) for name, place in OTHERS.items()}
    rounds = [
        measure_half(
            known, truth, others, np.random.default_rng(n).permutation(len(truth)), options
        )
        for n in range(HALVINGS)
    ]
    choices = [average([one["choices"][n] for one in rounds]) for n in range(3)]
    return average(rounds) | {"choices": choices, "others": {k: len(v) for k, v in others.items()}}


def score(classifier: Classifier, file: Path) -> np.ndarray:
    """What the file outputs, before any temperature, of every fourth frame."""
    apply = classifier.bundle.manifest.preprocessing.apply
    frames = [frame.image for frame in read_frames(file) if frame.index % EVERY == 0]
    return np.stack([classifier.engine.run(apply(frame)) for frame in frames])


def score_all(classifier: Classifier, place: Path) -> np.ndarray:
    files = sorted(place.iterdir()) if place.is_dir() else [place]
    return np.concatenate([score(classifier, file) for file in files])


def measure_half(known, truth, others: dict, order: np.ndarray, options) -> dict:
    half, rest = np.array_split(order, 2)
    temperature = fit_temperature_of_scores(known[half], truth[half])

    def soften(scores: np.ndarray) -> np.ndarray:
        return np.stack([calibrate(one, temperature) for one in scores])

    before, after = known[rest], soften(known[rest])
    others = {name: soften(scores) for name, scores in others.items()}
    chosen_by = {"held-out classes": hold_out_classes(soften(known[half]), truth[half])}
    chosen_by |= {name: others[name] for name in ("road", "hand")}
    choices = []
    for name, unknown in chosen_by.items():
        chosen = choose_threshold(
            soften(known[half]),
            truth[half],
            unknown,
            false_accept_rate=options.false_accept_rate,
            max_false_rejects=options.max_false_rejects,
        )
        choice = {"chosen_by": name, "threshold": chosen.threshold, "limited": chosen.limited}
        choice["aimed_at"] = chosen.false_accept_rate
        for other, scores in others.items():
            rates = measure_rejection(chosen.threshold, after, truth[rest], scores)
            choice["false_rejects"] = rates.false_reject_rate
            choice[other] = None if other == name else rates.false_accept_rate
        choices.append(choice)
    reliability = measure_reliability(after, truth[rest])
    return {
        "temperature": temperature,
        "error_before": measure_calibration_error(before, truth[rest]),
        "error_after": reliability.expected_calibration_error,
        "chance_error": reliability.chance_error,
        "choices": choices,
    }


def average(records: list[dict]) -> dict:
    """The mean of each number; of anything else the first."""
    return {
        key: float(np.mean([one[key] for one in records]))
        if isinstance(value, bool | float)
        else value
        for key, value in records[0].items()
    }


def show(record: dict) -> None:
    print(
        f"{record['variant']}: calibration error {record['error_before']:.3f}, after temperature "
        f"{record['temperature']:.2f} {record['error_after']:.3f} (right scores reach "
        f"{record['chance_error']:.3f} by chance on so few photos)"
    )
    counts = "  ".join(f"{name} {count}" for name, count in record["others"].items())
    print(f"  false accepts among {counts}; false rejects among known photos classified correctly")
    header = ("chosen by", "threshold", *OTHERS, "false rejects", "limited")
    print(
        "  " + "".join(f"{cell:<18}" if not n else f"{cell:>15}" for n, cell in enumerate(header))
    )
    for one in record["choices"]:
        shares = [one[name] for name in (*OTHERS, "false_rejects", "limited")]
        cells = ["-" if share is None else f"{share:.0%}" for share in shares]
        line = "".join(f"{cell:>15}" for cell in (f"{one['threshold']:.3f}", *cells))
        print(f"  {one['chosen_by']:<18}{line}", flush=True)


if __name__ == "__main__":
    main()
