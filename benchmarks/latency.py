"""Frame to label: ours against the bare engine and against MediaPipe Tasks, the same int8 file.

    EDGETL_TEST_DATA=... .venv/bin/python benchmarks/latency.py [--bundle BUNDLE] [--json]

Without --bundle, mobilenet_v2_1.0 at 224 px is trained and exported from a part of TrashNet
first. One thread each. Ours and the bare engine alternate call by call; MediaPipe runs in its
own environment (`make bench` installs it), in turn with a round of ours.
"""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from data import export, test_data

from edgetl_runtime.classifier import Classifier
from edgetl_runtime.image.preprocessing import resize

HERE = Path(__file__).resolve().parent
MEDIAPIPE = HERE.parent / ".venv-mediapipe" / "bin" / "python"
FRAMES = {"640x480": 1.2, "1920x1080": 1.3}
ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        bundle = options.bundle or export(Path(name))
        records = [measure(bundle, frame, goal, Path(name)) for frame, goal in FRAMES.items()]
    if options.json:
        print(json.dumps(records))
        return
    for one in records:
        print(
            f"{one['frame']}: frame to label {one['ours_ms']:.2f} ms, bare invoke "
            f"{one['bare_ms']:.2f} ms, ratio {one['ratio']:.2f} (goal {one['goal']})"
        )
        if one["mediapipe_ms"]:
            print(
                f"  MediaPipe Tasks {one['mediapipe_ms']:.2f} ms: ours is "
                f"{one['mediapipe_ratio']:.2f} times faster (goal 1.5), one thread; "
                f"{one['default_ratio']:.2f} times with our default threads"
            )


def measure(bundle: Path, frame_size: str, goal: float, folder: Path) -> dict:
    width, height = map(int, frame_size.split("x"))
    classifier = Classifier.open(bundle, variant="litert-int8", threads=1)
    default = Classifier.open(bundle, variant="litert-int8")
    picture = cv2.imread(str(sorted((test_data() / "photos").iterdir())[0]))
    frame = resize(picture, width, height)
    pixels = classifier.bundle.manifest.preprocessing.apply(frame)
    file = folder / f"{frame_size}.png"
    cv2.imwrite(str(file), frame)
    rounds = []
    for _ in range(ROUNDS):
        pairs = [
            (timed(classifier, frame), timed(classifier.engine.run, pixels)) for _ in range(150)
        ]
        ours, bare = np.median(np.array(pairs), axis=0)
        many = float(np.median([timed(default, frame) for _ in range(100)]))
        rounds.append((ours, bare, mediapipe_ms(bundle, file), many))
    ours, bare, peer, many = np.median(np.array(rounds, float), axis=0)
    return {
        "frame": frame_size,
        "ours_ms": ours,
        "bare_ms": bare,
        "goal": goal,
        "ratio": float(np.median([r[0] / r[1] for r in rounds])),
        "mediapipe_ms": None if np.isnan(peer) else peer,
        "mediapipe_ratio": float(np.median([r[2] / r[0] for r in rounds])),
        "default_ratio": float(np.median([r[2] / r[3] for r in rounds])),
    }


def mediapipe_ms(bundle: Path, picture: Path) -> float:
    """Median time of a call of MediaPipe's ImageClassifier, or NaN where it is not installed."""
    if not MEDIAPIPE.is_file():
        return float("nan")
    command = [
        str(MEDIAPIPE),
        str(HERE / "mediapipe_client.py"),
        str(bundle / "litert-int8.tflite"),
        str(picture),
        "--runs",
        "200",
    ]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(np.median(json.loads(result.stdout)["ms"]))


def timed(function, argument: object) -> float:
    start = time.perf_counter()
    function(argument)
    return (time.perf_counter() - start) * 1e3


if __name__ == "__main__":
    main()
