"""A USB camera, through Video4Linux (or what OpenCV finds on other systems)."""

import sys
import time

import cv2
import numpy as np

from edgetl_runtime.capture.devices import explain_failure
from edgetl_runtime.capture.jpeg import JpegDecoder
from edgetl_runtime.capture.retrieval import retrieve_into
from edgetl_runtime.capture.source import BadFrame, FrameBuffer, Granted, Options, RawFrame, Source
from edgetl_runtime.errors import CameraError

_MJPG = cv2.VideoWriter.fourcc(*"MJPG")
_OLDEST_NS = 10_000_000_000


def make(options: Options) -> Source:
    """The camera at `address`: a number or a device."""
    return UsbCamera(
        options["address"], options["size_px"], options["fps"], JpegDecoder(options["input_px"])
    )


class UsbCamera:
    """A camera that is asked for JPEGs, which are decoded here."""

    def __init__(
        self,
        address: str,
        size_px: tuple[int, int] | None,
        fps: float | None,
        decoder: JpegDecoder,
    ) -> None:
        """Opens nothing yet."""
        self._address = address
        self._asked = (size_px, fps)
        self._decoder = decoder
        self._capture = cv2.VideoCapture()
        self._size_px = (0, 0)
        self._gives_jpeg = False
        self._tells_time = False

    def open(self) -> Granted:
        """Opens the camera, asks for format, size and rate, and reads back what it grants."""
        _open(self._capture, self._address)
        if not self._capture.isOpened():
            raise CameraError(explain_failure(_find_device(self._address)))
        self._ask(*self._asked)
        width = int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self._size_px = (width, height)
        return Granted(self._size_px, fps if fps > 0 else None)

    def read(self, buffer: FrameBuffer) -> RawFrame:
        """Waits for the next frame; the driver's queue stays empty, since this is all we do."""
        began_ns = time.monotonic_ns()
        if not self._capture.grab():
            raise CameraError("it stopped delivering; is it unplugged?")
        waited_ns = time.monotonic_ns() - began_ns
        captured_ns = self._capture_time_ns()
        if not self._gives_jpeg:
            if not retrieve_into(self._capture, buffer, self._size_px):
                raise BadFrame("undecodable")
            return RawFrame(captured_ns, waited_ns=waited_ns)
        ok, data = self._capture.retrieve()
        if not ok or data is None:
            raise BadFrame("empty")
        jpeg = np.ascontiguousarray(data).tobytes()
        odd = self._decoder.decode(jpeg, buffer)
        return RawFrame(captured_ns, jpeg, odd=odd, waited_ns=waited_ns)

    def close(self) -> None:
        """Lets go of the camera."""
        self._capture.release()

    def _ask(self, size_px: tuple[int, int] | None, fps: float | None) -> None:
        # MJPG first: in raw YUYV a USB camera gives 720p at some 10 frames a second only.
        self._capture.set(cv2.CAP_PROP_FOURCC, _MJPG)
        if size_px:
            self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, size_px[0])
            self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size_px[1])
        if fps:
            self._capture.set(cv2.CAP_PROP_FPS, fps)
        self._gives_jpeg = int(self._capture.get(cv2.CAP_PROP_FOURCC)) == _MJPG and (
            self._capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        )

    def _capture_time_ns(self) -> int:
        """The driver's time of the frame, where it is on our clock; else now.

        One young frame proves that; later ones may be of any age, after this process was stopped.
        """
        now_ns = time.monotonic_ns()
        driver_ns = round(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
        if not 0 < driver_ns <= now_ns:
            return now_ns
        self._tells_time = self._tells_time or now_ns - driver_ns < _OLDEST_NS
        return driver_ns if self._tells_time else now_ns


def _find_device(address: str) -> str:
    return f"/dev/video{int(address)}" if address.isdecimal() else address


def _open(capture: cv2.VideoCapture, address: str) -> None:
    try:
        if sys.platform != "linux" and address.isdecimal():
            capture.open(int(address))
        else:
            capture.open(_find_device(address), cv2.CAP_V4L2)
    except cv2.error as error:
        raise CameraError(f"OpenCV cannot open it: {error.err}") from error
