"""A thread for each output, so that a slow or dead one never slows inference."""

import contextlib
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence

import msgspec

from edgetl_runtime.answers import Answer
from edgetl_runtime.errors import EdgetlError, UndeliveredError
from edgetl_runtime.outputs.output import Output, OutputStatus
from edgetl_runtime.text.masking import mask_text
from edgetl_runtime.text.printable import make_printable
from edgetl_runtime.text.wording import count_noun

QUEUED = 64
# Answers carry images of up to 6 MB: 64 of them would be more than a small board has.
QUEUED_BYTES = 64 * 2**20
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_WARNING_EVERY_S = 60.0
# A signal handler may ask `publish` to wait no longer, and must not take its lock.
_LOOK_AGAIN_S = 0.1
_SHARE_FOR_CLOSING = 0.25


class OutputWorker:
    """Hands answers to one output on a thread of its own.

    Answers wait in a queue of 64, or fewer where their images are large. When it is full, the
    oldest one without an event goes; an event goes only if 64 younger ones wait.

    An output that failed is left alone for half a second, then twice as long each time up to
    30 s. Meanwhile answers wait as usual. An event whose output says `UndeliveredError` stays
    first in the queue.
    """

    def __init__(self, output: Output, *, live: bool) -> None:
        """Starts the thread.

        Args:
            output: Is closed by this worker.
            live: Of the source. False makes `publish` wait for a lossless output.
        """
        self.output = output
        self._waits = output.lossless and not live
        self._queue: deque[Answer] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._hurried = self._closing = self._uses_pictures = False
        self._close_at_s = float("inf")
        self._written = self._dropped = self._failed = self._failures = 0
        self._error = self._worst = ""
        self._warned_s: float | None = None
        self._told = False
        self._thread = threading.Thread(target=self._run, name=f"output {output.name}", daemon=True)
        self._thread.start()

    def wants_picture(self) -> bool:
        """Whether the next answer should carry its image; called on the pipeline's thread."""
        wanted = not self._closing and self.output.wants_picture()
        self._uses_pictures |= wanted
        return wanted

    def publish(self, answer: Answer) -> None:
        """Queues an answer, if the output accepts it; called on the pipeline's thread.

        Never blocks for a live source. For others it waits while the queue of a lossless output
        is full, unless that output fails or `stop_waiting` was called.
        """
        if self._closing or not self.output.accepts(answer):
            return
        if answer.picture is not None and not self._uses_pictures:
            # What nobody looks at must not be kept alive by a queue.
            answer = msgspec.structs.replace(answer, picture=None)
        with self._changed:
            while self._waits and self._full(answer) and self._gets_better():
                self._changed.wait(_LOOK_AGAIN_S)
            while self._full(answer):
                self._drop_one()
            self._queue.append(answer)
            self._bytes += _size(answer)
            self._changed.notify_all()

    def stop_waiting(self) -> None:
        """From now on `publish` drops instead of waiting; for signal handlers and other threads."""
        self._hurried = True

    def status(self) -> OutputStatus:
        """How the output is; may be called from any thread."""
        with self._changed:
            return OutputStatus(
                self.output.name, self._written, self._dropped, self._failed, self._error
            )

    def describe_loss(self) -> str:
        """The answers that the output accepted but did not write: one sentence, or empty.

        To be asked after it was closed. What was dropped counts for a lossless output only.
        """
        with self._changed:
            missing = self._failed + (self._dropped if self.output.lossless else 0)
            if not missing and not self._error:
                return ""
            answers = count_noun(missing, "answer")
            lacks = f"lacks {answers}" if missing else "is not whole"
            return f"output {self.output.name} {lacks}: {self._worst or 'it was too slow'}"

    def close(self, timeout_s: float = 2.0) -> None:
        """Writes what waits and closes the output, as far as that is possible in the time.

        An output that hangs is abandoned: its thread ends with the process.
        """
        close_all([self], timeout_s)

    def _begin_close(self, timeout_s: float) -> None:
        with self._changed:
            self._closing = True
            self._close_at_s = time.monotonic() + timeout_s * (1 - _SHARE_FOR_CLOSING)
            self._changed.notify_all()

    def _end_close(self, deadline_s: float) -> None:
        self._thread.join(max(0.0, deadline_s - time.monotonic()))
        if self._thread.is_alive():
            with self._changed:
                self._error = self._worst = "it hung and was abandoned"
            self._warn(f"output {self.output.name} hung and was abandoned")

    def _full(self, answer: Answer) -> bool:
        fits = self._bytes + _size(answer) <= QUEUED_BYTES and len(self._queue) < QUEUED
        return bool(self._queue) and not fits

    def _gets_better(self) -> bool:
        healthy = self._thread.is_alive() and not self._failures
        return healthy and not self._hurried and not self._closing

    def _drop_one(self) -> None:
        plain = (n for n, waiting in enumerate(self._queue) if waiting.event is None)
        position = next(plain, 0)
        self._bytes -= _size(self._queue[position])
        del self._queue[position]
        self._dropped += 1

    def _run(self) -> None:
        try:
            while (answer := self._take()) is not None:
                self._write(answer)
        finally:
            if not self._closing:
                # Python prints a traceback, since this is our own mistake; the state stays true.
                self._error = self._worst = (
                    "it stopped because of a bug in edgetl; please report it"
                )
            self._close_output()

    def _take(self) -> Answer | None:
        """The oldest answer, once there is one and the output may be tried again."""
        with self._changed:
            again_s = time.monotonic() + self._pause_s()
            while not self._closing and (not self._queue or time.monotonic() < again_s):
                waits_s = again_s - time.monotonic() if self._queue else None
                self._changed.wait(waits_s)
            if time.monotonic() > self._close_at_s or not self._queue:
                self._dropped += len(self._queue)
                return None
            answer = self._queue.popleft()
            self._bytes -= _size(answer)
            self._changed.notify_all()
            return answer

    def _pause_s(self) -> float:
        if not self._failures:
            return 0.0
        return float(min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(self._failures - 1, 16)))

    def _write(self, answer: Answer) -> None:
        try:
            self.output.write(answer)
        except EdgetlError as error:
            self._note_failure(answer, error)
        else:
            self._note_success()

    def _note_success(self) -> None:
        with self._changed:
            failures, self._failures = self._failures, 0
            self._written += 1
            self._error = ""
        if failures and self._told:
            self._told = False
            times = count_noun(failures, "failure")
            self._warn(f"output {self.output.name} works again after {times}")

    def _note_failure(self, answer: Answer, error: EdgetlError) -> None:
        with self._changed:
            self._failures += 1
            self._error = self._worst = mask_text(str(error))
            if self._closing:
                # There is no later: what waits would fail, too.
                self._close_at_s = 0.0
            if answer.event is not None and isinstance(error, UndeliveredError):
                self._queue.appendleft(answer)
                self._bytes += _size(answer)
            else:
                self._failed += 1
            now_s = time.monotonic()
            silent = self._warned_s is not None and now_s - self._warned_s < _WARNING_EVERY_S
            if not silent:
                self._warned_s, self._told = now_s, True
            self._changed.notify_all()
        if not silent:
            self._warn(f"output {self.output.name} failed: {error}; retrying")

    def _close_output(self) -> None:
        try:
            self.output.close()
        except EdgetlError as error:
            with self._changed:
                self._error = self._worst = mask_text(str(error))
            self._warn(f"output {self.output.name} failed: {error}")

    @staticmethod
    def _warn(text: str) -> None:
        # Nobody may be there to read it, which is no reason to end.
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(f"edgetl-run: {make_printable(mask_text(text))}\n")
            sys.stderr.flush()


def close_all(workers: Sequence[OutputWorker], timeout_s: float) -> None:
    """Closes outputs at the same time, so that several that hang take no longer than one.

    Args:
        workers: None of them is used again.
        timeout_s: For all of them together.
    """
    deadline_s = time.monotonic() + timeout_s
    for worker in workers:
        worker._begin_close(timeout_s)
    for worker in workers:
        worker._end_close(deadline_s)


def _size(answer: Answer) -> int:
    return 0 if answer.picture is None else answer.picture.nbytes
