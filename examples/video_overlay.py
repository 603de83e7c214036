"""Draws the answers into a copy of a video.

python video_overlay.py parts.bundle holiday.mp4 labelled.avi

`edgetl-run camera parts.bundle --source holiday.mp4 --video labelled.avi` does the same.
"""

import sys
from pathlib import Path

from edgetl_runtime import Camera, Classifier, Pipeline
from edgetl_runtime.outputs.video import AnnotatedVideo


def main(bundle: str, video: str, labelled: str) -> None:
    output = AnnotatedVideo(Path(labelled), top=3)
    frames = Pipeline(Classifier.open(bundle), Camera(video), [output]).run()
    print(f"{labelled}: {frames} frames")


if __name__ == "__main__":
    main(*sys.argv[1:])
