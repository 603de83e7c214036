"""Energy that the machine uses, where it measures that itself."""

import re
import time
from pathlib import Path
from typing import Final, Protocol

from edgetl_runtime.system.firmware import ask_firmware
from edgetl_runtime.system.sysfs import list_numbered, read_number, read_text

_POWERCAP: Final = "sys/class/powercap"
# Such as ` VDD_CORE_A current(7)=6.22421000A` and ` VDD_CORE_V volt(15)=0.86173300V`.
_CURRENT: Final = re.compile(r"(?m)^\s*(\w+)_A current\(\d+\)=([0-9.]+)A\s*$")
_VOLTAGE: Final = re.compile(r"(?m)^\s*(\w+)_V volt\(\d+\)=([0-9.]+)V\s*$")


class EnergyMeter(Protocol):
    """Measures energy from its first reading on."""

    @property
    def source(self) -> str:
        """What measures: `RAPL package` or `Pi 5 PMIC rails`."""

    @property
    def joules(self) -> float | None:
        """Energy from the first reading to the last, J; None with fewer than two readings."""

    def read(self) -> None:
        """Takes a reading."""


def open_meter(root: Path = Path("/")) -> EnergyMeter | None:
    """The meter of this machine, without a reading; None where there is none, or only for root.

    Args:
        root: Where the file system begins.
    """
    if zones := _list_packages(root):
        return RaplMeter(zones)
    return PmicMeter() if _read_power_w() is not None else None


class RaplMeter:
    """The sum of a PC's processor packages, from counters of the processor.

    Cores, caches and graphics on the chip, neither memory modules nor the rest of the PC. The
    counter starts again after some time (minutes at full load on a large machine), so read it more
    often than that (Linux kernel, Documentation/power/powercap/powercap.rst).
    """

    source: Final = "RAPL package"

    def __init__(self, zones: list[Path]) -> None:
        """Takes the folders of powercap that are summed."""
        self._zones = zones
        self._last: list[int] | None = None
        self._microjoules: int | None = None

    @property
    def joules(self) -> float | None:
        """See `EnergyMeter`; None, too, if the counters stand still, as in virtual machines."""
        return self._microjoules / 1e6 if self._microjoules else None

    def read(self) -> None:
        """See `EnergyMeter`; a reading that fails is left out."""
        found = [read_number(zone / "energy_uj") for zone in self._zones]
        readings = [number for number in found if number is not None]
        if len(readings) < len(found):
            return
        if self._last is not None:
            steps = map(_subtract, self._zones, readings, self._last)
            self._microjoules = (self._microjoules or 0) + sum(steps)
        self._last = readings


class PmicMeter:
    """The sum of a Raspberry Pi 5's rails, current times voltage, integrated over time.

    The board's power chip measures current and voltage of 12 rails: processor, memory, radio and
    the board's other chips. Of the 5 V input (`EXT5V`) it knows no current, so the losses of the
    converters are missing, and so is what hangs at USB ports and pins: at the plug it is more.
    Between two readings power is taken as a straight line (trapezoids).
    """

    source: Final = "Pi 5 PMIC rails"

    def __init__(self) -> None:
        """Starts without a reading."""
        self._last: tuple[float, float] | None = None  # s, W
        self._joules: float | None = None

    @property
    def joules(self) -> float | None:
        """See `EnergyMeter`."""
        return self._joules

    def read(self) -> None:
        """See `EnergyMeter`; a reading that fails is left out."""
        power_w = _read_power_w()
        if power_w is None:
            return
        now_s = time.monotonic()
        if self._last is not None:
            then_s, last_w = self._last
            self._joules = (self._joules or 0.0) + (now_s - then_s) * (power_w + last_w) / 2
        self._last = now_s, power_w


def _list_packages(root: Path) -> list[Path]:
    """The packages whose counters may be read; not `psys`, which is the whole machine again."""
    return [
        zone
        for zone in list_numbered(root / _POWERCAP, "intel-rapl:")
        if (read_text(zone / "name") or "").startswith("package")
        and read_number(zone / "energy_uj") is not None
    ]


def _subtract(zone: Path, now: int, last: int) -> int:
    if now >= last:
        return now - last
    return now - last + (read_number(zone / "max_energy_range_uj") or 0)


def _read_power_w() -> float | None:
    text = ask_firmware("pmic_read_adc") or ""
    amperes, volts = (dict(one.findall(text)) for one in (_CURRENT, _VOLTAGE))
    rails = amperes.keys() & volts.keys()
    if not rails:
        return None
    return sum(float(amperes[rail]) * float(volts[rail]) for rail in rails)
