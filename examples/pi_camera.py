"""Classifies a Raspberry Pi camera.

picamera2 comes with Raspberry Pi OS (`sudo apt install python3-picamera2`) and runs there on the
system's Python, in a process of its own: the environment of this script need not see it. Not tried
by us on a board yet.

python pi_camera.py parts.bundle [picamera | picamera:1]
"""

import sys

from edgetl_runtime import Classifier
from edgetl_runtime.capture.camera import Camera


def main(bundle: str, source: str = "picamera") -> None:
    classifier = Classifier.open(bundle)
    with Camera(source) as camera:
        for frame in camera:
            prediction = classifier(frame.image, captured_s=frame.captured_s)
            print(f"{prediction.label} {prediction.score:.0%}, {prediction.invoke_ms:.1f} ms")


if __name__ == "__main__":
    main(*sys.argv[1:])
