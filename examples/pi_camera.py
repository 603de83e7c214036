"""Classifies a Raspberry Pi camera through picamera2.

picamera2 comes with Raspberry Pi OS (`apt install python3-picamera2`). It runs in a process of
its own on the system's Python, so an ordinary virtual environment will do. Not tried by us on a
board yet.

python3 pi_camera.py parts.bundle [picamera | picamera:1]
"""

import sys

from edgetl_runtime import watch


def main(bundle: str, source: str = "picamera") -> None:
    for answer in watch(bundle, source):
        invoke_ms = answer.prediction.invoke_ms
        print(f"{answer.label or '(unknown)'} {answer.score:.0%}, {invoke_ms:.1f} ms")


if __name__ == "__main__":
    main(*sys.argv[1:])
