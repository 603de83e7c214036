"""Frames on standard input: JPEGs one after another, or raw pixels of a known size.

rpicam-vid --codec mjpeg -t 0 -o - | edgetl-run camera parts.bundle --source -
"""

import os
import stat
import time

import cv2
import numpy as np

from edgetl_runtime.capture.arrivals import Arrivals, DatedParts
from edgetl_runtime.capture.greeting import ENOUGH_BYTES, Greeting, describe, is_jpeg, is_plain
from edgetl_runtime.capture.jpeg import JpegDecoder, JpegSplitter
from edgetl_runtime.capture.rows import find_row_bytes
from edgetl_runtime.capture.source import BadFrame, FrameBuffer, Granted, Options, RawFrame, Source
from edgetl_runtime.errors import CameraError
from edgetl_runtime.image.preprocessing import Frame

_STANDARD_INPUT = 0
_CHUNK_BYTES = 1024 * 1024
_LEAVE_OUT = "leave out --format and --size"
_PIXEL_BYTES = {"bgr24": 3, "rgb24": 3}
# So many frames are looked at, and so many in a row must look alike.
_LOOKS = 100
_AGREEING = 3
_CONVERSIONS = {
    "rgb24": cv2.COLOR_RGB2BGR,
    "gray8": cv2.COLOR_GRAY2BGR,
    "yuv420p": cv2.COLOR_YUV2BGR_I420,
}


def make(options: Options) -> Source:
    """Standard input in the asked `format`."""
    if options["format"] == "mjpeg":
        return JpegPipe(options["input_px"])
    return RawPipe(options["format"], options["size_px"], options["stride"])


class JpegPipe:
    """The newest JPEG of those that came."""

    def __init__(self, input_px: tuple[int, int] | None) -> None:
        """Reads nothing yet."""
        self._decoder = JpegDecoder(input_px)
        self._arrivals = Arrivals(_STANDARD_INPUT)
        self._splitter = JpegSplitter()
        self._parts = DatedParts(self._splitter, self._arrivals)
        self._greeting = Greeting()

    def open(self) -> Granted:
        """It is open already."""
        _refuse_terminal()
        return Granted()

    def read(self, buffer: FrameBuffer) -> RawFrame | None:
        """Waits for whole JPEGs; of several that are there, only the last is decoded."""
        began_ns = time.monotonic_ns()
        newest = self._parts.read(self._read, self._arrivals.waiting)
        waited_ns = time.monotonic_ns() - began_ns
        if newest is not None and newest.raw is not None:
            skipped = self._splitter.take_oddity()
            odd = self._decoder.decode(newest.raw, buffer) or skipped
            return newest._replace(odd=odd, waited_ns=waited_ns)
        return newest

    def close(self) -> None:
        """Does nothing: who opened standard input closes it."""

    def _read(self) -> bytes:
        self._arrivals.wait()
        data = _read(_CHUNK_BYTES)
        self._greeting.feed(data)
        return data


