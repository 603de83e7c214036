"""SIGTERM, SIGINT and SIGHUP, noticed even while the main thread is inside native code.

Python runs signal handlers on the main thread between two of its instructions: an engine that
hangs would keep them from running for ever. The interpreter writes each signal's number to a
socket at once, though, and a thread reads them there.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final

from edgetl_runtime.system.exit_cleanup import end_now

STOP_LIMIT_S: Final = 4.5
"""The promise is five seconds; what is left is for the interpreter's own end."""
_TICK_S: Final = 10.0
_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class SignalWatch:
    """Tells of signals while its block runs; to be entered on the main thread.

    The first SIGTERM or SIGINT calls `on_stop`, the second one ends the process at once. A
    process that has not ended in time by itself is ended, too.

    Attributes:
        caught: The number of the signal that asked for the end, or None.
    """

    def __init__(
        self,
        on_stop: Callable[[], None],
        on_reload: Callable[[], None],
        on_tick: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepares; nothing changes before the block is entered.

        Args:
            on_stop: Called on a thread.
            on_reload: Called on a thread, on SIGHUP; must not block.
            on_tick: Called on that thread every ten seconds; must not block.
        """
        self._on_stop = on_stop
        self._on_reload = on_reload
        self._on_tick = on_tick
        self._old: dict[signal.Signals, Any] = {}
        self._stop_s: float | None = None
        self.caught: int | None = None
        self._had_terminal = False

    def __enter__(self) -> "SignalWatch":
        """Takes the signals over."""
        self._had_terminal = _has_terminal()
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        for number in (*_STOP_SIGNALS, signal.SIGHUP):
            self._old[number] = signal.signal(number, _do_nothing)
        self._old_descriptor = signal.set_wakeup_fd(
            self._writer.fileno(), warn_on_full_buffer=False
        )
        self._thread = threading.Thread(target=self._watch, name="signals", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Gives the signals back."""
        signal.set_wakeup_fd(self._old_descriptor)
        for number, handler in self._old.items():
            signal.signal(number, handler)
        self._writer.close()
        self._thread.join()
        self._reader.close()

    def _watch(self) -> None:
        next_tick_s = time.monotonic() + _TICK_S
        while True:
            deadline_s = next_tick_s if self._stop_s is None else self._stop_s + STOP_LIMIT_S
            self._reader.settimeout(max(0.001, deadline_s - time.monotonic()))
            try:
                numbers = self._reader.recv(64)
            except TimeoutError:
                if self._stop_s is not None:
                    end_now(1)
                self._on_tick()
                next_tick_s = time.monotonic() + _TICK_S
                continue
            if not numbers:
                return
            for number in numbers:
                self._react(number)

    def _react(self, number: int) -> None:
        # A terminal that was closed sends SIGHUP, too; then nobody wants a reload.
        left = number == signal.SIGHUP and self._had_terminal and not _has_terminal()
        if number in _STOP_SIGNALS or left:
            if self._stop_s is not None:
                end_now(128 + number)
            self._stop_s = time.monotonic()
            self.caught = number
            self._on_stop()
        elif number == signal.SIGHUP:
            self._on_reload()


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """Stands in for the default, which would end the process."""


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
