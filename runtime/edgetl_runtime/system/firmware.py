"""What a Raspberry Pi's firmware says: throttling, and whatever else `vcgencmd` knows."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from edgetl_runtime.system.sysfs import read_text

# Bits 0-3 of `vcgencmd get_throttled`; 16 higher is the same since boot (Raspberry Pi
# documentation, "vcgencmd").
_THROTTLING: Final = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")
_SINCE_BOOT_BIT: Final = 16
SINCE_BOOT: Final = " since boot"
_TOOL_TIMEOUT_S: Final = 5.0
_ANSWER: Final = re.compile(r"throttled=(0x[0-9a-f]+)", re.I)
_HEX: Final = re.compile(r"(0x)?[0-9a-f]+", re.I)


def read_throttled(root: Path) -> int | None:
    """The bits of throttling, of `vcgencmd` or else of the kernel; None off a Raspberry Pi.

    The kernel's file is the second choice although it needs no process: it is up to 2 s old,
    reading it puts a warning into the kernel's log, and the kernel clears its upper bits each time
    it asks, so that they mean "in these 2 s" (drivers/firmware/raspberrypi.c and
    drivers/hwmon/raspberrypi-hwmon.c of raspberrypi/linux). It needs no group, though.
    """
    # In a container vcgencmd may answer `error=1 error_msg=...`, and `VCHI initialization failed`
    # or `Can't open device file: /dev/vcio` without the group `video`.
    if answer := _ANSWER.match(ask_firmware("get_throttled") or ""):
        return int(answer[1], 16)
    for file in sorted((root / "sys/devices/platform").glob("soc*/*:firmware/get_throttled")):
        text = read_text(file)
        if text and _HEX.fullmatch(text):
            return int(text, 16)
    return None


def name_throttling(bits: int) -> tuple[str, ...]:
    """What the bits say, such as `under-voltage` or `throttled since boot`."""
    now = [name for bit, name in enumerate(_THROTTLING) if bits >> bit & 1]
    past = [
        f"{name}{SINCE_BOOT}"
        for bit, name in enumerate(_THROTTLING, _SINCE_BOOT_BIT)
        if bits >> bit & 1
    ]
    return (*now, *past)


def is_refused(root: Path) -> bool:
    """Whether there is a firmware that this user may not ask."""
    try:
        os.close(os.open(root / "dev/vcio", os.O_RDWR))
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def ask_firmware(command: str) -> str | None:
    """What `vcgencmd COMMAND` prints; None without the tool, or if it hangs."""
    return ask_tool("vcgencmd", command)


def ask_tool(name: str, *arguments: str) -> str | None:
    """What a program on the PATH prints; None without it, or if it does not end within 5 s."""
    tool = shutil.which(name)
    if tool is None:
        return None
    try:
        run = subprocess.run(
            [tool, *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=_TOOL_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return run.stdout.strip()
