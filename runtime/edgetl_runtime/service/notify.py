"""Tells systemd how the service is: the protocol of sd_notify(3), one datagram a message.

The package `systemd-watchdog` is not used: it paces its pings by the wall clock, so that a clock
set back by an hour would end them for an hour, and it knows no RELOADING.
"""

import os
import socket
import time
from collections.abc import Mapping

from edgetl_runtime.text.masking import mask_text
from edgetl_runtime.text.printable import make_printable


class Notifier:
    """Sends messages to systemd; does nothing where systemd did not start the process.

    Attributes:
        ping_every_s: Half the watchdog's limit, as sd_watchdog_enabled(3) advises; None where no
            watchdog waits for this process.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID."""
        address = environment.get("NOTIFY_SOCKET", "")
        # A name that begins with @ is in the abstract namespace, where a NUL stands for it.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.ping_every_s = _read_interval(environment)
        self._pinged_s = -float("inf")
        self._is_ready = False

    @property
    def is_heard(self) -> bool:
        """Whether systemd started this process and listens."""
        return bool(self._address)

    def ready(self) -> None:
        """The first frame was classified, or a reload has ended."""
        self._is_ready = True
        self._send("READY=1")

    def reloading(self) -> None:
        """A reload began; `ready` must follow."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The service ends."""
        self._send("STOPPING=1")

    def describe(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send("STATUS=" + make_printable(mask_text(" ".join(text.split()))))

    def ping(self) -> None:
        """Tells the watchdog of progress; to be called on each, and sent when it is time.

        Before the first frame it also puts off the end of the time to start: a camera that is
        not there yet is waited for, a loop that hangs is not.
        """
        now_s = time.monotonic()
        if self.ping_every_s is None or now_s - self._pinged_s < self.ping_every_s:
            return
        later_us = int(4 * self.ping_every_s * 1e6)
        more = "" if self._is_ready else f"\nEXTEND_TIMEOUT_USEC={later_us}"
        if self._send(f"WATCHDOG=1{more}"):
            self._pinged_s = now_s

    def _send(self, message: str) -> bool:
        """False if it did not arrive: a full socket must not stop the loop that tells of itself."""
        if not self._address:
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            try:
                sender.sendto(message.encode(), self._address)
            except OSError:
                return False
        return True


def _read_interval(environment: Mapping[str, str]) -> float | None:
    limit = environment.get("WATCHDOG_USEC", "")
    pid = environment.get("WATCHDOG_PID", str(os.getpid()))
    if not limit.isdecimal() or int(limit) == 0 or pid != str(os.getpid()):
        return None
    return int(limit) / 1e6 / 2
