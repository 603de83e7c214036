"""Files and tools of real machines, as far as the device asks for them.

    python tests/machines.py NAME FOLDER    writes one: its file system into FOLDER/root, its
                                            programs into FOLDER/bin

Values are those that people published of such machines: /proc/cpuinfo, thermal zones, cpufreq and
`vcgencmd` of Raspberry Pis, zones and permissions of phones, RAPL and hwmon of PCs.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

_OLD_FEATURES: Final = "fp asimd evtstrm crc32 cpuid"
_FEATURES: Final = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop"
    " asimddp"
)
_NOBODY: Final = 65534
_CPU: Final = "sys/devices/system/cpu"
_ZONES: Final = "sys/class/thermal/thermal_zone"
_RAPL: Final = "sys/class/powercap/intel-rapl:"


class Machine(msgspec.Struct, frozen=True):
    """What there is on a machine.

    Attributes:
        files: Text by path, relative to the root.
        tools: Text of programs by name.
        unreadable: Of the files, those that nobody but root may read.
    """

    files: Mapping[str, str]
    tools: Mapping[str, str] = {}
    unreadable: Iterable[str] = ()

    def write(self, folder: Path) -> Path:
        """Writes `root` and `bin` into a folder; returns the root."""
        root, tools = folder / "root", folder / "bin"
        for name, text in self.files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        for name in self.unreadable:
            (root / name).chmod(0)
        tools.mkdir(parents=True)
        for name, text in self.tools.items():
            (tools / name).write_text(text)
            (tools / name).chmod(0o755)
        return root


@contextmanager
def as_nobody() -> Iterator[None]:
    """Gives up root's right to read everything, where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def _cpuinfo_of_arm(parts: Iterable[tuple[int, int]], features: str, end: str) -> str:
    return (
        "".join(
            f"processor\t: {number}\nBogoMIPS\t: 108.00\nFeatures\t: {features}\n"
            f"CPU implementer\t: {implementer:#x}\nCPU architecture: 8\nCPU variant\t: 0x0\n"
            f"CPU part\t: {part:#x}\nCPU revision\t: 3\n\n"
            for number, (implementer, part) in enumerate(parts)
        )
        + end
    )


def _cpuinfo_of_pc(name: str, cores: int) -> str:
    return "".join(
        f"processor\t: {number}\nvendor_id\t: {name.partition('(')[0].split()[0]}\n"
        f"model name\t: {name}\nstepping\t: 1\n\n"
        for number in range(cores)
    )


