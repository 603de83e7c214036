import os

import pytest

from edgetl_runtime.system.board import describe_board, read_health

PEAK = """
from edgetl_runtime.system.memory import peak_rss_mib
before = peak_rss_mib()
block = bytearray(b"x") * (200 * 2**20)
print(peak_rss_mib() - before)
"""


@pytest.fixture
def answer_vcgencmd(tmp_path, monkeypatch):
    """Puts a vcgencmd with this answer on the PATH."""

    def answer(text):
        tool = tmp_path / "vcgencmd"
        tool.write_text(f"#!/bin/sh\necho '{text}'\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    return answer


def test_the_board_names_processor_system_and_python():
    board = describe_board()
    assert board.cores == os.cpu_count()
    assert board.cpu
    assert board.os.startswith(os.uname().sysname)
    assert board.python.startswith("3.")


@pytest.mark.parametrize(
    ("text", "throttled"),
    [
        ("throttled=0x0", False),
        ("throttled=0x50000", True),
        ("throttled=0x1", True),
        ("throttled=0xfff0", False),
        ('error=1 error_msg="Command not registered"', None),
        ("VCHI initialization failed", None),
        ("", None),
    ],
)
def test_the_firmwares_word_on_throttling_is_understood(text, throttled, answer_vcgencmd):
    answer_vcgencmd(text)
    assert read_health().throttled is throttled


def test_what_slows_the_board_down_is_named(answer_vcgencmd):
    answer_vcgencmd("throttled=0x50005")
    assert read_health().throttling == (
        *("under-voltage", "throttled"),
        *("under-voltage since boot", "throttled since boot"),
    )


def test_temperature_and_governor_are_read_from_the_system(tmp_path):
    thermal = tmp_path / "sys/class/thermal/thermal_zone0/temp"
    governor = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    for file, text in ((thermal, "48312\n"), (governor, "ondemand\n")):
        file.parent.mkdir(parents=True)
        file.write_text(text)
    assert read_health(tmp_path).temperature_c == 48.312
    assert describe_board(tmp_path).governor == "ondemand"
    assert read_health(tmp_path / "nowhere").temperature_c is None


def test_off_a_raspberry_pi_throttling_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_health().throttled is None


def test_peak_memory_counts_what_was_once_in_use(run_python):
    done = run_python(PEAK)
    assert 190 < float(done.stdout) < 250, done.stderr
