"""Frames on standard input: JPEGs one after another, or raw pixels of a known size.

rpicam-vid --codec mjpeg -t 0 -o - | edgetl-run camera parts.bundle --source -
"""

import os

import cv2
import numpy as np

from edgetl_runtime.capture.arrivals import Arrivals, DatedParts
from edgetl_runtime.capture.jpeg import JpegDecoder, JpegSplitter
from edgetl_runtime.capture.source import BadFrame, Canvas, Granted, Options, Shot, Source
from edgetl_runtime.errors import CameraError

_STANDARD_INPUT = 0
_CHUNK_BYTES = 1024 * 1024
_CONVERSIONS = {
    "rgb24": cv2.COLOR_RGB2BGR,
    "gray8": cv2.COLOR_GRAY2BGR,
    "yuv420p": cv2.COLOR_YUV2BGR_I420,
}


def make(options: Options) -> Source:
    """Standard input in the asked `format`."""
    if options["format"] == "mjpeg":
        return JpegPipe(options["input_px"])
    return RawPipe(options["format"], options["size_px"])


class JpegPipe:
    """The newest JPEG of those that came."""

    def __init__(self, input_px: tuple[int, int] | None) -> None:
        """Reads nothing yet."""
        self._decoder = JpegDecoder(input_px)
        self._arrivals = Arrivals(_STANDARD_INPUT)
        self._parts = DatedParts(JpegSplitter(), self._arrivals)

    def open(self) -> Granted:
        """It is open already."""
        return Granted()

    def read(self, canvas: Canvas) -> Shot | None:
        """Waits for whole JPEGs; of several that are there, only the last is decoded."""
        newest = self._parts.read(self._read, self._arrivals.waiting)
        if newest is not None and newest.raw is not None:
            return newest._replace(odd=self._decoder.decode(newest.raw, canvas))
        return newest

    def close(self) -> None:
        """Leaves it to whoever opened it."""

    def _read(self) -> bytes:
        self._arrivals.wait()
        return _read(_CHUNK_BYTES)


class RawPipe:
    """Frames of a fixed number of bytes."""

    def __init__(self, form: str, size_px: tuple[int, int] | None) -> None:
        """Reads nothing yet; `form` is `bgr24`, `rgb24`, `gray8` or `yuv420p`."""
        self._form = form
        self._size_px = size_px
        self._arrivals = Arrivals(_STANDARD_INPUT)

    def open(self) -> Granted:
        """Makes room for a frame, whose size nobody else can tell."""
        if self._size_px is None:
            raise CameraError(f"raw {self._form} frames need --size WIDTHxHEIGHT")
        width, height = self._size_px
        if self._form == "yuv420p" and (width % 2 or height % 2):
            raise CameraError(f"yuv420p frames have even sides, not {width}x{height}")
        shapes = {"gray8": (height, width), "yuv420p": (height * 3 // 2, width)}
        self._raw = np.empty(shapes.get(self._form, (height, width, 3)), np.uint8)
        return Granted(self._size_px)

    def read(self, canvas: Canvas) -> Shot | None:
        """Waits for a whole frame."""
        assert self._size_px is not None
        width, height = self._size_px
        target = canvas(height, width)
        straight = self._form == "bgr24"
        room = target if straight else self._raw.data.cast("B")
        self._arrivals.wait()
        captured_ns = self._arrivals.since_ns()
        filled = self._fill(room)
        if filled == 0:
            return None
        if filled < len(room):
            raise BadFrame("truncated")
        if not straight:
            pixels = np.frombuffer(target, np.uint8).reshape(height, width, 3)
            cv2.cvtColor(self._raw, _CONVERSIONS[self._form], pixels)
        return Shot(captured_ns)

    def close(self) -> None:
        """Leaves it to whoever opened it."""

    def _fill(self, room: memoryview) -> int:
        filled = 0
        while filled < len(room) and (data := _read(len(room) - filled)):
            room[filled : filled + len(data)] = data
            filled += len(data)
            self._arrivals.waiting()
        return filled


def _read(size: int) -> bytes:
    try:
        return os.read(_STANDARD_INPUT, size)
    except OSError as error:
        raise CameraError(f"standard input cannot be read ({error.strerror})") from error
