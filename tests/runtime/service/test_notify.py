import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from edgetl_runtime.service.notify import Notifier

HANG_S = 30
LOOP = """
import sys, time
from edgetl_runtime.service.notify import Notifier
notifier = Notifier()
notifier.ready()
frozen = False
while not frozen:
    notifier.ping()
    time.sleep(0.01)
"""


@pytest.fixture(params=["file", "abstract"])
def systemd(request, tmp_path):
    """The receiving end, and its address as NOTIFY_SOCKET has it."""
    name = str(tmp_path / "notify") if request.param == "file" else f"@edgetl-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("\0" + name[1:] if name.startswith("@") else name)
        receiver.settimeout(HANG_S)
        yield receiver, {"NOTIFY_SOCKET": name}


def received(receiver: socket.socket) -> list[str]:
    """What has arrived so far."""
    found = []
    receiver.setblocking(False)
    while True:
        try:
            found.append(receiver.recv(4096).decode())
        except BlockingIOError:
            return found


def test_each_message_is_one_datagram(systemd):
    receiver, environment = systemd
    notifier = Notifier(environment)
    notifier.ready()
    notifier.describe("two\nlines")
    notifier.stopping()
    assert received(receiver) == ["READY=1", "STATUS=two lines", "STOPPING=1"]


def test_a_reload_tells_when_it_began(systemd):
    receiver, environment = systemd
    before_us = time.monotonic_ns() // 1000
    Notifier(environment).reloading()
    (message,) = received(receiver)
    (began_us,) = map(int, re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", message).groups())
    assert before_us <= began_us <= time.monotonic_ns() // 1000


def test_pings_are_paced_at_half_the_limit(systemd):
    receiver, environment = systemd
    notifier = Notifier(environment | {"WATCHDOG_USEC": "400000", "WATCHDOG_PID": str(os.getpid())})
    assert notifier.ping_every_s == 0.2
    end_s = time.monotonic() + 0.7
    while time.monotonic() < end_s:
        notifier.ping()
    assert 3 <= len(received(receiver)) <= 4


def test_waiting_for_the_first_frame_puts_off_the_end_of_the_start(systemd):
    receiver, environment = systemd
    notifier = Notifier(environment | {"WATCHDOG_USEC": "20000"})
    notifier.ping()
    notifier.ready()
    time.sleep(0.02)
    notifier.ping()
    assert received(receiver) == [
        "WATCHDOG=1\nEXTEND_TIMEOUT_USEC=40000",
        "READY=1",
        "WATCHDOG=1",
    ]


@pytest.mark.parametrize(
    "watchdog", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}]
)
def test_no_ping_where_no_watchdog_waits(systemd, watchdog):
    receiver, environment = systemd
    Notifier(environment | watchdog).ping()
    assert received(receiver) == []


def test_without_systemd_nothing_happens():
    notifier = Notifier({})
    notifier.ready()
    notifier.ping()


def test_a_systemd_that_does_not_listen_stops_nobody(systemd, tmp_path):
    _, environment = systemd
    notifier = Notifier(environment | {"WATCHDOG_USEC": "2"})
    for _ in range(5000):
        notifier.ping()
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "missing")}).ready()


def test_a_frozen_loop_pings_no_more(systemd):
    """The process lives, but its loop does not: SIGSTOP is the hardest freeze there is."""
    receiver, environment = systemd
    limit = {"WATCHDOG_USEC": "200000"}
    with subprocess.Popen(
        [sys.executable, "-c", LOOP], env=os.environ | environment | limit
    ) as process:
        try:
            assert receiver.recv(100) == b"READY=1"
            for _ in range(3):
                assert receiver.recv(100) == b"WATCHDOG=1"
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.05)
            received(receiver)
            time.sleep(0.4)
            assert received(receiver) == []
            assert process.poll() is None
        finally:
            process.kill()
