"""Classifies a Raspberry Pi camera through picamera2.

picamera2 comes with Raspberry Pi OS (`apt install python3-picamera2`); make the environment
with `python3 -m venv --system-site-packages`, so that it is seen there. Not tried by us on a
board yet.

python3 pi_camera.py parts.bundle
"""

import sys
import time

from picamera2 import Picamera2

from edgetl_runtime import Classifier


def main(bundle: str) -> None:
    classifier = Classifier.open(bundle)
    camera = Picamera2()
    # What picamera2 calls RGB888 lies in memory as B, G, R: just what OpenCV and edgetl take.
    camera.configure(camera.create_video_configuration({"format": "RGB888", "size": (640, 480)}))
    camera.start()
    while True:
        frame = camera.capture_array()
        prediction = classifier(frame, captured_s=time.monotonic())
        print(f"{prediction.label} {prediction.score:.0%}, {prediction.invoke_ms:.1f} ms")


if __name__ == "__main__":
    main(*sys.argv[1:])
