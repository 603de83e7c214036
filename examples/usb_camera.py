"""Prints a label whenever it changes, from a USB camera.

python usb_camera.py parts.bundle [0 | /dev/video0 | /dev/v4l/by-id/...]
"""

import sys

from edgetl_runtime import watch


def main(bundle: str, source: str = "0") -> None:
    for answer in watch(bundle, source):
        if answer.event:
            age_ms = answer.prediction.age_ms
            print(f"{answer.label or '(unknown)'} {answer.score:.0%}, {age_ms:.0f} ms old")


if __name__ == "__main__":
    main(*sys.argv[1:])
