"""The processors and memory that this process may use, by affinity and quota.

A container or a systemd unit with half a processor is stopped for the rest of each period (100 ms)
once it has used its share; two threads use it up in a quarter of the period, and an answer that
needs more waits for the next one. Quotas and limits are those of control groups, version 1 and 2;
the parents' count, too (cgroups(7), cpu.max and memory.max of the kernel's cgroup-v2.rst,
cpu.cfs_quota_us of sched-bwc.rst).
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MAX_DEFAULT_THREADS: Final = 4
_ROOT: Final = Path("/")
_MOUNT: Final = re.compile(r"\S+ \S+ \S+ (\S+) (\S+) .* - (cgroup2?) \S+ (\S+)")
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")
# Version 1 says "unlimited" by the largest whole number of pages.
_UNLIMITED_BYTES: Final = 2**60


def count_processors(root: Path = _ROOT) -> int:
    """Threads that find a processor: those of the affinity mask, whole ones of the quota, from 1.

    Args:
        root: Where the file system begins.
    """
    quota = read_cpu_quota(root)
    allowed = count_allowed()
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def default_threads(root: Path = _ROOT) -> int:
    """Threads of an engine: as many as find a processor, at most 4: more gain nothing.

    Args:
        root: Where the file system begins.
    """
    return min(MAX_DEFAULT_THREADS, count_processors(root))


def count_allowed() -> int:
    """Processors that the affinity mask allows, as `taskset` and `docker --cpuset-cpus` set it."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_cpu_quota(root: Path = _ROOT) -> float | None:
    """The share of processor time, in processors, such as 0.5; None where there is no quota."""
    found = [
        quota / period
        for folder in _find_groups(root, "cpu")
        for quota, period in _read_quota(folder)
        if quota > 0 and period > 0
    ]
    return min(found, default=None)


def read_memory_limit(root: Path = _ROOT) -> int | None:
    """The most memory, bytes; None where only the machine's size limits it."""
    found = [
        limit
        for folder in _find_groups(root, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
        for limit in _read_numbers(folder / name)[:1]
        if 0 < limit < _UNLIMITED_BYTES
    ]
    return min(found, default=None)


def _read_quota(folder: Path) -> Iterator[tuple[int, int]]:
    """Microseconds of processor time, and the period that they are for."""
    # Without a quota the first word is "max", and the period is left alone.
    match _read_numbers(folder / "cpu.max"):
        case [quota, period]:
            yield quota, period
    match _read_numbers(folder / "cpu.cfs_quota_us"), _read_numbers(folder / "cpu.cfs_period_us"):
        case [quota], [period]:
            yield quota, period


def _find_groups(root: Path, controller: str) -> Iterator[Path]:
    """The folder of this process's group, and of each parent that can be seen."""
    groups = _read_groups(root)
    for line in _read(root / "proc/self/mountinfo").splitlines():
        mount = _MOUNT.match(line)
        if not mount:
            continue
        # Version 2 has one tree for all, and no name in /proc/self/cgroup.
        is_new = mount[3] == "cgroup2"
        group = groups.get("" if is_new else controller)
        if group is None or not (is_new or controller in mount[4].split(",")):
            continue
        top = root / _plain(mount[2]).lstrip("/")
        below = _relate(group, _plain(mount[1]))
        yield from (top.joinpath(*below[:depth]) for depth in range(len(below) + 1))


def _read_groups(root: Path) -> dict[str, str]:
    """The group of this process by the name of each controller; "": that of version 2."""
    found: dict[str, str] = {}
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        found |= dict.fromkeys(controllers.split(","), group)
    return found


def _relate(group: str, mounted: str) -> tuple[str, ...]:
    """The way from what is mounted to a group; none where a container sees only its own."""
    parts, top = (Path(one).parts[1:] for one in (group, mounted))
    inside = parts[: len(top)] == top and ".." not in parts
    return parts[len(top) :] if inside else ()


def _plain(field: str) -> str:
    """A field of mountinfo, in which spaces are octal escapes."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), field)


def _read_numbers(file: Path) -> list[int]:
    words = _read(file).split()
    return [int(word) for word in words if re.fullmatch(r"-?\d+", word)]


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
