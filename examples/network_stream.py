"""Counts what a network camera shows; ends with the stream, or with Ctrl-C.

python network_stream.py parts.bundle rtsp://camera.local/stream
"""

import sys
from collections import Counter

from edgetl_runtime import CameraError, watch


def main(bundle: str, address: str) -> None:
    counts: Counter[str] = Counter()
    try:
        for answer in watch(bundle, address):
            counts[answer.label or "(unknown)"] += 1
    except (CameraError, KeyboardInterrupt) as end:
        print(f"ended: {end}", file=sys.stderr)
    for label, frames in counts.most_common():
        print(f"{label}: {frames} frames")


if __name__ == "__main__":
    main(*sys.argv[1:])
