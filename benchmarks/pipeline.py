"""The whole pipeline against the bare engine: throughput, frame age, and what a long run leaves.

    .venv/bin/python benchmarks/pipeline.py [--bundle BUNDLE] [--seconds 10] [--soak-minutes 0]

Without --bundle, mobilenet_v2_1.0 is trained and exported first, from EDGETL_TEST_DATA.

- throughput: answers a second to a 640x480 MJPEG video that is read as fast as it is taken,
  against back-to-back invokes of the same file with as many threads, in turn.
- age: how old frames are when their answer is ready, from a source of 30 frames a second.
- soak: frames of a test pattern through camera process, pipeline and a JSON lines file until the
  time is over or a million frames are answered; memory, open files and threads are read as it goes.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import cv2
import numpy as np
from data import export

from edgetl_runtime.answers import Answer
from edgetl_runtime.capture.camera import Camera
from edgetl_runtime.classifier import Classifier
from edgetl_runtime.outputs.logs import JsonLines
from edgetl_runtime.pipeline.pipeline import Pipeline
from edgetl_runtime.settings.sections import PaceSettings, Settings, SourceSettings

ROUNDS = 5
SIZE = "640x480"
FPS = 30.0
FASTEST = 1000.0
MILLION = 1_000_000
QUOTA_BYTES = 8 * 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each round")
    parser.add_argument("--soak-minutes", type=float, default=0.0, help="0 leaves it out")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        bundle = options.bundle or export(Path(folder))
        classifier = Classifier.open(bundle, threads=options.threads)
        video = write_video(Path(folder) / "video.avi")
        record: dict[str, object] = {
            "variant": classifier.variant.name,
            "threads": options.threads,
            "throughput": measure_throughput(classifier, options.seconds, video),
            "age": measure_age(classifier, options.seconds),
        }
    if options.soak_minutes:
        record["soak"] = soak(classifier, options.soak_minutes * 60)
    if options.json:
        print(json.dumps(record))
        return
    for name, values in record.items():
        print(f"{name}: {json.dumps(values)}")


def measure_throughput(classifier: Classifier, seconds: float, video: Path) -> dict[str, float]:
    ratios, ours, bare = [], [], []
    for _ in range(ROUNDS):
        bare.append(invoke_back_to_back(classifier, seconds / 2))
        ours.append(run_for(classifier, seconds, str(video), loop=True)[0])
        bare.append(invoke_back_to_back(classifier, seconds / 2))
        ratios.append(ours[-1] / statistics.mean(bare[-2:]))
    return {
        "pipeline_fps": statistics.median(ours),
        "bare_invokes_per_s": statistics.median(bare),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
    }


def write_video(path: Path) -> Path:
    """Ten seconds of the test pattern as a USB camera would send it."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (640, 480))
    with Camera("pattern", SourceSettings(size=SIZE, fps=FASTEST)) as camera:
        for _, frame in zip(range(int(10 * FPS)), camera, strict=False):
            writer.write(frame.image)
    writer.release()
    return path


def invoke_back_to_back(classifier: Classifier, seconds: float) -> float:
    preprocessing = classifier.bundle.manifest.preprocessing
    shape = (preprocessing.height_px, preprocessing.width_px, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    start = time.monotonic()
    count = 0
    while time.monotonic() - start < seconds:
        classifier.engine.run(pixels)
        count += 1
    return count / (time.monotonic() - start)


def measure_age(classifier: Classifier, seconds: float) -> dict[str, float]:
    _, answers = run_for(classifier, seconds * 2, "pattern", size=SIZE, fps=FPS)
    ages = [answer.prediction.age_ms for answer in answers[10:]]
    invoke_ms = statistics.median(answer.prediction.invoke_ms for answer in answers[10:])
    p50, p99 = np.percentile(ages, (50, 99))
    return {
        "source_fps": FPS,
        "answers": len(ages),
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "goal_p99_ms": 1.5 * 1000 / FPS + invoke_ms,
    }


def run_for(
    classifier: Classifier, seconds: float, address: str, **source: object
) -> tuple[float, list[Answer]]:
    """Answers a second, from half a second after the first answer on, and the answers."""
    camera = Camera(address, SourceSettings(**source))
    pipeline = Pipeline(classifier, camera)
    timer = threading.Timer(seconds + 1.0, pipeline.stop)
    timer.start()
    answers = list(pipeline.answers())
    timer.cancel()
    moments = [answer.prediction.answered_s for answer in answers]
    # The first half second is start-up: the camera's process, cold caches.
    kept = [moment for moment in moments if moment > moments[0] + 0.5]
    return (len(kept) - 1) / (kept[-1] - kept[0]), answers


def soak(classifier: Classifier, seconds: float) -> dict[str, object]:
    samples: list[tuple[int, float, int, int]] = []
    answered = 0
    with tempfile.TemporaryDirectory() as folder:
        output = JsonLines(Path(folder) / "answers.jsonl", 3, QUOTA_BYTES, only_events=False)
        camera = Camera("pattern", SourceSettings(size=SIZE, fps=FASTEST))
        settings = Settings(pace=PaceSettings(max_frames=MILLION))
        pipeline = Pipeline(classifier, camera, [output], settings)
        timer = threading.Timer(seconds, pipeline.stop)
        timer.start()
        start = time.monotonic()
        for answered, _ in enumerate(pipeline.answers(), start=1):
            if answered % 20_000 == 0:
                samples.append((answered, *read_process()))
                print(f"soak: {samples[-1]}", file=sys.stderr, flush=True)
        timer.cancel()
        status = pipeline.status()
    # The first fifth is warm-up: allocators and caches fill.
    settled = [sample for sample in samples if sample[0] >= answered / 5]
    frames, rss_mib = np.array([(one[0], one[1]) for one in settled]).T
    return {
        "frames": answered,
        "minutes": (time.monotonic() - start) / 60,
        "rss_growth_mib_per_100k_frames": float(np.polyfit(frames, rss_mib, 1)[0] * 1e5),
        "rss_mib": (settled[0][1], settled[-1][1]),
        "open_files": (settled[0][2], settled[-1][2]),
        "threads": (settled[0][3], settled[-1][3]),
        "frames_lost_to_errors": status.frame_failures + status.model_failures,
        "bad_frames": status.feed.bad,
        "reconnects": status.feed.reconnects,
        "output_failed": sum(one.failed for one in status.outputs),
    }


def read_process() -> tuple[float, int, int]:
    """Resident memory in MiB, open files, threads; of this process (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    rss_mib = int(fields["VmRSS"].split()[0]) / 1024
    return rss_mib, len(os.listdir("/proc/self/fd")), int(fields["Threads"])


if __name__ == "__main__":
    main()
