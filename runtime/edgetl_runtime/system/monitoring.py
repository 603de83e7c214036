"""What the machine does while something is measured on it."""

import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec

from edgetl_runtime.system.board import Health, read_health
from edgetl_runtime.system.energy import EnergyMeter, open_meter
from edgetl_runtime.system.firmware import SINCE_BOOT
from edgetl_runtime.system.sysfs import list_numbered, read_number

_EVERY_S: Final = 5.0
# Intel's counts of how often a core, or its package, was too hot (Linux kernel, therm_throt.c).
_COUNTS: Final = {
    "core_throttle_count": "core throttled",
    "package_throttle_count": "package throttled",
}


class Observation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The machine's state before, during and after a measurement.

    Attributes:
        before: At the start.
        after: At the end.
        readings: Number of readings between the two.
        highest_c: Highest temperature of all readings, degrees Celsius; None: not known.
        lowest_clock_mhz: Lowest mean clock of the cores, MHz; None: not known.
        highest_clock_mhz: Highest mean clock of the cores, MHz; None: not known.
        throttled: Whether the machine throttled in the meantime: a Raspberry Pi's firmware said so
            at a reading, or since boot and not so before; or an Intel processor's count of
            throttling rose. None where neither is known.
        throttling: What of it, such as `under-voltage`, or `package throttled`.
        energy_j: Energy used in the meantime, J; None: not known.
        energy_source: What measured it: `RAPL package` or `Pi 5 PMIC rails`.
        duration_s: From the first reading to the last, s.
    """

    before: Health
    after: Health
    readings: int
    highest_c: float | None
    lowest_clock_mhz: float | None
    highest_clock_mhz: float | None
    throttled: bool | None
    throttling: tuple[str, ...]
    energy_j: float | None
    energy_source: str | None
    duration_s: float


class Monitor:
    """Reads the machine's state in a thread, until the end of a `with` block.

        with Monitor() as monitor:
            measure()
        monitor.observe()

    A reading may start a process (`vcgencmd`), which costs some milliseconds on another core. At
    one in 5 s, the default, fewer than 1 % of queries that take 10 ms meet one.
    """

    def __init__(self, every_s: float = _EVERY_S, root: Path = Path("/")) -> None:
        """Reads nothing yet.

        Args:
            every_s: Seconds between readings.
            root: Where the file system begins.
        """
        self._every_s = every_s
        self._root = root
        self._meter: EnergyMeter | None = None
        self._healths: list[Health] = []
        self._counts: list[dict[Path, int]] = []
        self._times_s: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="monitor", daemon=True)

    def __enter__(self) -> "Monitor":
        """Takes the first reading, and starts."""
        self._meter = open_meter(self._root)
        self._healths.append(read_health(self._root))
        self._counts.append(_read_counts(self._root))
        self._mark()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Ends the thread and takes the last reading; none after an error."""
        self._stop.set()
        self._thread.join()
        if kind is None:
            self._mark()
            self._counts.append(_read_counts(self._root))
            self._healths.append(read_health(self._root))

    def observe(self) -> Observation:
        """What there was to see; call it after the `with` block."""
        if len(self._times_s) < 2:
            raise RuntimeError("observe() comes after the end of the `with` block")
        healths = self._healths
        clocks = [one.clock_mhz for one in healths if one.clock_mhz is not None]
        degrees = [one.temperature_c for one in healths if one.temperature_c is not None]
        throttling = (*_find_throttling(healths), *_find_risen(*self._counts))
        energy_j = self._meter.joules if self._meter else None
        is_known = bool(self._counts[0]) or any(one.throttled is not None for one in healths)
        return Observation(
            before=healths[0],
            after=healths[-1],
            readings=len(healths) - 2,
            highest_c=max(degrees, default=None),
            lowest_clock_mhz=min(clocks, default=None),
            highest_clock_mhz=max(clocks, default=None),
            throttled=bool(throttling) if is_known else None,
            throttling=throttling,
            energy_j=energy_j,
            energy_source=self._meter.source if self._meter and energy_j is not None else None,
            duration_s=self._times_s[1] - self._times_s[0],
        )

    def _mark(self) -> None:
        """Begins or ends what energy and duration are of."""
        if self._meter:
            self._meter.read()
        self._times_s.append(time.monotonic())

    def _watch(self) -> None:
        while not self._stop.wait(self._every_s):
            self._healths.append(read_health(self._root))
            if self._meter:
                self._meter.read()


def _find_throttling(healths: Iterable[Health]) -> tuple[str, ...]:
    """What the firmware reports at a reading, or as a thing of the past that is new there."""
    found: dict[str, None] = {}
    last: Health | None = None
    for health in healths:
        now = list(health.throttling_now)
        if last is not None and last.throttled is not None:
            now += [
                name.removesuffix(SINCE_BOOT)
                for name in health.throttling
                if name not in last.throttling
            ]
        found |= dict.fromkeys(now)
        last = health
    return tuple(found)


def _find_risen(before: dict[Path, int], after: dict[Path, int]) -> tuple[str, ...]:
    risen = {file.name for file, count in after.items() if count > before.get(file, count)}
    return tuple(words for name, words in _COUNTS.items() if name in risen)


def _read_counts(root: Path) -> dict[Path, int]:
    files = (
        cpu / "thermal_throttle" / name
        for cpu in list_numbered(root / "sys/devices/system/cpu", "cpu")
        for name in _COUNTS
    )
    return {file: count for file in files if (count := read_number(file)) is not None}
