"""What the device finds out about the machines of tests/machines.py."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgetl_runtime.system.board import describe_board, read_health
from edgetl_runtime.system.energy import open_meter
from edgetl_runtime.system.firmware import is_refused
from edgetl_runtime.system.monitoring import Monitor, Observation
from tests.machines import MACHINES, PMIC_W, as_nobody

CPU0 = "sys/devices/system/cpu/cpu0"
ZONE = "sys/class/thermal/thermal_zone0"
RAPL = "sys/class/powercap/intel-rapl:0/energy_uj"

# board, cpu, cores, MiB, highest clock in MHz, governor
BOARDS = {
    "pi3": ("Raspberry Pi 3 Model B Plus Rev 1.3", "Cortex-A53", 4, 910, 1400.0, "ondemand"),
    "pi4": ("Raspberry Pi 4 Model B Rev 1.5", "Cortex-A72", 4, 3793, 1800.0, "ondemand"),
    "pi5": ("Raspberry Pi 5 Model B Rev 1.0", "Cortex-A76", 4, 8052, 2400.0, "ondemand"),
    "zero2w": ("Raspberry Pi Zero 2 W Rev 1.0", "Cortex-A53", 4, 426, 1000.0, "ondemand"),
    "phone": ("Pixel 5", "6x Kryo 4xx Silver, 2x Kryo 4xx Gold", 8, 7570, 2400.0, None),
    "intel": (
        *("NUC8i5BEH", "Intel(R) Core(TM) i5-8259U CPU @ 2.30GHz"),
        *(8, 15899, 3800.0, "powersave"),
    ),
    "amd": (None, "AMD Ryzen 5 3600 6-Core Processor", 12, 32022, 4208.203, "schedutil"),
    "container": (None, "AMD EPYC", 2, 1966, None, None),
}
# degrees Celsius, throttled, mean clock in MHz
HEALTHS = {
    "pi3": (58.002, False, 1400.0),
    "pi4": (48.312, False, 1800.0),
    "pi5": (64.7, False, 2400.0),
    "zero2w": (52.616, False, 1000.0),
    "phone": (47.1, None, None),
    "intel": (61.0, None, 3350.0),
    "amd": (65.25, None, 4150.0),
    "container": (None, None, None),
}
METERS = {"pi5": "Pi 5 PMIC rails", "intel": "RAPL package"}


def throttle(root: Path, bits: int) -> None:
    """What vcgencmd says from now on."""
    (root.parent / "bin" / "throttled").write_text(f"throttled={bits:#x}\n")


def observe(root: Path, during: Callable[[], object] = lambda: None) -> Observation:
    """A run with at least one reading before `during`, and one after it."""
    with Monitor(every_s=0.01, root=root) as monitor:
        _wait_for_readings(monitor)
        during()
        _wait_for_readings(monitor)
    return monitor.observe()


def _wait_for_readings(monitor: Monitor) -> None:
    # The second of them began after this call.
    enough, deadline_s = len(monitor._healths) + 2, time.monotonic() + 60
    while len(monitor._healths) < enough:
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def test_every_machine_has_its_facts_here():
    assert MACHINES.keys() == BOARDS.keys() == HEALTHS.keys()


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_is_described(name, enter_machine):
    root = enter_machine(name)
    with as_nobody():
        found = describe_board(root)
    mib = found.memory_bytes // 2**20 if found.memory_bytes else None
    facts = (found.board, found.cpu, found.cores, mib, found.max_clock_mhz, found.governor)
    assert facts == BOARDS[name]
    assert found.emulated is False


@pytest.mark.parametrize("name", HEALTHS)
def test_health_is_that_of_the_processor(name, enter_machine):
    root = enter_machine(name)
    with as_nobody():
        found = read_health(root)
    assert (found.temperature_c, found.throttled, found.clock_mhz) == HEALTHS[name]
    assert found.governor == BOARDS[name][-1]
    assert found.throttling == ()


@pytest.mark.parametrize("name", MACHINES)
def test_energy_is_measured_where_the_machine_lets_us(name, enter_machine):
    root = enter_machine(name)
    with as_nobody():
        meter = open_meter(root)
        assert (meter.source if meter else None) == METERS.get(name)
        if meter is None:
            return
        assert meter.joules is None
        meter.read()
        assert meter.joules is None
        meter.read()
        # The counter of a file stands still.
        assert (meter.joules is None) is (meter.source == "RAPL package")


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_is_observed(name, enter_machine):
    root = enter_machine(name)
    with as_nobody():
        found = observe(root)
    degrees, throttled, clock_mhz = HEALTHS[name]
    if name == "intel":
        throttled = False
    assert found.before == found.after
    assert found.readings >= 4
    assert (found.highest_c, found.throttled, found.throttling) == (degrees, throttled, ())
    assert found.lowest_clock_mhz == found.highest_clock_mhz == clock_mhz
    assert (found.energy_j is None) is (name != "pi5")
    assert found.energy_source == (METERS[name] if name == "pi5" else None)
    assert found.duration_s > 0


def test_a_raspberry_pi_5_adds_up_its_rails_over_time(enter_machine):
    found = observe(enter_machine("pi5"), lambda: time.sleep(0.5))
    # Its rails say the same all the time; the two clocks are read one after the other.
    assert found.energy_j == pytest.approx(PMIC_W * found.duration_s, rel=0.2)
    assert pytest.approx(7.3, abs=0.1) == PMIC_W


def test_energy_of_a_pc_is_that_of_its_packages_and_survives_the_end_of_the_counter(enter_machine):
    root = enter_machine("intel")
    second = root / "sys/class/powercap/intel-rapl:2"
    second.mkdir()
    for name, text in (
        ("name", "package-1"),
        ("energy_uj", "5000000"),
        ("max_energy_range_uj", "9"),
    ):
        (second / name).write_text(f"{text}\n")
    meter = open_meter(root)
    meter.read()
    for energy_uj in (262143328849, 1_999_999):
        (root / RAPL).write_text(f"{energy_uj}\n")
        meter.read()
    (second / "energy_uj").write_text("6500000\n")
    # The whole machine, of which the packages are a part.
    (root / RAPL.replace(":0", ":1")).write_text("70293987000\n")
    meter.read()
    counted_uj = 262143328849 - 26963529117 + 2_000_000
    assert meter.joules == pytest.approx(counted_uj / 1e6 + 1.5)


def test_a_counter_that_cannot_be_read_for_once_loses_nothing(enter_machine):
    root = enter_machine("intel")
    (root / RAPL).write_text("1000000\n")
    meter = open_meter(root)
    for text in ("1000000", "", "4000000"):
        (root / RAPL).write_text(text)
        meter.read()
    assert meter.joules == 3.0


def test_the_hottest_and_the_slowest_moment_are_kept(enter_machine):
    root = enter_machine("pi4")

    def heat():
        (root / ZONE / "temp").write_text("84700\n")
        for number in range(4):
            (root / f"sys/devices/system/cpu/cpu{number}/cpufreq/scaling_cur_freq").write_text(
                "600000"
            )

    found = observe(root, heat)
    assert (found.before.temperature_c, found.highest_c) == (48.312, 84.7)
    assert (found.lowest_clock_mhz, found.highest_clock_mhz) == (600.0, 1800.0)


@pytest.mark.parametrize(
    ("before", "after", "throttled", "throttling"),
    [
        (0x0, 0x0, False, ()),
        (0x50000, 0x50000, False, ()),
        (0x0, 0x40000, True, ("throttled",)),
        (0x50000, 0xD0000, True, ("soft temperature limit",)),
        (0x0, 0x20002, True, ("frequency capped",)),
        (0x1, 0x10001, True, ("under-voltage",)),
        (0x10001, 0x10001, True, ("under-voltage",)),
    ],
)
def test_what_happened_before_the_run_is_not_held_against_it(
    before, after, throttled, throttling, enter_machine
):
    root = enter_machine("pi4")
    throttle(root, before)
    found = observe(root, lambda: throttle(root, after))
    assert (found.throttled, found.throttling) == (throttled, throttling)
    assert found.after.throttled is bool(after)


@pytest.mark.parametrize(
    ("file", "throttling"),
    [("core", ("core throttled",)), ("package", ("package throttled",))],
)
def test_an_intel_processor_that_was_too_hot_is_seen_by_its_counts(file, throttling, enter_machine):
    root = enter_machine("intel")
    count = root / CPU0 / "thermal_throttle" / f"{file}_throttle_count"
    found = observe(root, lambda: count.write_text("13\n"))
    assert (found.throttled, found.throttling) == (True, throttling)


def test_the_thread_ends_with_the_block_also_after_an_error(enter_machine):
    monitor = Monitor(every_s=0.01, root=enter_machine("container"))
    with pytest.raises(KeyError), monitor:
        assert "monitor" in {thread.name for thread in threading.enumerate()}
        raise KeyError
    assert "monitor" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(RuntimeError, match="after the end of the `with` block"):
        monitor.observe()


def test_a_short_run_has_no_reading_in_between(enter_machine):
    with Monitor(root=enter_machine("pi3")) as monitor:
        pass
    found = monitor.observe()
    assert (found.readings, found.highest_c, found.duration_s < 5) == (0, 58.002, True)


@pytest.mark.parametrize(
    ("text", "throttling"),
    [
        ("0\n", ()),
        (
            "50005\n",
            ("under-voltage", "throttled", "under-voltage since boot", "throttled since boot"),
        ),
        ("0x80008", ("soft temperature limit", "soft temperature limit since boot")),
        ("none", None),
    ],
)
def test_without_the_tool_the_kernel_says_what_the_firmware_told_it(
    text, throttling, enter_machine, monkeypatch
):
    root = enter_machine("pi4")
    monkeypatch.setenv("PATH", str(root))
    (root / "sys/devices/platform/soc/soc:firmware/get_throttled").write_text(text)
    found = read_health(root)
    assert found.throttled is (None if throttling is None else bool(throttling))
    assert found.throttling == (throttling or ())


def test_a_firmware_that_is_not_for_this_user_is_told_apart_from_none(enter_machine):
    root = enter_machine("pi4")
    assert not is_refused(root)
    device = root / "dev/vcio"
    device.parent.mkdir()
    device.touch()
    assert not is_refused(root)
    device.chmod(0)
    with as_nobody():
        assert is_refused(root)


@pytest.mark.parametrize(
    ("kind", "temp", "degrees"),
    [
        ("cpu-thermal", "48312", 48.312),
        ("cpu-thermal", "-5000", -5.0),
        ("mtktscpu", "45", 45.0),
        ("cpu-thermal", "385", None),
        ("cpu-thermal", "0", None),
        ("cpu-thermal", "-127000", None),
        ("cpu-thermal", "150001", None),
        ("cpu-thermal", "warm", None),
        ("soc-thermal", "51000", 51.0),
        ("acpitz", "27800", 27.8),
        ("soc", "87", None),
        ("battery", "31000", None),
    ],
)
def test_only_what_can_be_the_processors_temperature_is_one(kind, temp, degrees, tmp_path):
    zone = tmp_path / ZONE
    zone.mkdir(parents=True)
    (zone / "type").write_text(f"{kind}\n")
    (zone / "temp").write_text(f"{temp}\n")
    assert read_health(tmp_path).temperature_c == degrees


def test_the_processors_zone_is_preferred_to_the_first_and_to_that_of_the_graphics(tmp_path):
    zones = (
        ("acpitz", 20000),
        ("gpu-thermal", 90000),
        ("bigcore0-thermal", 55000),
        ("soc_max", 70000),
    )
    for number, (kind, temp) in enumerate(zones):
        zone = tmp_path / f"sys/class/thermal/thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "type").write_text(f"{kind}\n")
        (zone / "temp").write_text(f"{temp}\n")
    assert read_health(tmp_path).temperature_c == 55.0


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        ("CPU implementer : 0x41\nCPU part : 0xd99\n", "ARM 0x41/0xd99"),
        ("CPU implementer : 0x61\nCPU part : 0x022\n", "ARM 0x61/0x022"),
        ("CPU implementer : odd\nCPU part : odder\n", "ARM odd/odder"),
        # A 32-bit kernel on a Raspberry Pi 4 has a name that says less.
        (
            "model name : ARMv7 Processor rev 3 (v7l)\nCPU implementer : 0x41\nCPU part : 0xd08\n",
            "Cortex-A72",
        ),
    ],
)
def test_an_arm_processor_has_the_name_of_its_part(lines, name, tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(f"processor : 0\n{lines}")
    assert describe_board(tmp_path).cpu == name


@pytest.mark.parametrize("name", ["None", "To be filled by O.E.M.", "Default string", ""])
def test_a_pc_whose_maker_left_its_name_out_has_none(name, tmp_path):
    file = tmp_path / "sys/class/dmi/id/product_name"
    file.parent.mkdir(parents=True)
    file.write_text(f"{name}\n")
    assert describe_board(tmp_path).board is None


def test_a_tree_is_never_emulated_and_this_machine_is_where_qemu_runs(tmp_path):
    here = describe_board()
    assert describe_board(tmp_path).emulated is False
    # `make arm64` has no /sys but what it pretends.
    on_arm = os.uname().machine.startswith(("aarch64", "arm"))
    assert here.emulated is (on_arm and not Path("/sys/kernel").exists())
