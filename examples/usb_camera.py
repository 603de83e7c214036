"""Prints a label whenever it changes, from a USB camera.

python usb_camera.py parts.bundle [0 | /dev/video0]
"""

import sys

from edgetl_runtime import Classifier
from edgetl_runtime.capture.camera import Camera


def main(bundle: str, source: str = "0") -> None:
    classifier = Classifier.open(bundle)
    shown = None
    with Camera(source) as camera:
        for frame in camera:
            prediction = classifier(frame.image, captured_s=frame.captured_s)
            if prediction.label != shown:
                shown = prediction.label
                print(f"{shown} {prediction.score:.0%}, {prediction.age_ms:.0f} ms old")


if __name__ == "__main__":
    main(*sys.argv[1:])
