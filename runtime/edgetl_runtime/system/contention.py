"""How long this thread waits for a processor that others use."""

import re
from pathlib import Path
from typing import Final

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
    try:
        found = re.match(r"\d+ (\d+) \d+", stat.read_text())
    except OSError:
        return None
    return int(found[1]) / _PER_S if found else None