class RawPipe:
    """Frames of a fixed number of bytes."""

    def __init__(self, form: str, size_px: tuple[int, int] | None, stride: int | None) -> None:
        """Reads nothing yet.

        Args:
            form: `bgr24`, `rgb24`, `gray8` or `yuv420p`.
            size_px: (width, height), which must be told.
            stride: Bytes from one row to the next; None: rows are not padded, if they look so.
        """
        self._form = form
        self._size_px = size_px
        self._stride = stride
        self._looks = 0 if stride else _LOOKS
        self._found: list[int] = []
        self._frames = 0
        self._arrivals = Arrivals(_STANDARD_INPUT)

    def open(self) -> Granted:
        """Makes room for a frame of the given size."""
        _refuse_terminal()
        if self._size_px is None:
            raise CameraError(f"raw {self._form} frames need --size WIDTHxHEIGHT")
        width, height = self._size_px
        if self._form == "yuv420p" and (width % 2 or height % 2):
            raise CameraError(f"yuv420p frames need even sides, got {width}x{height}")
        self._pixel_bytes = _PIXEL_BYTES.get(self._form, 1)
        self._row = self._stride or width * self._pixel_bytes
        if self._row < width * self._pixel_bytes or (self._form == "yuv420p" and self._row % 2):
            raise CameraError(
                f"--stride {self._row}: a row of {width} {self._form} pixels has "
                f"{width * self._pixel_bytes} bytes, and padding can only add to that"
            )
        # Both half-sized planes of YUV, whose rows are half as long, make half a plane more.
        rows = height * 3 // 2 if self._form == "yuv420p" else height
        self._raw = np.empty((rows, self._row), np.uint8)
        self._check_file()
        return Granted(self._size_px)

    def read(self, buffer: FrameBuffer) -> RawFrame | None:
        """Waits for a whole frame."""
        assert self._size_px is not None
        width, height = self._size_px
        target = buffer(height, width)
        straight = self._form == "bgr24" and self._row == 3 * width
        room = target if straight else self._raw.data.cast("B")
        began_ns = time.monotonic_ns()
        self._arrivals.wait()
        captured_ns = self._arrivals.since_ns()
        filled = self._fill(room)
        waited_ns = time.monotonic_ns() - began_ns
        if filled == 0:
            return None
        if not self._frames:
            self._check_head(room[:filled])
        if filled < len(room):
            short = f"the last frame is {len(room) - filled} bytes short ({self._describe()})"
            raise BadFrame("truncated", f"{short}; are --size and --format correct?")
        self._frames += 1
        if not self._has_likely_rows(np.frombuffer(room, np.uint8)[: height * self._row]):
            raise BadFrame("of rows of a different length")
        if not straight:
            self._convert(np.frombuffer(target, np.uint8).reshape(height, width, 3))
        return RawFrame(captured_ns, waited_ns=waited_ns)

    def close(self) -> None:
        """Does nothing: who opened standard input closes it."""

    def _convert(self, pixels: Frame) -> None:
        """Straight into the shared memory, where that can be."""
        width = pixels.shape[1]
        code = _CONVERSIONS.get(self._form)
        if code == cv2.COLOR_YUV2BGR_I420:
            if self._row == width:
                cv2.cvtColor(self._raw, code, dst=pixels)
            else:
                # The padding is cut off last: it is as long, in pixels, in all three planes.
                pixels[:] = np.asarray(cv2.cvtColor(self._raw, code))[:, :width]
            return
        used = self._raw[:, : width * self._pixel_bytes]
        picture = used.reshape(*pixels.shape[:2], self._pixel_bytes)
        if code is None:
            pixels[:] = picture
        else:
            cv2.cvtColor(picture, code, dst=pixels)

    def _check_file(self) -> None:
        """A file that is not a whole number of frames was made with other sides, or padded rows."""
        status = os.fstat(_STANDARD_INPUT)
        if stat.S_ISREG(status.st_mode) and status.st_size % self._raw.size:
            raise CameraError(
                f"its {status.st_size} bytes are not a whole number of frames: {self._describe()}; "
                "is the size correct, and are rows padded (--stride BYTES)?"
            )

    def _check_head(self, head: memoryview) -> None:
        beginning = bytes(head[:ENOUGH_BYTES])
        short = len(head) < self._raw.size
        if is_jpeg(beginning):
            raise CameraError(f"the data is JPEGs, not raw {self._form} frames; {_LEAVE_OUT}")
        if is_plain(beginning) or (short and describe(beginning)):
            raise CameraError(f"{describe(beginning)}; raw {self._form} frames were expected")
        if short:
            raise CameraError(
                f"it ended after {len(head)} bytes, within the first frame: {self._describe()}"
            )

    def _has_likely_rows(self, pixels: Frame) -> bool:
        """Looks at the first frames; three in a row that say the same are believed."""
        if not self._looks:
            return True
        self._looks -= 1
        found = find_row_bytes(pixels, self._row, self._pixel_bytes)
        if found is None:
            return True
        self._found = [*self._found, found][-_AGREEING:]
        if self._found == [found] * _AGREEING:
            self._looks = 0
            if found == self._row:
                return True
            raise CameraError(
                f"its rows seem to be {found} bytes long, not {self._row}: {self._describe()}; "
                f"give --stride {found} if rows are padded, as rpicam-vid does, or the correct "
                f"--size (--stride {self._row} takes them as they are)"
            )
        return found == self._row

    def _describe(self) -> str:
        width, height = self._size_px or (0, 0)
        padded = f" with rows of {self._row} bytes" if self._stride else ""
        return f"one of {width}x{height} {self._form}{padded} has {self._raw.size} bytes"

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


def _refuse_terminal() -> None:
    if os.isatty(_STANDARD_INPUT):
        raise CameraError(
            "it is this terminal; pipe frames into it "
            "(`rpicam-vid -t 0 --codec mjpeg -o - | edgetl-run ...`)"
        )
