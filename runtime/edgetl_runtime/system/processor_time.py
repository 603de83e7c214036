"""How much time of the processors a process used."""

import os
from pathlib import Path

_PROCESSES = Path("/proc")
# Of the fields behind the name, which may hold spaces and brackets (proc_pid_stat(5)).
_UTIME, _STIME = 11, 12


def read_processor_s(pid: int) -> float | None:
    """Seconds of processor time of all threads since the process began.

    Args:
        pid: Number of the process.

    Returns:
        In steps of the kernel's clock, mostly 10 ms; None where the system does not tell.
    """
    try:
        fields = (_PROCESSES / str(pid) / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[_UTIME]) + int(fields[_STIME])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return None
