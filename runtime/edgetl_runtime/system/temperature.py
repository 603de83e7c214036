"""The processor's temperature, from the one sensor among many that measures it.

Which sensor thermal_zone0 is differs: on a Raspberry Pi it is the processor, on a phone it may be
the battery, or even its charge in percent (`soc`), on a PC a fixed number of the firmware.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edgetl_runtime.system.sysfs import list_numbered, read_number, read_text

_PLAUSIBLE_C: Final = (-40.0, 150.0)
# Raspberry Pi `cpu-thermal`, Intel `x86_pkg_temp`, Qualcomm `cpu-1-0-usr`, MediaTek `mtktscpu`,
# Rockchip `bigcore0-thermal`, Samsung and Google `BIG`, `MID` and `LITTLE`. Qualcomm's kernels have
# zones of cooling and limits, too, whose numbers are none of degrees.
_PROCESSOR_ZONE: Final = re.compile(
    r"(?!.*(cdev|limit|freq|hotplug))"
    r"(x86_pkg_temp|.*(?<![a-z])cpu.*|mtktscpu.*|(big|little)[-_]?core.*|big|mid|little)",
    re.I,
)
_CHIP_ZONE: Final = re.compile(r"soc[-_]?(thermal|dts\d*|max).*", re.I)
# What a zone 0 may be that is not near the processor.
_OTHER_ZONE: Final = re.compile(
    r"soc|bms|.*(batt|charg|chg|skin|case|usb|wifi|iwl|nvme|modem|gpu|pa[-_]?therm|xo[-_]?therm).*"
    r"|int3400.*",
    re.I,
)
# Drivers of the kernel's hwmon, and the labels of theirs that stand for the whole processor. An
# AMD `Tctl` may lie above the true `Tdie` (kernel documentation, k10temp).
_PROCESSOR_CHIPS: Final = ("coretemp", "k10temp", "zenpower", "cpu_thermal")
_WHOLE: Final = ("Tdie", "Package id", "Tctl")


def read_temperature_c(root: Path) -> float | None:
    """The processor's temperature, degrees Celsius, the hottest of its sensors; None: unknown."""
    zones = [
        (read_text(zone / "type") or "", zone / "temp")
        for zone in list_numbered(root / "sys/class/thermal", "thermal_zone")
    ]
    for files in (
        [file for kind, file in zones if _PROCESSOR_ZONE.fullmatch(kind)],
        _list_chip_files(root),
        [file for kind, file in zones if _CHIP_ZONE.fullmatch(kind)],
        [file for kind, file in zones[:1] if not _OTHER_ZONE.fullmatch(kind)],
    ):
        found = [degrees for file in files if (degrees := _read_degrees(file)) is not None]
        if found:
            return max(found)
    return None


def _list_chip_files(root: Path) -> list[Path]:
    """The inputs of hwmon that measure the whole processor, or else all that measure it."""
    files = [
        (read_text(file.with_name(file.name.replace("_input", "_label"))) or "", file)
        for chip in list_numbered(root / "sys/class/hwmon", "hwmon")
        if read_text(chip / "name") in _PROCESSOR_CHIPS
        for file in _list_inputs(chip)
    ]
    for whole in _WHOLE:
        if found := [file for label, file in files if label.startswith(whole)]:
            return found
    return [file for _, file in files]


def _list_inputs(chip: Path) -> Iterator[Path]:
    yield from sorted(chip.glob("temp*_input"))


def _read_degrees(file: Path) -> float | None:
    """Millidegrees as the kernel has them, or degrees as some phones do.

    A 0 comes from sensors that are off, and from 151 to 999 neither unit is plausible.
    """
    number = read_number(file)
    if number is None or number == 0 or 150 < number < 1000:
        return None
    degrees = float(number) if 0 < number <= 150 else number / 1000
    return degrees if _PLAUSIBLE_C[0] <= degrees <= _PLAUSIBLE_C[1] else None
