"""How much memory this process uses."""

from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_rss_mib() -> float | None:
    """The process's peak resident memory, MiB, or None where the system does not tell."""
    return _read("VmHWM:")


def rss_mib() -> float | None:
    """The process's resident memory now, MiB, or None where the system does not tell."""
    return _read("VmRSS:")


def _read(name: str) -> float | None:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name)), None)
