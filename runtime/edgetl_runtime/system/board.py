"""Facts about the machine that a figure is worth nothing without."""

import platform
import re
from pathlib import Path

import msgspec

from edgetl_runtime.system.allotment import count_allowed, read_cpu_quota, read_memory_limit
from edgetl_runtime.system.emulation import is_emulated
from edgetl_runtime.system.firmware import SINCE_BOOT, ask_tool, name_throttling, read_throttled
from edgetl_runtime.system.processors import (
    count_cores,
    name_processor,
    read_clock_mhz,
    read_governor,
    read_max_clock_mhz,
)
from edgetl_runtime.system.sysfs import read_text
from edgetl_runtime.system.temperature import read_temperature_c

_ROOT = Path("/")
# What makers of PCs leave in the field of the product's name.
_NO_PRODUCT = re.compile(
    r"none|unknown|not (specified|applicable)|n/a|to be filled by o\.?e\.?m\.?|o\.?e\.?m\.?"
    r"|system product name|product name|default string|undefined|all series",
    re.I,
)


class Board(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The machine.

    Attributes:
        board: Model name, such as `Raspberry Pi 4 Model B Rev 1.4` from the device tree, a PC's
            from its firmware, or a phone's from Android's properties; or None.
        cpu: Processor name, such as `Cortex-A72`; `4x Cortex-A55, 4x Cortex-A78` where the cores
            differ, `ARM 0x41/0xd99` for a kind that this version does not know.
        cores: Logical processors.
        os: Operating system and release.
        python: Version of Python.
        governor: CPU frequency governor, or None where the system does not tell.
        allowed_cores: Those of `cores` that this process may use.
        cpu_quota: Processor time that a control group allows it, in processors; None: all.
        memory_limit_bytes: Memory that a control group allows it; None: all.
        memory_bytes: Memory of the machine, or None where the system does not tell.
        max_clock_mhz: Highest clock of the fastest core, MHz, or None where the system does not
            tell.
        emulated: Whether qemu plays the processor, so that times mean nothing.
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
    memory_bytes: int | None = None
    max_clock_mhz: float | None = None
    emulated: bool = False

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
        clock_mhz: Mean clock of the cores, MHz, or None where the system does not tell.
        governor: CPU frequency governor, or None where the system does not tell.
    """

    temperature_c: float | None
    throttled: bool | None
    throttling: tuple[str, ...] = ()
    clock_mhz: float | None = None
    governor: str | None = None

    @property
    def throttling_now(self) -> tuple[str, ...]:
        """What of that holds at this moment."""
        return tuple(name for name in self.throttling if not name.endswith(SINCE_BOOT))


def describe_board(root: Path = _ROOT) -> Board:
    """Reads the machine's facts from the file system that begins at `root`."""
    memory = re.search(r"MemTotal:\s+(\d+) kB", read_text(root / "proc/meminfo") or "")
    return Board(
        board=_name_board(root),
        cpu=name_processor(root),
        cores=count_cores(root),
        os=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        governor=read_governor(root),
        allowed_cores=count_allowed(),
        cpu_quota=read_cpu_quota(root),
        memory_limit_bytes=read_memory_limit(root),
        memory_bytes=int(memory[1]) * 1024 if memory else None,
        max_clock_mhz=read_max_clock_mhz(root),
        emulated=root == _ROOT and is_emulated(),
    )


def read_health(root: Path = _ROOT) -> Health:
    """Reads temperature, throttling, clock and governor."""
    bits = read_throttled(root)
    throttling = () if bits is None else name_throttling(bits)
    return Health(
        temperature_c=read_temperature_c(root),
        throttled=None if bits is None else bool(throttling),
        throttling=throttling,
        clock_mhz=read_clock_mhz(root),
        governor=read_governor(root),
    )


def _name_board(root: Path) -> str | None:
    # A phone's device tree names a board of the chip's maker; its property names the phone.
    if model := ask_tool("getprop", "ro.product.model"):
        return model
    for file in ("proc/device-tree/model", "sys/firmware/devicetree/base/model"):
        if model := read_text(root / file):
            return model
    product = read_text(root / "sys/class/dmi/id/product_name")
    return product if product and not _NO_PRODUCT.fullmatch(product) else None
