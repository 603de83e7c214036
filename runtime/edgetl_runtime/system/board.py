"""Facts about the machine that a figure is worth nothing without."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import msgspec

from edgetl_runtime.system.allotment import count_allowed, read_cpu_quota, read_memory_limit

_ROOT = Path("/")
_THERMAL = "sys/class/thermal/thermal_zone0/temp"
_GOVERNOR = "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
# Bits 0-3 of `vcgencmd get_throttled`; 16 higher is the same since boot (Raspberry Pi
# documentation, "vcgencmd").
_THROTTLING = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")
_SINCE_BOOT_BIT = 16
_SINCE_BOOT = " since boot"
_TOOL_TIMEOUT_S = 5.0


class Board(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The machine.

    Attributes:
        board: Model name from the device tree, such as `Raspberry Pi 4 Model B Rev 1.4`, or None.
        cpu: Processor name.
        cores: Logical processors.
        os: Operating system and release.
        python: Version of Python.
        governor: CPU frequency governor, or None where the system does not tell.
        allowed_cores: Those of `cores` that this process may use.
        cpu_quota: Processor time that a control group allows it, in processors; None: all.
        memory_limit_bytes: Memory that a control group allows it; None: all.
    """

    board: str | None
    cpu: str
    cores: int
    os: str
    python: str
    governor: str | None
    allowed_cores: int
    cpu_quota: float | None = None
    memory_limit_bytes: int | None = None

    @property
    def processor_limits(self) -> tuple[str, ...]:
        """Where this process may use fewer processors than there are: such as `CPU quota 0.5`."""
        found = []
        if self.allowed_cores < self.cores:
            found.append(f"{self.allowed_cores} of {self.cores} cores allowed")
        if self.cpu_quota is not None:
            found.append(f"CPU quota {self.cpu_quota:.3g}")
        return tuple(found)

    @property
    def limits(self) -> tuple[str, ...]:
        """The limits of the processors, and such as `memory limit 512 MiB`."""
        if self.memory_limit_bytes is None:
            return self.processor_limits
        return (*self.processor_limits, f"memory limit {self.memory_limit_bytes / 2**20:.0f} MiB")


class Health(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The machine's state at one moment.

    Attributes:
        temperature_c: Of the processor, degrees Celsius, or None where no sensor.
        throttled: Under-voltage, capped frequency or thermal limit, now or since boot, as
            `vcgencmd get_throttled` has it (bits 0-3 and 16-19); None off a Raspberry Pi.
        throttling: What of that is, such as `under-voltage` or `throttled since boot`.
    """

    temperature_c: float | None
    throttled: bool | None
    throttling: tuple[str, ...] = ()

    @property
    def throttling_now(self) -> tuple[str, ...]:
        """What of that holds at this moment."""
        return tuple(name for name in self.throttling if not name.endswith(_SINCE_BOOT))


def describe_board(root: Path = _ROOT) -> Board:
    """Reads the machine's facts from the file system that begins at `root`."""
    return Board(
        board=_read(root / "proc/device-tree/model"),
        cpu=_cpu_name(root),
        cores=os.cpu_count() or 1,
        os=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        governor=_read(root / _GOVERNOR),
        allowed_cores=count_allowed(),
        cpu_quota=read_cpu_quota(root),
        memory_limit_bytes=read_memory_limit(root),
    )


def read_health(root: Path = _ROOT) -> Health:
    """Reads temperature and throttling."""
    millidegrees = _read(root / _THERMAL)
    temperature = int(millidegrees) / 1000 if millidegrees and millidegrees.isdigit() else None
    bits = _read_throttled()
    if bits is None:
        return Health(temperature, None)
    throttling = _name_throttling(bits)
    return Health(temperature, bool(throttling), throttling)


def peak_rss_mib() -> float | None:
    """The process's peak resident memory, MiB, or None where the system does not tell."""
    for line in (_read(Path("/proc/self/status")) or "").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return None


def _read_throttled() -> int | None:
    tool = shutil.which("vcgencmd")
    if tool is None:
        return None
    try:
        run = subprocess.run(
            [tool, "get_throttled"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=_TOOL_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    # In a container it may answer `error=1 error_msg=...`.
    name, _, value = run.stdout.strip().partition("=")
    return int(value, 16) if name == "throttled" else None


def _name_throttling(bits: int) -> tuple[str, ...]:
    now = [name for bit, name in enumerate(_THROTTLING) if bits >> bit & 1]
    past = [
        f"{name}{_SINCE_BOOT}"
        for bit, name in enumerate(_THROTTLING, _SINCE_BOOT_BIT)
        if bits >> bit & 1
    ]
    return (*now, *past)


def _cpu_name(root: Path = _ROOT) -> str:
    for line in (_read(root / "proc/cpuinfo") or "").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _read(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip("\x00\n ")
    except OSError:
        return None
