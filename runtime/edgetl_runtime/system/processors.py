"""The processor's name, its clocks, and the governor that chooses them."""

import os
import platform
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edgetl_runtime.system.sysfs import list_numbered, read_number, read_text

_CPUS: Final = "sys/devices/system/cpu"
# Numbers of the register MIDR_EL1 as /proc/cpuinfo has them, from the Linux kernel's
# arch/arm64/include/asm/cputype.h and, for 32 bits, Arm's Technical Reference Manuals.
_ARM: Final = 0x41
_QUALCOMM: Final = 0x51
_PARTS: Final = {
    (_ARM, 0xB76): "ARM1176",
    (_ARM, 0xC07): "Cortex-A7",
    (_ARM, 0xC08): "Cortex-A8",
    (_ARM, 0xC09): "Cortex-A9",
    (_ARM, 0xC0F): "Cortex-A15",
    (_ARM, 0xC0E): "Cortex-A17",
    (_ARM, 0xD03): "Cortex-A53",
    (_ARM, 0xD04): "Cortex-A35",
    (_ARM, 0xD05): "Cortex-A55",
    (_ARM, 0xD07): "Cortex-A57",
    (_ARM, 0xD08): "Cortex-A72",
    (_ARM, 0xD09): "Cortex-A73",
    (_ARM, 0xD0A): "Cortex-A75",
    (_ARM, 0xD0B): "Cortex-A76",
    (_ARM, 0xD0C): "Neoverse-N1",
    (_ARM, 0xD0D): "Cortex-A77",
    (_ARM, 0xD40): "Neoverse-V1",
    (_ARM, 0xD41): "Cortex-A78",
    (_ARM, 0xD42): "Cortex-A78AE",
    (_ARM, 0xD44): "Cortex-X1",
    (_ARM, 0xD46): "Cortex-A510",
    (_ARM, 0xD47): "Cortex-A710",
    (_ARM, 0xD48): "Cortex-X2",
    (_ARM, 0xD49): "Neoverse-N2",
    (_ARM, 0xD4B): "Cortex-A78C",
    (_ARM, 0xD4C): "Cortex-X1C",
    (_ARM, 0xD4D): "Cortex-A715",
    (_ARM, 0xD4E): "Cortex-X3",
    (_ARM, 0xD4F): "Neoverse-V2",
    (_ARM, 0xD80): "Cortex-A520",
    (_ARM, 0xD81): "Cortex-A720",
    (_ARM, 0xD82): "Cortex-X4",
    (_QUALCOMM, 0x800): "Kryo 2xx Gold",
    (_QUALCOMM, 0x801): "Kryo 2xx Silver",
    (_QUALCOMM, 0x802): "Kryo 3xx Gold",
    (_QUALCOMM, 0x803): "Kryo 3xx Silver",
    (_QUALCOMM, 0x804): "Kryo 4xx Gold",
    (_QUALCOMM, 0x805): "Kryo 4xx Silver",
}
_ONLINE: Final = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")


def name_processor(root: Path) -> str:
    """Such as `Cortex-A72`, or `4x Cortex-A55, 4x Cortex-A78` where the cores differ."""
    text = read_text(root / "proc/cpuinfo") or ""
    # A 32-bit ARM has a "model name", too, that says less: "ARMv7 Processor rev 3 (v7l)".
    if kinds := Counter(_list_parts(text)):
        return _join_kinds(kinds)
    named = re.search(r"(?m)^model name\s*:\s*(\S.*?)\s*$", text)
    return named[1] if named else platform.processor() or platform.machine()


def count_cores(root: Path) -> int:
    """Logical processors that are online."""
    text = read_text(root / _CPUS / "online") or ""
    if not _ONLINE.fullmatch(text):
        return os.cpu_count() or 1
    ends = [[int(number) for number in part.split("-")] for part in text.split(",")]
    return sum(end[-1] - end[0] + 1 for end in ends)


def read_max_clock_mhz(root: Path) -> float | None:
    """The highest clock of the fastest core, MHz; None where cpufreq does not tell."""
    return max(_read_clocks_mhz(root, "cpuinfo_max_freq"), default=None)


def read_clock_mhz(root: Path) -> float | None:
    """The mean of the cores' clocks, MHz; None where cpufreq does not tell."""
    found = _read_clocks_mhz(root, "scaling_cur_freq")
    return sum(found) / len(found) if found else None


def read_governor(root: Path) -> str | None:
    """The governor of the first core that has one, such as `ondemand`."""
    found = (read_text(folder / "scaling_governor") for folder in _list_cpufreq(root))
    return next((name for name in found if name), None)


def _list_parts(cpuinfo: str) -> Iterator[str]:
    implementer = ""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "CPU implementer":
            implementer = value.strip()
        elif key.strip() == "CPU part":
            yield _name_part(implementer, value.strip())


def _name_part(implementer: str, part: str) -> str:
    unknown = f"ARM {implementer}/{part}"
    try:
        return _PARTS.get((int(implementer, 16), int(part, 16)), unknown)
    except ValueError:
        return unknown


def _join_kinds(kinds: Counter[str]) -> str:
    if len(kinds) == 1:
        return next(iter(kinds))
    return ", ".join(f"{count}x {name}" for name, count in kinds.items())


def _read_clocks_mhz(root: Path, name: str) -> list[float]:
    found = (read_number(folder / name) for folder in _list_cpufreq(root))
    return [kilohertz / 1e3 for kilohertz in found if kilohertz]


def _list_cpufreq(root: Path) -> Iterator[Path]:
    return (cpu / "cpufreq" for cpu in list_numbered(root / _CPUS, "cpu"))
