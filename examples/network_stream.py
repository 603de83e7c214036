"""Counts what a network camera shows; ends with the stream, or with Ctrl-C.

python network_stream.py parts.bundle rtsp://camera.local/stream
"""

import sys
from collections import Counter

from edgetl_runtime import Classifier
from edgetl_runtime.capture.camera import Camera
from edgetl_runtime.errors import CameraError


def main(bundle: str, address: str) -> None:
    classifier = Classifier.open(bundle)
    counts: Counter[str] = Counter()
    with Camera(address) as camera:
        try:
            for frame in camera:
                prediction = classifier(frame.image, captured_s=frame.captured_s)
                counts[prediction.label or "(nothing known)"] += 1
        except (CameraError, KeyboardInterrupt) as end:
            print(f"ended: {end}", file=sys.stderr)
    for label, frames in counts.most_common():
        print(f"{label}: {frames} frames; {camera.status().dropped} frames were dropped as too old")


if __name__ == "__main__":
    main(*sys.argv[1:])
