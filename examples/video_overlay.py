"""Draws the answers into a copy of a video.

python video_overlay.py parts.bundle holiday.mp4 labelled.avi

`edgetl-run camera parts.bundle --source holiday.mp4 --video labelled.avi` does the same.
"""

import sys
from pathlib import Path

from edgetl_runtime import Camera, Classifier, Pipeline, Video


def main(bundle: str, video: str, labelled: str) -> None:
    camera = Camera(video)
    output = Video(Path(labelled), top=3, find_fps=lambda: camera.status().fps)
    frames = Pipeline(Classifier.open(bundle), camera, [output]).run()
    print(f"{output.path}: {frames} frames")


if __name__ == "__main__":
    main(*sys.argv[1:])
