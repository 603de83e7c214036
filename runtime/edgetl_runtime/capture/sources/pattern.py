"""A drawn test pattern: a bar that moves over a gradient, and the frame's number."""

import time

import cv2
import numpy as np

from edgetl_runtime.capture.source import FrameBuffer, Granted, Options, RawFrame, Source
from edgetl_runtime.image.preprocessing import Frame

DEFAULT_PX = (640, 480)
DEFAULT_FPS = 30.0
_STEP_PX = 5


def make(options: Options) -> Source:
    """A pattern of `size_px` at `fps`."""
    width, height = options["size_px"] or DEFAULT_PX
    return Pattern(width, height, options["fps"] or DEFAULT_FPS)


class Pattern:
    """Frames at a steady rate; those that could not be drawn in time are skipped."""

    def __init__(self, width: int, height: int, fps: float) -> None:
        """Draws what does not move."""
        self._background = _gradient(height, width)
        self._fps = fps
        self._number = -1
        self._start_s = 0.0

    def open(self) -> Granted:
        """Starts the clock."""
        self._start_s = time.monotonic()
        height, width = self._background.shape[:2]
        return Granted((width, height), self._fps)

    def read(self, buffer: FrameBuffer) -> RawFrame:
        """Draws the frame whose time has come."""
        began_ns = time.monotonic_ns()
        due = max(self._number + 1, int((time.monotonic() - self._start_s) * self._fps))
        skipped, self._number = due - self._number - 1, due
        time.sleep(max(0.0, self._start_s + due / self._fps - time.monotonic()))
        captured_ns = time.monotonic_ns()
        height, width = self._background.shape[:2]
        frame = np.frombuffer(buffer(height, width), np.uint8).reshape(height, width, 3)
        frame[:] = self._background
        _draw(frame, due)
        return RawFrame(captured_ns, skipped=skipped, waited_ns=captured_ns - began_ns)

    def close(self) -> None:
        """Nothing to let go of."""


def _gradient(height: int, width: int) -> Frame:
    across = np.linspace(0, 255, width, dtype=np.uint8)
    down = np.linspace(0, 255, height, dtype=np.uint8)
    planes = np.broadcast_arrays(across, down[:, None], across[::-1])
    return np.ascontiguousarray(np.stack(planes, axis=-1))


def _draw(frame: Frame, number: int) -> None:
    height, width = frame.shape[:2]
    left = number * _STEP_PX % width
    frame[:, left : left + max(1, width // 16)] = (255, 255, 255)
    scale = max(0.4, height / 240)
    place = (width // 16, height // 2)
    cv2.putText(frame, str(number), place, cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 2)
