"""Frame to label: ours against the bare engine and against MediaPipe Tasks, the same int8 file.

    EDGETL_TEST_DATA=... .venv/bin/python benchmarks/latency.py [--bundle BUNDLE]
        [--engine litert,onnx] [--rounds 5] [--json]

Without --bundle, mobilenet_v2_1.0 at 224 px is trained and exported from a part of TrashNet
first. One thread each. Ours and the bare engine (LiteRT: set the input, invoke, get the output;
ONNX Runtime: a run of the session) alternate call by call; MediaPipe runs in its own environment
(`make bench` installs it), in turn with a round of ours.
"""

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from data import export, test_data
from processor import describe_processor, print_processor

from edgetl_runtime.classifier import Classifier
from edgetl_runtime.image.preprocessing import Frame, resize

HERE = Path(__file__).resolve().parent
MEDIAPIPE = HERE.parent / ".venv-mediapipe" / "bin" / "python"
FRAMES = {"640x480": 1.05, "1920x1080": 1.10}
MEDIAPIPE_GOAL = 2.0
PAIRS = 150


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--engine", default="litert", help="litert, onnx or litert,onnx")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        bundle = options.bundle or export(Path(name))
        records = [
            measure(bundle, engine, frame_size, Path(name), options.rounds)
            for engine in options.engine.split(",")
            for frame_size in FRAMES
        ]
    if options.json:
        print(json.dumps({"processor": describe_processor(), "frames": records}))
        return
    print_processor()
    for record in records:
        show(record)


def show(one: dict) -> None:
    print(
        f"{one['engine']}, {one['frame']}: frame to label {one['ours_ms']:.2f} ms, bare "
        f"{one['bare_ms']:.2f} ms, ratio {one['ratio']:.3f} (goal {one['goal']})"
    )
    stages = ", ".join(f"{name} {ms:.3f} ms" for name, ms in one["stages_ms"].items())
    print(f"  {stages}; {one['threads']} threads, our default: {one['default_ms']:.2f} ms")
    if one["mediapipe_ms"]:
        print(
            f"  MediaPipe Tasks {one['mediapipe_ms']:.2f} ms: ours is "
            f"{one['mediapipe_ratio']:.2f} times faster with one thread, "
            f"{one['default_ratio']:.2f} times with our default (goal {MEDIAPIPE_GOAL})"
        )


def measure(bundle: Path, engine: str, frame_size: str, folder: Path, rounds: int) -> dict:
    width, height = map(int, frame_size.split("x"))
    classifier = Classifier.open(bundle, variant=f"{engine}-int8", threads=1)
    default = Classifier.open(bundle, variant=f"{engine}-int8")
    picture = cv2.imread(str(sorted((test_data() / "photos").iterdir())[0]))
    frame = resize(picture, width, height)
    bare = bare_run(classifier, classifier.prepare(frame))
    file = folder / f"{frame_size}.png"
    cv2.imwrite(str(file), frame)
    found = []
    for _ in range(rounds):
        samples = np.array([sample(classifier, bare, frame) for _ in range(PAIRS)])
        many = float(np.median([timed(lambda: default(frame)) for _ in range(100)]))
        peer = mediapipe_ms(bundle, file) if engine == "litert" else float("nan")
        found.append((*np.median(samples, axis=0), many, peer))
    table = np.array(found)
    ours, bare_ms, preprocess, invoke, rest, many, peer = np.median(table, axis=0)
    has_peer = not np.isnan(peer)
    return {
        "engine": engine,
        "frame": frame_size,
        "ours_ms": ours,
        "bare_ms": bare_ms,
        "goal": FRAMES[frame_size],
        "ratio": float(np.median(table[:, 0] / table[:, 1])),
        "stages_ms": {"preprocess": preprocess, "invoke": invoke, "rest": rest},
        "threads": default.engine.threads,
        "default_ms": many,
        "mediapipe_ms": peer if has_peer else None,
        "mediapipe_ratio": float(np.median(table[:, 6] / table[:, 0])) if has_peer else None,
        "default_ratio": float(np.median(table[:, 6] / table[:, 5])) if has_peer else None,
    }


def bare_run(classifier: Classifier, pixels: Frame) -> Callable[[], object]:
    """What the engine alone does for one prepared frame."""
    engine = classifier.engine
    if not engine.name.startswith("onnxruntime"):
        return lambda: engine.run(pixels)
    tensor = classifier.variant.input
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))[np.newaxis].astype(tensor.dtype)
    session = engine._session  # type: ignore[attr-defined]
    return lambda: session.run(None, {tensor.name: planes})


def sample(classifier: Classifier, bare: Callable[[], object], frame: Frame) -> tuple[float, ...]:
    """Ours, bare, and of ours: preprocessing, the engine, the rest; milliseconds."""
    start = time.perf_counter()
    prediction = classifier(frame)
    ours_ms = (time.perf_counter() - start) * 1e3
    stages = (prediction.preprocess_ms, prediction.invoke_ms)
    return ours_ms, timed(bare), *stages, ours_ms - sum(stages)


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


def timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return (time.perf_counter() - start) * 1e3


if __name__ == "__main__":
    main()
