"""Our preprocessing against exact area averaging, and against itself with INTER_LINEAR.

Time and difference, one thread. INTER_LINEAR in place of INTER_LINEAR_EXACT is what the same bits
on every processor cost. Four channels against three: the same rule, with the same bits, on a copy
of the frame with a fourth channel, copying included. It pays where the ratio is below 1: on x86
for frames of up to four times the input's width.

    EDGETL_TEST_DATA=... .venv/bin/python benchmarks/preprocessing.py [--json]

Pictures: the photos and one frame of each video, scaled to the size of a camera's frame.
"""

import argparse
import json
import time

import cv2
import numpy as np
from data import test_data
from processor import describe_processor, print_processor

from edgetl_runtime.image.preprocessing import Preprocessing, resize

TARGET_PX = 224
GOALS_MS = {(640, 480): 0.45, (1920, 1080): 0.6}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    pictures = load_pictures()
    records = [measure(pictures, size, goal) for size, goal in GOALS_MS.items()]
    if options.json:
        print(json.dumps({"processor": describe_processor(), "frames": records}))
        return
    print_processor()
    print(f"{len(pictures)} pictures to {TARGET_PX} px, one thread, medians")
    for record in records:
        print(
            f"{record['frame']}: ours {record['ms']:.2f} ms (goal {record['goal_ms']}), "
            f"INTER_AREA {record['area_ms']:.2f} ms, ratio {record['ratio']:.2f}; "
            f"with INTER_LINEAR {record['inexact_ms']:.2f} ms, ratio {record['exactness']:.2f}; "
            f"four channels against three, ratio {record['fourth']:.2f}; "
            f"mean difference {record['mean_difference']:.2f} levels (goal 0.5)"
        )


def load_pictures() -> list[np.ndarray]:
    folder = test_data()
    files = sorted((folder / "photos").iterdir())
    files += [
        file
        for part in sorted((folder / "trashnet").iterdir())
        for file in sorted(part.iterdir())[:4]
    ]
    pictures = [cv2.imread(str(file)) for file in files]
    for video in sorted((folder / "videos").iterdir()):
        capture = cv2.VideoCapture(str(video))
        for _ in range(30):
            ok, frame = capture.read()
        pictures += [frame] if ok else []
    return pictures


def measure(pictures: list[np.ndarray], size: tuple[int, int], goal_ms: float) -> dict:
    preprocessing = Preprocessing(TARGET_PX, TARGET_PX)
    frames = [cover(picture, size) for picture in pictures]
    differences = [
        np.abs(preprocessing.apply(frame).astype(int) - exact(frame)).mean() for frame in frames
    ]
    ways = (preprocessing.apply, exact, inexact, three_channels, four_channels)
    # In turn, so that a change of the machine's speed meets both; a frame several times in a row,
    # since a camera's frame is in the processor's cache when it has just been decoded.
    times = [[timed(way, frame) for way in ways] for frame in frames for _ in range(12)]
    ours, area, linear, three, four = np.median(np.array(times), axis=0)
    return {
        "frame": f"{size[0]}x{size[1]}",
        "ms": ours,
        "area_ms": area,
        "ratio": ours / area,
        "inexact_ms": linear,
        "exactness": ours / linear,
        "fourth": four / three,
        "goal_ms": goal_ms,
        "mean_difference": float(np.mean(differences)),
        "worst_difference": float(np.max(differences)),
    }


def exact(frame: np.ndarray) -> np.ndarray:
    small = cv2.resize(frame, (TARGET_PX, TARGET_PX), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_BGR2RGB)


def inexact(frame: np.ndarray) -> np.ndarray:
    double = cv2.resize(frame, (2 * TARGET_PX, 2 * TARGET_PX), interpolation=cv2.INTER_LINEAR)
    small = cv2.resize(double, (TARGET_PX, TARGET_PX), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_BGR2RGB)


def three_channels(frame: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(resize(frame, TARGET_PX, TARGET_PX), cv2.COLOR_BGR2RGB)


def four_channels(frame: np.ndarray) -> np.ndarray:
    wide = cv2.cvtColor(frame, cv2.COLOR_BGR2BGRA)
    return cv2.cvtColor(resize(wide, TARGET_PX, TARGET_PX), cv2.COLOR_BGRA2RGB)


def cover(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scales a picture so that it covers the frame, and cuts what hangs over."""
    width, height = size
    factor = max(width / picture.shape[1], height / picture.shape[0])
    method = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
    scaled = cv2.resize(picture, None, fx=factor * 1.001, fy=factor * 1.001, interpolation=method)
    return scaled[:height, :width].copy()


def timed(function, frame: np.ndarray) -> float:
    start = time.perf_counter()
    function(frame)
    return (time.perf_counter() - start) * 1e3


if __name__ == "__main__":
    main()
