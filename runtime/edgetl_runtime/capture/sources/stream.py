"""A network stream that OpenCV's FFmpeg reads: RTSP, and whatever else comes as a URL."""

import time

import cv2

from edgetl_runtime.capture.retrieval import retrieve_into
from edgetl_runtime.capture.rtsp import explain_failure
from edgetl_runtime.capture.source import BadFrame, FrameBuffer, Granted, Options, RawFrame, Source
from edgetl_runtime.errors import CameraError
from edgetl_runtime.image.videos import explain_codec, open_capture
from edgetl_runtime.text.credentials import split_credentials

_FPS_LIMIT = 1000.0
_FPS_ASSUMED = 25.0
_GAP_NS = 500_000_000


def make(options: Options) -> Source:
    """The stream at `address`."""
    return VideoStream(options["address"], options["timeout_s"])


class VideoStream:
    """Decoded frames of a stream."""

    def __init__(self, address: str, timeout_s: float) -> None:
        """Opens nothing yet."""
        self._address = address
        self._timeout_ms = round(1000 * timeout_s)
        self._capture = cv2.VideoCapture()
        self._size_px = (0, 0)
        self._interval_ns = 0.0
        self._grabbed_ns = 0
        self._threads = 1.0
        self._waited_ns = 0

    def open(self) -> Granted:
        """Asks for the stream; FFmpeg's own time-outs apply with this backend only."""
        timeouts = [
            *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, self._timeout_ms),
            *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, self._timeout_ms),
        ]
        # FFmpeg takes the escapes out again.
        address = split_credentials(self._address).escaped
        self._capture = open_capture(address, *timeouts)
        if not self._capture.isOpened():
            raise self._explain()
        width = int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self._size_px = (width, height)
        self._threads = max(1.0, self._capture.get(cv2.CAP_PROP_N_THREADS))
        granted = Granted(self._size_px, fps if 0 < fps <= _FPS_LIMIT else None)
        self._interval_ns = 1e9 / (granted.fps or _FPS_ASSUMED)
        return granted

    def read(self, buffer: FrameBuffer) -> RawFrame:
        """Decodes the next frame; FFmpeg waits for it."""
        before_ns = self._grabbed_ns
        self._waited_ns = 0
        self._grab()
        skipped = self._drain(self._grabbed_ns - before_ns) if before_ns else 0
        captured_ns = self._grabbed_ns
        if not retrieve_into(self._capture, buffer, self._size_px):
            raise BadFrame("undecodable")
        return RawFrame(captured_ns, skipped=skipped, waited_ns=self._waited_ns)

    def _explain(self) -> CameraError:
        if self._address.lower().startswith("rtsp:"):
            return explain_failure(self._address, self._timeout_ms / 1000)
        return CameraError("it does not answer, refuses the connection, or sends no video")

    def _grab(self) -> None:
        """Waits and decodes in one call: how long it decodes, only processor time tells."""
        began_ns, used_ns = time.monotonic_ns(), time.process_time_ns()
        if not self._capture.grab():
            codec = "" if self._grabbed_ns else explain_codec(self._capture)
            raise CameraError(codec or "the stream ended, or nothing arrived for too long")
        self._grabbed_ns = time.monotonic_ns()
        worked_ns = (time.process_time_ns() - used_ns) / self._threads
        self._waited_ns += max(0, self._grabbed_ns - began_ns - round(worked_ns))

    def _drain(self, gap_ns: int) -> int:
        """Drops what was queued while nobody read, up to the first frame that is waited for.

        FFmpeg does not tell how long its data waited.

        Returns:
            How many frames were dropped.
        """
        if gap_ns <= max(_GAP_NS, 3 * self._interval_ns):
            return 0
        dropped, waited_ns = 0, 0
        while dropped < gap_ns / self._interval_ns and waited_ns < self._interval_ns / 2:
            before_ns = self._grabbed_ns
            self._grab()
            waited_ns = self._grabbed_ns - before_ns
            dropped += 1
        return dropped

    def close(self) -> None:
        """Ends the connection."""
        self._capture.release()
