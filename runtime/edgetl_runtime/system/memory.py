"""How much memory a process uses."""

from pathlib import Path

from edgetl_runtime.system.sysfs import read_text

_PROCESSES = Path("/proc")


def peak_rss_mib(pid: int | None = None) -> float | None:
    """A process's peak resident memory, MiB, or None where the system does not tell.

    Args:
        pid: Number of the process; None: this one.
    """
    return _read("VmHWM:", pid)


def rss_mib(pid: int | None = None) -> float | None:
    """A process's resident memory now, MiB, or None where the system does not tell.

    Args:
        pid: Number of the process; None: this one.
    """
    return _read("VmRSS:", pid)


def _read(name: str, pid: int | None) -> float | None:
    lines = (read_text(_PROCESSES / str(pid or "self") / "status") or "").splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name)), None)
