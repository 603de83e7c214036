"""How long this thread waits for a processor that others use."""

import re
import time
from pathlib import Path
from typing import Final

from edgetl_runtime.system.sysfs import read_text

_STAT: Final = Path("/proc/thread-self/schedstat")
_PER_S: Final = 1e9


def read_waited_s(stat: Path = _STAT) -> float | None:
    """Seconds that the calling thread has waited, ready to run, since it began.

    Args:
        stat: Nanoseconds of running, nanoseconds of waiting, and a count (Linux kernel,
            Documentation/scheduler/sched-stats.rst).

    Returns:
        None where the system does not tell.
    """
    found = re.match(r"\d+ (\d+) \d+", read_text(stat) or "")
    return int(found[1]) / _PER_S if found else None


class Waiting:
    """Follows how long the thread that makes it waits, from then on."""

    def __init__(self) -> None:
        """Begins now."""
        self._began_s, self._waited_s = time.monotonic(), read_waited_s()

    def find_share(self) -> float | None:
        """Share of the time since then in which it was ready to run, but others had the processor.

        Returns:
            0..1; None where the system does not tell.
        """
        waited_s = read_waited_s()
        if waited_s is None or self._waited_s is None:
            return None
        return min(1.0, (waited_s - self._waited_s) / max(time.monotonic() - self._began_s, 1e-9))
