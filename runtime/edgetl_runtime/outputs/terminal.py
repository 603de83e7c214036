"""The terminal: a line for each answer or event, or JSON for machines."""

import fcntl
import os
import sys
from collections.abc import Callable
from typing import Literal

from edgetl_runtime.answers import Answer, Event, Recorder, encode_line
from edgetl_runtime.errors import OutputError
from edgetl_runtime.outputs.output import PlainOutput
from edgetl_runtime.outputs.phrases import show_label, show_place, show_prediction
from edgetl_runtime.text.printable import show_reason

TerminalFormat = Literal["line", "event", "json"]
STDOUT = 1


class Terminal(PlainOutput):
    """Prints on standard output.

    It writes past Python's own buffer: whoever hangs in there when the process ends would crash
    it ("could not acquire lock for <_io.BufferedWriter name='<stdout>'>").
    """

    name = "terminal"
    lossless = True

    def __init__(
        self,
        kind: TerminalFormat,
        top: int,
        *,
        on_gone: Callable[[], None] | None = None,
        descriptor: int = STDOUT,
    ) -> None:
        """Nothing is printed yet.

        Args:
            kind: What to print.
            top: Labels to list.
            on_gone: Called once when there is no reader any more, as after `| head`.
            descriptor: Where to print.
        """
        self._kind, self._top = kind, top
        self._recorder = Recorder(top)
        self._on_gone, self._descriptor = on_gone, descriptor
        self._is_gone = False

    def accepts(self, answer: Answer) -> bool:
        """Events only, if that is what was asked for."""
        return self._kind != "event" or answer.event is not None

    def write(self, answer: Answer) -> None:
        """Prints one line.

        Raises:
            OutputError: If it cannot be written.
        """
        line = self._encode(answer)
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError as error:
            if isinstance(error, BrokenPipeError) and self._on_gone:
                # Whoever asked to be told deals with it: no failure, no warning.
                if not self._is_gone:
                    self._is_gone = True
                    self._on_gone()
                return
            raise OutputError(f"cannot write the results: {show_reason(error)}") from error

    def _encode(self, answer: Answer) -> bytes:
        if self._kind == "json":
            return encode_line(self._recorder.describe(answer))
        if self._kind == "event" and answer.event:
            line = show_event(answer.event, answer)
        else:
            line = show_answer(answer, self._top)
        # JSON is UTF-8 everywhere; what a person reads is in the encoding of the terminal.
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        return f"{line}\n".encode(encoding, "backslashreplace")


def is_closed(descriptor: int = STDOUT) -> bool:
    """Whether nothing can be written there, since whoever started the program closed it."""
    try:
        mode = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    except OSError:
        return True
    return mode & os.O_ACCMODE == os.O_RDONLY


def show_answer(answer: Answer, top: int) -> str:
    """One line about one frame: what it shows by itself, times, and the stable label."""
    prediction = answer.prediction
    took_ms = prediction.preprocess_ms + prediction.invoke_ms
    stable = "too old" if answer.stale else f"stable {show_label(answer.label)}"
    named = show_prediction(prediction, top)
    return (
        f"{show_place(answer)}  {named}  {took_ms:.1f} ms, age {prediction.age_ms:.1f} ms, {stable}"
    )


def show_event(event: Event, answer: Answer) -> str:
    """One line about a change: `2026-11-23T19:08:42.123Z  washer -> gear 93%  0#211`."""
    return (
        f"{event.time}  {show_label(event.previous)} -> {show_label(event.label)}"
        f"{f' {event.score:.0%}' if event.label else ''}  {show_place(answer)}"
    )
