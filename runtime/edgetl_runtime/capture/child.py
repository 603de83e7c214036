"""The capture process: opens one source, and puts its newest frame where the parent sees it.

It says how it is doing in lines of JSON on one pipe (an empty line: there is a new frame), and
reads another, on which the parent sends what to open and then a byte for each frame that it took.
When that pipe ends, the parent has closed the camera or died, and the child goes away.

Uses the standard library only, but for what the chosen source imports.
"""

import fcntl
import importlib
import json
import os
import select
import sys
import threading
import time

from edgetl_runtime.capture.slot import Slots
from edgetl_runtime.capture.source import BadFrame, Granted, Options, RawFrame, Source
from edgetl_runtime.capture.stillness import Stillness
from edgetl_runtime.errors import CameraError, RefusedError
from edgetl_runtime.text.masking import mask_text

MAX_NOTES = 3
"""Number of files without frames that are named; all are counted."""
BAD_IN_A_ROW = 10
"""So many bad frames one after another, and the source is opened again."""
_GRACE_S = 1.0
# A message goes through a pipe in one piece, or not at all, up to 4096 bytes.
_MAX_REASON = 500
_TELL_TIMEOUT_MS = 1000


class Parent:
    """The two pipes to the parent."""

    def __init__(self, news_fd: int, control_fd: int) -> None:
        """Reads what to open; then a thread waits for the parent's signals, or its end."""
        self.gone = threading.Event()
        self._news_fd = news_fd
        self._control = os.fdopen(control_fd, "rb", buffering=0)
        self._taken = threading.Semaphore(1)
        self._notes = 0
        self._counts: dict[str, dict[str, int]] = {}
        os.set_blocking(news_fd, False)
        self.options: Options = json.loads(self._control.readline())
        threading.Thread(target=self._listen, daemon=True).start()

    def tell(self, **message: object) -> None:
        """Sends a message, even if the pipe is full for a moment."""
        ready = select.poll()
        ready.register(self._news_fd, select.POLLOUT)
        if not self._try(json.dumps(message)) and ready.poll(_TELL_TIMEOUT_MS):
            self._try(json.dumps(message))

    def tell_frame(self) -> None:
        """Says that there is a new frame; a full pipe says so already."""
        self._try("")

    def tell_bad(self, reason: str, note: str = "") -> None:
        """Counts a bad frame, and says so as soon as there is room; the first ones are named."""
        if note and self._notes < MAX_NOTES:
            self._notes += 1
            self.tell_note(note)
        self._tell_one_more("bad", reason)

    def tell_odd(self, what: str) -> None:
        """Counts a frame with something amiss, and says so as soon as there is room."""
        self._tell_one_more("odd", what)

    def _tell_one_more(self, kind: str, reason: str) -> None:
        counts = self._counts.setdefault(kind, {})
        counts[reason] = counts.get(reason, 0) + 1
        if self._try(json.dumps(self._counts)):
            self._counts = {}

    def tell_note(self, note: str) -> None:
        """Sends a sentence for people, which may quote a file's name of any bytes."""
        self.tell(note=note[:_MAX_REASON].encode("utf-8", "backslashreplace").decode())

    def wait_taken(self) -> None:
        """Waits until the frame before was taken."""
        self._taken.acquire()

    def _try(self, line: str) -> bool:
        try:
            os.write(self._news_fd, line.encode() + b"\n")
        except BlockingIOError:
            return False
        except BrokenPipeError:
            self.gone.set()
        return True

    def _listen(self) -> None:
        while tokens := self._control.read(4096):
            self._taken.release(len(tokens))
        self.gone.set()
        self._taken.release()
        # A source that hangs, while reading or closing, must not outlive its parent.
        time.sleep(_GRACE_S)
        os._exit(1)


def main(header_fd: int, pixels_fd: int, news_fd: int, control_fd: int) -> None:
    """Runs until the source ends or the parent goes; the arguments are inherited descriptors."""
    for descriptor in (header_fd, pixels_fd, news_fd, control_fd):
        # A program that a source starts must not keep the parent waiting for the pipes' end.
        fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    parent = Parent(news_fd, control_fd)
    sys.excepthook = lambda kind, error, _: _tell_failure(
        parent, f"the capture process failed: {kind.__name__}: {error}"
    )
    slots = Slots(header_fd, pixels_fd, writes=True)
    module = importlib.import_module(parent.options["module"])
    source: Source = module.make(parent.options)
    try:
        granted = Granted(*source.open())
        for note in granted.notes:
            parent.tell_note(note)
        parent.tell(opened=granted._replace(notes=())._asdict())
        _capture(source, slots, parent)
    except CameraError as error:
        _tell_failure(parent, str(error), refused=isinstance(error, RefusedError))
    source.close()


def _tell_failure(parent: Parent, reason: str, *, refused: bool = False) -> None:
    """What libraries say quotes the address as it was opened."""
    reason = mask_text(reason, str(parent.options["address"]))[:_MAX_REASON]
    parent.tell(failed=reason, refused=refused)


def _capture(source: Source, slots: Slots, parent: Parent) -> None:
    options = parent.options
    stillness = Stillness(options["frozen_after_s"], options["frozen_fingerprint"])
    number = options["first_number"]
    bad_in_a_row = 0
    while not parent.gone.is_set():
        began_ns = time.monotonic_ns()
        try:
            frame = source.read(slots.buffer)
        except BadFrame as bad:
            parent.tell_bad(bad.reason, bad.note)
            number += 1
            bad_in_a_row += 1
            if options["live"] and bad_in_a_row == BAD_IN_A_ROW:
                last = bad.note or bad.reason
                raise CameraError(f"{bad_in_a_row} bad frames in a row, the last {last}") from bad
            continue
        if frame is None:
            parent.tell(ended=True)
            return
        worked_ns = max(0, time.monotonic_ns() - began_ns - frame.waited_ns)
        bad_in_a_row = 0
        if frame.odd:
            parent.tell_odd(frame.odd)
        _watch(stillness, frame, slots, parent)
        if not options["live"]:
            parent.wait_taken()
        number += frame.skipped
        slots.publish(
            number,
            frame.captured_ns,
            frame.skipped,
            frame.position_s,
            frame.file,
            worked_ns,
        )
        parent.tell_frame()
        number += 1


def _watch(stillness: Stillness, frame: RawFrame, slots: Slots, parent: Parent) -> None:
    if stillness.see(frame.raw, *slots.drawn()):
        parent.tell(still=stillness.fingerprint if stillness.frozen else None)
