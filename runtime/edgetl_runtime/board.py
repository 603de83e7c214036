"""Facts about the machine that a figure is worth nothing without."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import msgspec

_THERMAL = Path("/sys/class/thermal/thermal_zone0/temp")
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_THROTTLED_NOW_OR_SINCE_BOOT = 0xF000F


class Board(msgspec.Struct, frozen=True):
    """The machine.

    Attributes:
        board: Model name from the device tree, such as `Raspberry Pi 4 Model B Rev 1.4`, or None.
        cpu: Processor name.
        cores: Logical processors.
        os: Operating system and release.
        python: Version of Python.
        governor: CPU frequency governor, or None where the system does not tell.
    """

    board: str | None
    cpu: str
    cores: int
    os: str
    python: str
    governor: str | None


class Health(msgspec.Struct, frozen=True):
    """The machine's state at one moment.

    Attributes:
        temperature_c: Of the processor, degrees Celsius, or None where there is no sensor.
        throttled: Under-voltage, capped frequency or thermal limit, now or since boot, as
            `vcgencmd get_throttled` has it (bits 0-3 and 16-19); None off a Raspberry Pi.
    """

    temperature_c: float | None
    throttled: bool | None


def describe_board() -> Board:
    """Reads the machine's facts."""
    return Board(
        board=_read(Path("/proc/device-tree/model")),
        cpu=_cpu_name(),
        cores=os.cpu_count() or 1,
        os=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        governor=_read(_GOVERNOR),
    )


def read_health() -> Health:
    """Reads temperature and throttling."""
    millidegrees = _read(_THERMAL)
    temperature = int(millidegrees) / 1000 if millidegrees and millidegrees.isdigit() else None
    return Health(temperature, _throttled())


def peak_rss_mib() -> float | None:
    """The process's peak resident memory, MiB, or None where the system does not tell."""
    for line in (_read(Path("/proc/self/status")) or "").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return None


def _throttled() -> bool | None:
    tool = shutil.which("vcgencmd")
    if tool is None:
        return None
    run = subprocess.run([tool, "get_throttled"], capture_output=True, text=True, check=False)
    # In a container it may answer `error=1 error_msg=...`.
    name, _, value = run.stdout.strip().partition("=")
    return bool(int(value, 16) & _THROTTLED_NOW_OR_SINCE_BOOT) if name == "throttled" else None


def _cpu_name() -> str:
    for line in (_read(Path("/proc/cpuinfo")) or "").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _read(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip("\x00\n ")
    except OSError:
        return None
