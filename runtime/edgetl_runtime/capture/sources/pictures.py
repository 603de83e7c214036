"""A picture, or the pictures of a folder one after another."""

import time
from pathlib import Path

import numpy as np

from edgetl_runtime.capture.source import BadFrame, Canvas, Granted, Options, Shot, Source
from edgetl_runtime.errors import CameraError, FrameError
from edgetl_runtime.frames import PICTURE_SUFFIXES, find_files
from edgetl_runtime.pictures import read_picture


def make(options: Options) -> Source:
    """The picture or folder at `address`."""
    return Pictures(Path(options["address"]), options["loop"])


class Pictures:
    """Picture files, in the order of their names."""

    def __init__(self, path: Path, loop: bool) -> None:
        """Looks at nothing yet."""
        self._path = path
        self._loop = loop
        self._files: list[Path] = []
        self._next = 0
        self._good = 0

    def open(self) -> Granted:
        """Lists the files."""
        try:
            found = find_files(self._path)
        except FrameError as error:
            raise CameraError(str(error)) from error
        self._files = [file for file in found if file.suffix.lower() in PICTURE_SUFFIXES]
        if not self._files:
            raise CameraError(f"{self._path} holds no picture")
        return Granted()

    def read(self, canvas: Canvas) -> Shot | None:
        """Decodes the next file."""
        if self._next == len(self._files):
            # A folder without a single readable picture would begin again for ever.
            if not (self._loop and self._good):
                return None
            self._next = 0
        file = self._files[self._next]
        self._next += 1
        captured_ns = time.monotonic_ns()
        try:
            picture = read_picture(file)
        except FrameError as error:
            raise BadFrame("unreadable") from error
        self._good += 1
        np.frombuffer(canvas(*picture.shape[:2]), np.uint8)[:] = picture.reshape(-1)
        return Shot(captured_ns)

    def close(self) -> None:
        """Nothing to let go of."""
