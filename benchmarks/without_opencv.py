"""Could a device do without OpenCV? What that would save, and what it would cost.

    EDGETL_TEST_DATA=... .venv/bin/python benchmarks/without_opencv.py [--json]

Sizes of the installed packages; the resize rule in numpy, bit for bit, against OpenCV's time; and
JPEGs decoded by simplejpeg against OpenCV: pixels and time.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import distribution

import cv2
import numpy as np
import simplejpeg
from data import test_data
from processor import describe_processor, print_processor

from edgetl_runtime.image.preprocessing import Frame, Preprocessing

PACKAGES = ("opencv-python-headless", "ai-edge-litert", "numpy", "msgspec", "simplejpeg")
INPUT_PX = 224
FRAMES_PX = ((640, 480), (1920, 1080))
ROUNDS = 15
PHOTOS_A_CLASS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    record = {
        "processor": describe_processor(),
        "installed_mb": {name: measure_package(name) for name in PACKAGES},
        "resize": [compare_resize(size_px) for size_px in FRAMES_PX],
        "jpeg": compare_jpegs(),
    }
    if options.json:
        print(json.dumps(record))
        return
    print_processor()
    for name in ("installed_mb", "jpeg"):
        print(f"{name}: {json.dumps(record[name])}")
    for one in record["resize"]:
        print(f"resize: {json.dumps(one)}")


def measure_package(name: str) -> float:
    """Bytes of the files that pip installed, in MB."""
    files = distribution(name).files or []
    return round(sum(file.size or 0 for file in files) / 1e6, 1)


def compare_resize(size_px: tuple[int, int]) -> dict[str, object]:
    width, height = size_px
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    opencv = partial(Preprocessing(INPUT_PX, INPUT_PX).apply, frame)
    opencv_ms, numpy_ms = compare_times(opencv, partial(prepare, frame))
    return {
        "frame": f"{width}x{height}",
        "opencv_ms": opencv_ms,
        "numpy_ms": numpy_ms,
        "times": numpy_ms / opencv_ms,
        "same_bits": bool(np.array_equal(opencv(), prepare(frame))),
    }


def prepare(frame: Frame) -> Frame:
    """The rule `exact-linear2x-area2` for shrinking by less than 8, in numpy."""
    double = scale(frame, 2 * INPUT_PX, 2 * INPUT_PX).astype(np.uint16)
    pairs = double[::2] + double[1::2]
    mean = (pairs[:, ::2] + pairs[:, 1::2] + 2) >> 2
    return mean[..., ::-1].astype(np.uint8)


def scale(frame: Frame, width: int, height: int) -> Frame:
    """INTER_LINEAR_EXACT: weights of 8 bits, one axis after the other, rounded once."""
    left, right, weights = weigh(frame.shape[1], width)
    upper, lower, row_weights = weigh(frame.shape[0], height)
    # Rows first: the order changes no bit, and whole rows are what numpy is fastest with.
    row_weights = row_weights[:, None, None]
    down = frame[upper] * (256 - row_weights)  # uint16: 255 * 256 fits
    down += frame[lower] * row_weights
    weights = weights[:, None].astype(np.uint32)
    total = np.take(down, left, axis=1) * (256 - weights)
    total += np.take(down, right, axis=1) * weights
    total += 1 << 15
    total >>= 16
    return total.astype(np.uint8)


def weigh(source: int, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each target pixel: its two source pixels, and 256 times the weight of the second."""
    at = (np.arange(target) + 0.5) * (source / target) - 0.5
    first = np.floor(at).astype(int)
    weights = np.rint(256 * (at - first)).astype(np.uint16)
    return first.clip(0, source - 1), (first + 1).clip(0, source - 1), weights


def compare_jpegs() -> dict[str, object]:
    classes = sorted((test_data() / "trashnet").iterdir())
    files = [file for one in classes for file in sorted(one.glob("*.jpg"))[:PHOTOS_A_CLASS]]
    same, differences, times = 0, [], []
    for file in files:
        data = file.read_bytes()
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        opencv = partial(cv2.imdecode, np.frombuffer(data, np.uint8), flags)
        other = partial(simplejpeg.decode_jpeg, data, colorspace="BGR")
        gap = np.abs(opencv().astype(np.int16) - other())
        same += not gap.any()
        differences.append(int(gap.max()))
        times.append(compare_times(opencv, other, rounds=3))
    opencv_ms, simplejpeg_ms = np.median(np.array(times), axis=0)
    return {
        "photos": len(files),
        "same_pixels": same,
        "largest_difference": max(differences),
        "opencv_ms": float(opencv_ms),
        "simplejpeg_ms": float(simplejpeg_ms),
    }


def compare_times(
    one: Callable[[], object], other: Callable[[], object], rounds: int = ROUNDS
) -> tuple[float, float]:
    """The shortest time of each, milliseconds, taken in turn."""
    pairs = np.array([(timed(one), timed(other)) for _ in range(rounds)])
    first, second = pairs.min(axis=0)
    return float(first), float(second)


def timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return (time.perf_counter() - start) * 1e3


if __name__ == "__main__":
    main()
