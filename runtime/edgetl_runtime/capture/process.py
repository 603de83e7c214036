"""The parent's side of a capture process."""

import json
import os
import select
import subprocess
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from edgetl_runtime.capture.address import SourcePlan
from edgetl_runtime.capture.slot import SlotFrame, Slots
from edgetl_runtime.capture.source import Granted, Options
from edgetl_runtime.errors import CameraError
from edgetl_runtime.image.limits import MAX_PIXELS

_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
_LOCK_TIMEOUT_S = 0.1
_KILL_TIMEOUT_S = 1.0
# Our own messages say what failed; OpenCV and FFmpeg read these when they are imported.
_QUIET = {
    "OPENCV_LOG_LEVEL": "SILENT",
    "OPENCV_FFMPEG_LOGLEVEL": "-8",
    "OPENCV_IO_MAX_IMAGE_PIXELS": str(MAX_PIXELS),
}


class CaptureProcess:
    """One child with one opened source; another child is another object.

    Attributes:
        opened: What the source granted, or None before it is open.
        ended: The source is through.
        failure: Why it delivers nothing any more, or None.
        notes: Sentences for people on what of the source is not used.
        refused: It fails since name or password are refused.
        counts: Frames that were `bad` (no frames) or `odd`, by reason.
        still: Fingerprint of the frame that it froze at, or None.
        heard_s: When it last showed that it lives: started, opened, or delivered.
    """

    def __init__(self, plan: SourcePlan, options: Options) -> None:
        """Starts the child.

        Raises:
            CameraError: If the system starts no process or has no memory for it.
        """
        self.opened: Granted | None = None
        self.ended = False
        self.failure: str | None = None
        self.notes: tuple[str, ...] = ()
        self.refused = False
        self.counts: dict[str, Counter[str]] = {"bad": Counter(), "odd": Counter()}
        self.still: Any = options["frozen_fingerprint"]
        self.heard_s = time.monotonic()
        self._plan = plan
        self._line = b""
        with ExitStack() as undo:
            try:
                self._begin(undo, options)
            except OSError as error:
                raise CameraError(f"cannot start a process for {plan.source}: {error}") from error
            undo.pop_all()

    def _begin(self, undo: ExitStack, options: Options) -> None:
        self._slots = Slots.create()
        undo.callback(self._slots.close)
        self._news, news = _pipe(undo)
        control, self._control = _pipe(undo)
        os.set_blocking(self._news, False)
        os.set_blocking(self._control, False)
        self._child = _start(self._plan, (*self._slots.descriptors, news, control))
        os.write(self._control, json.dumps(options).encode() + b"\n")
        os.close(news)
        os.close(control)

    def hear(self, timeout_s: float) -> None:
        """Waits for news of the child at most so long, and takes note of them."""
        ready = select.poll()
        ready.register(self._news, select.POLLIN)
        if not ready.poll(max(0.0, timeout_s) * 1000):
            return
        try:
            news = os.read(self._news, 65_536)
        except BlockingIOError:
            return
        if not news and not self.ended and self.failure is None:
            self.failure = f"the capture process ended {self._exit()}"
        *lines, self._line = (self._line + news).split(b"\n")
        for line in filter(None, lines):
            self._note(json.loads(line))

    def take(self) -> SlotFrame | None:
        """The newest frame, if there is one that was not taken yet."""
        frame = self._slots.take(_LOCK_TIMEOUT_S)
        if frame is None:
            return None
        if self._plan.live:
            self.heard_s = frame.published_ns / 1e9
        else:
            self.heard_s = time.monotonic()
            self._send_token()
        return frame

    def counters(self) -> tuple[int, int]:
        """How many frames were delivered, and how many of them dropped."""
        return self._slots.counters()

    def worked_ns(self) -> int:
        """How long the child worked on its frames; waiting for the source is left out."""
        return self._slots.worked_ns()

    @property
    def pid(self) -> int:
        """The number of the child."""
        return self._child.pid

    def close(self, timeout_s: float) -> None:
        """Lets the child release its source, and kills it when it takes too long."""
        os.close(self._control)
        try:
            self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._child.kill()
        try:
            # A process that hangs in a driver dies when the driver lets it.
            self._child.wait(_KILL_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            _undying.append(self._child)
        _undying[:] = [child for child in _undying if child.poll() is None]
        os.close(self._news)
        self._slots.close()

    def _note(self, message: dict[str, Any]) -> None:
        match message:
            case {"opened": granted}:
                size_px = granted["size_px"]
                self.opened = Granted(size_px and tuple(size_px), granted["fps"])
                self.heard_s = time.monotonic()
            case {"bad": _} | {"odd": _}:
                for kind, counts in message.items():
                    self.counts[kind].update(counts)
                self.heard_s = time.monotonic()
            case {"note": note}:
                self.notes += (note,)
            case {"still": fingerprint}:
                self.still = fingerprint
            case {"failed": reason, "refused": refused}:
                self.failure, self.refused = reason, refused
            case {"ended": True}:
                self.ended = True

    def _send_token(self) -> None:
        try:
            os.write(self._control, b"t")
        except (BrokenPipeError, BlockingIOError):
            # A dead child's end is told by the other pipe; a full one wakes it anyway.
            return

    def _exit(self) -> str:
        try:
            code = self._child.wait(_KILL_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return "its messages"
        return f"on signal {-code}" if code < 0 else f"with code {code}"


_undying: list["subprocess.Popen[bytes]"] = []


def _pipe(undo: ExitStack) -> tuple[int, int]:
    """A pipe whose ends are closed should something after it fail."""
    reading, writing = os.pipe()
    undo.callback(os.close, reading)
    undo.callback(os.close, writing)
    return reading, writing


def _start(plan: SourcePlan, descriptors: tuple[int, ...]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [*plan.python, str(_BOOTSTRAP), *map(str, descriptors)],
        # By its number: what replaced a closed one would not be inherited otherwise.
        stdin=0 if plan.module.endswith(".pipe") else subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=_QUIET | os.environ,
        pass_fds=descriptors,
        # Ctrl-C is for the parent, which closes the camera.
        start_new_session=True,
    )
