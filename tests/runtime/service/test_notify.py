import os
import re
import signal
import subprocess
import sys
import time

import pytest

from edgetl_runtime.service.notify import Notifier

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


def test_each_message_is_one_datagram(any_systemd):
    environment = any_systemd.environment
    notifier = Notifier(environment)
    notifier.ready()
    notifier.describe("two\nlines")
    notifier.describe("a\x1b[2J\udcff at rtsp://me:hunter2@camera/s\nMAINPID=1")
    notifier.stopping()
    ready, *states, stopping = any_systemd.received()
    assert (ready, stopping) == ("READY=1", "STOPPING=1")
    shown = "a\\x1b[2J\\xff at rtsp://***@camera/s MAINPID=1"
    assert states == ["STATUS=two lines", f"STATUS={shown}"]


def test_a_reload_tells_when_it_began(any_systemd):
    environment = any_systemd.environment
    before_us = time.monotonic_ns() // 1000
    Notifier(environment).reloading()
    (message,) = any_systemd.received()
    (began_us,) = map(int, re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", message).groups())
    assert before_us <= began_us <= time.monotonic_ns() // 1000


def test_pings_are_paced_at_half_the_limit(any_systemd):
    environment = any_systemd.environment
    notifier = Notifier(environment | {"WATCHDOG_USEC": "400000", "WATCHDOG_PID": str(os.getpid())})
    assert notifier.ping_every_s == 0.2
    end_s = time.monotonic() + 0.7
    while time.monotonic() < end_s:
        notifier.ping()
    assert 3 <= len(any_systemd.received()) <= 4


def test_waiting_for_the_first_frame_puts_off_the_end_of_the_start(any_systemd):
    environment = any_systemd.environment
    notifier = Notifier(environment | {"WATCHDOG_USEC": "20000"})
    notifier.ping()
    notifier.ready()
    time.sleep(0.02)
    notifier.ping()
    assert any_systemd.received() == [
        "WATCHDOG=1\nEXTEND_TIMEOUT_USEC=40000",
        "READY=1",
        "WATCHDOG=1",
    ]


@pytest.mark.parametrize(
    "watchdog", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}]
)
def test_no_ping_where_no_watchdog_waits(any_systemd, watchdog):
    environment = any_systemd.environment
    Notifier(environment | watchdog).ping()
    assert any_systemd.received() == []


def test_without_systemd_nothing_happens(any_systemd, monkeypatch):
    """Another process's systemd listens; it was not this notifier that was told of it."""
    monkeypatch.setenv("NOTIFY_SOCKET", any_systemd.environment["NOTIFY_SOCKET"])
    notifier = Notifier({"WATCHDOG_USEC": "2"})
    notifier.ready()
    notifier.ping()
    assert not notifier.is_heard
    assert any_systemd.received() == []


def test_a_systemd_that_does_not_listen_stops_nobody(any_systemd, tmp_path):
    environment = any_systemd.environment
    notifier = Notifier(environment | {"WATCHDOG_USEC": "2"})
    for _ in range(5000):
        notifier.ping()
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "missing")}).ready()
    assert not (tmp_path / "missing").exists()
    # What fits into the socket; the rest was let go, and the next ping comes through again.
    assert 0 < len(any_systemd.received()) < 5000
    time.sleep(0.001)
    notifier.ping()
    assert any_systemd.received() == ["WATCHDOG=1\nEXTEND_TIMEOUT_USEC=4"]


def test_a_frozen_loop_pings_no_more(any_systemd):
    """The process lives, but its loop does not: SIGSTOP is the hardest freeze there is."""
    environment = any_systemd.environment
    limit = {"WATCHDOG_USEC": "200000"}
    with subprocess.Popen(
        [sys.executable, "-c", LOOP], env=os.environ | environment | limit
    ) as process:
        try:
            any_systemd.wait_for("READY=1")
            for _ in range(3):
                any_systemd.wait_for("WATCHDOG=1")
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.05)
            any_systemd.received()
            time.sleep(0.4)
            assert any_systemd.received() == []
            assert process.poll() is None
        finally:
            process.kill()
