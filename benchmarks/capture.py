"""What the capture process costs: frames a second against a bare read, and time to hand over.

    python benchmarks/capture.py [FRAMES]

The file is read by `Camera` (decoded in the capture process, taken through shared memory) and by
a bare `cv2.VideoCapture.read` in one process, in turns, so that the ratio holds on a busy machine.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from edgetl_runtime.capture.address import plan_source
from edgetl_runtime.capture.camera import Camera
from edgetl_runtime.capture.process import CaptureProcess
from edgetl_runtime.settings.sections import SourceSettings

SIZE_PX = (640, 480)
ROUNDS = 5
INVOKE_S = 0.004


def main(frames: int = 1000) -> None:
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        video = write_video(Path(folder) / "video.avi", min(frames, 300))
        compare(video, frames, work_s=0.0)
        compare(video, frames, work_s=INVOKE_S)
    hand_over(fps=30.0, seconds=10.0)
    hand_over(fps=1000.0, seconds=5.0)


def write_video(path: Path, frames: int) -> Path:
    """A Motion JPEG of noisy gradients, as a USB camera sends."""
    generator = np.random.default_rng(1)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, SIZE_PX)
    coarse = generator.integers(0, 256, (frames, 6, 8, 3), np.uint8)
    for picture in coarse:
        smooth = cv2.resize(picture, SIZE_PX, interpolation=cv2.INTER_CUBIC)
        writer.write(cv2.add(smooth, generator.integers(0, 9, smooth.shape, np.uint8)))
    writer.release()
    return path


def compare(video: Path, frames: int, work_s: float) -> None:
    """`work_s`: what a model would take for each frame, here a busy loop."""
    bare = [read_bare(video, frames, work_s) for _ in range(ROUNDS)]
    ours = [read_camera(video, frames, work_s) for _ in range(ROUNDS)]
    bare_fps, our_fps = statistics.median(bare), statistics.median(ours)
    print(
        f"video {SIZE_PX[0]}x{SIZE_PX[1]}, {work_s * 1e3:.0f} ms of work a frame: bare read "
        f"{bare_fps:.0f}/s, Camera {our_fps:.0f}/s, ratio {our_fps / bare_fps:.2f}"
    )


def read_bare(video: Path, frames: int, work_s: float) -> float:
    capture = cv2.VideoCapture(str(video), cv2.CAP_FFMPEG)
    start_s = time.perf_counter()
    for _ in range(frames):
        if not capture.read()[0]:
            capture.open(str(video), cv2.CAP_FFMPEG)
            capture.read()
        work(work_s)
    capture.release()
    return frames / (time.perf_counter() - start_s)


def read_camera(video: Path, frames: int, work_s: float) -> float:
    with Camera(str(video), SourceSettings(loop=True)) as camera:
        camera.take(10.0)
        start_s = time.perf_counter()
        for _ in range(frames):
            camera.take(10.0)
            work(work_s)
        return frames / (time.perf_counter() - start_s)


def work(seconds: float) -> None:
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s:
        pass


def hand_over(fps: float, seconds: float) -> None:
    """From the moment that a frame was complete in the child to the one when it is taken."""
    settings = SourceSettings(fps=fps, size=f"{SIZE_PX[0]}x{SIZE_PX[1]}")
    plan = plan_source("pattern", settings)
    first = {"first_number": 0, "frozen_after_s": 0, "frozen_fingerprint": None}
    process = CaptureProcess(plan, plan.options | first | {"module": plan.module, "live": True})
    published_ms, captured_ms = [], []
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        process.hear(1.0)
        frame = process.take()
        if frame is not None:
            now_ns = time.monotonic_ns()
            published_ms.append((now_ns - frame.published_ns) / 1e6)
            captured_ms.append((now_ns - frame.captured_ns) / 1e6)
    delivered, dropped = process.counters()
    process.close(1.0)
    for name, samples in (("publish to take", published_ms), ("capture to take", captured_ms)):
        p50, p99 = np.percentile(samples, [50, 99])
        print(f"pattern {fps:.0f} fps, {name}: p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    print(f"    {len(samples)} taken, {delivered} delivered, {dropped} dropped")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