def _meminfo(kib: int) -> str:
    sizes = {"MemTotal": kib, "MemFree": kib // 3, "MemAvailable": kib // 2}
    return "".join(f"{name + ':':15} {size:8} kB\n" for name, size in sizes.items())


def _cpufreq(governor: str, khz: Iterable[tuple[int, int, int]]) -> dict[str, str]:
    """(now, lowest, highest) of each core."""
    found = {}
    cores = list(khz)
    for number, (now, lowest, highest) in enumerate(cores):
        folder = f"{_CPU}/cpu{number}/cpufreq"
        found |= {
            f"{folder}/scaling_governor": f"{governor}\n",
            f"{folder}/scaling_cur_freq": f"{now}\n",
            f"{folder}/cpuinfo_min_freq": f"{lowest}\n",
            f"{folder}/cpuinfo_max_freq": f"{highest}\n",
        }
    return found | _ends(len(cores))


def _ends(cores: int) -> dict[str, str]:
    text = f"0-{cores - 1}\n"
    return {f"{_CPU}/{name}": text for name in ("online", "possible", "present")}


def _zones(*zones: tuple[str, object]) -> dict[str, str]:
    """(type, temp) of each thermal zone."""
    return {
        f"{_ZONES}{number}/{name}": f"{value}\n"
        for number, zone in enumerate(zones)
        for name, value in zip(("type", "temp"), zone, strict=True)
    }


def _hwmon(number: int, name: str, **values: object) -> dict[str, str]:
    folder = f"sys/class/hwmon/hwmon{number}"
    return {f"{folder}/name": f"{name}\n"} | {
        f"{folder}/{key}": f"{value}\n" for key, value in values.items()
    }


def _rapl(zone: str, name: str, energy_uj: int) -> dict[str, str]:
    return {
        f"{_RAPL}{zone}/name": f"{name}\n",
        f"{_RAPL}{zone}/energy_uj": f"{energy_uj}\n",
        f"{_RAPL}{zone}/max_energy_range_uj": "262143328850\n",
    }


def _vcgencmd(clock: str, celsius: float, pmic: str = "") -> str:
    """A shell script; what it says of throttling is in the file `throttled` beside it."""
    unknown = 'error=1 error_msg="Command not registered"'
    return f"""#!/bin/sh
case "$*" in
get_throttled) read -r answer <"${{0%/*}}/throttled"; echo "$answer" ;;
measure_temp) echo "temp={celsius:.1f}'C" ;;
"measure_clock arm") echo "{clock}" ;;
pmic_read_adc) printf '%s\\n' '{pmic or unknown}' ;;
*) echo '{unknown}' ;;
esac
"""


def _raspberry_pi(
    model: str,
    *,
    revision: str,
    part: int,
    kib: int,
    khz: tuple[int, int, int],
    millidegrees: int,
    clock: str,
    features: str = _OLD_FEATURES,
    pmic: str = "",
    files: Mapping[str, str] | None = None,
) -> Machine:
    end = f"Revision\t: {revision}\nSerial\t\t: 100000000abcdef0\nModel\t\t: {model}\n"
    return Machine(
        files={
            "proc/device-tree/model": f"{model}\0",
            "sys/firmware/devicetree/base/model": f"{model}\0",
            "proc/cpuinfo": _cpuinfo_of_arm([(0x41, part)] * 4, features, end),
            "proc/meminfo": _meminfo(kib),
            **_cpufreq("ondemand", [khz] * 4),
            **_zones(("cpu-thermal", millidegrees)),
            **_hwmon(0, "cpu_thermal", temp1_input=millidegrees),
            **_hwmon(1, "rpi_volt", in0_lcrit_alarm=0),
            **(files or {}),
        },
        tools={
            "vcgencmd": _vcgencmd(clock, millidegrees / 1000, pmic),
            "throttled": "throttled=0x0\n",
        },
    )


# The kernel's own view, in hexadecimal without 0x; on a Pi 5 there is none.
_FIRMWARE: Final = {"sys/devices/platform/soc/soc:firmware/get_throttled": "0\n"}
# Of a busy Raspberry Pi 5: A and V of each rail, and the channels that measure them.
_RAILS: Final = (
    ("3V7_WL_SW", 0.094, 0, 3.70, 8),
    ("3V3_SYS", 0.088, 1, 3.31, 9),
    ("1V8_SYS", 0.180, 2, 1.80, 10),
    ("DDR_VDD2", 0.225, 3, 1.10, 11),
    ("DDR_VDDQ", 0.067, 4, 0.60, 12),
    ("1V1_SYS", 0.175, 5, 1.11, 13),
    ("0V8_SW", 0.376, 6, 0.80, 14),
    ("VDD_CORE", 6.220, 7, 0.86, 15),
    ("3V3_DAC", 0.000, 17, 3.31, 20),
    ("3V3_ADC", 0.000, 18, 3.31, 21),
    ("0V8_AON", 0.003, 16, 0.80, 19),
    ("HDMI", 0.024, 22, 5.09, 23),
)
PMIC: Final = "\n".join(
    [
        f"{rail + '_A':>12} current({channel})={amperes:.8f}A"
        for rail, amperes, channel, *_ in _RAILS
    ]
    + [f"{rail + '_V':>12} volt({channel})={volts:.8f}V" for rail, *_, volts, channel in _RAILS]
    + ["     EXT5V_V volt(24)=5.09000000V", "      BATT_V volt(25)=0.00000000V"]
)
PMIC_W: Final = sum(amperes * volts for _, amperes, _, volts, _ in _RAILS)

_PRIVATE: Final = tuple(
    f"{_CPU}/cpu{number}/cpufreq/{name}"
    for number in range(8)
    for name in ("scaling_cur_freq", "scaling_governor")
)

MACHINES: Final = {
    "pi3": _raspberry_pi(
        "Raspberry Pi 3 Model B Plus Rev 1.3",
        revision="a020d3",
        part=0xD03,
        kib=932068,
        khz=(1400000, 600000, 1400000),
        millidegrees=58002,
        clock="frequency(45)=1400000000",
        files=_FIRMWARE,
    ),
    "pi4": _raspberry_pi(
        "Raspberry Pi 4 Model B Rev 1.5",
        revision="c03115",
        part=0xD08,
        kib=3884300,
        khz=(1800000, 600000, 1800000),
        millidegrees=48312,
        clock="frequency(48)=1800404352",
        files=_FIRMWARE,
    ),
    "pi5": _raspberry_pi(
        "Raspberry Pi 5 Model B Rev 1.0",
        revision="d04170",
        part=0xD0B,
        kib=8245744,
        khz=(2400000, 1500000, 2400000),
        millidegrees=64700,
        clock="frequency(0)=2400033792",
        features=_FEATURES,
        pmic=PMIC,
    ),
    "zero2w": _raspberry_pi(
        "Raspberry Pi Zero 2 W Rev 1.0",
        revision="902120",
        part=0xD03,
        kib=437032,
        khz=(1000000, 600000, 1000000),
        millidegrees=52616,
        clock="frequency(48)=1000000000",
        files=_FIRMWARE,
    ),
    # Snapdragon 765G. No zone is named after the processor but those of its cores, `soc` is the
    # battery's charge in percent, a sleeping core's sensor says 0, and an app may not see clocks.
    "phone": Machine(
        files={
            "proc/cpuinfo": _cpuinfo_of_arm(
                [(0x51, 0x805)] * 6 + [(0x51, 0x804)] * 2,
                _FEATURES,
                "Hardware\t: Qualcomm LITO\n",
            ),
            "proc/meminfo": _meminfo(7751744),
            "proc/device-tree/model": "Qualcomm Technologies, Inc. Lito MTP\0",
            **_cpufreq(
                "schedutil",
                [(1804800, 300000, 1804800)] * 6
                + [(2208000, 652800, 2208000), (2400000, 806400, 2400000)],
            ),
            **_zones(
                ("soc", 87),
                ("battery", 31200),
                ("pm7250b_tz", 37000),
                ("aoss0-usr", 41900),
                ("cpu-0-0-usr", 44200),
                ("cpu-0-1-usr", 0),
                ("cpu-1-0-usr", 47100),
                ("cpu-1-1-usr", 46400),
                ("cpuss-0-usr", 43800),
                ("gpuss-0-usr", 52300),
                ("modem-0-usr", 125600),
                ("skin-therm-usr", 35013),
                ("xo-therm-usr", 36250),
            ),
        },
        tools={
            "getprop": '#!/bin/sh\n[ "$1" = ro.product.model ] && echo "Pixel 5" || echo\n',
        },
        unreadable=_PRIVATE,
    ),
    # Its first zone is ACPI's and its second a constant. `psys` is the whole laptop.
    "intel": Machine(
        files={
            "proc/cpuinfo": _cpuinfo_of_pc("Intel(R) Core(TM) i5-8259U CPU @ 2.30GHz", 8),
            "proc/meminfo": _meminfo(16281364),
            "sys/class/dmi/id/product_name": "NUC8i5BEH\n",
            **_cpufreq(
                "powersave", [(3400000, 400000, 3800000)] * 7 + [(3000000, 400000, 3800000)]
            ),
            **_zones(("acpitz", 27800), ("INT3400 Thermal", 20000), ("x86_pkg_temp", 61000)),
            **_hwmon(0, "acpitz", temp1_input=27800),
            **_hwmon(
                1,
                "coretemp",
                temp1_label="Package id 0",
                temp1_input=61000,
                temp2_label="Core 0",
                temp2_input=60000,
            ),
            **_rapl("0", "package-0", 26963529117),
            **_rapl("0:0", "core", 7980278886),
            **_rapl("0:1", "uncore", 6564982278),
            **_rapl("1", "psys", 60293987000),
            **{
                f"{_CPU}/cpu{number}/thermal_throttle/{name}_throttle_count": f"{count}\n"
                for number in range(8)
                for name, count in (("core", 3), ("package", 12))
            },
        },
    ),
    # The mainboard's maker left the name out. Energy is for root only.
    "amd": Machine(
        files={
            "proc/cpuinfo": _cpuinfo_of_pc("AMD Ryzen 5 3600 6-Core Processor", 12),
            "proc/meminfo": _meminfo(32791256),
            "sys/class/dmi/id/product_name": "System Product Name\n",
            **_cpufreq("schedutil", [(4150000, 2200000, 4208203)] * 12),
            **_zones(("iwlwifi_1", 39000)),
            **_hwmon(0, "nvme", temp1_label="Composite", temp1_input=71850),
            **_hwmon(
                1,
                "k10temp",
                temp1_label="Tctl",
                temp1_input=75250,
                temp2_label="Tdie",
                temp2_input=65250,
                temp3_label="Tccd1",
                temp3_input=63500,
            ),
            **_rapl("0", "package-0", 190462097000),
            **_rapl("0:0", "core", 4000000000),
        },
        unreadable=(f"{_RAPL}0/energy_uj", f"{_RAPL}0:0/energy_uj"),
    ),
    "container": Machine(
        files={
            "proc/cpuinfo": _cpuinfo_of_pc("AMD EPYC", 2),
            "proc/meminfo": _meminfo(2014192),
            **_ends(2),
        }
    ),
}


if __name__ == "__main__":
    MACHINES[sys.argv[1]].write(Path(sys.argv[2]))
