"""The Raspberry Pi's camera, through picamera2.

Runs on the Python that sees picamera2, a package of Raspberry Pi OS: what is imported here is that
Python's standard library, picamera2 and its numpy, and nothing of the parent's environment.
"""

import time
from typing import Any

from edgetl_runtime.capture.source import FrameBuffer, Granted, Options, RawFrame, Source
from edgetl_runtime.errors import CameraError

DEFAULT_PX = (640, 480)
_OLDEST_NS = 10_000_000_000


def make(options: Options) -> Source:
    """The camera `picamera` or `picamera:N`."""
    number = options["address"].partition(":")[2] or "0"
    return PiCamera(int(number), tuple(options["size_px"] or DEFAULT_PX), options["fps"])


class PiCamera:
    """Frames of one camera."""

    def __init__(self, number: int, size_px: tuple[int, int], fps: float | None) -> None:
        """Opens nothing yet."""
        self._number = number
        self._size_px = size_px
        self._controls = {"FrameRate": fps} if fps else {}
        self._camera: Any = None

    def open(self) -> Granted:
        """Configures and starts the camera."""
        try:
            from picamera2 import Picamera2
        except ImportError as error:
            raise CameraError(
                f"picamera2 cannot be imported ({error}); on Raspberry Pi OS: "
                "sudo apt install python3-picamera2"
            ) from error
        try:
            camera = self._camera = Picamera2(self._number)
            # What picamera2 calls RGB888 lies in memory as B, G, R: just what is wanted.
            main = {"format": "RGB888", "size": self._size_px}
            camera.configure(camera.create_video_configuration(main=main, controls=self._controls))
            camera.start()
        except (RuntimeError, IndexError) as error:
            raise CameraError(
                f"the camera does not start ({error}); is its cable connected?"
            ) from error
        width, height = camera.camera_configuration()["main"]["size"]
        return Granted((int(width), int(height)), self._controls.get("FrameRate"))

    def read(self, buffer: FrameBuffer) -> RawFrame:
        """Waits for the next frame."""
        import numpy as np

        began_ns = time.monotonic_ns()
        request = self._camera.capture_request()
        waited_ns = time.monotonic_ns() - began_ns
        try:
            picture = request.make_array("main")
            sensor_ns = request.get_metadata().get("SensorTimestamp")
        finally:
            request.release()
        height, width = picture.shape[:2]
        np.frombuffer(buffer(height, width), np.uint8).reshape(height, width, 3)[:] = picture
        return RawFrame(_monotonic_ns(sensor_ns), waited_ns=waited_ns)

    def close(self) -> None:
        """Stops and lets go of the camera."""
        if self._camera is not None:
            self._camera.stop()
            self._camera.close()


def _monotonic_ns(sensor_ns: int | None) -> int:
    """The sensor's time, which libcamera gives on CLOCK_BOOTTIME, on our clock; else now."""
    now_ns = time.monotonic_ns()
    if sensor_ns is None:
        return now_ns
    captured_ns = sensor_ns - (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - now_ns)
    return captured_ns if now_ns - _OLDEST_NS < captured_ns <= now_ns else now_ns
