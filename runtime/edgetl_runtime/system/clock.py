"""Times of records, so that they can be ordered later although the clock may be wrong."""

import ctypes
import os
import time
from functools import cache
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# systemd-timesyncd makes the folder when it starts and the file when it has set the clock.
_TIMESYNC = Path("/run/systemd/timesync")
# What adjtimex(2) returns while nobody keeps the clock right.
_TIME_ERROR = 5
# Larger than any `struct timex`; all zeros means: change nothing.
_TIMEX_BYTES = 512
_ASK_AGAIN_S = 10.0


@cache
def read_boot_id() -> str:
    """Tells one start of the machine from another; empty where the system has no such thing."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def format_time(time_s: float) -> str:
    """ISO 8601 in UTC with milliseconds: `2026-11-23T19:08:42.123Z`.

    Args:
        time_s: Seconds since 1970.
    """
    seconds, milliseconds = divmod(round(time_s * 1000), 1000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{text}.{milliseconds:03d}Z"


class ClockCheck:
    """Knows whether the wall clock was set from a network or a receiver; asks every 10 s."""

    def __init__(self) -> None:
        """Asks nothing yet."""
        self._synced: bool | None = None
        self._asked_s = float("-inf")

    def is_synced(self) -> bool | None:
        """None where the system does not tell."""
        now_s = time.monotonic()
        if now_s - self._asked_s >= _ASK_AGAIN_S:
            self._synced, self._asked_s = _ask(), now_s
        return self._synced


def _ask() -> bool | None:
    if _TIMESYNC.is_dir():
        return (_TIMESYNC / "synchronized").exists()
    return None if _is_filtered() else _ask_kernel()


def _ask_kernel() -> bool | None:
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (AttributeError, OSError):
        return None
    state: int = adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return None if state < 0 else state != _TIME_ERROR


def _is_filtered() -> bool:
    """True if system calls are filtered: systemd's usual filter kills whoever asks the clock."""
    try:
        lines = Path(f"/proc/{os.getpid()}/status").read_text("ascii", "replace").splitlines()
    except OSError:
        return False
    return any(line.split() == ["Seccomp:", "2"] for line in lines)
