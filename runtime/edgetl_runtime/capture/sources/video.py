"""A video file, as fast as its frames are taken or at its own speed."""

import time

from edgetl_runtime.capture.retrieval import retrieve_into
from edgetl_runtime.capture.source import BadFrame, FrameBuffer, Granted, Options, RawFrame, Source
from edgetl_runtime.errors import CameraError
from edgetl_runtime.image.videos import VideoFile, explain_codec


def make(options: Options) -> Source:
    """The video at `address`."""
    return VideoSource(options["address"], options["realtime"], options["loop"])


class VideoSource:
    """The frames of a file."""

    def __init__(self, path: str, realtime: bool, loop: bool) -> None:
        """Opens nothing yet."""
        self._path = path
        self._realtime = realtime
        self._loop = loop
        self._start_s = 0.0
        self._told_lack = False
        self._waited_ns = 0

    def open(self) -> Granted:
        """Opens the file."""
        self._file = VideoFile(self._path)
        self._start_s = time.monotonic()
        lacks = self._file.describe_lacks()
        notes = (f"{self._path}: {lacks}",) if lacks else ()
        return Granted(self._file.size_px, self._file.fps, notes)

    def read(self, buffer: FrameBuffer) -> RawFrame | None:
        """Decodes the next frame; when playing late, skips those whose time has passed."""
        skipped = 0
        self._waited_ns = 0
        while self._grab():
            if not self._realtime or self._wait_for_turn():
                return self._retrieve(buffer, skipped)
            skipped += 1
        if self._file.index < 0 and (why := explain_codec(self._file.capture)):
            raise CameraError(why)
        if (lack := self._file.find_lack()) and not self._told_lack:
            self._told_lack = True
            raise BadFrame(lack.reason, f"{self._path} {lack.sentence}")
        return None

    def close(self) -> None:
        """Nothing to let go of: the process ends."""

    def _retrieve(self, buffer: FrameBuffer, skipped: int) -> RawFrame:
        captured_ns = time.monotonic_ns()
        if not retrieve_into(self._file.capture, buffer, self._file.size_px):
            note = f"a frame of {self._path} at {self._file.position_s:.2f} s cannot be decoded"
            raise BadFrame("undecodable", note)
        return RawFrame(
            captured_ns,
            skipped=skipped,
            position_s=self._file.position_s,
            file=self._path,
            waited_ns=self._waited_ns,
        )

    def _grab(self) -> bool:
        if self._file.grab():
            return True
        # A video without a single frame would begin again for ever.
        if not self._loop or self._file.index < 0:
            return False
        self._start_s += self._file.position_s + self._file.step_s
        self._file.close()
        self._file = VideoFile(self._path)
        return self._file.grab()

    def _wait_for_turn(self) -> bool:
        """Sleeps until the frame is due; False if the next one is due already.

        When that is, is not known yet: it is taken to last as long as the one before.
        """
        late_s = time.monotonic() - self._start_s - self._file.position_s
        began_ns = time.monotonic_ns()
        time.sleep(max(0.0, -late_s))
        self._waited_ns += time.monotonic_ns() - began_ns
        return late_s < self._file.step_s or self._file.is_last
