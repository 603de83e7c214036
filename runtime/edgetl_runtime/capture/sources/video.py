"""A video file, as fast as its frames are taken or at its own speed."""

import time

import cv2

from edgetl_runtime.capture.retrieval import retrieve_into
from edgetl_runtime.capture.source import BadFrame, Canvas, Granted, Options, Shot, Source
from edgetl_runtime.errors import CameraError

DEFAULT_FPS = 25.0
_FPS_LIMIT = 1000.0


def make(options: Options) -> Source:
    """The video at `address`."""
    return Video(options["address"], options["realtime"], options["loop"])


class Video:
    """The frames of a file."""

    def __init__(self, path: str, realtime: bool, loop: bool) -> None:
        """Opens nothing yet."""
        self._path = path
        self._realtime = realtime
        self._loop = loop
        self._capture = cv2.VideoCapture()
        self._size_px = (0, 0)
        self._period_s = 0.0
        self._frames = 0.0
        self._start_s = 0.0
        self._position = 0

    def open(self) -> Granted:
        """Opens the file with OpenCV's FFmpeg, which is in every wheel of OpenCV."""
        self._capture.open(self._path, cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise CameraError(f"{self._path} is no video, or a damaged one")
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        fps = fps if 0 < fps <= _FPS_LIMIT else DEFAULT_FPS
        self._period_s = 1 / fps
        self._frames = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self._start_s = time.monotonic()
        size_px = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        self._size_px = (int(self._capture.get(size_px[0])), int(self._capture.get(size_px[1])))
        return Granted(self._size_px, fps)

    def read(self, canvas: Canvas) -> Shot | None:
        """Decodes the next frame; when playing late, skips those whose time has passed."""
        skipped = 0
        while self._grab():
            if not self._realtime or self._wait_for_turn():
                captured_ns = time.monotonic_ns()
                if not retrieve_into(self._capture, canvas, self._size_px):
                    raise BadFrame("undecodable")
                return Shot(captured_ns, skipped=skipped)
            skipped += 1
        return None

    def close(self) -> None:
        """Closes the file."""
        self._capture.release()

    def _grab(self) -> bool:
        if not self._capture.grab():
            # A video without a single frame would begin again for ever.
            if not (self._loop and self._position):
                return False
            self._capture.open(self._path, cv2.CAP_FFMPEG)
            self._start_s += self._position * self._period_s
            self._position = 0
            if not self._capture.grab():
                return False
        self._position += 1
        return True

    def _wait_for_turn(self) -> bool:
        """Sleeps until the frame is due; False if the next one is due already, and there is one."""
        late_s = time.monotonic() - self._start_s - (self._position - 1) * self._period_s
        time.sleep(max(0.0, -late_s))
        return late_s < self._period_s or self._position >= self._frames
